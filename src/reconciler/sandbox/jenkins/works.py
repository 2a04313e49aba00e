"""The queue and the builds as time goes by: nothing runs, states follow from timestamps whenever somebody looks."""

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

from reconciler.sandbox.jenkins.items import Build, Folder, Job, QueueItem, Result, Values

LEFT_ITEMS_KEPT = 300.0
"""Seconds that an item which left the queue can still be read."""


@dataclass
class Pace:
    """How long things take, in seconds.

    Attributes:
        build: from start until the result is set.
        post: from then until the build has ended: the result is there, and it is still building.
        quiet: how long an item waits in the queue when the request has no `delay`.
        executable_lag: how long after leaving the queue an item's `executable` is still null.
        executors: how many builds run at once; None: any number.
    """

    build: float = 0.0
    post: float = 0.0
    quiet: float = 0.0
    executable_lag: float = 0.0
    executors: int | None = None


@dataclass
class Script:
    """The outcome planned for the next builds of a component (empty: any)."""

    component: str
    times: int
    result: Result
    resists_stop: bool = False


@dataclass
class Works:
    """All that is queued, running and ended, as of the last `advance`."""

    pace: Pace
    on_success: Callable[[Mapping[str, str]], None] | None = None
    waiting: dict[int, QueueItem] = field(default_factory=dict)
    left: dict[int, QueueItem] = field(default_factory=dict)
    running: int = 0
    is_quieting_down: bool = False
    history: list[Build] = field(default_factory=list)
    effective: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    scripts: list[Script] = field(default_factory=list)
    kept: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What each run leaves of a job's parameters, by the job's path; a job that is not named keeps them."""

    def __post_init__(self) -> None:
        """Start the counters."""
        self._ids = count(1)
        self._turns = count()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []

    def next_due(self) -> float | None:
        """Return when something happens next, if anything will."""
        return self._events[0][0] if self._events else None

    def advance(self, now: float) -> None:
        """Let everything happen that is due by `now`, in order of time."""
        while self._events and self._events[0][0] <= now:
            moment, _, happen = heapq.heappop(self._events)
            happen(moment)
        while self.left and self._is_forgotten(next(iter(self.left.values())), now):
            del self.left[next(iter(self.left))]

    def find_equal(self, job: Job, values: Values) -> QueueItem | None:
        """Return the queued item that an equal wish folds into."""
        return next((each for each in self.waiting.values() if each.job is job and each.values == values), None)

    def enqueue(self, job: Job, values: Values, now: float, delay: float | None) -> QueueItem:
        """Put a wish into the queue; it starts after `delay`, by default the quiet period."""
        due = now + (self.pace.quiet if delay is None else delay)
        item = QueueItem(next(self._ids), job, values, now, due)
        self.waiting[item.id] = item
        self._at(due, self._start_what_can)
        return item

    def cancel(self, item: QueueItem, now: float) -> None:
        """Take an item out of the queue; it stays readable as cancelled."""
        self._leave(item, now)
        item.is_cancelled = True

    def stop(self, build: Build, now: float, *, by_force: bool = False) -> None:
        """Ask a build to stop; one that resists only yields to force."""
        if build.is_building and (by_force or not build.resists_stop):
            build.result = Result.ABORTED
            self._end(build, now)

    def quiet_down(self, *, on: bool, now: float) -> None:
        """Hold the queue, or let it go on."""
        self.is_quieting_down = on
        self._at(now, self._start_what_can)

    def lose_queue(self) -> None:
        """Forget the queue, as a crash does with what was not yet on disk."""
        self.waiting.clear()
        self.left.clear()

    def forget(self, job: Job, now: float) -> None:
        """Abort and cancel everything of a job that is being deleted."""
        for item in [each for each in self.waiting.values() if each.job is job]:
            self.cancel(item, now)
        for build in job.builds:
            self.stop(build, now, by_force=True)

    def why(self, item: QueueItem, now: float) -> str:
        """Say why an item is still in the queue."""
        if self.is_quieting_down:
            return "Jenkins is about to shut down"
        if item.due > now:
            return f"In the quiet period. Expires in {item.due - now:.1f} sec"
        if self._is_blocked(item):
            return f"Build #{item.job.next_number - 1} is already in progress"
        return "Waiting for next available executor"

    def is_blocked(self, item: QueueItem, now: float) -> bool:
        """Tell whether a due item must wait for something else than an executor."""
        return item.due <= now and self._is_blocked(item)

    def _is_blocked(self, item: QueueItem) -> bool:
        configuration = item.job.configuration
        is_alone = configuration is None or configuration.is_concurrent
        return self.is_quieting_down or (not is_alone and any(each.is_building for each in item.job.builds))

    def _at(self, moment: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._turns), happen))

    def _start_what_can(self, moment: float) -> None:
        for item in list(self.waiting.values()):
            is_room = self.pace.executors is None or self.running < self.pace.executors
            if item.due <= moment and is_room and not self._is_blocked(item):
                self._start(item, moment)

    def _is_forgotten(self, item: QueueItem, now: float) -> bool:
        return item.left_at is not None and now - item.left_at > LEFT_ITEMS_KEPT

    def _leave(self, item: QueueItem, moment: float) -> None:
        del self.waiting[item.id]
        item.left_at = moment
        self.left[item.id] = item

    def _start(self, item: QueueItem, moment: float) -> None:
        self._leave(item, moment)
        script = self._next_script(item.values.get("COMPONENT", ""))
        result_at = moment + self.pace.build
        build = Build(
            job=item.job,
            number=item.job.next_number,
            queue_id=item.id,
            values=item.values,
            started_at=moment,
            plan=script.result if script else Result.SUCCESS,
            result_at=result_at,
            ends_at=result_at + self.pace.post,
            resists_stop=script is not None and script.resists_stop,
        )
        item.job.next_number += 1
        if item.job.configuration is not None and (names := self.kept.get(item.job.path)) is not None:
            item.job.configuration.keep_parameters(names)
        item.job.builds.insert(0, build)
        item.build = build
        self.running += 1
        self.history.append(build)
        self._at(build.result_at, lambda _: self._set_result(build))
        self._at(build.ends_at, lambda at: self._end(build, at))

    def _next_script(self, component: str) -> Script | None:
        for script in self.scripts:
            if script.times > 0 and script.component in {"", component}:
                script.times -= 1
                return script
        return None

    def _set_result(self, build: Build) -> None:
        if not build.is_building:
            return
        build.result = build.plan
        if build.result is Result.SUCCESS:
            self.effective[effect_of(build.values)] += 1
            if self.on_success is not None:
                self.on_success(build.values)

    def _end(self, build: Build, moment: float) -> None:
        if build.is_building:
            build.is_building = False
            build.ends_at = moment
            self.running -= 1
            self._at(moment, self._start_what_can)


def effect_of(values: Mapping[str, str]) -> tuple[str, str, str]:
    """Name what a build is for: operation, component, tag."""
    return values.get("OPERATION_ID", ""), values.get("COMPONENT", ""), values.get("IMAGE_TAG", "")


def find_job(root: Folder, path: str) -> Job | None:
    """Return the job at a full name, if there is one."""
    item = root.find(path.split("/"))
    return item if isinstance(item, Job) else None
