"""The slot kept honest: taken back from who has ended, and taken by the environment itself."""

from dataclasses import dataclass
from datetime import datetime

from reconciler.domain.clock import Clock
from reconciler.domain.conditions import kstatus
from reconciler.domain.errors import NotFound
from reconciler.domain.keys import Key
from reconciler.domain.resources import DeploymentRecord, Environment, EnvironmentPhase, EnvironmentStatus, Phase
from reconciler.domain.resources.environment import Holder
from reconciler.domain.slot import given_back
from reconciler.engine.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotKeeper:
    """Takes the slot back from a record that has ended or is gone: a kill may have come between the two writes.

    A repair gives the slot back in the look that took it; one that is found was cut short, and the next begins anew.
    """

    store: Store
    clock: Clock

    async def free(self, environment: Environment) -> Environment:
        """Return the environment as it stands after its slot was taken back, if there was reason to."""
        holder = environment.status.holder
        if holder is None or (is_held_by_itself(environment) and not is_under_repair(environment)):
            return environment
        if not is_under_repair(environment) and not await self._has_ended(environment, holder):
            return environment
        status = given_back(environment.status, self.clock.now())
        return Environment(await self.store.write_status(environment.body, status.dump()))

    async def _has_ended(self, environment: Environment, holder: Holder) -> bool:
        key = Key(DeploymentRecord.kind, environment.namespace, holder.record)
        body = self.store.read(key)
        if body is None or body["metadata"]["uid"] != holder.uid:  # what is known here may lag behind
            try:
                body = await self.store.fetch(key)
            except NotFound:
                return True
        is_same = body["metadata"]["uid"] == holder.uid
        return not is_same or Phase((body.get("status") or {}).get("phase", Phase.PENDING)).is_end


def is_held_by_itself(environment: Environment) -> bool:
    """Tell whether the environment holds its own slot, to be cleared or for a repair."""
    holder = environment.status.holder
    return holder is not None and holder.uid == environment.metadata.uid


def is_under_repair(environment: Environment) -> bool:
    """Tell whether the environment holds its own slot to put right what drifted."""
    return is_held_by_itself(environment) and environment.status.phase is EnvironmentPhase.REPAIRING


def held_by_itself(environment: Environment, phase: EnvironmentPhase, now: datetime) -> EnvironmentStatus:
    """Return the status with the slot taken by the environment itself, under a new epoch."""
    status = on_its_way(environment, phase, "", now)
    epoch = status.epoch + 1
    holder = Holder(record=environment.name, uid=environment.metadata.uid, epoch=epoch, since=now)
    return status.model_copy(update={"holder": holder, "epoch": epoch, "phase": phase})


def on_its_way(environment: Environment, phase: EnvironmentPhase, text: str, now: datetime) -> EnvironmentStatus:
    """Return the status that says what the environment is about to do, and what that waits for."""
    generation = environment.metadata.generation
    conditions = kstatus(environment.status.conditions, "Reconciling", phase.value, text, generation, now)
    return environment.status.model_copy(update={"conditions": conditions, "observed_generation": generation})
