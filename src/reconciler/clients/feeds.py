"""What makes a waiting deployment cost no request: one stream and one list per server feed all who wait.

A feed works only while somebody waits (`want`), tells changes to its subscribers, and lives through outages of its
server with a growing delay. What it knows is a hint of when to look and what a wait says; whatever ends or changes
something is judged by a read of its own (DESIGN 5).
"""

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Generic, Protocol, TypeVar

from reconciler.domain.clock import Clock, SystemClock
from reconciler.domain.errors import ReconcilerError, Unavailable
from reconciler.domain.outside.applications import Application
from reconciler.domain.outside.builds import Build, BuildKey
from reconciler.resilience.backoff import Backoff
from reconciler.resilience.errand import on_errand

logger = logging.getLogger(__name__)

PATIENCE = Backoff(first=timedelta(seconds=1), longest=timedelta(seconds=60))

Key = TypeVar("Key", bound=Hashable)


class Applications(Protocol):
    """The applications of one server, or of some of its projects."""

    async def list_applications(self) -> tuple[Application, ...]:
        """Return all of them."""
        ...

    def watch_applications(self) -> AsyncGenerator[Application | str, None]:
        """Yield each as it is at first and at each change, and the name of one that is gone; ends with an error."""
        ...


class Builds(Protocol):
    """The builds of one server."""

    async def list_builds(self, folder: str) -> tuple[Build, ...]:
        """Return what is queued, and the newest builds of every job of the folder."""
        ...


class _Idle(Exception):
    """Nobody waits."""


class _Feed(Generic[Key]):
    """Who waits for what until when, who is told, and the one task that follows while somebody waits.

    Attributes:
        failures: how often in a row following has failed.
        problem: why it failed last; empty while it works.
    """

    def __init__(self, name: str, *, clock: Clock | None, backoff: Backoff, random: Random | None) -> None:
        self.name = name
        self.failures = 0
        self.problem = ""
        self._clock = clock or SystemClock()
        self._backoff = backoff
        self._random = random or Random()  # noqa: S311 - jitter, not a secret
        self._wanted: dict[Key, datetime] = {}
        self._somebody_waits = asyncio.Event()
        self._subscribers: list[Callable[[Key], None]] = []
        self._task: asyncio.Task[None] | None = None

    def want(self, key: Key, until: datetime) -> None:
        """Have changes of `key` noticed until then, at the latest; may be called again to wait longer."""
        self._wanted[key] = max(until, self._wanted.get(key, until))
        self._somebody_waits.set()

    def subscribe(self, callback: Callable[[Key], None]) -> Callable[[], None]:
        """Have `callback` called with the key of whatever changes; returns what ends that. It must not block."""
        self._subscribers.append(callback)

        def unsubscribe() -> None:
            with suppress(ValueError):
                self._subscribers.remove(callback)

        return unsubscribe

    @property
    def is_wanted(self) -> bool:
        """Tell whether somebody waits now."""
        return self._patience() > 0

    async def start(self) -> None:
        """Be ready to follow."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"feed-{self.name}")

    async def stop(self) -> None:
        """Follow no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _follow(self) -> None:
        """Follow until nobody waits."""
        raise NotImplementedError

    async def _run(self) -> None:
        with on_errand(f"feed {self.name}"):  # not on that of the look that happened to begin it
            await self._follow_when_wanted()

    async def _follow_when_wanted(self) -> None:
        while True:
            await self._until_wanted()
            problem = await self._problem_of_following()
            if _is_cancelled():
                return
            if problem is None:
                self._worked()
            else:
                await asyncio.sleep(self._delay_after(problem).total_seconds())

    async def _problem_of_following(self) -> Exception | None:
        """Follow in a task of its own; return what ended it.

        A group whose task fails just as it is cancelled raises the failure and forgets the other: who is cancelled is
        known of the task around it for sure, where no group counts.
        """
        problem: Exception | None = None
        try:
            await asyncio.create_task(self._follow(), name=f"following-{self.name}")
        except* _Idle:
            logger.debug("%s: nobody waits any more", self.name)
        except* ReconcilerError as group:
            problem = _first(group)
            logger.info("%s cannot be followed: %s", self.name, problem)
        except* Exception as group:
            problem = _first(group)
            logger.exception("%s: a bug", self.name, exc_info=problem)
        return problem

    def _delay_after(self, problem: Exception) -> timedelta:
        self.failures += 1
        self.problem = str(problem)
        delay = self._backoff.delay(self.failures, self._random)
        asked = problem.retry_after if isinstance(problem, Unavailable) else None
        return max(delay, asked or timedelta(0))

    def _worked(self) -> None:
        self.failures, self.problem = 0, ""

    async def _until_wanted(self) -> None:
        while not self.is_wanted:
            self._somebody_waits.clear()
            await self._somebody_waits.wait()

    def _patience(self) -> float:
        """Return for how many seconds somebody waits from now on; forget those who do no longer."""
        now = self._clock.now()
        self._wanted = {key: until for key, until in self._wanted.items() if until > now}
        return max(((until - now).total_seconds() for until in self._wanted.values()), default=0.0)

    def _tell(self, changed: Iterable[Key]) -> None:
        for key in changed:
            for callback in tuple(self._subscribers):
                try:
                    callback(key)
                except Exception:
                    logger.exception("%s: a subscriber failed at %s", self.name, key)


def _is_cancelled() -> bool:
    """Tell whether somebody cancelled the task that runs this, whatever became of the error that says so."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _first(group: BaseExceptionGroup[Exception]) -> Exception:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


class ApplicationFeed(_Feed[str]):
    """The newest known application per name, from one stream, and a list at each connect and every `list_every`.

    The list is the truth: it finds what a stream has missed, and what is gone.
    """

    def __init__(
        self,
        source: Applications,
        *,
        name: str = "applications",
        clock: Clock | None = None,
        list_every: timedelta = timedelta(seconds=60),
        backoff: Backoff = PATIENCE,
        random: Random | None = None,
    ) -> None:
        """Know nothing yet; `start()` it."""
        super().__init__(name, clock=clock, backoff=backoff, random=random)
        self._source = source
        self._list_every = list_every.total_seconds()
        self._known: dict[str, Application] = {}
        self._heard: dict[str, float] = defaultdict(lambda: -math.inf)
        self._gone: dict[str, float] = {}
        self._listed_at = -math.inf

    def latest(self, name: str) -> tuple[Application | None, float]:
        """Return the application as it was last seen, None if it was not, and how many seconds ago that was.

        The age is infinite while nothing was ever seen; it grows while nobody waits or the server is away.
        """
        seen_at = max(self._heard.get(name, -math.inf), self._listed_at)
        return self._known.get(name), self._clock.monotonic() - seen_at

    async def _follow(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stream())
            group.create_task(self._list_regularly())
            group.create_task(self._end_when_nobody_waits())

    async def _stream(self) -> None:
        async with aclosing(self._source.watch_applications()) as events:
            async for event in events:
                changed = self._lost(event) if isinstance(event, str) else self._seen(event, self._clock.monotonic())
                self._tell(changed)
        raise Unavailable("the stream ended")

    async def _list_regularly(self) -> None:
        while True:
            begun = self._clock.monotonic()
            found = await self._source.list_applications()
            self._worked()
            self._tell(self._listed(found, begun))
            await asyncio.sleep(self._list_every)

    async def _end_when_nobody_waits(self) -> None:
        while True:
            left = self._patience()
            if left <= 0:
                raise _Idle
            await asyncio.sleep(left)

    def _seen(self, application: Application, at: float) -> list[str]:
        """Take over what was seen unless something newer is known; return its name if it changed."""
        name = application.shape.name
        before = self._known.get(name)
        if before is not None and _version(before) > _version(application):
            return []
        self._known[name] = application
        self._heard[name] = max(at, self._heard[name])
        return [] if before is not None and _same(before, application) else [name]

    def _lost(self, name: str) -> list[str]:
        self._gone[name] = self._heard[name] = self._clock.monotonic()
        return [name] if self._known.pop(name, None) is not None else []

    def _listed(self, found: Iterable[Application], begun: float) -> list[str]:
        """Take over a list that was begun at `begun`; what the stream told since then is newer."""
        present = {application.shape.name: application for application in found}
        changed: list[str] = []
        for name, application in present.items():
            if self._gone.get(name, -math.inf) < begun:
                changed += self._seen(application, begun)
        missed = [name for name in self._known if name not in present and self._heard[name] < begun]
        for name in missed:
            del self._known[name]
        self._listed_at = begun
        self._gone.clear()
        self._heard = defaultdict(lambda: -math.inf, {n: at for n, at in self._heard.items() if n in self._known})
        return changed + missed


class BuildFeed(_Feed[BuildKey]):
    """The newest builds of one folder, from one list every few seconds while somebody waits.

    Attributes:
        taken_at: the monotonic moment at which the newest list was begun; None before the first.
    """

    def __init__(
        self,
        source: Builds,
        folder: str,
        *,
        clock: Clock | None = None,
        every: timedelta = timedelta(seconds=2),
        backoff: Backoff = PATIENCE,
        random: Random | None = None,
    ) -> None:
        """Know nothing yet; `start()` it."""
        super().__init__(f"builds-{folder}", clock=clock, backoff=backoff, random=random)
        self.taken_at: float | None = None
        self._source, self._folder = source, folder
        self._every = every.total_seconds()
        self._known: dict[BuildKey, Build] = {}
        self._twins: dict[BuildKey, tuple[Build, ...]] = {}

    def twins(self, key: BuildKey) -> tuple[Build, ...]:
        """Return the builds that the newest list has under the same key beside the one that counts."""
        return self._twins.get(key, ())

    def latest(self, key: BuildKey) -> Build | None:
        """Return the build as the newest list has it; None if it is not in it: it may be there even so."""
        return self._known.get(key)

    async def _follow(self) -> None:
        while self.is_wanted:
            begun = self._clock.monotonic()
            builds = await self._source.list_builds(self._folder)
            self._worked()
            self._take(builds, begun)
            await asyncio.sleep(max(0.0, self._every - (self._clock.monotonic() - begun)))

    def _take(self, builds: Iterable[Build], begun: float) -> None:
        newest: dict[BuildKey, Build] = {}
        twins: dict[BuildKey, tuple[Build, ...]] = {}
        for build in sorted(builds, key=_order):
            if newest.setdefault(build.key, build) is not build:
                twins[build.key] = (*twins.get(build.key, ()), build)
        before, self._known, self.taken_at = self._known, newest, begun
        others, self._twins = self._twins, twins
        changed = [key for key in {**before, **newest} if before.get(key) != newest.get(key)]
        self._tell([*changed, *(key for key in twins if key not in changed and others.get(key) != twins[key])])


def _order(build: Build) -> float:
    """Of twins the lowest number counts (DESIGN 5)."""
    return math.inf if build.number is None else build.number


def _version(application: Application) -> int:
    text = application.resource_version
    return int(text) if text.isdigit() else 0


def _same(one: Application, other: Application) -> bool:
    return replace(one, resource_version="") == replace(other, resource_version="")
