"""Environments: what one look at an Environment does."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from reconciler.domain.annotations import PAUSED
from reconciler.domain.answers import Waiting
from reconciler.domain.clock import Clock
from reconciler.domain.conditions import KState, kstatus
from reconciler.domain.keys import Key
from reconciler.domain.resources import DeploymentRecord, Environment, EnvironmentPhase, StepState
from reconciler.domain.wanted import address_of, dns_target, host_of
from reconciler.engine.engine import Engine
from reconciler.engine.invalid import tell_invalid
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store
from reconciler.engine.zones import is_held_by, no_zone, zone_of
from reconciler.environments.clearing import Clearing, project_of
from reconciler.environments.departure import Departure
from reconciler.environments.expiry import Expiry
from reconciler.environments.keeping import Keepers, Keeping
from reconciler.environments.lifetime import Lifetimes, next_look, steered, warned
from reconciler.environments.removal import Removal
from reconciler.environments.slot import SlotKeeper, is_held_by_itself
from reconciler.environments.upkeep import Upkeep, UpkeepRules
from reconciler.removal.leaving import Leaving
from reconciler.removal.looks import Looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Environments:
    """Looks at environments."""

    store: Store
    clock: Clock
    rules: Lifetimes
    keeper: SlotKeeper
    expiry: Expiry
    departure: Departure
    upkeep: Upkeep

    async def look(self, key: Key) -> datetime | None:
        """Keep an environment's slot honest, end it when its time has come; return when to look again."""
        body = self.store.read(key)
        if body is None:
            self.upkeep.forget(key)
            return None
        try:
            environment = Environment(body)
        except ValidationError as error:
            if body["metadata"].get("deletionTimestamp"):
                await self.departure.abandon(body, error)
            else:
                await tell_invalid(self.store, body, error, self.clock.now())
            return None
        if environment.is_deleting:
            return await self.departure.carry_out(environment)
        environment = Environment(await self.store.ensure_finalizer(body))
        environment = await self._steer(await self.keeper.free(environment))
        if await self.expiry.has_come(environment):
            return await self.expiry.carry_out(environment)
        environment, compared_at = await self.upkeep.carry_out(environment)
        told = await self._tell(environment)
        return min((moment for moment in (told, compared_at) if moment is not None), default=None)

    async def _steer(self, environment: Environment) -> Environment:
        """Do what annotations, pins and pauses ask for, before anything else is decided."""
        name, project = environment.spec.name, environment.spec.project_ref
        records = self.store.list_(
            DeploymentRecord.kind, environment.namespace, project=project, environment=name, active_only=True
        )
        is_awaited = next(iter(records), None) is not None
        status = steered(environment, self.store.server_now(), self.rules, is_awaited=is_awaited)
        if status == environment.status:
            return environment
        return Environment(await self.store.write_status(environment.body, status.dump()))

    async def _tell(self, environment: Environment) -> datetime | None:
        old, now, generation = environment.status, self.clock.now(), environment.metadata.generation
        phase, (state, reason, text) = _phase(environment), self._state(environment)
        status = old.model_copy(
            update={
                "observed_generation": generation,
                "phase": phase,
                "warned": warned(environment, self.store.server_now(), self.rules),
                "addresses": self._addresses(environment),
                "conditions": kstatus(old.conditions, state, reason or phase.value, text, generation, now),
            }
        )
        stored = Environment(await self.store.write_status(environment.body, status.dump()))
        return next_look(stored, self.clock.now(), self.store.server_now(), self.rules)

    def _state(self, environment: Environment) -> tuple[KState, str, str]:
        """Return how it stands; that a deployment could not be exposed is told before there is one."""
        state, reason, text = _state(environment)
        missing = self._without_zone(environment) if (state, text) == ("Ready", "") else None
        if missing is None:
            return state, reason, text
        return "Stalled", missing.reason, f"{missing.what}; {missing.remedy}"

    def _without_zone(self, environment: Environment) -> Waiting | None:
        """Return what is missing for the hosts of the environment's components to get their records."""
        project = project_of(environment, self.store)
        is_expired = _phase(environment) is EnvironmentPhase.EXPIRED
        if project is None or is_expired or dns_target(project, environment) is None:
            return None
        hosts = [host for one in project.spec.components if (host := host_of(environment, one))]
        zone = zone_of(self.store, project, environment) if hosts else None
        if isinstance(zone, Waiting):
            return zone
        return next((no_zone(host) for host in hosts if not is_held_by(zone, host)), None)

    def _addresses(self, environment: Environment) -> list[str]:
        project = project_of(environment, self.store)
        if project is None:
            return environment.status.addresses
        current = environment.status.current
        known = (address_of(environment, one) for one in project.spec.components if one.name in current)
        return [address for address in known if address]


def make_environments(
    *,
    store: Store,
    engine: Engine,
    clock: Clock,
    patience: Patience,
    looks: Looks,
    leaving: Leaving,
    systems: Keepers,
    owner: str,
    rules: Lifetimes | None = None,
    read_lag: timedelta = timedelta(seconds=60),
    upkeep: UpkeepRules | None = None,
) -> Environments:
    """Make what looks at environments, with its parts; what a zone shows may be older than it seems by `read_lag`."""
    keeper, rules = SlotKeeper(store=store, clock=clock), rules or Lifetimes()
    removal = Removal(store=store, looks=looks, owner=owner, read_lag=read_lag)
    clearing = Clearing(store=store, engine=engine, clock=clock, patience=patience, removal=removal)
    return Environments(
        store=store,
        clock=clock,
        rules=rules,
        keeper=keeper,
        expiry=Expiry(store=store, clock=clock, clearing=clearing, rules=rules),
        departure=Departure(store=store, keeper=keeper, clearing=clearing, leaving=leaving, owner=owner),
        upkeep=Upkeep(
            store=store,
            engine=engine,
            clock=clock,
            patience=patience,
            keeping=Keeping(store=store, systems=systems, owner=owner, read_lag=read_lag),
            rules=upkeep or UpkeepRules(),
        ),
    )


def _phase(environment: Environment) -> EnvironmentPhase:
    status = environment.status
    if is_held_by_itself(environment):
        return status.phase
    if status.holder is not None:
        return EnvironmentPhase.DEPLOYING
    if status.hold is not None:
        return EnvironmentPhase.ON_HOLD
    is_expired = status.phase is EnvironmentPhase.EXPIRED and not status.current
    return EnvironmentPhase.EXPIRED if is_expired else EnvironmentPhase.IDLE


def _state(environment: Environment) -> tuple[KState, str, str]:
    """Return how it stands, the reason where the phase does not say it, and why in words."""
    status = environment.status
    if is_held_by_itself(environment):
        return "Reconciling", "", f"waits for the annotation {PAUSED} to go"
    if status.holder is not None:
        return "Reconciling", "", f"DeploymentRecord {status.holder.record} is being deployed"
    if status.hold is not None:
        return "Stalled", "", status.hold.reason
    stuck = next((step for step in status.steps if step.remedy or step.state is StepState.FAILED), None)
    if stuck is not None and status.current:
        text = f"{stuck.waiting_for}; {stuck.remedy}" if stuck.remedy else stuck.message
        return "Stalled", stuck.reason, text
    return "Ready", "", f"on pause: the annotation {PAUSED} is set" if environment.is_paused else ""
