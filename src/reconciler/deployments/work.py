"""A deployment as the engine sees it: its stages, its looks, its one guarded write."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

from reconciler.deployments.chain import being_built, by_key, open_now
from reconciler.deployments.intentions import Intentions
from reconciler.deployments.pauses import is_on_pause, lasts, on_pause, paused_since
from reconciler.deployments.rendering import rendered
from reconciler.deployments.scene import Scene, StepKey
from reconciler.deployments.stages.build import BuildStage
from reconciler.deployments.stages.queue import Queue
from reconciler.deployments.stages.rollback import RollbackStage
from reconciler.deployments.stages.sync import SyncStage
from reconciler.domain.answers import Answer, Broken, Facts, Failed, Nudge, Skipped, Waiting
from reconciler.domain.clock import Clock
from reconciler.domain.keys import Key
from reconciler.domain.resources import (
    Component,
    DeploymentRecord,
    GoingBack,
    Phase,
    StageName,
    StageStatus,
    StepState,
)
from reconciler.engine.claims import on_its_way_until
from reconciler.engine.folding import fold
from reconciler.engine.looking import answers_of
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store


class Stage(Protocol):
    """A stage of one component."""

    async def look(self, scene: Scene, component: Component, step: StageStatus) -> Answer:
        """Look and answer; change nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """All stages."""

    queue: Queue
    intentions: Intentions
    build: BuildStage
    image: Stage
    sync: SyncStage
    expose: Stage
    verify: Stage

    def of(self, name: StageName) -> Stage:
        """Return the stage of that name, of those that a component has."""
        by_name: dict[StageName, Stage] = {
            StageName.BUILD: self.build,
            StageName.IMAGE: self.image,
            StageName.SYNC: self.sync,
            StageName.EXPOSE: self.expose,
            StageName.VERIFY: self.verify,
            StageName.ROLLBACK: RollbackStage(sync=self.sync),
        }
        return by_name[name]


Deadlines = Mapping[StageName, timedelta]
_GRACE = timedelta(minutes=10)
"""How long beyond its deadline we try to stop a build."""
_DELETED_IN = timedelta(minutes=24)
"""How long a record that is being deleted may stop its builds or go back: within half an hour it is gone, and told."""
_UNDER_WAY = (StepState.RUNNING, StepState.WAITING)
_CHANGING = (StageName.SYNC, StageName.EXPOSE, StageName.ROLLBACK)
"""Stages that change the environment."""
_WINDING_UP = Waiting("what is being built to be stopped", reason="WindingUp")


class DeploymentWork:
    """One pass over one deployment. Implements `engine.engine.Work`."""

    def __init__(
        self,
        scene: Scene,
        *,
        store: Store,
        stages: Stages,
        clock: Clock,
        patience: Patience,
        deadlines: Deadlines,
    ) -> None:
        """Take a scene. Set `is_winding_up` to ask only that nothing of ours is built any more."""
        self.scene = scene
        self.record = scene.record
        self._store = store
        self._stages = stages
        self._clock = clock
        self._patience = patience
        self._deadlines = deadlines
        self.is_winding_up = False
        self._components = {component.name: component for component in scene.components}

    @property
    def subject(self) -> str:
        """Name the operation."""
        return self.record.operation_id

    def steps(self) -> dict[StepKey, StageStatus]:
        """Return the stages as stored."""
        return by_key(self.record.status.stages)

    def former_steps(self) -> dict[StepKey, StageStatus]:
        """Return none: a deployment keeps its stages."""
        return {}

    async def look(self, steps: Mapping[StepKey, StageStatus]) -> Mapping[StepKey, Answer]:
        """Ask all stages that may go now, side by side."""
        now = self._clock.now()
        scene = replace(self.scene, steps=dict(steps), record=self.record, now=now)
        keys = being_built(steps) if self.is_winding_up else list(open_now(steps))
        looks = {key: self._ask(scene, key, steps[key]) for key in keys}
        answers = await answers_of(looks, steps, now, self._patience, self.subject)
        if self.is_winding_up:
            # Whoever is not asked any more must not go on to promise a look: its moment passes, and is due for ever.
            answers |= {key: _WINDING_UP for key, step in steps.items() if step.next_look_at and key not in looks}
        if is_on_pause(self.record, scene.environment) and not self._is_to_end:
            paused = on_pause(self.record, scene.environment)
            answers = {key: paused if isinstance(answer, Nudge) else answer for key, answer in answers.items()}
        return {key: self._bounded(answer, steps[key], now) for key, answer in answers.items()}

    async def store(self, steps: Mapping[StepKey, StageStatus]) -> None:
        """Write the stages and what follows from them."""
        await self.end_as(None, steps)

    async def end_as(
        self, end: Phase | None, steps: Mapping[StepKey, StageStatus], reason: str = "", message: str = ""
    ) -> None:
        """Write the stages and, where one is given, the phase that the deployment ends in."""
        status = rendered(self.record, steps, self._clock.now(), end, reason, message)
        self.record = DeploymentRecord(await self._store.write_status(self.record.body, status))

    async def go_back(self, why: GoingBack, steps: Mapping[StepKey, StageStatus]) -> None:
        """Write that the deployment goes back from here on, by which stages."""
        self.record.status = self.record.status.model_copy(update={"going_back": why})
        await self.store(steps)

    def due(self) -> datetime | None:
        """Return when to look again: as promised, and no later than the time of a stage is over.

        What keeps an act from being sent promises a look too, and knows of no deadline.
        """
        now = self._clock.now()
        ends = (self._next_end(step, now) for step in self.steps().values() if step.state in _UNDER_WAY)
        return min((at for at in (self.record.status.next_look_at, *ends) if at is not None), default=None)

    async def let_requests_end(self) -> datetime | None:
        """Say that a change of the environment may yet take effect, and return until when; None: none is on its way.

        Whoever has the environment next, or removes it, must find all that was made.
        """
        steps, now = self.steps(), self._clock.now()
        changing = {key: step for key, step in steps.items() if key[0] in _CHANGING}
        waiting = self._request_on_its_way(changing.values())
        if waiting is None:
            return None
        waits = {key: fold(step, waiting, now, 0) for key, step in changing.items() if step.state in _UNDER_WAY}
        await self.store({**steps, **waits})
        return waiting.until

    def _request_on_its_way(self, steps: Iterable[StageStatus]) -> Waiting | None:
        until = on_its_way_until(steps, self._patience)
        if until is None or self._clock.now() >= until:
            return None
        return Waiting("a request whose answer was lost to have ended", until, reason="OutcomeUnknown")

    async def reread(self) -> dict[StepKey, StageStatus]:
        """Read the record from the API server."""
        key = Key(self.record.kind, self.record.namespace, self.record.name)
        self.record = DeploymentRecord(await self._store.fetch(key))
        return self.steps()

    @property
    def _is_to_end(self) -> bool:
        """Whether a person wants an end of it: that works on pause too."""
        going_back = self.record.status.going_back
        return self.is_winding_up or (going_back is not None and going_back.ending is Phase.CANCELLED)

    async def _ask(self, scene: Scene, key: StepKey, step: StageStatus) -> Answer:
        name, component = key
        late = self._if_late(step, scene.now)
        if name is StageName.BUILD and step.claim is not None and (late or self.is_winding_up):
            return await self._wind_up(scene, self._components[component], step, late)
        if late is not None:
            return self._request_on_its_way([step]) or late
        if name is StageName.QUEUE:
            return await self._stages.queue.look(scene)
        answer = await self._stages.of(name).look(scene, self._components[component], step)
        if name not in (StageName.SYNC, StageName.EXPOSE):
            return answer
        return self._stages.intentions.first(scene, self._components[component], step, answer)

    async def _wind_up(self, scene: Scene, component: Component, step: StageStatus, late: Failed | None) -> Answer:
        """Stop a build; one that is late has failed when it is stopped, or when that does not succeed for long."""
        if scene.now >= self._gives_up_at(step, scene.now):
            in_vain = "the build could not be stopped"
            return replace(late, message=f"{late.message}; {in_vain}") if late else Skipped(in_vain)
        answer = await self._stages.build.wind_up(scene, component, step)
        if late is None:
            return answer
        match answer:
            case Skipped():
                return late
            case Nudge():
                return replace(answer, act=_noting(answer.act, late.facts))
            case Waiting():
                return replace(answer, facts={**answer.facts, **late.facts})
            case _:
                return answer

    def _if_late(self, step: StageStatus, now: datetime) -> Failed | None:
        limit = self._limit(step)
        if limit is None or step.started_at is None or now < self._deadline(step, now):
            return None
        last = step.facts.get(_LAST) or step.waiting_for or step.message or step.state
        reason = "VerifyFailed" if self._own_limit(step) else "DeadlineExceeded"
        return Failed(reason, f"not done in {limit}; last: {last}", facts={_LAST: last})

    def _limit(self, step: StageStatus) -> timedelta | None:
        """Return how long a stage may take; the way back as long as the way there."""
        name = StageName.SYNC if step.name is StageName.ROLLBACK else step.name
        return self._own_limit(step) or self._deadlines.get(name)

    def _own_limit(self, step: StageStatus) -> timedelta | None:
        """Return how long an address may take to answer as it should, where its environment says so."""
        verify = self.scene.environment.spec.verify
        return verify.timeout if verify is not None and step.name is StageName.VERIFY else None

    def _deadline(self, step: StageStatus, now: datetime) -> datetime:
        began, limit = step.started_at or now, self._limit(step) or timedelta()
        deadline = began + limit + paused_since(self.record.status.pauses, began, now)
        deleted_at = self.record.metadata.deleted_at
        if step.name is StageName.ROLLBACK and deleted_at is not None:
            return min(deadline, deleted_at + _DELETED_IN)
        return deadline

    def _gives_up_at(self, step: StageStatus, now: datetime) -> datetime:
        """Return until when it is tried to stop a build."""
        in_vain, deleted_at = self._deadline(step, now) + _GRACE, self.record.metadata.deleted_at
        return min(in_vain, deleted_at + _DELETED_IN) if deleted_at is not None else in_vain

    def _bounded(self, answer: Answer, step: StageStatus, now: datetime) -> Answer:
        """Look again no later than the stage's deadline."""
        if not isinstance(answer, Waiting | Broken) or (end := self._next_end(step, now)) is None:
            return answer
        return replace(answer, until=min(answer.until or end, end))

    def _next_end(self, step: StageStatus, now: datetime) -> datetime | None:
        """Return the next moment at which a stage's time is over, however it stands; on pause there is none."""
        if self._limit(step) is None or lasts(self.record.status.pauses):
            return None
        ends = (self._deadline(step, now), self._gives_up_at(step, now))
        return min((end for end in ends if end > now), default=None)


_LAST = "lastWait"


def _noting(act: Callable[[], Awaitable[Facts]], more: Facts) -> Callable[[], Awaitable[Facts]]:
    async def acted() -> Facts:
        return {**await act(), **more}

    return acted
