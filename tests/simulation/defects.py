"""Defects planted one at a time, here and never in the program: each must be found."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from reconciler.clients.endpoint import Endpoint
from reconciler.deployments import deployments
from reconciler.deployments.stages import queue
from reconciler.deployments.stages.sync import SyncStage
from reconciler.domain.answers import Answer, Nudge, Waiting
from reconciler.domain.keys import Body
from reconciler.domain.resources import Claim, StageName, Step
from reconciler.engine import engine
from reconciler.engine.claims import Held, claim_or_hold
from reconciler.engine.engine import Engine
from reconciler.intake.consumer import Intake
from reconciler.intake.reconcile import ReconcileIntake
from reconciler.operator.store import Store
from reconciler.reporting.heartbeats import HeartbeatSender
from reconciler.resilience.permits import Permits


@contextmanager
def _instead(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Put other things in these places for a while."""
    before = [(place, name, getattr(place, name)) for place, name, _ in changes]
    for place, name, thing in changes:
        setattr(place, name, thing)
    try:
        yield
    finally:
        for place, name, thing in before:
            setattr(place, name, thing)


def ack_before_store() -> AbstractContextManager[None]:
    """A message is acknowledged before what it asks for is stored."""
    handle = Intake.handle

    async def hasty(self: Intake, name: str, delivery: Any) -> None:
        await delivery.ack()
        await handle(self, name, delivery)

    return _instead((Intake, "handle", hasty))


def nudge_before_claim() -> AbstractContextManager[None]:
    """Nudges are done first, and their claims stored together with what came back."""

    async def carry_out(self: Engine, work: Any) -> None:
        steps, acted = dict(work.steps()), {}
        for _ in range(8):
            answers = await work.look(steps)
            steps, nudges = self._decide(steps, answers)
            if not nudges:
                break
            acted = await self.actor.act_all(work.subject, nudges, steps, self.clock.monotonic())
            steps = self._with_outcomes(steps, acted)
            await self._store(work, steps, acted)
        await self._store(work, steps, acted)

    return _instead((Engine, "carry_out", carry_out))


def absence_from_one_search() -> AbstractContextManager[None]:
    """One search that finds nothing is taken for a proof."""

    def hasty(step: Step, nudge: Nudge, now: Any, me: Any, patience: Any) -> Claim | Held:
        decided = claim_or_hold(step, nudge, now, me, patience)
        if isinstance(decided, Held) and decided.claim.absent_since == now:
            return Claim(key=nudge.identity, replica=me.replica, incarnation=me.id, at=now)
        return decided

    return _instead((engine, "claim_or_hold", hasty))


def claim_of_another_life() -> AbstractContextManager[None]:
    """An open claim is acted on again at once, whoever made it."""

    def hasty(step: Step, nudge: Nudge, now: Any, me: Any, patience: Any) -> Claim | Held:
        return Claim(key=nudge.identity, replica=me.replica, incarnation=me.id, at=now)

    return _instead((engine, "claim_or_hold", hasty))


def gate_from_the_stream() -> AbstractContextManager[None]:
    """What the stream last showed of our sync is believed, also when it ends the stage."""

    async def bring(self: SyncStage, scene: Any, component: Any, step: Any, goal: Any) -> Answer:
        applications = await self.tools.applications(scene.argo)
        target = self._target(scene, component, step, goal)
        seen = self._streamed(applications, target)
        if seen is None:
            seen = await applications.find_application(target.shape.project, target.shape.name)
        answer = self._judge(applications, target, seen)
        if isinstance(answer, Waiting):
            applications.want(target.shape.project, target.shape.name, scene.now + timedelta(minutes=5))
        return answer

    return _instead((SyncStage, "bring", bring))


def health_without_reconciled_at() -> AbstractContextManager[None]:
    """Health is believed whenever it was computed."""
    gate = SyncStage._gate

    def blind(self: SyncStage, applications: Any, target: Any, application: Any, since: Any) -> Answer:
        return gate(self, applications, target, application, None)

    return _instead((SyncStage, "_gate", blind))


def end_not_marked() -> AbstractContextManager[None]:
    """The last heartbeat is sent, and nobody notes that it was."""

    async def mark(self: HeartbeatSender, key: Any) -> None:
        self._forget(key)

    return _instead((HeartbeatSender, "_mark", mark))


def retry_before_retry_after() -> AbstractContextManager[None]:
    """A system is asked again before the time it named."""

    def check(self: Endpoint) -> None:
        self.breaker.check()

    return _instead((Endpoint, "_check", check))


def finalizer_after_nudge() -> AbstractContextManager[None]:
    """The finalizer comes when the first things outside were already begun."""
    record, ensure = ReconcileIntake._record, Store.ensure_finalizer

    def bare(self: ReconcileIntake, name: str, wanted: Any) -> Body:
        body = record(self, name, wanted)
        del body["metadata"]["finalizers"]
        return body

    async def late(self: Store, body: Body, *finalizer: str) -> Body:
        stages = (body.get("status") or {}).get("stages", [])
        if body["kind"] == "DeploymentRecord" and not any(one.get("claim") for one in stages[1:]):
            return body
        return await ensure(self, body, *finalizer)

    return _instead((ReconcileIntake, "_record", bare), (Store, "ensure_finalizer", late))


def late_message_overtakes() -> AbstractContextManager[None]:
    """Nobody asks whether something newer is current."""
    return _instead((queue, "is_overtaken", lambda *_: False))


def permit_waited_for() -> AbstractContextManager[None]:
    """A worker waits for its permit as long as it takes."""

    async def take(self: Permits) -> None:
        await self._places.acquire()

    return _instead((Permits, "_take", take))


def rollback_to_the_last_record() -> AbstractContextManager[None]:
    """A rollback goes to what the last record brought, which is what has just failed, and not to what is current."""
    stages_back = deployments.stages_back

    def wrong(current: Any, steps: Any) -> Any:
        back = stages_back(current, steps)
        for (name, component), step in back.items():
            image = steps[StageName.IMAGE, component].facts if name is StageName.ROLLBACK else {}
            if image:
                facts = {
                    **step.facts,
                    "image": f"{image['image']}:{image['tag']}@{image['digest']}",
                    "revision": "0" * 40,
                }
                back[name, component] = step.model_copy(update={"facts": facts})
        return back

    return _instead((deployments, "stages_back", wrong))


@dataclass(frozen=True, slots=True)
class Defect:
    """A planted defect, and the seed that found it last: look for it from there on."""

    plant: Callable[[], AbstractContextManager[None]]
    seed: int


DEFECTS = {
    plant.__name__.replace("_", "-"): Defect(plant, seed)
    for plant, seed in (
        (ack_before_store, 0),
        (nudge_before_claim, 0),
        (absence_from_one_search, 12),
        (claim_of_another_life, 12),
        (gate_from_the_stream, 1),
        (health_without_reconciled_at, 39),
        (end_not_marked, 0),
        (retry_before_retry_after, 1),
        (finalizer_after_nudge, 0),
        (late_message_overtakes, 1),
        (permit_waited_for, 5),
        (rollback_to_the_last_record, 2),
    )
}
"""By the names under which they are switched on."""
