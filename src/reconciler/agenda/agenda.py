"""One queue for everything that is to be looked at, now or later.

A key is on the agenda at most once, with its earliest due time, and is never looked at twice at once: added while its
look runs, it is looked at again after. A look answers for the whole future of its key: it returns when the next one is
due, and what was on the agenda for the key before is replaced by that.

Lanes keep one kind of work from standing in the way of another: each has its own bound of looks at once, and a key is
put in its lane at the moment it is due. Errors stay with the key that had them.

    Conflict, NotFound,    the world has moved on: again at once, a few times, then with backoff
    AlreadyExists
    Unavailable, Refused   again when the system said, else with backoff; nobody's bug
    anything else          a bug: logged with its traceback, counted, backoff; after the limit the key is parked until
                           something changes or a long time has passed
"""

import asyncio
import heapq
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from typing import Generic, Protocol, TypeVar

from reconciler.domain.clock import Clock, SystemClock
from reconciler.domain.errors import AlreadyExists, Conflict, NotFound, Refused, Unavailable
from reconciler.resilience.backoff import Backoff

K = TypeVar("K", bound=Hashable)
Look = Callable[[K], Awaitable[datetime | None]]
"""Looks at a key and returns when to look next; None is: when something changes."""

_log = logging.getLogger(__name__)
_ONLY_LANE: Mapping[str, int] = {"looks": 20}
_AT_ONCE = 3
_NOTICE_CLOCK_JUMPS = timedelta(seconds=60)
_BACKOFF = Backoff(floor=timedelta(milliseconds=200), longest=timedelta(minutes=1))
"""What fails here could not even be written down, and nobody can read in a status that it is tried again, or when."""


class Outcome(StrEnum):
    """How a look ended."""

    DONE = "done"
    CONFLICT = "conflict"
    UNAVAILABLE = "unavailable"
    BUG = "bug"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Looked:
    """One look, as metrics see it; `waited` is from its due time to its start."""

    lane: str
    outcome: Outcome
    waited: timedelta
    took: timedelta


@dataclass(frozen=True, slots=True)
class AgendaState:
    """The agenda at one moment.

    Attributes:
        depth: keys that are due and wait for their turn, by lane.
        running: looks under way, by lane.
        scheduled: keys that are due later.
        next_due: when the first of them is due.
        parked: keys that were given up until something changes.
        oldest_running: since when the longest look runs.
    """

    depth: Mapping[str, int]
    running: Mapping[str, int]
    scheduled: int
    next_due: datetime | None
    parked: int
    oldest_running: datetime | None


class Observer(Protocol):
    """Who is told of looks."""

    def looked(self, look: Looked) -> None:
        """Hear of a look that ended; must not fail and not wait."""
        ...


class _Deaf:
    def looked(self, look: Looked) -> None:
        """Hear nothing."""


@dataclass(frozen=True, slots=True)
class Patience:
    """What an agenda does with looks that fail.

    Attributes:
        backoff: delays after failures in a row.
        bugs: so many bugs in a row park a key.
        parked_for: how long at most.
        breather: how soon a change may end a backoff.
    """

    backoff: Backoff = _BACKOFF
    bugs: int = 5
    parked_for: timedelta = timedelta(minutes=10)
    breather: timedelta = timedelta(seconds=1)


@dataclass(slots=True)
class _Item:
    due: datetime | None = None
    lane: str | None = None
    """The lane it waits in or runs in; None while it is only scheduled."""
    task: asyncio.Task[None] | None = None
    started: datetime | None = None
    bugs: int = 0
    misses: int = 0
    conflicts: int = 0
    not_before: datetime | None = None
    forgotten: bool = False


@dataclass(slots=True)
class _Lane(Generic[K]):
    width: int
    waiting: deque[K] = field(default_factory=deque)
    running: int = 0


class Agenda(Generic[K]):
    """The queue; made with what looks, run as one task with `run()`, ended with `stop()`."""

    def __init__(
        self,
        look: Look[K],
        *,
        clock: Clock | None = None,
        lanes: Mapping[str, int] = _ONLY_LANE,
        lane_of: Callable[[K], str] | None = None,
        patience: Patience | None = None,
        observer: Observer | None = None,
        describe: Callable[[K], Mapping[str, str]] | None = None,
        random: Random | None = None,
    ) -> None:
        """Make an empty agenda.

        Args:
            look: looks at one key; an exception is sorted as the module says.
            clock: due times are by its wall clock.
            lanes: how many looks at once each lane allows; the first is the one for keys that belong nowhere else.
            lane_of: the lane for a key, asked each time it is due.
            patience: what becomes of looks that fail.
            observer: told of each look.
            describe: what a log line about a key says beside it (its operation id).
            random: for the jitter.
        """
        self._look = look
        self._clock = clock or SystemClock()
        self._lanes: dict[str, _Lane[K]] = {name: _Lane(width) for name, width in lanes.items()}
        self._common = next(iter(self._lanes))
        self._lane_of = lane_of or (lambda _: self._common)
        self._patience = patience or Patience()
        self._observer = observer or _Deaf()
        self._describe = describe or (lambda _: {})
        self._random = random or Random()  # noqa: S311 - jitter is no secret
        self._items: dict[K, _Item] = {}
        self._running: dict[K, _Item] = {}
        self._parked: set[K] = set()
        self._heap: list[tuple[datetime, int, K]] = []
        self._order = itertools.count()
        self._group: asyncio.TaskGroup | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = asyncio.Event()

    # What others do with it

    def add(self, key: K, due: datetime | None = None) -> None:
        """Look at `key` at `due`, or at once because something changed. An earlier due time stands.

        Where the last look failed, a change ends the backoff, though not within `breather`.
        """
        item = self._items.setdefault(key, _Item())
        item.forgotten = False
        moment = due or self._clock.now()
        self._schedule(key, item, self._after_breather(item, moment))
        self._pump()

    def forget(self, key: K) -> None:
        """Take `key` off; a look that runs ends, and what it says of the future is not heard."""
        item = self._items.get(key)
        if item is None:
            return
        if item.task is not None:
            item.due, item.forgotten = None, True
            return
        if item.lane is not None:
            self._lanes[item.lane].waiting.remove(key)
        self._drop(key)

    def state(self) -> AgendaState:
        """Return how it is now; it costs the same however much is scheduled, and is asked after every look."""
        started = [item.started for item in self._running.values() if item.started is not None]
        depth = {name: len(lane.waiting) for name, lane in self._lanes.items()}
        running = {name: lane.running for name, lane in self._lanes.items()}
        self._drop_stale()
        return AgendaState(
            depth=depth,
            running=running,
            scheduled=len(self._items) - sum(depth.values()) - sum(running.values()),
            next_due=self._heap[0][0] if self._heap else None,
            parked=len(self._parked),
            oldest_running=min(started, default=None),
        )

    async def run(self) -> None:
        """Look at what is due until `stop()`; cancelling it cancels the looks that run."""
        if self._stopping.is_set():
            return
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._pump()
                try:
                    await self._stopping.wait()
                finally:
                    self._stopping.set()  # a group that is being cancelled takes no more tasks
        finally:
            self._group = None
            self._disarm()

    async def stop(self, grace: timedelta = timedelta(seconds=10)) -> None:
        """Begin no more looks, let those that run end within `grace`, then cancel them."""
        self._stopping.set()
        self._disarm()
        tasks = {item.task for item in self._items.values() if item.task is not None}
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=grace.total_seconds())
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    # How it works

    def _drop(self, key: K) -> None:
        del self._items[key]
        self._parked.discard(key)

    def _schedule(self, key: K, item: _Item, moment: datetime) -> None:
        if item.due is not None and item.due <= moment:
            return
        if item.lane is not None and item.task is None:
            return  # it waits for its turn already
        item.due = moment
        heapq.heappush(self._heap, (moment, next(self._order), key))

    def _scheduled(self, entry: tuple[datetime, int, K]) -> _Item | None:
        """Return whom an entry is of; None when it was overtaken, or its key runs and comes back by itself."""
        moment, _, key = entry
        item = self._items.get(key)
        return item if item is not None and item.due == moment and item.lane is None else None

    def _drop_stale(self) -> None:
        while self._heap and self._scheduled(self._heap[0]) is None:
            heapq.heappop(self._heap)

    def _pump(self) -> None:
        """Put what is due in its lane, begin what a lane has room for, wake for what is due next."""
        if self._group is None or self._stopping.is_set():
            return
        now = self._clock.now()
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            key = entry[2]
            if (item := self._scheduled(entry)) is not None:
                lane_name = self._lane_of(key)
                item.lane = lane_name if lane_name in self._lanes else self._common
                self._lanes[item.lane].waiting.append(key)
        for lane in self._lanes.values():
            while lane.waiting and lane.running < lane.width:
                self._begin(lane, lane.waiting.popleft(), self._group)
        self._arm(now)

    def _begin(self, lane: _Lane[K], key: K, group: asyncio.TaskGroup) -> None:
        item = self._items[key]
        due, item.due = item.due, None
        item.started = self._clock.now()
        self._running[key] = item
        self._parked.discard(key)
        lane.running += 1
        item.task = group.create_task(self._look_at(key, item, due or item.started), name=f"look at {key}")

    async def _look_at(self, key: K, item: _Item, due: datetime) -> None:
        lane = item.lane or self._common
        started = self._clock.monotonic()
        waited = max(self._clock.now() - due, timedelta(0))
        outcome, following = Outcome.CANCELLED, None
        try:
            outcome, following = await self._guarded(key, item)
        finally:
            self._lanes[lane].running -= 1
            item.task = item.started = item.lane = None
            del self._running[key]
            self._go_on(key, item, following)
            took = timedelta(seconds=self._clock.monotonic() - started)
            self._observer.looked(Looked(lane, outcome, waited, took))

    async def _guarded(self, key: K, item: _Item) -> tuple[Outcome, datetime | None]:
        """Look, and turn whatever comes of it into an outcome and the next due time."""
        try:
            following = await self._look(key)
        except asyncio.CancelledError as exc:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            # Some libraries let the cancellation of one of their own tasks out.
            return Outcome.BUG, self._after_bug(key, item, exc)
        except (Conflict, NotFound, AlreadyExists) as exc:
            return Outcome.CONFLICT, self._after_conflict(key, item, exc)
        except (Unavailable, Refused) as exc:
            return Outcome.UNAVAILABLE, self._after_miss(key, item, exc)
        except Exception as exc:  # noqa: BLE001 - one key's bug must not end the looks at others; it is logged and counted
            return Outcome.BUG, self._after_bug(key, item, exc)
        item.bugs = item.misses = item.conflicts = 0
        item.not_before = None
        return Outcome.DONE, following

    def _after_conflict(self, key: K, item: _Item, exc: Exception) -> datetime:
        item.conflicts += 1
        if item.conflicts <= _AT_ONCE:
            return self._clock.now()
        _log.info("%s: %s", key, exc, extra=dict(self._describe(key)))
        return self._later(item, item.conflicts - _AT_ONCE)

    def _after_miss(self, key: K, item: _Item, exc: Unavailable | Refused) -> datetime:
        item.misses += 1
        _log.info("%s: %s", key, exc, extra=dict(self._describe(key)))
        retry_after = exc.retry_after if isinstance(exc, Unavailable) else None
        if retry_after is None:
            return self._later(item, item.misses)
        return self._clock.now() + max(retry_after, self._patience.backoff.floor)

    def _after_bug(self, key: K, item: _Item, exc: BaseException) -> datetime:
        item.bugs += 1
        is_parked = item.bugs >= self._patience.bugs
        words = "parked until it changes: failed %d times in a row" if is_parked else "failed, %d in a row"
        _log.error("%s: " + words, key, item.bugs, exc_info=exc, extra=dict(self._describe(key)))
        if is_parked:
            self._parked.add(key)
            item.not_before = self._clock.now() + self._patience.breather
            return self._clock.now() + self._patience.parked_for
        return self._later(item, item.bugs)

    def _later(self, item: _Item, failures: int) -> datetime:
        now = self._clock.now()
        delay = self._patience.backoff.delay(failures, self._random)
        item.not_before = now + min(delay, self._patience.breather)
        return now + delay

    def _after_breather(self, item: _Item, moment: datetime) -> datetime:
        """Return the moment, or when a key whose look failed may be looked at again if that is later.

        A clock that was set back makes that no later than `breather`.
        """
        if item.not_before is None:
            return moment
        return max(moment, min(item.not_before, self._clock.now() + self._patience.breather))

    def _go_on(self, key: K, item: _Item, following: datetime | None) -> None:
        if item.forgotten:
            following = None
        elif item.due is not None:
            item.due = self._after_breather(item, item.due)  # added while it ran
        moments = [moment for moment in (item.due, following) if moment is not None]
        item.due = None
        if moments:
            self._schedule(key, item, min(moments))
        elif self._items.get(key) is item:
            self._drop(key)
        self._pump()

    def _arm(self, now: datetime) -> None:
        self._disarm()
        if self._heap:
            delay = min(self._heap[0][0] - now, _NOTICE_CLOCK_JUMPS).total_seconds()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(loop.time() + max(delay, 0.0), self._pump)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
