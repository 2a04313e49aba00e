"""Expiry: what runs in an environment whose time has come is removed, and nothing is wanted there any more."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reconciler.domain.resources import Environment, EnvironmentPhase
from reconciler.engine.store import Store
from reconciler.environments.clearing import Clearing
from reconciler.environments.lifetime import expiry_of
from reconciler.environments.slot import is_held_by_itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Ends lifetimes."""

    store: Store
    clearing: Clearing

    async def has_come(self, environment: Environment) -> bool:
        """Tell whether its time has come by the API server's clock; an expiry that has begun is brought to its end."""
        expires_at = expiry_of(environment)
        if is_held_by_itself(environment):
            return not environment.is_paused
        if expires_at is None or self.store.server_now() < expires_at:
            return False
        return await self.store.ask_now() >= expires_at

    async def carry_out(self, environment: Environment) -> datetime | None:
        """Remove what runs; a preview goes altogether, a declared environment stays as Expired."""
        next_look = await self.clearing.clear(environment, EnvironmentPhase.EXPIRING)
        if next_look is not None:
            return next_look
        if environment.metadata.labels.get("freeleaps.com/preview") == "true":
            await self.store.delete(environment.body)
            return None
        gone: dict[str, Any] = {
            "phase": EnvironmentPhase.EXPIRED,
            "current": {},
            "expires_at": None,
            "holder": None,
            "inventory": [],
            "steps": [],
        }
        await self.store.write_status(environment.body, environment.status.model_copy(update=gone).dump())
        return None
