"""Clearing: what an environment has outside is removed under its own slot, be it at its end or before it goes."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.domain.clock import Clock
from reconciler.domain.keys import Key
from reconciler.domain.resources import DevOpsProject, Environment, EnvironmentPhase, EnvironmentStatus
from reconciler.engine.claims import on_its_way_until
from reconciler.engine.engine import Engine
from reconciler.engine.invalid import readable
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store
from reconciler.environments.removal import Removal
from reconciler.environments.slot import held_by_itself, is_held_by_itself, on_its_way
from reconciler.removal.work import RemovalWork

_LOOK_AGAIN = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearing:
    """Removes what stands in the inventory of an environment."""

    store: Store
    engine: Engine
    clock: Clock
    patience: Patience
    removal: Removal

    async def clear(
        self, environment: Environment, phase: EnvironmentPhase, skip: frozenset[str] = frozenset()
    ) -> datetime | None:
        """Take the slot and remove the inventory; None when nothing is left but kinds that are to be skipped."""
        now = self.clock.now()
        holder = environment.status.holder
        if holder is not None and not is_held_by_itself(environment):
            text = f"waits for DeploymentRecord {holder.record} to end"
            status = on_its_way(environment, phase, text, now)
            environment.body = await self.store.write_status(environment.body, status.dump())
            return now + _LOOK_AGAIN
        if holder is None:
            status = held_by_itself(environment, phase, now)
            environment.body = await self.store.write_status(environment.body, status.dump())
            environment.status = EnvironmentStatus.model_validate(environment.body["status"])
        work = RemovalWork(
            environment,
            [self.removal.steps(_without(environment, skip))],
            reason=phase.value,
            store=self.store,
            clock=self.clock,
            patience=self.patience,
        )
        until = on_its_way_until(work.former_steps().values(), self.patience)
        if until is not None and now < until:
            text = "waits for a request whose answer was lost to have ended"
            status = on_its_way(environment, phase, text, now)
            environment.body = await self.store.write_status(environment.body, status.dump())
            return until
        await self.engine.carry_out(work)
        environment.status = EnvironmentStatus.model_validate(environment.body["status"])
        return None if work.is_complete() else work.next_look() or now + _LOOK_AGAIN


def _without(environment: Environment, skip: frozenset[str]) -> Environment:
    """Return the environment as if nothing of these kinds were in its inventory."""
    seen = Environment(environment.body)
    left = [item for item in seen.status.inventory if item.kind not in skip]
    seen.status = seen.status.model_copy(update={"inventory": left})
    return seen


def project_of(environment: Environment, store: Store) -> DevOpsProject | None:
    """Return the project that an environment belongs to, if it is there and can be read."""
    key = Key(DevOpsProject.kind, environment.namespace, environment.spec.project_ref)
    return readable(DevOpsProject, store.read(key))
