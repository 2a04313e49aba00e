"""Defects planted one at a time, here and never in the program: each must be found."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from tests.simulation.instead import instead

from reconciler.app import connections
from reconciler.clients.endpoint import Endpoint
from reconciler.clients.kubernetes.client import Kubernetes
from reconciler.deployments import deployments, work
from reconciler.deployments.parameters import is_repairing
from reconciler.deployments.places import place_now
from reconciler.deployments.stages import build, queue
from reconciler.deployments.stages.sync import SyncStage
from reconciler.domain.answers import Answer, Nudge, Waiting
from reconciler.domain.keys import Body
from reconciler.domain.outside.dns import RecordType
from reconciler.domain.record_marks import Mark
from reconciler.domain.records import Action, Change, Plan, _Work
from reconciler.domain.resources import Claim, Settled, StageName, StageStatus, Step
from reconciler.domain.things import Where
from reconciler.engine import engine
from reconciler.engine.claims import Held, claim_or_hold
from reconciler.engine.engine import Engine
from reconciler.engine.polls import Polls
from reconciler.intake.consumer import Intake
from reconciler.intake.reconcile import ReconcileIntake
from reconciler.operator.store import Store
from reconciler.removal import looks
from reconciler.removal.neighbours import Neighbours
from reconciler.reporting.audit import AuditTrail
from reconciler.reporting.audit_chain import Chain
from reconciler.reporting.heartbeats import HeartbeatSender
from reconciler.resilience.permits import Permits


def ack_before_store() -> AbstractContextManager[None]:
    """A message is acknowledged before what it asks for is stored."""
    handle = Intake.handle

    async def hasty(self: Intake, name: str, delivery: Any) -> None:
        await delivery.ack()
        await handle(self, name, delivery)

    return instead((Intake, "handle", hasty))


def nudge_before_claim() -> AbstractContextManager[None]:
    """Nudges are done first, and their claims stored together with what came back."""
    store = Engine._store

    async def late(self: Engine, work: Any, steps: Any, acted: Any) -> None:
        claims = (step.claim for step in steps.values())
        if not any(claim and not claim.settled and claim.incarnation == self.me.id for claim in claims):
            await store(self, work, steps, acted)

    return instead((Engine, "_store", late))


def absence_from_one_search() -> AbstractContextManager[None]:
    """One search that finds nothing is taken for a proof."""

    def hasty(step: Step, nudge: Nudge, now: Any, me: Any, patience: Any) -> Claim | Held:
        decided = claim_or_hold(step, nudge, now, me, patience)
        if isinstance(decided, Held) and decided.claim.absent_since == now:
            return Claim(key=nudge.identity, replica=me.replica, incarnation=me.id, at=now)
        return decided

    return instead((engine, "claim_or_hold", hasty))


def claim_of_another_life() -> AbstractContextManager[None]:
    """An open claim is acted on again at once, whoever made it."""

    def hasty(step: Step, nudge: Nudge, now: Any, me: Any, patience: Any) -> Claim | Held:
        return Claim(key=nudge.identity, replica=me.replica, incarnation=me.id, at=now)

    return instead((engine, "claim_or_hold", hasty))


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

    return instead((SyncStage, "bring", bring))


def health_without_reconciled_at() -> AbstractContextManager[None]:
    """Health is believed whenever it was computed."""
    gate = SyncStage._gate

    def blind(self: SyncStage, applications: Any, target: Any, application: Any, since: Any) -> Answer:
        return gate(self, applications, target, application, None)

    return instead((SyncStage, "_gate", blind))


def end_not_marked() -> AbstractContextManager[None]:
    """The last heartbeat is sent, and nobody notes that it was."""

    async def mark(self: HeartbeatSender, key: Any) -> None:
        self._forget(key)

    return instead((HeartbeatSender, "_mark", mark))


def retry_before_retry_after() -> AbstractContextManager[None]:
    """A system is asked again before the time it named."""

    def check(self: Endpoint) -> None:
        self.breaker.check()

    return instead((Endpoint, "_check", check))


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

    return instead((ReconcileIntake, "_record", bare), (Store, "ensure_finalizer", late))


def late_message_overtakes() -> AbstractContextManager[None]:
    """Nobody asks whether something newer is current."""
    return instead((queue, "is_overtaken", lambda *_: False))


def permit_waited_for() -> AbstractContextManager[None]:
    """A worker waits for its permit as long as it takes."""

    async def wait(self: Permits, *, is_sweep: bool) -> None:
        place = asyncio.get_running_loop().create_future()
        (self._sweeps if is_sweep else self._urgent).append(place)
        await place

    return instead((Permits, "_wait_for_place", wait))


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

    return instead((deployments, "stages_back", wrong))


def expiry_by_the_wall_clock() -> AbstractContextManager[None]:
    """Whether an environment's time has come is told by our own clock."""

    def own(self: Kubernetes) -> datetime:
        return self._clock.now()

    async def own_too(self: Kubernetes) -> datetime:
        return self._clock.now()

    return instead((Kubernetes, "server_time", own), (Kubernetes, "ask_time", own_too))


def txt_without_values() -> AbstractContextManager[None]:
    """Whatever stands at a name with our mark is taken for ours, whoever wrote its values."""
    return instead((Mark, "covers", lambda _, record: record is not None))


def marker_after_record() -> AbstractContextManager[None]:
    """A record is written first, and marked when it is there."""
    plan = _Work.plan

    def turned(self: _Work) -> Plan:
        planned = plan(self)
        return replace(planned, changes=tuple(sorted(planned.changes, key=_is_marking)))

    return instead((_Work, "plan", turned))


def sweep_by_name() -> AbstractContextManager[None]:
    """A sweep takes what has the name of a leftover, whatever mark it carries and whoever has it by now."""

    async def nobody(_self: Neighbours, _thing: Any) -> bool:
        return False

    return instead((looks, "_is_same", lambda *_: True), (Neighbours, "has_taken_over", nobody))


def default_credentials_to_a_users_endpoint() -> AbstractContextManager[None]:
    """An endpoint that names no credentials gets the operator's own, whosever it is."""

    def opened(named: Where, own: str, _variable: str) -> Where:
        return replace(named, endpoint=named.endpoint.rstrip("/") or own.rstrip("/"))

    return instead((connections, "_opened", opened))


def audit_begins_anew() -> AbstractContextManager[None]:
    """Each incarnation begins the audit anew, and not where the one before it ended."""
    return instead((Chain, "follow", lambda self, _: setattr(self, "_follows", None)))


def end_found_out_not_audited() -> AbstractContextManager[None]:
    """How an act of a life that was killed has ended is found out, and not written."""
    return instead((AuditTrail, "resolved", lambda *_, **__: None))


def drift_not_looked_for() -> AbstractContextManager[None]:
    """What was brought in order once is not compared again as long as nobody asks."""
    return instead((Polls, "is_due", lambda *_, **__: False))


def pause_unheard() -> AbstractContextManager[None]:
    """A deployment goes on although it, or its environment, is on pause."""
    return instead((work, "is_on_pause", lambda *_: False))


def build_under_the_new_name() -> AbstractContextManager[None]:
    """A build is looked for where the settings say now, wherever it was asked for."""
    return instead((build, "places_of", lambda scene, _: [place_now(scene)]))


def job_gone_before_its_news() -> AbstractContextManager[None]:
    """A former job goes as soon as nothing is built in it, whoever has yet to see how a build ended there."""
    return instead((Neighbours, "is_followed", lambda *_: False))


def stop_not_sent_is_no_start() -> AbstractContextManager[None]:
    """A twin whose stop was not sent is taken for a build that was never asked for."""

    def forgetful(step: StageStatus) -> bool:
        claim = step.claim
        is_stopping = claim is not None and claim.key.endswith("/stop")
        return claim is None or is_repairing(step) or (claim.settled is Settled.NOT_SENT and not is_stopping)

    return instead((build, "_was_never_started", forgetful))


def _is_marking(change: Change) -> bool:
    return change.action is Action.REPLACE and change.record.type == RecordType.TXT


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
        (gate_from_the_stream, 2),
        (health_without_reconciled_at, 162),
        (end_not_marked, 0),
        (retry_before_retry_after, 5),
        (finalizer_after_nudge, 0),
        (late_message_overtakes, 81),
        (permit_waited_for, 114),
        (rollback_to_the_last_record, 13),
        (expiry_by_the_wall_clock, 227),
        (txt_without_values, 30),
        (marker_after_record, 0),
        (sweep_by_name, 459),
        (default_credentials_to_a_users_endpoint, 33),
        (audit_begins_anew, 0),
        (end_found_out_not_audited, 0),
        (pause_unheard, 85),
        (drift_not_looked_for, 1),
        (build_under_the_new_name, 0),
        (job_gone_before_its_news, 20),
        (stop_not_sent_is_no_start, 1),
    )
}
"""By the names under which they are switched on."""
