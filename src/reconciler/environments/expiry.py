"""Expiry: what runs in an environment whose time has come is removed, and nothing is wanted there any more.

It goes in passes: one lasts at most the cleanup timeout; what is not gone by then is left alone for a while, which the
status says, and is tried again in the next.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reconciler.domain.clock import Clock
from reconciler.domain.conditions import kstatus
from reconciler.domain.resources import Environment, EnvironmentPhase, EnvironmentStatus, StepState
from reconciler.domain.resources.common import format_duration
from reconciler.domain.resources.environment import Cleanup
from reconciler.engine.store import Store
from reconciler.environments.clearing import Clearing
from reconciler.environments.lifetime import Lifetimes, expiry_of
from reconciler.environments.slot import is_held_by_itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Ends lifetimes."""

    store: Store
    clock: Clock
    clearing: Clearing
    rules: Lifetimes

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
        now, cleanup = self.clock.now(), environment.status.cleanup
        if cleanup and cleanup.resting_until and now < cleanup.resting_until:
            return cleanup.resting_until
        environment = await self._with_pass(environment, cleanup, now)
        next_look = await self.clearing.clear(environment, EnvironmentPhase.EXPIRING, skip=self.rules.skip)
        if next_look is None:
            return await self._end(environment)
        begun = environment.status.cleanup
        if begun is None:
            return next_look
        ends = begun.since + self.rules.cleanup_timeout
        return min(next_look, ends) if self.clock.now() < ends else await self._rest(environment, begun)

    async def _with_pass(self, environment: Environment, cleanup: Cleanup | None, now: datetime) -> Environment:
        """Begin a pass where none is under way; the first one begins with the slot."""
        if not is_held_by_itself(environment) or (cleanup is not None and cleanup.resting_until is None):
            return environment
        begun = Cleanup(passes=cleanup.passes + 1 if cleanup else 1, since=now)
        status = environment.status.model_copy(update={"cleanup": begun})
        return Environment(await self.store.write_status(environment.body, status.dump()))

    async def _rest(self, environment: Environment, begun: Cleanup) -> datetime:
        """End a pass in which not everything went."""
        now, old = self.clock.now(), environment.status
        until = now + self.rules.between_passes
        left = [f"{step.name} ({step.waiting_for})" for step in old.steps if step.state is not StepState.DONE]
        text = f"not gone in {format_duration(self.rules.cleanup_timeout)}, tried again: {'; '.join(left)}"
        phase, generation = EnvironmentPhase.EXPIRING, environment.metadata.generation
        changes: dict[str, Any] = {
            "cleanup": begun.model_copy(update={"resting_until": until}),
            "conditions": kstatus(old.conditions, "Reconciling", "CleanupTimeout", text, generation, now),
            "phase": phase,
        }
        await self.store.write_status(environment.body, old.model_copy(update=changes).dump())
        return until

    async def _end(self, environment: Environment) -> datetime | None:
        old = environment.status
        left = [item for item in old.inventory if item.kind in self.rules.skip]
        if environment.is_preview and not left:
            await self.store.delete(environment.body)
            return None
        status = old.model_copy(update={**_GONE, "inventory": left})
        await self.store.write_status(environment.body, _at_rest(environment, status, self.clock.now()).dump())
        return None


_GONE: dict[str, Any] = {
    "phase": EnvironmentPhase.EXPIRED,
    "current": {},
    "expires_at": None,
    "holder": None,
    "cleanup": None,
    "steps": [],
}


def _at_rest(environment: Environment, status: EnvironmentStatus, now: datetime) -> EnvironmentStatus:
    left = ", ".join(f"{item.kind} {item.name}" for item in status.inventory)
    text = f"left where it is, as the settings say: {left}" if left else ""
    generation = environment.metadata.generation
    conditions = kstatus(status.conditions, "Ready", status.phase.value, text, generation, now)
    return status.model_copy(update={"conditions": conditions, "addresses": []})
