"""One revision on its way to one environment: the stages, what may go when, and how it ends."""
