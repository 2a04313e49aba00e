"""A time budget handed down a chain of calls: whoever starts the chain says how long it may take."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from reconciler.domain.clock import Clock

_deadline: ContextVar[float | None] = ContextVar("reconciler_time_budget", default=None)


@contextmanager
def spending(seconds: float, clock: Clock) -> Iterator[float]:
    """Give everything inside at most `seconds`, or what is left of an outer budget if that is less; yields which."""
    left = remaining(seconds, clock)
    token = _deadline.set(clock.monotonic() + left)
    try:
        yield left
    finally:
        _deadline.reset(token)


def remaining(default: float, clock: Clock) -> float:
    """Return the seconds left, never more than `default`; 0 when the budget is used up."""
    deadline = _deadline.get()
    return default if deadline is None else max(0.0, min(default, deadline - clock.monotonic()))
