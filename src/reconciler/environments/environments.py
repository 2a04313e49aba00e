"""Environments: what one look at an Environment does."""

from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from reconciler.domain.clock import Clock
from reconciler.domain.conditions import KState, kstatus
from reconciler.domain.keys import Key
from reconciler.domain.resources import Environment, EnvironmentPhase, EnvironmentStatus
from reconciler.domain.wanted import address_of
from reconciler.engine.engine import Engine
from reconciler.engine.invalid import tell_invalid
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store
from reconciler.environments.clearing import Clearing, project_of
from reconciler.environments.departure import Departure
from reconciler.environments.expiry import Expiry
from reconciler.environments.lifetime import due, expiry_of
from reconciler.environments.removal import Systems
from reconciler.environments.slot import SlotKeeper

RELEASE = "freeleaps.com/release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Environments:
    """Looks at environments."""

    store: Store
    clock: Clock
    keeper: SlotKeeper
    expiry: Expiry
    departure: Departure

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
            return await self.departure.carry_out(environment)
        environment = Environment(await self.store.ensure_finalizer(body))
        environment = await self.keeper.free(environment)
        if await self.expiry.has_come(environment):
            return await self.expiry.carry_out(environment)
        return await self._tell(environment)

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
        return due(expiry_of(environment), self.clock.now(), self.store.server_now())

    def _addresses(self, environment: Environment) -> list[str]:
        project = project_of(environment, self.store)
        if project is None:
            return environment.status.addresses
        current = environment.status.current
        known = (address_of(environment, one) for one in project.spec.components if one.name in current)
        return [address for address in known if address]


def make_environments(
    *, store: Store, engine: Engine, clock: Clock, patience: Patience, systems: Systems, owner: str
) -> Environments:
    """Make what looks at environments, with its parts."""
    keeper = SlotKeeper(store=store)
    clearing = Clearing(store=store, engine=engine, clock=clock, patience=patience, systems=systems, owner=owner)
    return Environments(
        store=store,
        clock=clock,
        keeper=keeper,
        expiry=Expiry(store=store, clearing=clearing),
        departure=Departure(store=store, keeper=keeper, clearing=clearing),
    )


def _phase(status: EnvironmentStatus) -> EnvironmentPhase:
    if status.holder is not None:
        return EnvironmentPhase.DEPLOYING
    if status.hold is not None:
        return EnvironmentPhase.ON_HOLD
    is_expired = status.phase is EnvironmentPhase.EXPIRED and not status.current
    return EnvironmentPhase.EXPIRED if is_expired else EnvironmentPhase.IDLE
