"""How many requests may be under way to one system; who comes first goes first, and nobody waits long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from reconciler.domain.errors import Unavailable


class Permits:
    """A concurrency bound with a short, fair wait."""

    def __init__(self, bound: int, *, patience: timedelta = timedelta(seconds=1), name: str = "") -> None:
        """Let `bound` through at once; another one waits at most `patience` (0: not at all)."""
        self._bound = bound
        self._places = asyncio.Semaphore(bound)  # first in, first out
        self._patience = patience
        self._name = name
        self.taken = 0

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """Hold one place. Raises Unavailable when none is free in time; nothing was asked then."""
        await self._take()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
            self._places.release()

    async def _take(self) -> None:
        if not self._places.locked():
            await self._places.acquire()
            return
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                await self._places.acquire()
        except TimeoutError as error:
            raise Unavailable(
                f"{self._name}: {self._bound} requests are under way and none ended in time",
                retry_after=max(self._patience, timedelta(seconds=1)),
                system=self._name,
            ) from error
