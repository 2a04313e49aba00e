"""One pass over a removal: phases in order, what is in a phase side by side."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from reconciler.domain.answers import Answer
from reconciler.domain.clock import Clock
from reconciler.domain.conditions import kstatus, reachability
from reconciler.domain.keys import Key
from reconciler.domain.names import shortened
from reconciler.domain.resources import Environment, EnvironmentStatus, Resource, SetupStep, StepState
from reconciler.domain.resources.settings import SettingsStatus
from reconciler.domain.resources.step import LONGEST_STEP_NAME as _LONGEST
from reconciler.domain.things import Thing
from reconciler.domain.words import cut
from reconciler.engine.looking import answers_of
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store
from reconciler.engine.stored import steps_beside, steps_named
from reconciler.removal.going import Look

Phases = Sequence[Mapping[str, Look]]
"""What goes, by the names of its steps; a phase is looked at when all of the one before are done."""


def step_of(thing: Thing) -> str:
    """Name the step in which a thing goes; the records of a zone go together."""
    what = f"records in {thing.place}" if thing.kind == "Record" else f"{thing.kind.lower()} {thing.name}"
    return shortened(f"remove {what}", _LONGEST)


def steps_of(things: Sequence[Thing]) -> list[str]:
    """Name the steps in which the things of one inventory go: what has one name at two places is told apart."""
    names: list[str] = []
    for thing in things:
        name = step_of(thing)
        if thing.kind != "Record" and name in names:
            where = " at ".join(part for part in (thing.place, thing.where.endpoint) if part)
            name = shortened(f"{name} in {where}", _LONGEST)
        names.append(name)
    return names


class RemovalWork:
    """A removal of what a resource has outside. Implements `engine.engine.Work`."""

    def __init__(
        self,
        resource: Resource,
        phases: Phases,
        *,
        reason: str,
        store: Store,
        clock: Clock,
        patience: Patience,
    ) -> None:
        """Make one pass.

        Args:
            resource: whose things go; its body is kept up to date.
            phases: what goes.
            reason: for the condition meanwhile.
            store: where the steps are written.
            clock: for the steps.
            patience: with systems that are away.
        """
        self._resource = resource
        self._phases = phases
        self._reason = reason
        self._store = store
        self._clock = clock
        self._patience = patience

    @property
    def subject(self) -> str:
        """Name the resource."""
        return f"{self._resource.kind}/{self._resource.name}"

    def steps(self) -> dict[str, SetupStep]:
        """Return the steps as stored."""
        return steps_named(self._names(), self._status().steps)

    def former_steps(self) -> dict[str, SetupStep]:
        """Return the steps of what was done before."""
        return steps_beside(self._names(), self._status().steps)

    async def look(self, steps: Mapping[str, SetupStep]) -> Mapping[str, Answer]:
        """Ask all of the first phase that is not done, side by side."""
        now = self._clock.now()
        for phase in self._phases:
            looks = {
                name: _asked(look, steps[name], now) for name, look in phase.items() if not steps[name].state.is_end
            }
            if looks:
                return await answers_of(looks, steps, now, self._patience, self.subject)
            if any(steps[name].state is not StepState.DONE for name in phase):
                break
        return {}

    async def store(self, steps: Mapping[str, SetupStep]) -> None:
        """Write the steps, and what is waited for."""
        old, now, generation = self._status(), self._clock.now(), self._resource.metadata.generation
        text = "; ".join(step.waiting_for for step in steps.values() if step.waiting_for)
        said = f"waits for {text}" if text else ""
        conditions = kstatus(old.conditions, "Reconciling", self._reason, said, generation, now)
        conditions = reachability(conditions, steps.values(), generation, now)
        changes: dict[str, Any] = {"steps": list(steps.values()), "conditions": conditions}
        if isinstance(old, SettingsStatus):
            changes |= {"waiting_for": cut(text), "next_look_at": _next_look(steps)}
        self._resource.body = await self._store.write_status(self._resource.body, old.model_copy(update=changes).dump())

    async def reread(self) -> dict[str, SetupStep]:
        """Read the resource from the API server."""
        resource = self._resource
        resource.body = await self._store.fetch(Key(resource.kind, resource.namespace, resource.name))
        return self.steps()

    def is_complete(self) -> bool:
        """Tell whether nothing of ours is left."""
        return all(step.state is StepState.DONE for step in self.steps().values())

    def next_look(self) -> datetime | None:
        """Return when to look again."""
        return _next_look(self.steps())

    def _names(self) -> list[str]:
        return [name for phase in self._phases for name in phase]

    def _status(self) -> EnvironmentStatus | SettingsStatus:
        model = EnvironmentStatus if isinstance(self._resource, Environment) else SettingsStatus
        return model.model_validate(self._resource.body.get("status") or {})


async def _asked(look: Look, step: SetupStep, now: datetime) -> Answer:
    return await look(step, now)


def _next_look(steps: Mapping[str, SetupStep]) -> datetime | None:
    return min((step.next_look_at for step in steps.values() if step.next_look_at), default=None)
