"""A provider's limit, kept from our side: so many requests in any window of time, never one more.

A token bucket lets burst and leak through together (119 calls in a window of 60); a list of send times does not.
"""

import asyncio
from collections import deque
from datetime import timedelta

from reconciler.domain.clock import Clock, SystemClock
from reconciler.domain.errors import RateLimited


class Limiter:
    """A sliding window, shared by everything that uses one key. Places are given in the order they are asked for.

    The window is kept a little longer (`slack`) than promised, because the provider counts on arrival.
    """

    def __init__(
        self,
        limit: int,
        per: timedelta,
        *,
        name: str = "",
        clock: Clock | None = None,
        starts_full: bool = True,
        slack: float = 0.02,
    ) -> None:
        """Allow `limit` sends per `per`.

        Args:
            limit: at least 1.
            per: the window.
            name: the system, for messages.
            clock: monotonic time.
            starts_full: count the window as used up at the start: a process before this one may just have used it.
            slack: the share by which the window is lengthened.
        """
        self._limit = limit
        self._seconds = per.total_seconds() * (1 + slack)
        self._name = name
        self._clock = clock or SystemClock()
        now = self._clock.monotonic()
        self._sends: deque[float] = deque([now] * limit if starts_full else (), maxlen=limit)

    def wait(self) -> float:
        """Return the seconds until a send would be allowed. Takes nothing."""
        return max(0.0, self._next() - self._clock.monotonic())

    def reserve(self, patience: float = 0.0) -> float:
        """Take the next place and return the seconds to wait for it; a place not used is lost, not lent.

        Raises:
            RateLimited: the wait would be longer than `patience` seconds; nothing is taken.
        """
        wait = self.wait()
        if wait > patience:
            raise RateLimited(
                f"{self._name}: our own limit of {self._limit} requests in {self._seconds:.0f} s is used up",
                retry_after=timedelta(seconds=wait),
                system=self._name,
            )
        self._sends.append(self._next())
        return wait

    async def acquire(self, patience: float = 0.0) -> None:
        """Take a place and wait for it, at most `patience` seconds. Raises RateLimited."""
        if wait := self.reserve(patience):
            await asyncio.sleep(wait)

    def _next(self) -> float:
        now = self._clock.monotonic()
        if len(self._sends) < self._limit:
            return now
        return max(now, self._sends[0] + self._seconds)
