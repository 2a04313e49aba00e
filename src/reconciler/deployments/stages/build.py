"""Build: one build of one component by one attempt. Looks for it by its parameters, nudges by starting it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from reconciler.deployments.parameters import DeclaringJobs, before_start, is_repairing, no_job
from reconciler.deployments.places import path_of, place_now, places_of, where_in
from reconciler.deployments.scene import Scene
from reconciler.domain.answers import Answer, Done, Facts, Failed, Nudge, Skipped, Waiting
from reconciler.domain.errors import NotFound
from reconciler.domain.names import image_tag
from reconciler.domain.outside.builds import Build, BuildKey, BuildState, JobPath, Parameters
from reconciler.domain.resources import Component, DeploymentRecord, Place, Settled, StageStatus
from reconciler.domain.things import Where
from reconciler.domain.wanted import image_name, repository_of

_LOOK_AGAIN = timedelta(minutes=5)
_SEEN_SOON = timedelta(seconds=20)
_SENT_BY = timedelta(seconds=35)
"""After this long a request of unknown outcome is not on its way any more."""
_ABSENT_AFTER = timedelta(seconds=30)
"""Between the two searches that prove an absence."""
_ENDS_SOON = timedelta(seconds=15)
_RESISTS = timedelta(minutes=1)
"""After this long a build that was asked to stop is terminated: until then it may be cleaning up."""


class Builds(DeclaringJobs, Protocol):
    """The builds of one build server."""

    async def find_build(self, path: JobPath, key: BuildKey, since: datetime) -> Build | None:
        """Return our build after a complete search: queue, then every build back to `since`."""
        ...

    async def find_builds(self, path: JobPath, key: BuildKey, since: datetime) -> Sequence[Build]:
        """Return our build and its twins after a complete search; the lowest number, which counts, first."""
        ...

    async def start_build(self, path: JobPath, key: BuildKey, parameters: Parameters) -> int | None:
        """Ask for a build and return its queue id, where the server tells one."""
        ...

    async def stop(self, path: JobPath, build: Build, *, insists: bool = False) -> None:
        """Take a build from the queue or stop it; `insists`: one that was asked to stop, and did not."""
        ...

    def latest(self, path: JobPath, key: BuildKey, since: datetime) -> Build | None:
        """Return the build as the shared list saw it after `since`, without a request; None if it was not in it."""
        ...

    def twins(self, path: JobPath, key: BuildKey) -> Sequence[Build]:
        """Return what the shared list has under the same key beside the build that counts, without a request."""
        ...

    def want(self, path: JobPath, key: BuildKey, until: datetime) -> None:
        """Have the shared list taken while somebody waits; changes wake those who wait."""
        ...


class BuildServers(Protocol):
    """All build servers."""

    async def builds(self, where: Where, folder: str) -> Builds:
        """Return the builds of a server, ready to list a folder of it. Raises Missing when its Secret is not there."""
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """A job, and the builds of the server that it is on."""

    builds: Builds
    path: JobPath
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildStage:
    """Builds one component."""

    servers: BuildServers
    own_registry: str = ""
    quiet_period: timedelta = timedelta(seconds=5)
    """How long a server waits by default between accepting and starting a build (Jenkins: 5 s)."""

    async def look(self, scene: Scene, component: Component, step: StageStatus) -> Answer:
        """Answer how the build stands."""
        if _is_stopping(step):
            return await self.wind_up(scene, component, step)
        is_first = _was_never_started(step)
        if not is_first and (answer := await self._follow(scene, component, step)):
            return answer
        site = await self._site(scene, place_now(scene))
        start = self._start(site, scene, component, step)
        is_to_start = is_first or _is_proved_absent(step, scene.now)
        return await before_start(scene, site.builds, site.path, start) if is_to_start else start

    async def wind_up(self, scene: Scene, component: Component, step: StageStatus) -> Answer:
        """Answer whether nothing of ours is built any more; nudge by stopping what is."""
        claim = step.claim
        if claim is None or _was_never_started(step):
            return Skipped("nothing was started")
        site, found = await self._search(scene, component, step, step.started_at or claim.at)
        if not found and self._may_still_show(step, scene.now):
            what = f"the build of {component.name} to appear, to be stopped"
            return Waiting(what, scene.now + _SEEN_SOON, system="jenkins")
        build = next((one for one in found if one.state in _ALIVE), None)
        if build is None:
            return Skipped("stopped")
        if _is_stopping(step) and claim.settled is Settled.DONE and scene.now < claim.at + _ENDS_SOON:
            what = f"the stopped build of {component.name} to end"
            return Waiting(what, claim.at + _ENDS_SOON, system="jenkins")
        return Nudge(
            identity=f"{build_identity(scene.record, component, step)}{_STOP}",
            act=lambda: _stop(site, build, step, scene.now),
            what=f"stop the build of {component.name}",
            system="jenkins",
            before=build.state,
            is_repeatable=True,
            place=site.place,
        )

    async def _site(self, scene: Scene, place: Place) -> Site:
        path = path_of(place)
        return Site(await self.servers.builds(where_in(place, scene.record.namespace), path.folder), path, place)

    async def _search(
        self, scene: Scene, component: Component, step: StageStatus, since: datetime
    ) -> tuple[Site, Sequence[Build]]:
        """Return what a complete search finds in the first place that has anything, and that place; else the last."""
        first, *others = places_of(scene, step)
        key = build_key(scene.record, component, step.attempt)
        site = await self._site(scene, first)
        found = await site.builds.find_builds(site.path, key, since)
        for place in others:
            if not found:
                site = await self._site(scene, place)
                found = await site.builds.find_builds(site.path, key, since)
        return site, found

    async def _follow(self, scene: Scene, component: Component, step: StageStatus) -> Answer | None:
        """Answer how the build stands that was asked for; None when it is nowhere and should be seen by now."""
        key = build_key(scene.record, component, step.attempt)
        for place in places_of(scene, step):
            site = await self._site(scene, place)
            build = await self._find(site, key, step, scene.now)
            if build is not None:
                twin = self._stop_twin(site, build, build_identity(scene.record, component, step), step)
                return twin or self._answer(site, build, scene.now, _message_of(step))
            if self._is_still_to_show(step, scene.now) and not _is_about_twin(step):
                site.builds.want(site.path, key, scene.now + _LOOK_AGAIN)
                what = f"the build of {component.name} to appear"
                return Waiting(what, scene.now + _SEEN_SOON, reason="BuildQueued", system="jenkins")
        return _gone(component.name, step, scene.now) if _is_about_twin(step) else None

    async def _find(self, site: Site, key: BuildKey, step: StageStatus, now: datetime) -> Build | None:
        """Return the build, by the shared list where that can have it, else by a search of our own."""
        assert step.claim is not None  # noqa: S101 - asked only for what was claimed
        if _is_about_twin(step):
            return await site.builds.find_build(site.path, key, step.started_at or step.claim.at)
        build = site.builds.latest(site.path, key, step.claim.at)
        if build is not None or (step.claim.settled is Settled.DONE and self._is_still_to_show(step, now)):
            return build
        return await site.builds.find_build(site.path, key, step.claim.at)

    def _is_still_to_show(self, step: StageStatus, now: datetime) -> bool:
        """Tell whether an accepted build may still be on its way into queue or list."""
        claim = step.claim
        return claim is not None and claim.settled is Settled.DONE and now < claim.at + self.quiet_period + _SEEN_SOON

    def _may_still_show(self, step: StageStatus, now: datetime) -> bool:
        """Tell whether a build, accepted or of unknown outcome, may yet turn up."""
        if step.claim is None or _is_stopping(step):
            return False
        return self._is_still_to_show(step, now) or (
            step.claim.settled is Settled.UNKNOWN and now < step.claim.at + _SENT_BY + self.quiet_period
        )

    def _stop_twin(self, site: Site, build: Build, identity: str, step: StageStatus) -> Nudge | None:
        """Return what stops a twin of the build: the lowest number counts. Each is asked to stop once."""
        stopped = step.facts.get(_TWINS, "").split(", ")
        alive = (one for one in site.builds.twins(site.path, build.key) if one.state in _ALIVE)
        twin = next((one for one in alive if _name_of(one) not in stopped), None)
        if twin is None or twin.number is None:
            return None
        name = _name_of(twin)

        async def act() -> Facts:
            await site.builds.stop(site.path, twin)
            return {_TWINS: ", ".join([*filter(None, stopped), name])}

        what = f"stop build {name}, which runs for the same request as build {_name_of(build)}"
        return Nudge(
            f"{identity}{_TWIN}{name}",
            act,
            what,
            system="jenkins",
            before=twin.state,
            is_repeatable=True,
            place=site.place,
        )

    def _answer(self, site: Site, build: Build, now: datetime, message: str) -> Answer:
        facts = {"externalId": str(build.number or build.queue_id or ""), "url": build.url}
        match build.state:
            case BuildState.QUEUED | BuildState.RUNNING:
                site.builds.want(site.path, build.key, now + _LOOK_AGAIN)
                what = f"the build of {build.key.component}, {build.state}{f' at {build.url}' if build.url else ''}"
                reason = "Building" if build.state is BuildState.RUNNING else "BuildQueued"
                return Waiting(what, now + _LOOK_AGAIN, reason=reason, facts=facts, system="jenkins")
            case BuildState.FAILED:
                return Failed("BuildFailed", f"see {build.url} ({build.message or 'no reason given'})", facts=facts)
            case BuildState.ABORTED:
                return Failed("BuildAborted", build.message or f"see {build.url}", again=True, facts=facts)
            case BuildState.PASSED:
                return Done(facts, message)

    def _start(self, site: Site, scene: Scene, component: Component, step: StageStatus) -> Nudge:
        key = build_key(scene.record, component, step.attempt)
        parameters = build_parameters(scene, component, key, self.own_registry)

        async def act() -> Facts:
            try:
                queue_id = await site.builds.start_build(site.path, key, parameters)
            except NotFound as error:
                raise no_job(scene, site.path) from error
            return {"externalId": f"queue/{queue_id}"} if queue_id else {}

        return Nudge(
            identity=build_identity(scene.record, component, step),
            act=act,
            what=f"start the build of {component.name}",
            system="jenkins",
            settle=self.quiet_period.total_seconds(),
            place=site.place,
        )


_ALIVE = (BuildState.QUEUED, BuildState.RUNNING)
_STOP = "/stop"
_STOPPING = "stopping"
_TWIN = "/twin/"
_TWINS = "twins"
_COMES_BACK = timedelta(minutes=2)


def _name_of(build: Build) -> str:
    return str(build.number) if build.number is not None else f"queue/{build.queue_id}"


def _message_of(step: StageStatus) -> str:
    twins = step.facts.get(_TWINS)
    return f"the server ran it more than once; stopped: {twins}" if twins else ""


def _is_about_twin(step: StageStatus) -> bool:
    """Tell whether the step's last claim was to stop a twin, sent or not: its build was seen by then."""
    return step.claim is not None and _TWIN in step.claim.key


def _gone(component: str, step: StageStatus, now: datetime) -> Waiting | Failed:
    """Answer for a build that was there and is not found any more."""
    assert step.claim is not None  # noqa: S101 - it says that a twin was stopped
    if now < step.claim.at + _COMES_BACK:
        what = f"the build of {component} to be shown again"
        return Waiting(what, step.claim.at + _COMES_BACK, reason="BuildGone", system="jenkins")
    return Failed("BuildGone", "the build is not known any more", again=True)


def _is_stopping(step: StageStatus) -> bool:
    """Tell whether the step's last claim was to stop its build."""
    return step.claim is not None and step.claim.key.endswith(_STOP)


def _is_proved_absent(step: StageStatus, now: datetime) -> bool:
    """Tell whether the build may be asked for anew: before that, nothing takes the place of its claim."""
    claim = step.claim
    return claim is not None and claim.absent_since is not None and now >= claim.absent_since + _ABSENT_AFTER


def _was_never_started(step: StageStatus) -> bool:
    """Tell whether nothing was asked for yet: that a stop was not sent says nothing of the start before it."""
    claim = step.claim
    if claim is None or is_repairing(step):
        return True
    return claim.settled is Settled.NOT_SENT and not _is_stopping(step) and not _is_about_twin(step)


async def _stop(site: Site, build: Build, step: StageStatus, now: datetime) -> Facts:
    name, _, since = step.facts.get(_STOPPING, "").partition(" since ")
    asked_at = datetime.fromisoformat(since) if name == _name_of(build) else now
    await site.builds.stop(site.path, build, insists=now >= asked_at + _RESISTS)
    return {_STOPPING: f"{_name_of(build)} since {asked_at.isoformat()}"}


def build_identity(record: DeploymentRecord, component: Component, step: StageStatus) -> str:
    """Return the identity under which a build is claimed."""
    return f"{record.operation_id}/{component.name}/{step.attempt}"


def build_key(record: DeploymentRecord, component: Component, attempt: int) -> BuildKey:
    """Return the identity of the build of a component by an attempt."""
    tag = image_tag(record.spec.revision, record.operation_id, attempt)
    return BuildKey(record.operation_id, component.name, tag)


def build_parameters(scene: Scene, component: Component, key: BuildKey, own_registry: str = "") -> dict[str, str]:
    """Return the parameters of a build: the user's, and over them those that we find it by."""
    repository = repository_of(scene.project, component.name, scene.registry)
    return {
        **scene.jenkins.spec.parameters,
        **scene.record.spec.parameters,
        "OPERATION_ID": key.operation_id,
        "COMPONENT": component.name,
        "COMPONENT_PATH": component.path,
        "DOCKERFILE": component.dockerfile,
        "REVISION": scene.record.spec.revision,
        "IMAGE": image_name(repository, scene.registry, own_registry),
        "IMAGE_TAG": key.image_tag,
        "TRACEPARENT": scene.record.spec.traceparent,
    }
