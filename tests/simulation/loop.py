"""An event loop on virtual time that runs what is ready in an order drawn from a seed; and processes that live on it.

A process is everything that descends from one start: its tasks, its timers, its callbacks. It can be frozen (nothing
of it runs, time goes by) and killed at any step (nothing of it runs any more but cleanups that reach nobody).
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Self

BEGINNING = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
PROCESS: ContextVar["Process | None"] = ContextVar("simulated_process", default=None)
_MOST_STEPS = 300_000


class Endless(Exception):
    """The run takes so many steps that something must go round in circles."""


class Process:
    """One life of one replica, as its machine sees it."""

    def __init__(self, name: str, loop: "SimulatedLoop") -> None:
        self.name = name
        self.is_dead = False
        self.is_frozen = False
        self.was_frozen = False
        self.skew = timedelta()
        self.woke_at = -1.0
        self.incarnations: set[str] = set()
        self.intents: set[str] = set()
        """Claims of which the audit says that they are about to be acted on, or were."""
        self.audit: list[Any] = []
        """Its lines of the audit."""
        self.replica: Any = None
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self._loop = loop
        self._held: list[asyncio.Handle] = []

    # A clock, for everything in the process.

    def now(self) -> datetime:
        return BEGINNING + timedelta(seconds=self._loop.time()) + self.skew

    def monotonic(self) -> float:
        return self._loop.time()

    # What happens to it.

    def start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task of the process."""
        return self.context().run(self._loop.create_task, coroutine, name=name)

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Have something called in the process."""
        self._loop.call_soon(callback, *arguments, context=self.context())

    def context(self) -> Context:
        context = Context()
        context.run(PROCESS.set, self)
        return context

    def freeze(self) -> None:
        self.is_frozen = self.was_frozen = True

    def wake(self) -> None:
        self.is_frozen = False
        self.woke_at = self._loop.time()
        for handle in self._held:
            self._loop.make_ready(handle)
        self._held.clear()

    def kill(self) -> None:
        """End it: whatever it still does reaches nobody, for all doors look at `is_dead`."""
        self.is_dead = True
        self.wake()
        self.cancel()

    def cancel(self) -> None:
        for task in tuple(self.tasks):
            task.cancel()

    def hold(self, handle: asyncio.Handle) -> None:
        self._held.append(handle)


class _Task(asyncio.Task[Any]):
    """A task whose hash does not depend on where it lies in memory: sets of tasks then have one order."""

    _count = 0

    def __new__(cls, *_: Any, **__: Any) -> Self:
        task = super().__new__(cls)
        _Task._count += 1
        task.number = _Task._count  # type: ignore[attr-defined]
        return task

    def __hash__(self) -> int:
        return self.number  # type: ignore[attr-defined,no-any-return]

    def __eq__(self, other: object) -> bool:
        return self is other


class _Ready(list[asyncio.Handle]):
    """What is ready; the base class appends to it."""

    def take(self, random: Random) -> asyncio.Handle:
        """Take any of them."""
        at = int(random.random() * len(self))
        self[at], self[-1] = self[-1], self[at]
        return self.pop()


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs one handle a step. `at_step` is called before each."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self._random = random
        self._now = 0.0
        self._ready: Any = _Ready()
        self._clock_resolution = 1e-9
        self.steps = 0
        self.most_steps = _MOST_STEPS
        self.at_step: Callable[[Process | None], None] = lambda _: None
        self.bugs: deque[str] = deque(maxlen=5)
        _Task._count = 0
        self.set_exception_handler(self._note_bug)

    def time(self) -> float:
        return self._now

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> Any:
        task = _Task(coro, loop=self, name=name, context=context)
        process = (context.get(PROCESS) if context else None) or PROCESS.get()
        if process is not None:
            process.tasks[task] = None
            task.add_done_callback(lambda done: process.tasks.pop(done, None), context=Context())
            if process.is_dead:
                task.cancel()
        return task

    def make_ready(self, handle: asyncio.Handle) -> None:
        self._ready.append(handle)

    def call_in_world(self, delay: float, callback: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        """Have something called outside of all processes."""
        return self.call_later(delay, callback, *arguments, context=Context())

    def _run_once(self) -> None:
        self._move_due()
        if not self._ready:
            if not self._scheduled:
                raise RuntimeError("nothing will ever happen again")
            self._now = max(self._now, self._scheduled[0].when())
            self._move_due()
        if not self._ready:
            return
        handle = self._ready.take(self._random)
        if handle._cancelled:
            return
        process = handle._context.get(PROCESS)
        if process is not None and process.is_frozen:
            process.hold(handle)
            return
        self.steps += 1
        if self.steps > self.most_steps:
            raise Endless(f"{self.steps} steps; now {handle!r}")
        self.at_step(process)
        if not (process is not None and process.is_frozen):
            handle._run()
        else:
            process.hold(handle)

    def _move_due(self) -> None:
        while self._scheduled and self._scheduled[0].when() <= self._now:
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False
            if handle._cancelled:
                self._timer_cancelled_count -= 1
            else:
                self._ready.append(handle)

    def _note_bug(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        exception = context.get("exception")
        self.bugs.append(f"{context.get('message')}: {exception!r}")

    def _write_to_self(self) -> None:
        """Nobody waits in a selector."""
