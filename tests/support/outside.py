"""The systems around us as small classes that behave, by the clock of the test, and list what was asked of them.

Each change calls `after_act` when it has taken effect: a test may raise there, as a kill would.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from reconciler.domain.errors import Busy, Conflict, OutcomeUnknown, ReconcilerError
from reconciler.domain.outside.applications import (
    Application,
    ApplicationShape,
    Health,
    ImageSetting,
    Operation,
    OperationPhase,
    SyncState,
)
from reconciler.domain.outside.builds import Build, BuildKey, BuildState, Job, JobPath, JobShape
from reconciler.domain.outside.dns import RecordSet
from reconciler.domain.outside.images import Image
from reconciler.domain.ownership import Marker
from reconciler.domain.wanted import BUILD_PARAMETERS
from support.moments import ManualClock


@dataclass
class System:
    """What all have: a clock, an outage, and a moment right after each change."""

    clock: ManualClock
    outage: ReconcilerError | None = None
    after_act: Callable[[], None] = lambda: None

    def up(self) -> None:
        if self.outage is not None:
            raise self.outage


@dataclass
class StartedBuild:
    """A build, the job it is in, and what it will come to."""

    path: JobPath
    key: BuildKey
    parameters: Mapping[str, str]
    at: datetime
    result: BuildState
    stopped_at: datetime | None = None


@dataclass
class BuildServer(System):
    """Builds wait 5 s, run 60 s and end as `results` says for their component, attempt by attempt."""

    results: dict[str, list[BuildState]] = field(default_factory=dict)
    builds: list[StartedBuild] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    searches: int = 0
    job: Job = field(
        default_factory=lambda: Job(JobPath("shop", "shop"), None, JobShape("", "", parameters=BUILD_PARAMETERS))
    )
    keeps: tuple[str, ...] | None = None
    """What each run leaves of the job's parameters; None: all."""
    repairs: int = 0
    waits: timedelta = timedelta(seconds=5)
    runs: timedelta = timedelta(seconds=60)
    dies_slowly: timedelta = timedelta(seconds=3)
    resists: bool = False
    terminated: int = 0

    async def find_build(self, path: JobPath, key: BuildKey, since: datetime) -> Build | None:
        self.up()
        self.searches += 1
        found = next((one for one in self._in(path, key) if one.at >= since), None)
        return self._as_seen(found) if found else None

    async def find_builds(self, path: JobPath, key: BuildKey, since: datetime) -> tuple[Build, ...]:
        self.up()
        self.searches += 1
        return tuple(self._as_seen(one) for one in self._in(path, key) if one.at >= since)

    def twins(self, path: JobPath, key: BuildKey) -> tuple[Build, ...]:
        return tuple(self._as_seen(one) for one in self._in(path, key))[1:]

    async def start_build(self, path: JobPath, key: BuildKey, parameters: Mapping[str, str]) -> int | None:
        self.up()
        results = self.results.get(key.component) or [BuildState.PASSED]
        result = results[min(self.count(key.component), len(results) - 1)]
        self.builds.append(StartedBuild(path, key, dict(parameters), self.clock.now(), result))
        if self.keeps is not None:
            self.declare(self.keeps)
        self.after_act()
        return len(self.builds)

    async def stop(self, path: JobPath, build: Build, *, insists: bool = False) -> None:
        self.up()
        self.stops.append(build.key.component)
        self.terminated += insists
        for one in self.builds if insists or not self.resists else ():
            if self._as_seen(one).number == build.number and one.stopped_at is None:
                one.stopped_at = self.clock.now()
        self.after_act()

    async def list_parameters(self, path: JobPath) -> tuple[str, ...]:
        if not isinstance(self.outage, OutcomeUnknown):  # only a change has an outcome
            self.up()
        return self.job.shape.parameters if self.job.shape else ()

    async def find_job(self, path: JobPath) -> Job | None:
        self.up()
        return self.job

    async def update_job(self, path: JobPath, shape: JobShape, marker: Marker) -> None:
        self.up()
        self.job = replace(self.job, shape=shape, marker=marker)
        self.repairs += 1
        self.after_act()

    def declare(self, names: tuple[str, ...]) -> None:
        """Have the job declare these parameters, as a Jenkinsfile does."""
        assert self.job.shape is not None
        self.job = replace(self.job, shape=replace(self.job.shape, parameters=names))

    def latest(self, path: JobPath, key: BuildKey, since: datetime) -> Build | None:
        return None

    def want(self, path: JobPath, key: BuildKey, until: datetime) -> None:
        pass

    def count(self, component: str) -> int:
        return sum(one.key.component == component for one in self.builds)

    def running(self) -> list[str]:
        """Return the components that are queued or built now."""
        alive = (BuildState.QUEUED, BuildState.RUNNING)
        return [one.key.component for one in self.builds if self._as_seen(one).state in alive]

    def passed(self, image: str, tag: str) -> bool:
        """Tell whether a build has pushed this image."""
        return any(
            self._as_seen(one).state is BuildState.PASSED
            and (one.parameters["IMAGE"], one.parameters["IMAGE_TAG"]) == (image, tag)
            for one in self.builds
        )

    def _in(self, path: JobPath, key: BuildKey) -> list[StartedBuild]:
        return [one for one in self.builds if (one.path, one.key) == (path, key)]

    def _as_seen(self, one: StartedBuild) -> Build:
        number, age = self.builds.index(one) + 1, self.clock.now() - one.at
        if one.stopped_at is not None and self.clock.now() >= one.stopped_at + self.dies_slowly:
            state = BuildState.ABORTED
        elif age < self.waits:
            state = BuildState.QUEUED
        elif age < self.waits + self.runs:
            state = BuildState.RUNNING
        else:
            state = one.result
        return Build(one.key, state, number=number, url=f"http://jenkins/job/{number}/")


@dataclass
class Registry(System):
    """Has what the build server's passed builds have pushed."""

    builds: BuildServer = field(kw_only=True)
    pushes: bool = True

    async def find_image(self, repository: str, tag: str) -> Image | None:
        self.up()
        if not self.pushes or not self.builds.passed(f"docker.io/{repository}", tag):
            return None
        return Image(repository, tag, f"sha256:{hashlib.sha256(f'{repository}:{tag}'.encode()).hexdigest()}")


@dataclass
class DeploymentTool(System):
    """Applications whose syncs take 10 s; 2 s later they are seen to be healthy. `alter` shows them otherwise."""

    applications: dict[str, Application] = field(default_factory=dict)
    syncs: list[str] = field(default_factory=list)
    image_writes: list[str] = field(default_factory=list)
    shape_writes: list[str] = field(default_factory=list)
    refreshes: int = 0
    deleted: list[str] = field(default_factory=list)
    terminated: list[str] = field(default_factory=list)
    takes: timedelta = timedelta(seconds=10)
    reconciles: bool = True
    alter: Callable[[Application], Application] = lambda application: application

    async def find_application(self, project: str, name: str) -> Application | None:
        self.up()
        self._go_on(name)
        found = self.applications.get(name)
        return self.alter(found) if found else None

    async def create_application(
        self, shape: ApplicationShape, marker: Marker, image: ImageSetting, epoch: str
    ) -> None:
        self.up()
        self.applications[shape.name] = application(shape.name, marker=marker, shape=shape, image=image, epoch=epoch)
        self.image_writes.append(shape.name)
        self.after_act()

    async def set_image(
        self,
        project: str,
        name: str,
        image: ImageSetting,
        *,
        expected_epoch: str,
        epoch: str,
        marker: Marker | None = None,
    ) -> None:
        self.up()
        there = self.applications[name]
        if there.epoch != expected_epoch:
            raise Conflict("the epoch is another")
        self.applications[name] = replace(
            there, image=image, epoch=epoch, marker=marker or there.marker, sync=SyncState.OUT_OF_SYNC
        )
        self.image_writes.append(name)
        self.after_act()

    async def reshape(
        self, project: str, name: str, shape: ApplicationShape, marker: Marker, *, expected_epoch: str, epoch: str
    ) -> None:
        self.up()
        there = self.applications[name]
        if there.epoch != expected_epoch:
            raise Conflict("the epoch is another")
        self.applications[name] = replace(there, shape=shape, marker=marker, epoch=epoch)
        self.shape_writes.append(name)
        self.after_act()

    async def listed(self, project: str, name: str) -> Application | None:
        self.up()
        return self.applications.get(name)

    async def start_sync(self, project: str, name: str, request_id: str, *, revision: str | None, prune: bool) -> None:
        self.up()
        there = self.applications[name]
        if there.is_operation_requested:
            raise Busy("another operation is in progress")
        self.syncs.append(name)
        operation = Operation(request_id, OperationPhase.RUNNING, started_at=self.clock.now())
        self.applications[name] = replace(there, operation=operation, is_operation_requested=True)
        self.after_act()

    async def refresh(self, project: str, name: str) -> None:
        self.up()
        self.refreshes += 1
        self.applications[name] = replace(self.applications[name], reconciled_at=self.clock.now())
        self.after_act()

    def latest(self, project: str, name: str) -> Application | None:
        return None

    def want(self, project: str, name: str, until: datetime) -> None:
        pass

    async def terminate(self, project: str, name: str) -> bool:
        self.up()
        self.terminated.append(name)
        self.after_act()
        return True

    async def delete_application(self, project: str, name: str) -> None:
        self.up()
        self.deleted.append(name)
        self.applications.pop(name, None)
        self.after_act()

    def _go_on(self, name: str) -> None:
        there = self.applications.get(name)
        operation = there.operation if there else None
        if there is None or operation is None or operation.started_at is None:
            return
        ends = operation.started_at + self.takes
        if operation.phase is OperationPhase.RUNNING and self.clock.now() >= ends:
            done = replace(operation, phase=OperationPhase.SUCCEEDED, finished_at=ends)
            there = replace(there, operation=done, is_operation_requested=False)
        is_seen = self.reconciles and there.operation is not None and there.operation.finished_at == ends
        if is_seen and self.clock.now() >= ends + timedelta(seconds=2):
            there = replace(there, reconciled_at=ends + timedelta(seconds=2))
        if there.reconciled_at and there.reconciled_at >= ends:
            images = (next(iter(there.image.parameters.values()), "") + ":" + _tag(there.image),)
            there = replace(there, images=images, health=Health.HEALTHY, sync=SyncState.SYNCED)
        self.applications[name] = there


def _tag(image: ImageSetting) -> str:
    return image.parameters.get("image.tag", "")


def application(name: str, *, marker: Marker | None, **changes: object) -> Application:
    """Make an application; nothing runs in it."""
    plain = {
        "shape": ApplicationShape(name, "shop", "https://git.example.com/shop.git", "HEAD"),
        "epoch": "",
        "image": ImageSetting(),
        "is_operation_requested": False,
        "operation": None,
        "reconciled_at": None,
        "sync": SyncState.OUT_OF_SYNC,
        "health": Health.MISSING,
    }
    return Application(marker=marker, **{**plain, **changes})  # type: ignore[arg-type]


@dataclass
class DnsAccount(System):
    """One zone; what is written can be read at once, unless it is `stale`: until when, and what is shown till then."""

    records: list[RecordSet] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    stale: tuple[datetime, Sequence[RecordSet]] | None = None

    async def snapshot(self, domain: str, since: datetime | None) -> Sequence[RecordSet]:
        self.up()
        if self.stale is not None and self.clock.now() < self.stale[0]:
            return self.stale[1]
        return tuple(self.records)

    async def find_record_set(self, domain: str, kind: str, name: str) -> RecordSet | None:
        self.up()
        return next((one for one in self.records if (one.type, one.name) == (kind, name)), None)

    async def replace_record_set(self, domain: str, record: RecordSet) -> None:
        self.up()
        self._drop(record.type, record.name)
        self.records.append(record)
        self._changed("replace", record.type, record.name)

    async def delete_record_set(self, domain: str, kind: str, name: str) -> None:
        self.up()
        self._drop(kind, name)
        self._changed("delete", kind, name)

    def names(self) -> set[str]:
        return {f"{one.type} {one.name}" for one in self.records}

    def _drop(self, kind: str, name: str) -> None:
        self.records = [one for one in self.records if (one.type, one.name) != (kind, name)]

    def _changed(self, *words: str) -> None:
        self.changes.append(" ".join(words))
        self.after_act()


@dataclass
class Probe(System):
    """Answers for public addresses."""

    answers: int = 200
    asked: list[str] = field(default_factory=list)

    async def status_of(self, url: str) -> int:
        self.up()
        self.asked.append(url)
        return self.answers
