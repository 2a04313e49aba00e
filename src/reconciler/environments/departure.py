"""Departure: an environment that somebody deleted goes once nothing of it is left outside."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from reconciler.domain.keys import Body
from reconciler.domain.names import FINALIZER
from reconciler.domain.resources import Environment, EnvironmentPhase
from reconciler.domain.wanted import marker_of
from reconciler.engine.store import Store
from reconciler.environments.clearing import Clearing
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

    async def abandon(self, body: Body, error: ValidationError) -> None:
        """Let an environment go whose spec cannot be read; what it has outside is on record."""
        await self.leaving.abandon(body, self.owner, error)

    async def carry_out(self, environment: Environment) -> datetime | None:
        """Remove everything of ours outside, then let the environment go; at its deadline whatever is left."""
        if FINALIZER not in environment.metadata.finalizers:
            return None
        environment = await self.keeper.free(environment)
        if not self.leaving.is_orphaning(environment.body):
            next_look = await self.clearing.clear(environment, EnvironmentPhase.REMOVING)
            marker = marker_of(environment, self.owner)
            if next_look is not None and (due := await self.leaving.let_go(environment, marker, next_look)):
                return due
        else:
            await self.leaving.keep(environment, environment.status.inventory, "deletionPolicy is Orphan")
        await self.leaving.depart(environment.body)
        return None
