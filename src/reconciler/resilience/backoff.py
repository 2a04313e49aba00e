"""How long to wait after the n-th failure: exponential, with full jitter."""

from dataclasses import dataclass
from datetime import timedelta
from random import Random


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays that double up to a bound.

    Attributes:
        first: the bound of the first delay.
        longest: no delay is longer.
        floor: no delay is shorter.
    """

    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=5)
    floor: timedelta = timedelta(0)

    def ceiling(self, failures: int) -> timedelta:
        """Return the longest delay after so many failures (1 is the first)."""
        doublings = min(max(failures - 1, 0), 64)  # beyond, the float is as good as endless
        return timedelta(seconds=min(self.first.total_seconds() * 2.0**doublings, self.longest.total_seconds()))

    def delay(self, failures: int, random: Random) -> timedelta:
        """Return a delay drawn evenly between the floor and the ceiling."""
        floor = min(self.floor, self.longest)
        return floor + (max(self.ceiling(failures), floor) - floor) * random.random()
