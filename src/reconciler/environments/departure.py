"""Departure: an environment that somebody deleted goes once nothing of it is left outside."""

from dataclasses import dataclass
from datetime import datetime

from reconciler.domain.names import FINALIZER
from reconciler.domain.resources import DeletionPolicy, Environment, EnvironmentPhase
from reconciler.domain.wanted import marker_of
from reconciler.engine.store import Store
from reconciler.environments.clearing import Clearing, project_of
from reconciler.environments.slot import SlotKeeper
from reconciler.removal.leaving import Leaving


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """Lets deleted environments go."""

    store: Store
    keeper: SlotKeeper
    clearing: Clearing
    leaving: Leaving
    owner: str

    async def carry_out(self, environment: Environment) -> datetime | None:
        """Remove everything of ours outside, then let the environment go; at its deadline whatever is left."""
        if FINALIZER not in environment.metadata.finalizers:
            return None
        environment = await self.keeper.free(environment)
        project = project_of(environment, self.store)
        if project is None or project.spec.deletion_policy is DeletionPolicy.DELETE:
            next_look = await self.clearing.clear(environment, EnvironmentPhase.REMOVING)
            marker = marker_of(environment, self.owner)
            if next_look is not None and (due := await self.leaving.let_go(environment, marker, next_look)):
                return due
        else:
            await self.leaving.keep(environment, environment.status.inventory, "deletionPolicy is Orphan")
        await self.store.remove_finalizer(environment.body)
        return None
