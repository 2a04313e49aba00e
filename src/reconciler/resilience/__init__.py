"""Patience, one place per system: breaker, limiter, permits, backoff. Tells by hooks, knows no metrics."""
