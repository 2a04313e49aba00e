"""Sync: the image on its application, synced, and health believed only afterwards.

Nudges, each under its own claim: make the application where it is not there, set the image, start the sync, refresh.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from reconciler.deployments.goal import Goal, goal_of
from reconciler.deployments.scene import Scene
from reconciler.domain.annotations import adopted
from reconciler.domain.answers import Answer, Done, Facts, Failed, Nudge, Waiting
from reconciler.domain.changes import difference
from reconciler.domain.outside.applications import (
    Application,
    ApplicationShape,
    Health,
    ImageSetting,
    Operation,
    OperationPhase,
    SyncState,
)
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import ArgoSettings, Component, Environment, Settled, StageStatus
from reconciler.domain.wanted import application_shape, image_setting, is_image_set, marker_of, words_of
from reconciler.engine.drifting import name_taken

_LOOK_AGAIN = timedelta(minutes=5)
_SOON = timedelta(seconds=5)


class Applications(Protocol):
    """The applications of one deployment tool."""

    async def find_application(self, project: str, name: str) -> Application | None:
        """Return the application as it is now, if it is there."""
        ...

    async def create_application(
        self, shape: ApplicationShape, marker: Marker, image: ImageSetting, epoch: str
    ) -> None:
        """Make an application of ours, with its image, under an epoch. Raises AlreadyExists."""
        ...

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
        """Write the image, our epoch and our marker, if the epoch is still the expected one. Raises Conflict."""
        ...

    async def reshape(
        self, project: str, name: str, shape: ApplicationShape, marker: Marker, *, expected_epoch: str, epoch: str
    ) -> None:
        """Write shape, marker and our epoch, if the epoch is still the expected one. Raises Conflict."""
        ...

    async def start_sync(self, project: str, name: str, request_id: str, *, revision: str | None, prune: bool) -> None:
        """Ask for a sync that carries our request id. Raises Busy while another operation runs."""
        ...

    async def refresh(self, project: str, name: str) -> None:
        """Ask for sync and health to be computed anew."""
        ...

    def latest(self, project: str, name: str) -> Application | None:
        """Return the application as the shared stream saw it, without a request; None if it is not followed."""
        ...

    def want(self, project: str, name: str, until: datetime, /) -> None:
        """Have the shared stream followed while somebody waits; changes wake those who wait."""
        ...


class DeploymentTools(Protocol):
    """All deployment tools."""

    async def applications(self, settings: ArgoSettings) -> Applications:
        """Return the applications of the server that the settings name. Raises Missing without its Secret."""
        ...


@dataclass(frozen=True, slots=True)
class _Target:
    """One component's application as this deployment wants it."""

    shape: ApplicationShape
    image: ImageSetting
    digest: str
    epoch: str
    marker: Marker
    environment: Environment
    identity: str
    step: StageStatus
    now: datetime

    @property
    def application(self) -> str:
        """Name it as the thing that is waited for."""
        return f"Application {self.shape.name}"

    @property
    def is_to_adopt(self) -> bool:
        """Whether a person tells us to take it over."""
        annotations, handled = self.environment.metadata.annotations, self.environment.status.handled
        return f"Application/{self.shape.name}" in adopted(annotations, handled)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStage:
    """Brings one component's image into the environment."""

    tools: DeploymentTools
    owner: str
    degraded_for: timedelta = timedelta(seconds=60)

    async def look(self, scene: Scene, component: Component, step: StageStatus) -> Answer:
        """Answer how far the application is."""
        return await self.bring(scene, component, step, goal_of(scene, component, step))

    async def bring(self, scene: Scene, component: Component, step: StageStatus, goal: Goal) -> Answer:
        """Answer how far the application is on its way to a goal."""
        applications = await self.tools.applications(scene.argo)
        target = self._target(scene, component, step, goal)
        seen = self._streamed(applications, target)
        answer = self._judge(applications, target, seen) if seen else None
        if not isinstance(answer, Waiting):
            # Only a wait is believed of the stream; whatever ends or changes something is judged by a read of now.
            fresh = await applications.find_application(target.shape.project, target.shape.name)
            answer = self._judge(applications, target, fresh)
        if isinstance(answer, Waiting):
            applications.want(target.shape.project, target.shape.name, scene.now + _LOOK_AGAIN)
        return answer

    async def is_busy(self, scene: Scene, component: Component) -> bool:
        """Tell whether an operation runs on the component's application."""
        shape = application_shape(
            scene.project, scene.environment, component.name, scene.argo, scene.record.spec.revision
        )
        applications = await self.tools.applications(scene.argo)
        there = await applications.find_application(shape.project, shape.name)
        return there is not None and (there.is_operation_requested or _is_running(there.operation))

    def _target(self, scene: Scene, component: Component, step: StageStatus, goal: Goal) -> _Target:
        environment = scene.environment
        return _Target(
            shape=application_shape(scene.project, environment, component.name, scene.argo, goal.revision),
            image=image_setting(
                scene.argo,
                words_of(scene.project, environment, component.name, goal.revision),
                image=goal.image,
                tag=goal.tag,
                digest=goal.digest,
            ),
            digest=goal.digest,
            epoch=goal.epoch,
            marker=marker_of(environment, self.owner),
            environment=environment,
            identity=goal.identity,
            step=step,
            now=scene.now,
        )

    def _streamed(self, applications: Applications, target: _Target) -> Application | None:
        """Return the application as the stream shows it, once it shows our sync."""
        if not _has_asked(target):
            return None
        seen = applications.latest(target.shape.project, target.shape.name)
        return seen if seen is not None and _is_ours(seen.operation, target) else None

    def _judge(self, applications: Applications, target: _Target, application: Application | None) -> Answer:
        """Take the first thing that is not as wanted, in the order in which things are done."""
        if application is None:
            return self._create(applications, target)
        if not target.marker.is_same_owner(application.marker) and not target.is_to_adopt:
            return name_taken(target.environment, "Application", target.shape.name, application.marker)
        if application.is_deleting:
            return Waiting(f"{target.application} to be gone", target.now + _SOON, system="argocd")
        is_ours = target.marker.is_same_owner(application.marker)
        if not is_ours or application.shape.project != target.shape.project or _has_former_shape(target, application):
            if application.is_operation_requested:
                return self._busy(target, application.operation)
            return self._take_over(applications, target, application)
        if application.epoch != target.epoch or not is_image_set(application, target.image):
            if application.is_operation_requested:
                return self._busy(target, application.operation)
            return self._set_image(applications, target, application)
        return self._after_image(applications, target, application)

    def _after_image(self, applications: Applications, target: _Target, application: Application) -> Answer:
        operation = application.operation
        is_picked_up = operation is not None and (_is_ours(operation, target) or _is_running(operation))
        if application.is_operation_requested and not is_picked_up and (operation is None or _has_asked(target)):
            return Waiting(
                f"the sync of {target.application} to be picked up",
                target.now + _LOOK_AGAIN,
                reason="Syncing",
                system="argocd",
            )
        if application.shape.auto_sync:
            return self._gate(applications, target, application, since=_set_at(target))
        if not _counts(operation, target, application):
            if application.is_operation_requested or _is_running(operation):
                return self._busy(target, operation)
            return self._start_sync(applications, target)
        assert operation is not None  # noqa: S101 - what counts exists
        if operation.is_retrying:
            what = f"the next try of the sync of {target.application}: {operation.message}"
            return Waiting(what, target.now + _LOOK_AGAIN, reason="Syncing", system="argocd")
        if _is_running(operation):
            what = f"the sync of {target.application} to end"
            return Waiting(what, target.now + _LOOK_AGAIN, reason="Syncing", system="argocd")
        if operation.phase is not OperationPhase.SUCCEEDED:
            return Failed("SyncFailed", operation.message or f"the sync ended as {operation.phase}")
        return self._gate(applications, target, application, since=operation.finished_at)

    def _gate(
        self, applications: Applications, target: _Target, application: Application, since: datetime | None
    ) -> Answer:
        """Believe health only when it was computed after the sync's end and our image is what runs."""
        reconciled = application.reconciled_at
        if since is not None and (reconciled is None or reconciled < since):
            return self._refresh_after_a_while(applications, target, since)
        if not _runs(target, application):
            what = (
                f"the {'image' if target.image.target_revision is None else 'revision'} to run in {target.application}"
            )
            return _rolling_out(target, f"{what}{_troubles(application)}")
        if application.health is Health.DEGRADED:
            return self._degraded(target, application)
        if application.health is not Health.HEALTHY:
            what = f"{target.application} to be Healthy, now {application.health} {application.health_message}".strip()
            return _rolling_out(target, what)
        pruned = application.operation is not None and application.operation.prune_skipped
        if application.sync is SyncState.SYNCED or (application.sync is SyncState.OUT_OF_SYNC and pruned):
            message = "" if application.sync is SyncState.SYNCED else "resources to prune were skipped"
            return Done({"application": target.shape.name, "url": application.url}, message)
        return _rolling_out(
            target, f"{target.application} to be Synced, now {application.sync}{_troubles(application)}"
        )

    def _degraded(self, target: _Target, application: Application) -> Answer:
        since = datetime.fromisoformat(target.step.facts.get("degradedSince") or target.now.isoformat())
        if target.now >= since + self.degraded_for:
            return Failed("Degraded", application.health_message or f"degraded since {since.isoformat()}")
        what = f"{target.application} to be no longer Degraded {application.health_message}".strip()
        facts = {"degradedSince": since.isoformat()}
        return Waiting(what, since + self.degraded_for, reason="Rollout", system="argocd", facts=facts)

    def _refresh_after_a_while(self, applications: Applications, target: _Target, since: datetime) -> Answer:
        """The tool looks again by itself right after a sync; when it does not, ask it to."""
        if target.now < since + _SOON:
            return Waiting(
                f"the state of {target.application} after the sync",
                target.now + _SOON,
                reason="Rollout",
                system="argocd",
            )
        shape = target.shape
        last = target.step.facts.get("refreshedAt")
        if last and target.now < datetime.fromisoformat(last) + 6 * _SOON:
            return Waiting(
                f"the state of {target.application} after the sync",
                target.now + 6 * _SOON,
                reason="Rollout",
                system="argocd",
            )

        async def act() -> Facts:
            await applications.refresh(shape.project, shape.name)
            return {"refreshedAt": target.now.isoformat()}

        return self._nudge(target, "refresh", act, f"refresh {shape.name}", is_repeatable=True)

    def _create(self, applications: Applications, target: _Target) -> Nudge:
        async def act() -> Facts:
            await applications.create_application(target.shape, target.marker, target.image, target.epoch)
            return {"imageSetAt": target.now.isoformat()}

        return self._nudge(target, "create", act, f"create application {target.shape.name}", is_repeatable=True)

    def _set_image(self, applications: Applications, target: _Target, application: Application) -> Nudge:
        shape, expected = target.shape, application.epoch

        async def act() -> Facts:
            await applications.set_image(
                shape.project,
                shape.name,
                target.image,
                expected_epoch=expected,
                epoch=target.epoch,
                marker=target.marker,
            )
            return {"imageSetAt": target.now.isoformat()}

        what = f"set the image of {shape.name} to {target.digest}"
        return self._nudge(target, "image", act, what, before=" ".join(application.images), is_repeatable=True)

    def _take_over(self, applications: Applications, target: _Target, application: Application) -> Nudge:
        """Give an application that a person named, or that has a former project or shape, ours and our marker first."""
        shape, expected, whose = target.shape, application.epoch, application.marker

        async def act() -> Facts:
            await applications.reshape(
                shape.project,
                shape.name,
                shape,
                target.marker,
                expected_epoch=expected,
                epoch=f"{target.epoch}{_MARKED}",
            )
            return {}

        before = whose.text() if whose else "without a marker"
        return self._nudge(target, "marker", act, f"take over {shape.name}", before=before, is_repeatable=True)

    def _start_sync(self, applications: Applications, target: _Target) -> Nudge:
        shape = target.shape

        async def act() -> Facts:
            await applications.start_sync(
                shape.project, shape.name, target.identity, revision=target.image.target_revision, prune=shape.prune
            )
            return {"externalId": target.identity}

        return self._nudge(target, "sync", act, f"sync {shape.name}")

    def _nudge(
        self,
        target: _Target,
        word: str,
        act: Callable[[], Awaitable[Facts]],
        what: str,
        *,
        before: str = "",
        is_repeatable: bool = False,
    ) -> Nudge:
        identity = f"{target.identity}/{word}"
        return Nudge(identity, act, what, system="argocd", before=before, is_repeatable=is_repeatable)

    def _busy(self, target: _Target, operation: Operation | None) -> Waiting:
        whose = f"operation {operation.request_id}" if operation and operation.request_id else "another operation"
        return Waiting(
            f"{whose} on {target.application} to end", target.now + _LOOK_AGAIN, reason="Busy", system="argocd"
        )


_NOT_DEGRADED = {"degradedSince": ""}
_MARKED = "/marked"


def _rolling_out(target: _Target, what: str) -> Waiting:
    """Wait for what the gate asks beside health: it is not Degraded now, or is not judged yet."""
    return Waiting(what, target.now + _LOOK_AGAIN, reason="Rollout", system="argocd", facts=_NOT_DEGRADED)


def _troubles(application: Application) -> str:
    """Quote the tool's own words on what keeps it: a sync that it began by itself and lost, and its conditions."""
    operation = application.operation
    has_failed = operation is not None and operation.phase in (OperationPhase.FAILED, OperationPhase.ERROR)
    words = [operation.message] if operation is not None and has_failed and operation.message else []
    said = "; ".join([*words, *application.conditions])
    return f" ({said})" if said else ""


def _has_former_shape(target: _Target, application: Application) -> bool:
    """Tell whether an application that never was current was made from what a person has corrected since.

    Of what is current the environment keeps the shape. Written once per holder: the server may word it otherwise.
    """
    is_kept = target.step.component in target.environment.status.current
    is_written = application.epoch in (target.epoch, f"{target.epoch}{_MARKED}")
    return not is_kept and not is_written and bool(difference(target.shape, application.shape))


def _set_at(target: _Target) -> datetime | None:
    moment = target.step.facts.get("imageSetAt")
    return datetime.fromisoformat(moment) if moment else None


def _has_asked(target: _Target) -> bool:
    """Tell whether the step's last act asked for our sync."""
    claim = target.step.claim
    return claim is not None and claim.key == f"{target.identity}/sync" and claim.settled is Settled.DONE


def _is_ours(operation: Operation | None, target: _Target) -> bool:
    return operation is not None and operation.request_id == target.identity


def _runs(target: _Target, application: Application) -> bool:
    """Tell whether what we deploy is what runs: our digest, or our revision where that names the images."""
    if target.image.target_revision is not None:
        return application.revision == target.image.target_revision
    return any(target.digest in image for image in application.images)


def _is_running(operation: Operation | None) -> bool:
    return operation is not None and operation.phase in (OperationPhase.RUNNING, OperationPhase.TERMINATING)


def _counts(operation: Operation | None, target: _Target, application: Application) -> bool:
    """Tell whether the operation is ours, or anybody's that succeeded with our image and began after it was set."""
    if operation is None or _is_ours(operation, target):
        return operation is not None
    set_at = _set_at(target)
    began_after = set_at is not None and operation.started_at is not None and operation.started_at >= set_at
    return began_after and _runs(target, application) and operation.phase is OperationPhase.SUCCEEDED
