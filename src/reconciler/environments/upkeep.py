"""Upkeep: the Applications and DNS records of what is current are compared with what is there, and put right.

A pass that finds everything as wanted writes nothing. One that has something to change takes the slot in the very
write that stores its claims, and gives it back in the one that stores what came of them: a deployment that comes
meanwhile waits for that long, and a pass that waits for a system holds nothing.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from reconciler.domain.annotations import ADOPT, CONFIRM_REMOVAL, RECONCILE_AT, asked, with_request
from reconciler.domain.answers import Answer, Done, Nudge, Waiting
from reconciler.domain.clock import Clock
from reconciler.domain.conditions import reachability, with_drift
from reconciler.domain.drift import DriftRules, standing
from reconciler.domain.errors import Invalid, RateLimited
from reconciler.domain.keys import Key, key_of
from reconciler.domain.resources import (
    DevOpsProject,
    DriftPolicy,
    Environment,
    EnvironmentPhase,
    EnvironmentStatus,
    InventoryItem,
    Settled,
    SetupStep,
    StepState,
)
from reconciler.domain.slot import given_back, with_intended
from reconciler.domain.wanted import inventory_of, marker_of
from reconciler.engine.drifting import Judge, leave_as_it_is
from reconciler.engine.engine import Engine
from reconciler.engine.looking import answers_of
from reconciler.engine.patience import Patience
from reconciler.engine.polls import Polls, next_poll
from reconciler.engine.store import Store
from reconciler.engine.stored import steps_beside, steps_named
from reconciler.engine.zones import zone_of
from reconciler.environments.clearing import project_of
from reconciler.environments.keeping import Keeping, KeptLook
from reconciler.environments.removal import argo_settings_of
from reconciler.environments.slot import held_by_itself, is_under_repair
from reconciler.resilience.errand import sweeping

_SOON = timedelta(seconds=2)
_REQUESTS = (ADOPT, CONFIRM_REMOVAL)
_UNDER_WAY = (StepState.RUNNING, StepState.WAITING)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepRules:
    """When it is looked, and when a repair is called a fight.

    Attributes:
        interval: between two comparisons of one environment.
        calm: after a deployment, which has just looked itself; never longer than the interval.
    """

    interval: timedelta = timedelta(seconds=300)
    calm: timedelta = timedelta(seconds=30)
    drift: DriftRules = field(default_factory=DriftRules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """Keeps environments as they are wanted."""

    store: Store
    engine: Engine
    clock: Clock
    patience: Patience
    keeping: Keeping
    rules: UpkeepRules
    polls: Polls = field(default_factory=Polls)

    async def carry_out(self, environment: Environment) -> tuple[Environment, datetime | None]:
        """Compare, if it is time and nobody else changes it; return the environment as stored, and the next look."""
        project = project_of(environment, self.store)
        if project is None or not is_to_keep(environment, project):
            return environment, None
        key, now = key_of(environment.body), self.clock.now()
        if (calm_until := self._calm_until(environment, now)) is not None:
            return environment, calm_until
        try:
            looks = self.keeping.looks(environment, project)
        except Invalid:
            return environment, None  # the deployment tool's settings say what is wrong; nothing is changed by them
        work = self._work(environment, project, looks)
        work.poll = self._is_due(environment, key, now)
        try:
            with sweeping() if work.is_settled else nullcontext():
                await self.engine.carry_out(work)
        except RateLimited as limited:
            return work.environment, now + max(limited.retry_after or _SOON, _SOON)
        if work.poll:
            self.polls.took(key, now)
        return work.environment, min([next_poll(key, self.rules.interval, now), *work.next_looks()])

    def forget(self, key: Key) -> None:
        """Forget an environment that is gone."""
        self.polls.forget(key)

    def _is_due(self, environment: Environment, key: Key, now: datetime) -> bool:
        return self.polls.is_due(key, self.rules.interval, now, checked_at=now) or _is_asked_for(environment)

    def _calm_until(self, environment: Environment, now: datetime) -> datetime | None:
        """Return until when there is nothing to compare: a deployment just did, and nobody wants it sooner."""
        freed_at, calm = environment.status.freed_at, min(self.rules.calm, self.rules.interval)
        is_under_way = any(step.state in _UNDER_WAY for step in environment.status.steps)
        if freed_at is None or is_under_way or _is_asked_for(environment) or not freed_at <= now < freed_at + calm:
            return None
        return freed_at + calm

    def _work(self, environment: Environment, project: DevOpsProject, looks: Sequence[KeptLook]) -> "UpkeepWork":
        zone = zone_of(self.store, project, environment)
        argo = argo_settings_of(environment, self.store)
        marker = marker_of(environment, self.keeping.owner)
        current = [one for one in project.spec.components if one.name in environment.status.current]
        place = None if isinstance(zone, Waiting) else zone
        intended = inventory_of(project, environment, current, argo, place, marker) if argo else []
        judge = Judge(environment.status.drift, self.rules.drift)
        return UpkeepWork(
            environment, looks, intended, judge, store=self.store, clock=self.clock, patience=self.patience
        )


class UpkeepWork:
    """One pass over what an environment has outside. Implements `engine.engine.Work`.

    Attributes:
        environment: as stored.
        poll: whether the world is to be asked even if everything was as wanted.
    """

    def __init__(
        self,
        environment: Environment,
        looks: Sequence[KeptLook],
        intended: Sequence[InventoryItem],
        judge: Judge,
        *,
        store: Store,
        clock: Clock,
        patience: Patience,
    ) -> None:
        self.environment = environment
        self.poll = True
        self._looks = {look.name: look for look in looks}
        self._intended = intended
        self._judge = judge
        self._store = store
        self._clock = clock
        self._patience = patience
        self._answered: set[str] = set()
        self._done: set[str] = set()
        self._has_acted = False
        self._may_take = True

    @property
    def subject(self) -> str:
        """Name the environment."""
        return f"Environment/{self.environment.name}"

    @property
    def is_settled(self) -> bool:
        """Whether all was as wanted before, so that nobody waits for this pass."""
        return all(look.is_done_in(self.steps()[name]) for name, look in self._looks.items())

    def steps(self) -> dict[str, SetupStep]:
        """Return the steps as stored; a new one is pending."""
        return steps_named(self._looks, self.environment.status.steps)

    def former_steps(self) -> dict[str, SetupStep]:
        """Return the steps of what is not wanted any more."""
        return steps_beside(self._looks.keys(), self.environment.status.steps)

    def next_looks(self) -> list[datetime]:
        """Return when the steps that are not as wanted are to be looked at again."""
        steps, soon = self.steps().values(), self._clock.now() + _SOON
        promised = [step.next_look_at for step in steps if step.next_look_at]
        return promised + [soon for step in steps if step.state is StepState.RUNNING]

    async def look(self, steps: Mapping[str, SetupStep]) -> Mapping[str, Answer]:
        """Ask about everything side by side; ask nothing when all was as wanted and it is not time."""
        now = self._clock.now()
        is_asked = self.poll or not all(look.is_done_in(steps[name]) for name, look in self._looks.items())
        asked_now = {}
        for name, look in self._looks.items():
            if name in self._answered:
                continue
            if is_asked and not (look.policy is DriftPolicy.IGNORE and look.is_done_in(steps[name])):
                asked_now[name] = look
                continue
            if is_asked:
                self._judge.ignore(look, now)
            self._answered.add(name)
            self._done.add(name)
        looking = {name: look.asked(steps[name], now) for name, look in asked_now.items()}
        found = await answers_of(looking, steps, now, self._patience, self.subject)
        return {name: self._judged(asked_now[name], steps[name], answer, now) for name, answer in found.items()}

    def _judged(self, look: KeptLook, step: SetupStep, answer: Answer, now: datetime) -> Answer:
        if not self._has_acted:
            leave_as_it_is(answer, now)
        judged = self._judge.judge(look, step, answer, now)
        if isinstance(judged, Nudge):
            return judged
        self._answered.add(look.name)
        if isinstance(judged, Done):
            self._done.add(look.name)
        return judged

    async def store(self, steps: Mapping[str, SetupStep]) -> None:
        """Write the steps and what follows from them; the slot is held for as long as a claim is acted on."""
        is_acting = any(_is_to_be_acted_on(step) for step in steps.values())
        self._has_acted = self._has_acted or is_acting
        status = self._rendered([self._as_of(step) for step in steps.values()])
        if is_acting and self._may_take:
            status = self._taken(status)
        elif not is_acting and is_under_repair(self.environment):
            status = given_back(status, self._clock.now())
        body = await self._store.write_status(self.environment.body, status.dump())
        self.environment = Environment(body)

    async def reread(self) -> dict[str, SetupStep]:
        """Read the environment from the API server; whoever wrote first may have the slot."""
        key = Key(Environment.kind, self.environment.namespace, self.environment.name)
        self.environment = Environment(await self._store.fetch(key))
        self._may_take = False
        return self.steps()

    def _taken(self, status: EnvironmentStatus) -> EnvironmentStatus:
        """Return the status with the slot taken, if it is not already, and what may be made in the inventory."""
        status = status.model_copy(update={"inventory": with_intended(status.inventory, self._intended)})
        if is_under_repair(self.environment):
            return status
        environment = Environment(self.environment.body)
        environment.status = status
        return held_by_itself(environment, EnvironmentPhase.REPAIRING, self._clock.now())

    def _as_of(self, step: SetupStep) -> SetupStep:
        return self._judge.as_of(self._looks[step.name], step, is_passed=step.name in self._done)

    def _rendered(self, steps: list[SetupStep]) -> EnvironmentStatus:
        old, now, generation = self.environment.status, self._clock.now(), self.environment.metadata.generation
        names = {step.name for step in steps}
        stale = [one for one in standing(self._judge.entries) if one.step not in names]
        drift = [one for one in self._judge.entries if one not in stale]
        conditions = reachability(old.conditions, steps, generation, now)
        changes: dict[str, Any] = {
            "steps": steps,
            "drift": drift,
            "conditions": with_drift(conditions, drift, generation, now),
        }
        if self._done.issuperset(self._looks):
            gone = frozenset[tuple[str, str]]().union(*(look.gone for look in self._looks.values()))
            left = [item for item in old.inventory if item.kind != "Record" or (item.place, item.name) not in gone]
            handled = old.handled
            for request in _REQUESTS:
                handled = with_request(handled, self.environment.metadata.annotations, request)
            changes |= {"inventory": left, "handled": handled}
        return old.model_copy(update=changes)


def is_to_keep(environment: Environment, project: DevOpsProject) -> bool:
    """Tell whether anything is wanted there now, and nobody else is at work or has asked to leave it alone."""
    status = environment.status
    is_let = status.holder is None and not environment.is_paused and not project.is_paused
    return is_let and bool(status.current) and not project.is_deleting


def _is_asked_for(environment: Environment) -> bool:
    """Tell whether a person asks for a comparison now."""
    annotations, handled = environment.metadata.annotations, environment.status.handled
    return any(asked(annotations, handled, request) for request in (RECONCILE_AT, *_REQUESTS))


def _is_to_be_acted_on(step: SetupStep) -> bool:
    """Tell whether a claim is about to be stored, and acted on after that."""
    claim = step.claim
    return step.state is StepState.RUNNING and claim is not None and claim.settled is Settled.UNKNOWN
