"""Departure: an environment that somebody deleted goes once nothing of it is left outside."""

from dataclasses import dataclass
from datetime import datetime

from reconciler.domain.names import FINALIZER
from reconciler.domain.resources import DeletionPolicy, Environment, EnvironmentPhase
from reconciler.engine.store import Store
from reconciler.environments.clearing import Clearing, project_of
from reconciler.environments.slot import SlotKeeper


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """Lets deleted environments go."""

    store: Store
    keeper: SlotKeeper
    clearing: Clearing

    async def carry_out(self, environment: Environment) -> datetime | None:
        """Remove everything of ours outside, then let the environment go."""
        if FINALIZER not in environment.metadata.finalizers:
            return None
        environment = await self.keeper.free(environment)
        project = project_of(environment, self.store)
        if project is None or project.spec.deletion_policy is DeletionPolicy.DELETE:
            next_look = await self.clearing.clear(environment, EnvironmentPhase.REMOVING)
            if next_look is not None:
                return next_look
        await self.store.remove_finalizer(environment.body)
        return None
