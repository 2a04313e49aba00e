"""Environments: what one look at an Environment does."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from reconciler.domain.clock import Clock
from reconciler.domain.conditions import KState, kstatus
from reconciler.domain.errors import NotFound
from reconciler.domain.keys import Key
from reconciler.domain.names import FINALIZER
from reconciler.domain.resources import (
    DeletionPolicy,
    DeploymentRecord,
    DevOpsProject,
    Environment,
    EnvironmentPhase,
    EnvironmentStatus,
    Phase,
)
from reconciler.domain.resources.environment import Holder
from reconciler.domain.slot import given_back
from reconciler.domain.wanted import address_of
from reconciler.engine.engine import Engine
from reconciler.engine.invalid import readable, tell_invalid
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store
from reconciler.environments.removal import Removal, RemovalWork, Systems

_RESYNC = timedelta(minutes=5)
_SHORTEST = timedelta(seconds=1)
RELEASE = "freeleaps.com/release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environments:
    """Looks at environments."""

    store: Store
    engine: Engine
    clock: Clock
    patience: Patience
    systems: Systems
    owner: str

    async def look(self, key: Key) -> datetime | None:
        """Keep an environment's slot honest, end it when its time has come; return when to look again."""
        body = self.store.read(key)
        if body is None:
            return None
        try:
            environment = Environment(body)
        except ValidationError as error:
            await tell_invalid(self.store, body, error, self.clock.now())
            return None
        if environment.is_deleting:
            return await self._remove(environment)
        environment = Environment(await self.store.ensure_finalizer(body))
        environment = await self._free_the_slot(environment)
        if await self._is_expired(environment):
            return await self._expire(environment)
        return await self._tell(environment)

    async def _free_the_slot(self, environment: Environment) -> Environment:
        """Take the slot back from a record that has ended or is gone: a kill may have come between the two writes."""
        holder = environment.status.holder
        if holder is None or _is_held_by_itself(environment):
            return environment
        if not await self._has_ended(environment, holder):
            return environment
        status = given_back(environment.status)
        return Environment(await self.store.write_status(environment.body, status.dump()))

    async def _has_ended(self, environment: Environment, holder: Holder) -> bool:
        key = Key(DeploymentRecord.kind, environment.namespace, holder.record)
        body = self.store.read(key)
        if body is None:
            try:
                body = await self.store.fetch(key)
            except NotFound:
                return True
        is_same = body["metadata"]["uid"] == holder.uid
        return not is_same or Phase((body.get("status") or {}).get("phase", Phase.PENDING)).is_end

    async def _is_expired(self, environment: Environment) -> bool:
        """Tell whether its time has come by the API server's clock; an expiry that has begun is brought to its end."""
        expires_at = _expiry_of(environment)
        if _is_held_by_itself(environment):
            return not environment.is_paused
        if expires_at is None or self.store.server_now() < expires_at:
            return False
        return await self.store.ask_now() >= expires_at

    async def _tell(self, environment: Environment) -> datetime | None:
        old, now, generation = environment.status, self.clock.now(), environment.metadata.generation
        hold, handled = old.hold, dict(old.handled)
        token = environment.metadata.annotations.get(RELEASE)
        if token is not None and token != handled.get(RELEASE):
            hold, handled[RELEASE] = None, token
        phase = _phase(old.model_copy(update={"hold": hold}))
        state: KState = "Stalled" if hold else "Ready" if old.holder is None else "Reconciling"
        text = f"{old.holder.record} is being deployed" if old.holder else hold.reason if hold else ""
        status = old.model_copy(
            update={
                "observed_generation": generation,
                "phase": phase,
                "hold": hold,
                "handled": handled,
                "addresses": self._addresses(environment),
                "conditions": kstatus(old.conditions, state, phase.value, text, generation, now),
            }
        )
        await self.store.write_status(environment.body, status.dump())
        return self._due(environment)

    def _due(self, environment: Environment) -> datetime | None:
        """Return by our own clock when the environment ends by the API server's: the two may differ."""
        expires_at = _expiry_of(environment)
        if expires_at is None:
            return None
        return self.clock.now() + max(expires_at - self.store.server_now(), _SHORTEST)

    def _addresses(self, environment: Environment) -> list[str]:
        project = self._project(environment)
        if project is None:
            return environment.status.addresses
        current = environment.status.current
        known = (address_of(environment, one) for one in project.spec.components if one.name in current)
        return [address for address in known if address]

    def _project(self, environment: Environment) -> DevOpsProject | None:
        key = Key(DevOpsProject.kind, environment.namespace, environment.spec.project_ref)
        return readable(DevOpsProject, self.store.read(key))

    async def _expire(self, environment: Environment) -> datetime | None:
        """Remove what runs; a preview goes altogether, a declared environment stays as Expired."""
        next_look = await self._clear(environment, EnvironmentPhase.EXPIRING)
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

    async def _remove(self, environment: Environment) -> datetime | None:
        """Remove everything of ours outside, then let the environment go."""
        if FINALIZER not in environment.metadata.finalizers:
            return None
        environment = await self._free_the_slot(environment)
        project = self._project(environment)
        if project is None or project.spec.deletion_policy is DeletionPolicy.DELETE:
            next_look = await self._clear(environment, EnvironmentPhase.REMOVING)
            if next_look is not None:
                return next_look
        await self.store.remove_finalizer(environment.body)
        return None

    async def _clear(self, environment: Environment, phase: EnvironmentPhase) -> datetime | None:
        """Take the slot and remove the inventory; None when nothing is left."""
        now = self.clock.now()
        holder = environment.status.holder
        if holder is not None and not _is_held_by_itself(environment):
            text = f"waits for {holder.record} to end"
            await self.store.write_status(environment.body, _on_its_way(environment, phase, text, now).dump())
            return now + _RESYNC
        if holder is None:
            status = _held_by_itself(environment, phase, now)
            environment.body = await self.store.write_status(environment.body, status.dump())
            environment.status = EnvironmentStatus.model_validate(environment.body["status"])
        removal = await Removal.prepare(environment, self._project(environment), self.store, self.systems, self.owner)
        work = RemovalWork(environment, removal, store=self.store, clock=self.clock, patience=self.patience)
        await self.engine.carry_out(work)
        return None if work.is_complete() else work.next_look() or now + _RESYNC


def _expiry_of(environment: Environment) -> datetime | None:
    """Return when the environment ends; None while it does not."""
    return None if environment.spec.pinned or environment.is_paused else environment.status.expires_at


def _is_held_by_itself(environment: Environment) -> bool:
    """Tell whether the environment holds its own slot, to be removed."""
    holder = environment.status.holder
    return holder is not None and holder.uid == environment.metadata.uid


def _on_its_way(environment: Environment, phase: EnvironmentPhase, text: str, now: datetime) -> EnvironmentStatus:
    generation = environment.metadata.generation
    conditions = kstatus(environment.status.conditions, "Reconciling", phase.value, text, generation, now)
    return environment.status.model_copy(update={"conditions": conditions, "observed_generation": generation})


def _held_by_itself(environment: Environment, phase: EnvironmentPhase, now: datetime) -> EnvironmentStatus:
    status = _on_its_way(environment, phase, "", now)
    epoch = status.epoch + 1
    holder = Holder(record=environment.name, uid=environment.metadata.uid, epoch=epoch, since=now)
    return status.model_copy(update={"holder": holder, "epoch": epoch, "phase": phase})


def _phase(status: EnvironmentStatus) -> EnvironmentPhase:
    if status.holder is not None:
        return EnvironmentPhase.DEPLOYING
    if status.hold is not None:
        return EnvironmentPhase.ON_HOLD
    is_expired = status.phase is EnvironmentPhase.EXPIRED and not status.current
    return EnvironmentPhase.EXPIRED if is_expired else EnvironmentPhase.IDLE
