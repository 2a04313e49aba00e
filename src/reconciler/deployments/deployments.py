"""Deployments: what one look at a DeploymentRecord does, from first sight to its end."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pydantic import ValidationError

from reconciler.deployments.chain import QUEUE, being_built, by_key, skipped, stages_of
from reconciler.deployments.ending import (
    Ending,
    broken_since,
    cancelled_without,
    ending_from_outside,
    ending_of,
    ending_with,
    ending_without_slot,
    expires_at,
    running_of,
    stages_back,
    way_back,
)
from reconciler.deployments.pauses import is_on_pause, lasts, noted, paused_since
from reconciler.deployments.previews import Previews
from reconciler.deployments.rendering import rendered
from reconciler.deployments.scene import Scene, SceneReader, Undeclared
from reconciler.deployments.stages.queue import queued
from reconciler.deployments.work import Deadlines, DeploymentWork, Stages
from reconciler.domain.answers import Failed, Waiting
from reconciler.domain.clock import Clock
from reconciler.domain.errors import NotFound, ReconcilerError
from reconciler.domain.keys import Key
from reconciler.domain.names import FINALIZER, environment_name, record_name
from reconciler.domain.resources import DeploymentRecord, DevOpsProject, Environment, GoingBack, Phase, StepState
from reconciler.domain.slot import given_back, holds, made_current, put_on_hold
from reconciler.engine.engine import Engine
from reconciler.engine.folding import fold
from reconciler.engine.invalid import tell_invalid
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store

_ANNOUNCE_BEFORE_REMOVAL = timedelta(minutes=5)
_LOOK = "a look at the deployment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployments:
    """Looks at deployment records."""

    store: Store
    engine: Engine
    stages: Stages
    scenes: SceneReader
    previews: Previews
    clock: Clock
    patience: Patience
    deadlines: Deadlines
    deadline: timedelta = timedelta(hours=2)
    most_supersedes: int = 5

    async def look(self, key: Key) -> datetime | None:
        """Take a deployment as far as it goes now; return when to look again. Raises Conflict: look again at once."""
        body = self.store.read(key)
        if body is None:
            return None
        try:
            record = DeploymentRecord(body)
        except ValidationError as error:
            await tell_invalid(self.store, body, error, self.clock.now())
            return None
        if record.status.phase.is_end:
            return await self._after_the_end(record)
        if record.name != record_name(record.operation_id):
            message = f"the record of operation {record.operation_id} must be named {record_name(record.operation_id)}"
            return await self._end_without_scene(record, Ending(Phase.FAILED, "InvalidSpec", message))
        if not record.is_deleting:
            record = DeploymentRecord(await self.store.ensure_finalizer(record.body))
        try:
            due = await self._go_on(record)
        except ReconcilerError:
            raise
        except Exception as error:  # noqa: BLE001 - it waits for a person, until the deadline that ends it
            return await self._after_bug(key, record, error)
        self.engine.bugs.over(record.operation_id, _LOOK)
        return due

    async def _go_on(self, record: DeploymentRecord) -> datetime | None:
        scene = await self._scene(record)
        if isinstance(scene, Failed):
            await self._read_anew(record)
            scene = await self._scene(record)
        if not isinstance(scene, Scene):
            return await self._without_scene(record, scene)
        if not any(stage.component for stage in record.status.stages):
            queue, *rest = stages_of(component.name for component in scene.components)
            stages = [*(record.status.stages or [queue]), *rest]
            record.status = record.status.model_copy(update={"stages": stages})
        _note_pause(scene)
        return await self._carry_out(scene)

    async def _scene(self, record: DeploymentRecord) -> Scene | Waiting | Failed:
        try:
            return self.scenes.read(record, self.clock.now())
        except Undeclared as undeclared:
            return await self._without_environment(record, undeclared.project)

    async def _read_anew(self, record: DeploymentRecord) -> None:
        """Read what a deployment needs from the API server: nobody may conclude an end from what may lag behind."""
        spec, namespace = record.spec, record.namespace
        names = {
            DevOpsProject.kind: spec.project_ref,
            Environment.kind: environment_name(spec.project_ref, spec.environment),
        }
        for kind, name in names.items():
            with suppress(NotFound):
                await self.store.fetch(Key(kind, namespace, name))

    async def _without_environment(self, record: DeploymentRecord, project: DevOpsProject) -> Waiting | Failed:
        """Make the environment of a preview, for a record that wants one and did not have one before."""
        if record.status.slot_taken_at is not None:
            return Failed("EnvironmentRemoved", f"environment {record.spec.environment} was removed")
        template = project.spec.preview
        if template is not None and not (record.is_deleting or record.spec.cancel):
            failed = await self.previews.make(project, template, record.spec.environment)
            if failed is not None:
                return failed
        name = environment_name(project.name, record.spec.environment)
        return Waiting(f"preview {Environment.kind} {name} to be made", reason="EnvironmentNotFound")

    async def _carry_out(self, scene: Scene) -> datetime | None:
        work = DeploymentWork(
            scene,
            store=self.store,
            stages=self.stages,
            clock=self.clock,
            patience=self.patience,
            deadlines=self.deadlines,
        )
        ending = self._ending_from_outside(scene) or ending_of(scene, work.steps())
        if ending is None and await self._has_lost_slot(scene, work):
            ending = ending_without_slot(scene, work.steps())
        if ending is None:
            await self.engine.carry_out(work)
            ending = ending_of(scene, work.steps())
        if ending is None:
            return self._due(work)
        if being_built(work.steps()):
            work.is_winding_up = True
            await self.engine.carry_out(work)
            if being_built(work.steps()):
                return self._due(work)
        if why := way_back(scene, work.steps(), ending):
            return await self._go_back(work, why, ending)
        if (until := await work.let_requests_end()) is not None:
            return until
        await self._conclude(work, ending)
        return await self._after_the_end(work.record)

    def _due(self, work: DeploymentWork) -> datetime | None:
        """Return when to look again: as its stages say, and no later than its own deadline."""
        return self._no_later_than_its_end(work.due(), work.record, self.clock.now())

    def _no_later_than_its_end(self, due: datetime | None, record: DeploymentRecord, now: datetime) -> datetime | None:
        end = self._end_by(record, now)
        if end is None or end <= now or lasts(record.status.pauses):
            return due
        return min(due or end, end)

    def _end_by(self, record: DeploymentRecord, now: datetime) -> datetime | None:
        """Return when the deployment must have ended; None while its time has not begun."""
        began = record.status.slot_taken_at or broken_since(by_key(record.status.stages))
        return began + self.deadline + paused_since(record.status.pauses, began, now) if began is not None else None

    async def _go_back(self, work: DeploymentWork, why: GoingBack, ending: Ending) -> datetime | None:
        """Put back what is current under the slot that is still ours; without it there is nothing to put back."""
        environment = await self._environment(work.record)
        if environment is None or not holds(environment, work.record):
            await self._conclude(work, ending)
            return await self._after_the_end(work.record)
        await work.go_back(why, stages_back(environment.status.current, work.steps()))
        return await self._carry_out(replace(work.scene, record=work.record, environment=environment))

    async def _has_lost_slot(self, scene: Scene, work: DeploymentWork) -> bool:
        """Tell whether the slot, taken before, is not ours any more; a cached environment is believed only if it is."""
        if work.steps()[QUEUE].state is not StepState.DONE or holds(scene.environment, work.record):
            return False
        environment = await self._environment(work.record)
        return environment is None or not holds(environment, work.record)

    def _ending_from_outside(self, scene: Scene) -> Ending | None:
        record, environment = scene.record, scene.environment.spec.name
        waiting = queued(self.store, record.namespace, record.spec.project_ref, environment)
        return ending_from_outside(scene, waiting, self.deadline, self.most_supersedes)

    async def _conclude(self, work: DeploymentWork, ending: Ending) -> None:
        """Give the slot back, with what is current now; then write the end. A kill between the two repeats both."""
        scene, steps, now = work.scene, work.steps(), self.clock.now()
        running = running_of(scene, steps) if ending.phase is Phase.SUCCEEDED else {}
        environment = await self._environment(work.record)
        if environment is not None and holds(environment, work.record):
            status = given_back(environment.status, now)
            if running:
                status = made_current(environment.status, work.record, running, expires_at(scene, now), now)
            elif ending.phase is Phase.ROLLED_BACK:
                held = put_on_hold(environment.status, work.record.operation_id, ending.message, now)
                status = given_back(held, now)
            in_row = environment.status.superseded_in_row + 1 if ending.phase is Phase.SUPERSEDED else 0
            status = status.model_copy(update={"superseded_in_row": in_row})
            await self.store.write_status(environment.body, status.dump())
        elif running and not _is_current(environment, work.record):
            ending = ending_without_slot(scene, steps)
        steps = skipped(self.engine.give_up(work.subject, steps))
        await work.end_as(ending.phase, steps, ending.reason, ending.message)

    async def _environment(self, record: DeploymentRecord) -> Environment | None:
        name = environment_name(record.spec.project_ref, record.spec.environment)
        try:
            return Environment(await self.store.fetch(Key("Environment", record.namespace, name)))
        except NotFound:
            return None

    async def _without_scene(self, record: DeploymentRecord, why: Waiting | Failed) -> datetime | None:
        """Say what is missing, or end when it cannot come."""
        if record.is_deleting or record.spec.cancel:
            return await self._end_without_scene(record, cancelled_without(record, why))
        if isinstance(why, Failed):
            return await self._end_without_scene(record, ending_with(why.reason, why.message))
        now, taken_at = self.clock.now(), record.status.slot_taken_at
        if (end := self._end_by(record, now)) is not None and now >= end:
            message = f"not done in {self.deadline}; waited for: {why.what}"
            return await self._end_without_scene(record, Ending(Phase.FAILED, "DeadlineExceeded", message))
        due = self._no_later_than_its_end(why.until, record, now)
        steps = by_key(record.status.stages or stages_of(record.spec.components))
        steps[QUEUE] = fold(steps[QUEUE], why, now, 0) if not steps[QUEUE].state.is_end else steps[QUEUE]
        if not record.status.stages:
            steps = {QUEUE: steps[QUEUE]}
        text = "; ".join(part for part in (f"waiting for {why.what}", why.remedy) if part)
        said = (why.reason, text) if taken_at is not None else ("", "")
        await self.store.write_status(record.body, rendered(record, steps, now, None, *said))
        return min((moment for moment in (due, steps[QUEUE].next_look_at) if moment is not None), default=None)

    async def _after_bug(self, key: Key, record: DeploymentRecord, error: Exception) -> datetime | None:
        """Try again soon after a bug that is no stage's own; after the limit wait for a person, until the deadline."""
        now = self.clock.now()
        waiting = self.engine.bugs.wait_for(record.operation_id, _LOOK, error, None, now, self.patience)
        body = self.store.read(key)
        if not waiting.remedy or body is None:
            return waiting.until
        return await self._without_scene(DeploymentRecord(body), waiting)

    async def _end_without_scene(self, record: DeploymentRecord, ending: Ending) -> datetime | None:
        environment = await self._environment(record)
        if environment is not None and holds(environment, record):
            await self.store.write_status(environment.body, given_back(environment.status, self.clock.now()).dump())
        begun = by_key(record.status.stages or stages_of(record.spec.components))
        steps = skipped(self.engine.give_up(record.operation_id, begun))
        status = rendered(record, steps, self.clock.now(), ending.phase, ending.reason, ending.message)
        return await self._after_the_end(DeploymentRecord(await self.store.write_status(record.body, status)))

    async def _after_the_end(self, record: DeploymentRecord) -> datetime | None:
        """Let a deleted record go once its end is announced, or after five minutes without a broker."""
        if not record.is_deleting or FINALIZER not in record.metadata.finalizers:
            return None
        deadline = (record.metadata.deleted_at or self.clock.now()) + _ANNOUNCE_BEFORE_REMOVAL
        if record.status.announced < record.status.sequence and self.clock.now() < deadline:
            return deadline
        await self.store.remove_finalizer(record.body)
        return None


def _note_pause(scene: Scene) -> None:
    """Keep when the clocks began to stand still, and when they went on; stored with the next write."""
    record, old = scene.record, scene.record.status
    pauses = noted(old.pauses, scene.now, is_paused=is_on_pause(record, scene.environment))
    if pauses is not old.pauses:
        record.status = old.model_copy(update={"pauses": pauses, "sequence": old.sequence + 1})


def _is_current(environment: Environment | None, record: DeploymentRecord) -> bool:
    if environment is None:
        return False
    return any(running.operation == record.operation_id for running in environment.status.current.values())
