"""One question at a time for all who have it; whoever waited while it failed has failed with it.

With a lock alone each of them would ask again, one after the other, and wait out a silent system's time-out each.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from reconciler.domain.errors import CircuitOpen, Unavailable


class Together:
    """Those who have the same question."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._failures = 0
        self._last: Unavailable | None = None

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[None]:
        """Let one ask after the other. Raises Unavailable as it was raised to who asked while this one waited.

        Within it, see first whether somebody got the answer meanwhile. By an open breaker each is turned away itself,
        which takes no time: it calls those whom it knows.
        """
        failures = self._failures
        async with self._lock:
            if self._failures > failures and self._last is not None:
                raise self._last.with_traceback(None)
            try:
                yield
            except CircuitOpen:
                raise
            except Unavailable as error:
                self._failures, self._last = self._failures + 1, error
                raise
