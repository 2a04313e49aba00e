"""A box of keys that are due: delivered side by side, each key at most once at a time.

What is delivered for a key is looked up at the moment of delivery: while the other side is away, everything that was
put in for a key meanwhile has become one delivery. The box is one task; whoever runs `run()` owns it.
"""

import asyncio
import heapq
import logging
from collections.abc import Awaitable, Callable, Hashable
from datetime import timedelta
from random import Random
from typing import Generic, TypeVar

from reconciler.domain.clock import Clock
from reconciler.domain.errors import Refused, Unavailable
from reconciler.resilience.backoff import Backoff

K = TypeVar("K", bound=Hashable)
_log = logging.getLogger(__name__)
_LATER = timedelta(seconds=60)
"""Until a key that was refused, or met a bug, is tried again; the others go on."""
_TICK = 0.001
_UNTIL_BACK = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=10), floor=timedelta(milliseconds=500))


class Outbox(Generic[K]):
    """Keys with due times. Putting and dropping never wait."""

    def __init__(
        self,
        name: str,
        deliver: Callable[[K], Awaitable[timedelta | None]],
        *,
        clock: Clock,
        width: int = 64,
        backoff: Backoff = _UNTIL_BACK,
        random: Random | None = None,
    ) -> None:
        """Make an empty box.

        Args:
            name: for logs.
            deliver: delivers a key and returns after how long it is due again, None for never. Raises Unavailable when
                the other side is away: the key stays due, and the whole box waits; Refused when it does not let us.
            clock: only its monotonic seconds are read.
            width: so many deliveries at once.
            backoff: how long the box waits while the other side is away.
            random: for the jitter.
        """
        self._name = name
        self._deliver = deliver
        self._clock = clock
        self._width = width
        self._backoff = backoff
        self._random = random or Random()  # noqa: S311 - jitter is no secret
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0
        self._failures = 0
        self._not_before = 0.0
        self._changed = asyncio.Event()
        self._rested = asyncio.Event()
        self._underway: set[K] = set()

    def __len__(self) -> int:
        return len(self._due.keys() | self._underway)

    @property
    def is_stuck(self) -> bool:
        """Whether the other side was away at the last attempt."""
        return self._failures > 0

    def put(self, key: K, after: timedelta = timedelta(0)) -> None:
        """Let a key be due after a while; an earlier due time stands."""
        due = self._clock.monotonic() + after.total_seconds()
        if due < self._due.get(key, float("inf")):
            self._due[key] = due
            if key not in self._underway:
                self._push(key, due)

    def _push(self, key: K, due: float) -> None:
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, key))
        self._changed.set()

    def drop(self, key: K) -> None:
        """Forget a key."""
        self._due.pop(key, None)

    def hurry(self) -> None:
        """Try at once what waits for the other side: it is back."""
        self._not_before = 0.0
        self._changed.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._changed.clear()
                for key in self._take_due():
                    self._underway.add(key)
                    self._rested.clear()
                    group.create_task(self._deliver_one(key))
                if not self._underway and not self._has_due():
                    self._rested.set()
                await self._wait()

    async def flush(self, within: timedelta) -> bool:
        """Wait until nothing is due now, or the time is over; tell whether nothing is. `run` has to be running."""
        self.hurry()
        self._rested.clear()
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._rested.wait()
        except TimeoutError:
            return False
        return True

    def _has_due(self) -> bool:
        next_due = self._next_due()
        return next_due is not None and next_due <= self._clock.monotonic()

    def _next_due(self) -> float | None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)  # put again earlier, or dropped
        return self._heap[0][0] if self._heap else None

    def _take_due(self) -> list[K]:
        now = self._clock.monotonic()
        taken: list[K] = []
        while now >= self._not_before and len(self._underway) + len(taken) < self._width:
            next_due = self._next_due()
            if next_due is None or next_due > now:
                break
            key = heapq.heappop(self._heap)[2]
            del self._due[key]
            taken.append(key)
        return taken

    async def _wait(self) -> None:
        next_due = self._next_due() if len(self._underway) < self._width else None
        try:
            async with asyncio.timeout(None if next_due is None else self._seconds_until(next_due)):
                await self._changed.wait()
        except TimeoutError:
            return

    def _seconds_until(self, due: float) -> float:
        # Never less than a tick: a timer may fire a hair early, and would be set again without end.
        return max(max(due, self._not_before) - self._clock.monotonic(), _TICK)

    async def _deliver_one(self, key: K) -> None:
        try:
            self._heard(await self._attempt(key))
        finally:
            self._underway.discard(key)
            if key in self._due:  # put again meanwhile
                self._push(key, self._due[key])
            self._changed.set()

    def _heard(self, was_there: bool) -> None:  # noqa: FBT001 - the answer of one method handed to another
        """Let the box wait when the other side is away; what failed beside the first counts as the same failure."""
        now = self._clock.monotonic()
        if was_there:
            self._failures = 0
        elif now >= self._not_before:
            self._failures += 1
            self._not_before = now + self._backoff.delay(self._failures, self._random).total_seconds()

    async def _attempt(self, key: K) -> bool:
        """Deliver a key and tell whether the other side was there."""
        try:
            again = await self._deliver(key)
        except Unavailable as error:
            self.put(key)
            _log.log(logging.DEBUG if self._failures else logging.WARNING, "%s wait: %s", self._name, error.message)
            return False
        except Refused as error:
            _log.warning("one of the %s is refused: %s", self._name, error.message)
            self.put(key, _LATER)
            return True
        except Exception:  # noqa: BLE001 - one key's bug must not stop all others
            _log.exception("a bug while delivering one of the %s", self._name)
            self.put(key, _LATER)
            return True
        if again is not None:
            self.put(key, again)
        return True
