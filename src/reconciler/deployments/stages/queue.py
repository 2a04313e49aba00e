"""Queue: the right to change the environment. Looks for the slot's holder, nudges by taking the slot."""

from dataclasses import dataclass
from datetime import timedelta

from reconciler.deployments.pauses import on_pause
from reconciler.deployments.scene import Scene
from reconciler.domain.answers import Answer, Done, Facts, Failed, Nudge, Waiting
from reconciler.domain.clock import Clock
from reconciler.domain.keys import Body, Key
from reconciler.domain.resources import Concurrency, DeploymentRecord, Environment, EnvironmentPhase, Phase
from reconciler.domain.resources.environment import Holder
from reconciler.domain.slot import holds, is_overtaken, precedence, taken, was_asked_by
from reconciler.domain.wanted import inventory_of, marker_of
from reconciler.engine.invalid import readable
from reconciler.engine.store import Store

SUPERSEDED = "Superseded"
_LOOK_AGAIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The stage before all others."""

    store: Store
    clock: Clock
    owner: str

    async def look(self, scene: Scene) -> Answer:
        """Answer whether the slot is ours, and take it when it is free and we are first."""
        record, key = scene.record, Key(Environment.kind, scene.record.namespace, scene.environment.name)
        cached = readable(Environment, self.store.read(key)) or scene.environment
        if holds(cached, record) and cached.status.holder:
            # Only our end gives the slot back: were this stale, the record would be too, and its guarded write fail.
            return Done({"epoch": str(cached.status.holder.epoch)})
        if isinstance(answer := self._judge(record, cached), Waiting):
            return answer
        body = await self.store.fetch(key)
        environment = Environment(body)
        if holds(environment, record) and environment.status.holder:
            return Done({"epoch": str(environment.status.holder.epoch)})
        return self._judge(record, environment) or Nudge(
            identity=f"{record.operation_id}/slot",
            act=lambda: self._take(body, scene),
            what=f"take the slot of {environment.name}",
            system="kubernetes",
            before="free",
            is_repeatable=True,
        )

    def _judge(self, record: DeploymentRecord, environment: Environment) -> Waiting | Failed | None:
        """Say why the slot may not be taken; None when it may. Only a wait is believed of a cached environment."""
        status = environment.status
        if holds(environment, record):
            return None
        if environment.is_deleting:
            return Failed("EnvironmentRemoved", f"{environment.name} is being removed")
        if is_overtaken(status, record):
            return Failed(SUPERSEDED, f"{status.latest_record}, asked for later, is current")
        if environment.is_paused or record.is_paused:
            return on_pause(record, environment)
        if _is_on_hold(record, environment) and status.hold:
            remedy = "set the annotation freeleaps.com/release or send a newer request"
            return Waiting(
                f"{environment.kind} {environment.name}, on hold after operation {status.hold.operation}",
                reason="OnHold",
                remedy=remedy,
            )
        if status.holder is not None:
            return self._while_held(record, environment, status.holder)
        return self._among_the_waiting(record, environment)

    def _while_held(self, record: DeploymentRecord, environment: Environment, holder: Holder) -> Waiting | Failed:
        if holder.uid == environment.metadata.uid:
            is_repair = environment.status.phase is EnvironmentPhase.REPAIRING
            what = "put right what drifted" if is_repair else "have expired"
            return self._wait(f"{environment.kind} {environment.name} to {what}")
        name = f"{record.kind} {holder.record}"
        if environment.spec.concurrency is Concurrency.REJECT:
            return Failed("EnvironmentBusy", f"{name} is being deployed and concurrency is Reject")
        if environment.spec.concurrency is Concurrency.SUPERSEDE:
            running = readable(DeploymentRecord, self.store.read(Key(record.kind, record.namespace, holder.record)))
            if running is not None and not record.spec.force and precedence(record) < precedence(running):
                return Failed(SUPERSEDED, f"{name} was asked for later")
        return self._wait(f"{name} to end")

    def _among_the_waiting(self, record: DeploymentRecord, environment: Environment) -> Waiting | Failed | None:
        others = [
            other
            for other in queued(self.store, record.namespace, record.spec.project_ref, environment.spec.name)
            if other.name != record.name and not _is_on_hold(other, environment)
        ]
        if environment.spec.concurrency is Concurrency.SUPERSEDE:
            newest = max(others, key=precedence, default=record)
            if precedence(newest) > precedence(record):
                return Failed(SUPERSEDED, f"{newest.name} was asked for later")
            return None
        first = min(others, key=precedence, default=record)
        if precedence(first) < precedence(record):
            return self._wait(f"{first.kind} {first.name}, which comes first")
        return None

    def _wait(self, what: str) -> Waiting:
        return Waiting(what, self.clock.now() + _LOOK_AGAIN, reason="Queued")

    async def _take(self, body: Body, scene: Scene) -> Facts:
        environment = Environment(body)
        marker = marker_of(environment, self.owner)
        intended = inventory_of(scene.project, environment, scene.components, scene.argo, scene.zone, marker)
        status = taken(environment.status, scene.record, intended, self.clock.now())
        await self.store.write_status(body, status.dump())
        return {"epoch": str(status.epoch)}


def _is_on_hold(record: DeploymentRecord, environment: Environment) -> bool:
    """Tell whether a hold keeps the record back: only a request later than the hold lifts it."""
    hold = environment.status.hold
    return hold is not None and was_asked_by(record, hold.since)


def queued(store: Store, namespace: str, project: str, environment: str) -> list[DeploymentRecord]:
    """Return the records that wait for an environment, those not looked at yet included, those on pause left out."""
    bodies = store.list_("DeploymentRecord", namespace, project=project, environment=environment, active_only=True)
    phases = (None, Phase.PENDING, Phase.QUEUED)
    waiting = (body for body in bodies if (body.get("status") or {}).get("phase") in phases)
    records = (readable(DeploymentRecord, body) for body in waiting)
    return [record for record in records if record is not None and _is_waiting(record)]


def _is_waiting(record: DeploymentRecord) -> bool:
    return not (record.is_paused or record.is_deleting or record.spec.cancel)
