"""What can be done to the broker from outside: the weather of tests and scenarios."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta


class Faults:
    """Outages on demand. What is in queues survives all of them.

    Attributes:
        latency: how long every frame from a client waits before it is looked at.
    """

    def __init__(
        self,
        *,
        close: Callable[[], Awaitable[None]],
        reopen: Callable[[], Awaitable[None]],
        cut: Callable[[], None],
        flush: Callable[[], None],
        starve: Callable[[], None],
    ) -> None:
        self.latency = timedelta(0)
        self.is_down = False
        self._close = close
        self._reopen = reopen
        self._cut = cut
        self._flush = flush
        self._starve = starve
        self._confirms_to_drop = 0
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def down(self) -> None:
        """Refuse new connections and cut all others."""
        self.is_down = True
        await self._close()
        self._cut()

    async def up(self) -> None:
        """Listen again on the same port."""
        if self.is_down:
            await self._reopen()
            self.is_down = False

    @property
    def is_frozen(self) -> bool:
        """Whether bytes are taken and nothing is answered."""
        return not self._flowing.is_set()

    def freeze(self) -> None:
        """Take connections and bytes, answer nothing, send nothing."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Go on where it stopped."""
        self._flowing.set()
        self._flush()

    def cut_connections(self) -> None:
        """Reset every connection; new ones are taken."""
        self._cut()

    def starve_consumers(self) -> None:
        """Give the consumers of the connections there are no more messages, without a word; new ones get theirs."""
        self._starve()

    def drop_confirms(self, count: int) -> None:
        """Keep the next `count` confirms to itself: those messages are in their queues and nobody is told."""
        self._confirms_to_drop += count

    def takes_confirm(self) -> bool:
        """Tell whether this confirm is one of those to be dropped, and count it."""
        if self._confirms_to_drop == 0:
            return False
        self._confirms_to_drop -= 1
        return True

    async def pass_through(self) -> None:
        """Wait as long as a frame has to wait."""
        if self.latency:
            await asyncio.sleep(self.latency.total_seconds())
        await self._flowing.wait()
