"""Patience, one place per system: breaker, limiter, permits, budget, backoff. Tells by hooks, knows no metrics."""
