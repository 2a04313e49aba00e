"""Kopf, embedded: its watches fill the cache, and that is all it does here.

Kopf is crash-only: an outage longer than its backoffs, a 410 in the wrong place, a cut line or a removed definition end
it. So it lives under a `Supervisor`, each life with a registry, settings and sessions of its own, while messages,
heartbeats and health go on; the resync finds what was missed in between. What Kopf 1.45 needs to be embedded safely
stands here and nowhere else:

- its stop flag is raised before any of its tasks is cancelled, else it schedules a SIGKILL of this process;
- its root tasks are cancelled once, one by one, as its own runner does, so that its cleanup runs to the end;
- it takes the process' signal handlers when it starts: ours are put back;
- it says nothing when it cannot see a kind: a life in which not every watch is open in time is ended.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from random import Random
from types import MappingProxyType
from typing import Any, cast

import kopf

from reconciler.domain.clock import Clock, SystemClock
from reconciler.domain.errors import Refused
from reconciler.domain.health import Condition, PartState
from reconciler.domain.keys import Body, Kind, key_of, revision_of
from reconciler.domain.names import FINALIZER, GROUP
from reconciler.operator.cache import Cache
from reconciler.operator.diffbase import NoDiffBase
from reconciler.operator.login import KopfCall, Login, OpensSessions
from reconciler.operator.supervisor import Supervisor
from reconciler.resilience.backoff import Backoff

_log = logging.getLogger(__name__)
_NONE: Mapping[Kind, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Tuning:
    """Kopf's knobs that matter to us; why: docs of Kopf, and KOPF.md.

    Attributes:
        patience: how long Kopf itself retries a request before it dies.
        longest_pause: between two of these retries.
        request_timeout: of one request; not of a watch.
        connect_timeout: of a connection.
        reconnect_pause: between two watches.
        silence: a watch that says nothing, not even a bookmark (one a minute), is opened anew.
        page: objects per page of a list.
        watching_within: a life that has not opened every watch by then is ended, if the API answers.
        scanning: whether Kopf looks for definitions and namespaces that come later.
        end_within: how long Kopf's end may take.
    """

    patience: timedelta = timedelta(minutes=10)
    longest_pause: timedelta = timedelta(seconds=15)
    request_timeout: timedelta = timedelta(seconds=30)
    connect_timeout: timedelta = timedelta(seconds=7)
    reconnect_pause: timedelta = timedelta(seconds=0.5)
    silence: timedelta = timedelta(seconds=70)
    page: int = 500
    watching_within: timedelta = timedelta(seconds=60)
    scanning: bool = False
    end_within: timedelta = timedelta(seconds=10)


class NotWatching(Exception):
    """Kopf runs, but does not watch what it was told to."""


def _nothing() -> None:
    """Do nothing."""


def _unobserved(_: KopfCall) -> None:
    """See nothing."""


class Shell:
    """Kopf's events into the cache, for as long as this program runs."""

    def __init__(
        self,
        credentials: OpensSessions,
        cache: Cache,
        kinds: Sequence[Kind],
        *,
        labelled: Mapping[Kind, str] = _NONE,
        namespaces: Sequence[str] = (),
        tuning: Tuning | None = None,
        clock: Clock | None = None,
        backoff: Backoff | None = None,
        began: Callable[[], None] = _nothing,
        install_signals: Callable[[], None] = _nothing,
        observe: Callable[[KopfCall], None] = _unobserved,
        random: Random | None = None,
    ) -> None:
        """Prepare.

        Args:
            credentials: opens sessions to the API server.
            cache: remembers what events say, and tells its listeners.
            kinds: what to watch.
            labelled: further kinds, of which only what carries a label is watched; a life goes on without them.
            namespaces: where; none is everywhere.
            tuning: Kopf's knobs.
            clock: for `since` and the supervision.
            backoff: pauses between lives.
            began: called when all watches of a life are open, and when the API answers again: time for a resync.
            install_signals: puts our signal handlers (back) in place.
            observe: told of each of Kopf's requests.
            random: for the jitter.
        """
        self._credentials = credentials
        self._cache = cache
        self._kinds = tuple(kinds)
        self._labelled = dict(labelled)
        self._namespaces = tuple(namespaces)
        self._given_up = asyncio.Event()
        self._why = ""
        self._tuning = tuning or Tuning()
        self._clock = clock or SystemClock()
        self._began = began
        self._install_signals = install_signals
        self._observe = observe
        self._random = random or Random()  # noqa: S311 - jitter is no secret
        self._supervisor = Supervisor("kopf", self._live, clock=self._clock, backoff=backoff, random=self._random)
        self._wanted = {kind.path(where) for kind in self._kinds for where in self._namespaces or (None,)}
        self._open: set[str] = set()
        self._all_open = asyncio.Event()
        self._trouble = ""
        self._state = PartState(Condition.UNKNOWN, "not started")

    async def run(self) -> None:
        """Let Kopf live until `stop()`."""
        await self._supervisor.run()

    async def stop(self) -> None:
        """End Kopf in order, and wait for it."""
        await self._supervisor.stop()

    def restart(self, why: str) -> None:
        """End this life of Kopf's and begin another."""
        self._why = why
        self._given_up.set()

    async def watching(self) -> None:
        """Wait until every watch is open."""
        await self._all_open.wait()

    @property
    def deaths(self) -> int:
        """How often Kopf died so far."""
        return self._supervisor.deaths

    def state(self) -> PartState:
        """Return how it is, for `/readyz`."""
        condition, detail = self._condition()
        if (condition, detail) != (self._state.state, self._state.detail):
            since = self._state.since if condition == self._state.state else self._clock.now()
            self._state = PartState(condition, detail, since)
        return self._state

    def _condition(self) -> tuple[Condition, str]:
        if (until := self._supervisor.next_life) is not None:
            return Condition.FAILED, f"died of {self._supervisor.last_death}; lives again at {_time(until)}"
        if self._trouble:
            return Condition.DEGRADED, f"the Kubernetes API does not answer as it should: {self._trouble}"
        if missing := self._wanted - self._open:
            return Condition.DEGRADED, f"{len(missing)} of {len(self._wanted)} watches are not open yet"
        return Condition.OK, f"{len(self._wanted)} watches"

    # One life

    async def _live(self, stop: asyncio.Event) -> None:
        self._open.clear()
        self._all_open.clear()
        self._given_up.clear()
        login = Login(self._credentials, len(self._wanted) + 10, self._clock, self._heard)
        stop_flag = asyncio.Event()
        tasks = await kopf.spawn_tasks(
            registry=self._registry(login),
            settings=kopf_settings(self._tuning, self._random, self._labelled),
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            stop_flag=stop_flag,
        )
        self._install_signals()
        try:
            await self._until_one_ends(tasks, stop, login.refused)
        finally:
            stop_flag.set()
            await self._end(tasks)
            await login.close()

    async def _until_one_ends(
        self, tasks: Collection[asyncio.Task[Any]], stop: asyncio.Event, refused: asyncio.Event
    ) -> None:
        own = {
            asyncio.ensure_future(stop.wait()),
            asyncio.ensure_future(_end_when(refused)),
            asyncio.ensure_future(self._end_when_given_up()),
            asyncio.ensure_future(self._watch_the_watches()),
        }
        try:
            done, _ = await asyncio.wait({*tasks, *own}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in own:
                each.cancel()
            await asyncio.wait(own)
        for task in done:
            if not task.cancelled() and (exc := task.exception()) is not None:
                raise exc

    async def _end_when_given_up(self) -> None:
        await self._given_up.wait()
        raise NotWatching(self._why)

    async def _watch_the_watches(self) -> None:
        """Say when all are open; raise NotWatching when they are not in time although the API answers."""
        while not self._all_open.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._tuning.watching_within.total_seconds()):
                    await self._all_open.wait()
            if not self._all_open.is_set() and not self._trouble:
                missing = ", ".join(sorted(self._wanted - self._open))
                raise NotWatching(f"not watched: {missing} (are the resource definitions installed?)")
        self._began()
        await asyncio.get_running_loop().create_future()

    async def _end(self, tasks: Collection[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        _, late = await asyncio.wait(tasks, timeout=self._tuning.end_within.total_seconds())
        for task in late:
            _log.warning("kopf: %s does not end; cancelled again", task.get_name())
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=1)

    def _registry(self, login: Login) -> kopf.OperatorRegistry:
        registry = kopf.OperatorRegistry()
        login.register(registry)
        for kind in (*self._kinds, *self._labelled):
            kopf.on.event(kind.group, kind.version, kind.plural, id="remember", registry=registry)(self._remember)
        return registry

    async def _remember(self, event: kopf.RawEvent, **_: Any) -> None:
        body = cast("Body", event["object"])
        if event["type"] == "DELETED":
            self._cache.forget(key_of(body), revision_of(body), uid=body["metadata"].get("uid", ""))
        else:
            self._cache.remember(body)

    def _heard(self, call: KopfCall) -> None:
        is_back = bool(self._trouble) and not call.trouble
        self._trouble = call.trouble
        if is_back and self._all_open.is_set():
            self._began()
        if call.is_watch and call.status == HTTPStatus.OK and call.path in self._wanted:
            self._open.add(call.path)
            if self._open == self._wanted:
                self._all_open.set()
        self._observe(call)


async def _end_when(refused: asyncio.Event) -> None:
    await refused.wait()
    raise Refused("the API server refuses our credentials", system="kubernetes")


def kopf_settings(tuning: Tuning, random: Random, labelled: Mapping[Kind, str] = _NONE) -> kopf.OperatorSettings:
    """Return Kopf's settings as this program needs them; what is not named here is Kopf's default."""
    settings = kopf.OperatorSettings()
    settings.networking.error_backoffs = pauses(tuning.patience, tuning.longest_pause, random)
    settings.networking.request_timeout = tuning.request_timeout.total_seconds()
    settings.networking.connect_timeout = tuning.connect_timeout.total_seconds()
    settings.watching.connect_timeout = tuning.connect_timeout.total_seconds()
    settings.watching.reconnect_backoff = tuning.reconnect_pause.total_seconds()
    settings.watching.inactivity_timeout = tuning.silence.total_seconds()
    settings.watching.chunk_size = tuning.page
    for kind, label in labelled.items():
        settings.watching.label_selectors[kind.group, kind.version, kind.plural] = label
    settings.watching.initial_streaming = False  # objects were never seen after a cut
    settings.queueing.worker_limit = None  # a limit caps the throughput at limit / idle_timeout
    settings.queueing.idle_timeout = 0.5
    settings.queueing.exit_timeout = 0.5
    settings.execution.default_backoff = 10
    settings.posting.enabled = False
    settings.posting.loggers = False
    settings.scanning.disabled = not tuning.scanning
    settings.process.ultimate_exiting_timeout = None
    settings.persistence.finalizer = f"{FINALIZER}-kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"kopf.{GROUP}", v1=False)
    settings.persistence.diffbase_storage = NoDiffBase()
    return settings


def pauses(patience: timedelta, longest: timedelta, random: Random) -> list[float]:
    """Return pauses in seconds that double up to `longest`, jittered, and last `patience` in all."""
    left, pause, drawn = patience.total_seconds(), 0.5, list[float]()
    while left > 0:
        pause = min(pause * 2, longest.total_seconds())
        drawn.append(min(pause * (0.75 + 0.5 * random.random()), left))
        left -= drawn[-1]
    return drawn


def _time(moment: datetime) -> str:
    return moment.strftime("%H:%M:%S")
