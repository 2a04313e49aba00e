"""Keeps something alive that may die: after each death a pause, then another life, while everything else goes on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from random import Random

from reconciler.domain.clock import Clock, SystemClock
from reconciler.domain.words import cut
from reconciler.resilience.backoff import Backoff

_log = logging.getLogger(__name__)

Life = Callable[[asyncio.Event], Awaitable[None]]
"""Lives until the event is set, and then returns; whatever else ends it is a death."""


class Supervisor:
    """One life after the other, until `stop()`.

    Attributes:
        deaths: all so far.
        last_death: the words of the last one, empty if it lives since.
        next_life: when the next life begins, None while one is lived.
    """

    def __init__(
        self,
        name: str,
        life: Life,
        *,
        clock: Clock | None = None,
        backoff: Backoff | None = None,
        healthy_after: timedelta = timedelta(minutes=1),
        random: Random | None = None,
    ) -> None:
        """Prepare; a life of at least `healthy_after` makes the next pause a short one again."""
        self.name = name
        self._life = life
        self._clock = clock or SystemClock()
        self._backoff = backoff or Backoff(longest=timedelta(seconds=30), floor=timedelta(seconds=1))
        self._healthy_after = healthy_after
        self._random = random or Random()  # noqa: S311 - jitter is no secret
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self.deaths = 0
        self.last_death = ""
        self.next_life: datetime | None = None

    async def run(self) -> None:
        """Live until `stop()`; cancelling it cancels the life."""
        in_a_row = 0
        self._ended.clear()
        try:
            while not self._stopping.is_set():
                born = self._clock.monotonic()
                if not await self._survives():
                    in_a_row = (
                        1 if self._clock.monotonic() - born >= self._healthy_after.total_seconds() else in_a_row + 1
                    )
                    await self._pause(self._backoff.delay(in_a_row, self._random))
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """End the life that is lived, begin no other, and wait until `run()` is done with it."""
        self._stopping.set()
        await self._ended.wait()

    async def _survives(self) -> bool:
        """Live once; tell whether it ended because it was asked to."""
        try:
            await self._life(self._stopping)
        except Exception as exc:  # noqa: BLE001 - whatever it died of, it shall live again
            self._died(cut(f"{type(exc).__name__}: {exc}"), exc)
            return False
        if self._stopping.is_set():
            return True
        self._died("it ended by itself", None)
        return False

    def _died(self, words: str, exc: BaseException | None) -> None:
        self.deaths += 1
        self.last_death = words
        _log.warning("%s died (%d so far): %s", self.name, self.deaths, words, exc_info=exc)

    async def _pause(self, delay: timedelta) -> None:
        self.next_life = self._clock.now() + delay
        try:
            async with asyncio.timeout(delay.total_seconds()):
                await self._stopping.wait()
        except TimeoutError:
            return
        finally:
            self.next_life = None
