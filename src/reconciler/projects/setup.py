"""A set-up: named steps in order, each compared anew at every poll, so that what somebody changed is found again.

Used by every settings kind; the kinds bring the steps, this brings order, claims, drift, inventory, conditions and the
status.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from reconciler.domain.answers import Answer, Done, Nudge
from reconciler.domain.changes import Action, Change
from reconciler.domain.clock import Clock
from reconciler.domain.conditions import credentials_refused, kstatus, reachability, with_drift
from reconciler.domain.drift import DriftRules, left_standing
from reconciler.domain.keys import Key
from reconciler.domain.names import shortened
from reconciler.domain.resources import (
    Condition,
    DriftPolicy,
    InventoryItem,
    Resource,
    Settled,
    SetupStep,
    StepState,
)
from reconciler.domain.resources.settings import SettingsStatus
from reconciler.domain.resources.step import LONGEST_STEP_NAME
from reconciler.domain.words import cut
from reconciler.engine.drifting import Judge, leave_as_it_is
from reconciler.engine.looking import answers_of
from reconciler.engine.patience import Patience
from reconciler.engine.polls import TOLD_AGAIN
from reconciler.engine.store import Store
from reconciler.engine.stored import steps_beside, steps_named
from reconciler.removal.going import Look

_LONGEST_IDENTITY = 320


@dataclass(frozen=True, slots=True)
class SetupLook:
    """One step of a set-up, or, with `going`, the step after it in which something goes that is not wanted any more.

    Attributes:
        name: of the step, unique in the set-up.
        look: answers how it stands; asked only when all steps before it are done in this pass.
        item: what it makes outside; written as intended with the claim and as made when the step is done. Of what goes:
            what it was; taken off when the step is done.
        generation: of the project that it is for; kept with the step when it is done.
        wanted: a fingerprint of what is wanted; a step that was done for the same one and is not any more has drifted.
        policy: what is done about drift.
        renewal: makes what is there anew, for what is wanted now; given where it does not show what it was made from
            (secrets never come back).
        going: answers how far it is gone. The set-up is ready without it.
    """

    name: str
    look: Callable[[], Awaitable[Answer]] | None = None
    item: InventoryItem | None = None
    generation: int = 0
    wanted: str = ""
    policy: DriftPolicy = DriftPolicy.REPAIR
    renewal: Callable[[], Nudge] | None = None
    going: Look | None = None

    async def asked(self, step: SetupStep, now: datetime) -> Answer:
        """Look at it; what is made anew and what goes are changes as well."""
        if self.going is not None:
            answer = await self.going(step, now)
            return replace(answer, change=self.departure) if isinstance(answer, Nudge) else answer
        return self._or_renewal(await self.look(), step) if self.look else Done()

    @property
    def departure(self) -> Change | None:
        """The removal of what goes; None for a step of the set-up itself."""
        if self.going is None or self.item is None:
            return None
        return Change(self.item.system, self.item.kind, self.item.name, Action.DELETE)

    def is_done_in(self, step: SetupStep) -> bool:
        """Tell whether the step was done for what is wanted now."""
        return step.state is StepState.DONE and bool(self.wanted) and step.wanted == self.wanted

    def _or_renewal(self, answer: Answer, step: SetupStep) -> Answer:
        """Return the answer, or how to make anew what is there but was made for something else than is wanted now."""
        if not isinstance(answer, Done) or self.renewal is None or step.wanted == self.wanted:
            return answer
        nudge, claim = self.renewal(), step.claim
        was_made = claim is not None and claim.key == nudge.identity and claim.settled is Settled.DONE
        return answer if was_made else nudge


class SetupWork:
    """One pass over the steps of a settings resource. Implements `engine.engine.Work`.

    Attributes:
        poll: whether the world is to be asked even if everything was done for what is wanted now.
        refusal: that newer credentials are refused and the former stay in use; empty when none are.
        detail: what is worth telling of the system.
        handled: tokens of annotations that are handled when every step is done, by annotation.
    """

    def __init__(
        self,
        resource: Resource,
        status: SettingsStatus,
        looks: Sequence[SetupLook],
        *,
        store: Store,
        clock: Clock,
        patience: Patience,
        rules: DriftRules | None = None,
        poll: bool = True,
        identity: Callable[[InventoryItem], Hashable] = lambda item: (item.kind, item.name, item.place, item.endpoint),
    ) -> None:
        self._resource = resource
        self._status = status
        self._looks = {look.name: look for look in looks}
        self._store = store
        self._clock = clock
        self._patience = patience
        self._judge = Judge(status.drift, rules or DriftRules())
        self._identity = identity
        self._passed: set[str] = set()
        self.poll = poll
        self.detail = ""
        self.handled: Mapping[str, str] = {}
        self.refusal = ""

    @property
    def subject(self) -> str:
        """Name the resource."""
        return f"{self._resource.kind}/{self._resource.name}"

    @property
    def status(self) -> SettingsStatus:
        """The status as stored."""
        return self._status

    @property
    def is_done(self) -> bool:
        """Whether every step is done."""
        return self._passed.issuperset(self._looks)

    def steps(self) -> dict[str, SetupStep]:
        """Return the steps as stored; a new one is pending."""
        return steps_named(self._looks, self._status.steps)

    def former_steps(self) -> dict[str, SetupStep]:
        """Return the steps of what is not wanted any more, or cannot be looked at now."""
        return steps_beside(self._looks.keys(), self._status.steps)

    async def look(self, steps: Mapping[str, SetupStep]) -> Mapping[str, Answer]:
        """Ask the steps in order, and stop at the first that is not done; ask none when all are and none is due."""
        answers = dict[str, Answer]()
        is_asked = self.poll or not all(one.is_done_in(steps[name]) for name, one in self._looks.items())
        for name, look in self._looks.items():
            if name in self._passed:
                continue
            is_ignored = look.policy is DriftPolicy.IGNORE and look.is_done_in(steps[name])
            if is_asked and not is_ignored:
                answers[name] = await self._ask(look, steps[name])
                if not isinstance(answers[name], Done):
                    break
            elif is_ignored:
                self._judge.ignore(look, self._clock.now())
            self._passed.add(name)
        return answers

    async def _ask(self, look: SetupLook, step: SetupStep) -> Answer:
        now = self._clock.now()
        looking = {look.name: look.asked(step, now)}
        answer = (await answers_of(looking, {look.name: step}, now, self._patience, self.subject))[look.name]
        leave_as_it_is(answer, now)
        return self._judge.judge(look, step, answer, now)

    async def store(self, steps: Mapping[str, SetupStep]) -> None:
        """Write steps, inventory, drift and conditions, if anything of it is news."""
        self._status = self._rendered([self._as_of(step) for step in steps.values()])
        self._resource.body = await self._store.write_status(self._resource.body, self._status.dump())

    async def reread(self) -> dict[str, SetupStep]:
        """Read the resource from the API server."""
        resource = self._resource
        resource.body = await self._store.fetch(Key(resource.kind, resource.namespace, resource.name))
        self._status = SettingsStatus.model_validate(resource.body.get("status") or {})
        return self.steps()

    def _as_of(self, step: SetupStep) -> SetupStep:
        """Return the step with what it is done for."""
        look = self._looks[step.name]
        is_passed = step.name in self._passed
        after = self._judge.as_of(look, step, is_passed=is_passed)
        # What goes is no part of being set up for this generation.
        if look.going is not None or (step.state is StepState.DONE and is_passed):
            return after.model_copy(update={"generation": look.generation})
        return after

    def _rendered(self, steps: list[SetupStep]) -> SettingsStatus:
        now, generation = self._clock.now(), self._resource.metadata.generation
        first = next((step for step in steps if step.state is not StepState.DONE), None)
        setting_up = [step for step in steps if self._looks[step.name].going is None]
        status = self._status
        changes: dict[str, Any] = {
            "observed_generation": generation,
            "steps": steps,
            "inventory": self._inventory(steps),
            "drift": self._judge.entries,
            "conditions": self._conditions(setting_up, generation, now),
            # The steps behind the first that is not done were not asked: what they said of the future is over.
            "next_look_at": first.next_look_at if first else None,
            "waiting_for": first.waiting_for if first else "",
            "detail": self.detail[:512] or status.detail,
            "handled": {**status.handled, **self.handled} if self.is_done else status.handled,
        }
        after = status.model_copy(update=changes)
        was_told = status.checked_at is not None and now - status.checked_at < TOLD_AGAIN
        if not self.is_done or not self.poll or (was_told and after == status):
            return after
        return after.model_copy(update={"checked_at": now})

    def _conditions(self, steps: list[SetupStep], generation: int, now: datetime) -> list[Condition]:
        first = next((step for step in steps if step.state is not StepState.DONE), None)
        conditions = _readiness(self._status, first, left_standing(self._judge.entries), generation, now)
        conditions = reachability(conditions, steps, generation, now)
        conditions = credentials_refused(conditions, self.refusal, generation, now)
        return with_drift(conditions, self._judge.entries, generation, now)

    def _inventory(self, steps: list[SetupStep]) -> list[InventoryItem]:
        items = {self._identity(item): item for item in self._status.inventory}
        for step in steps:
            look = self._looks[step.name]
            if look.item is None or (step.claim is None and step.state is not StepState.DONE):
                continue
            identity = self._identity(look.item)
            if look.going is None:
                state = "Made" if step.state is StepState.DONE else items.get(identity, look.item).state
                items[identity] = look.item.model_copy(update={"state": state})
            elif step.state is StepState.DONE and step.name in self._passed:
                items.pop(identity, None)
        return list(items.values())


def _readiness(
    status: SettingsStatus, first: SetupStep | None, drifted: str, generation: int, now: datetime
) -> list[Condition]:
    if first is None:
        reason = "Drifted" if drifted else "Ready"
        return kstatus(status.conditions, "Ready", reason, drifted, generation, now)
    text = first.waiting_for or first.message
    if first.remedy:
        return kstatus(status.conditions, "Stalled", first.reason, f"{text}; {first.remedy}", generation, now)
    if first.state is StepState.FAILED:
        return kstatus(status.conditions, "Stalled", first.reason, text, generation, now)
    return kstatus(status.conditions, "Reconciling", first.reason or "Reconciling", text, generation, now)


def bring(resource: Resource, step: str, act: Callable[[], Awaitable[None]], change: Change, wanted: str) -> Nudge:
    """Return a change of a set-up, named by what is wanted: doing it twice is doing it once.

    Args:
        resource: whose set-up it is.
        step: what it is about, unique in the set-up.
        act: does it.
        change: what it does.
        wanted: the fingerprint of what is wanted.
    """
    identity = f"{resource.kind}/{resource.namespace}/{resource.name}/{step}/{wanted}"
    return _nudge(identity, act, change.what(), change.system, change.before(), change)


def change(
    resource: Resource, step: str, act: Callable[[], Awaitable[None]], what: str, system: str, before: str = ""
) -> Nudge:
    """Return a change of a removal: it is named, so doing it twice is doing it once."""
    identity = f"{resource.kind}/{resource.namespace}/{resource.name}/{step}/{resource.metadata.generation}"
    return _nudge(identity, act, what, system, before)


def _nudge(
    identity: str,
    act: Callable[[], Awaitable[None]],
    what: str,
    system: str,
    before: str,
    changed: Change | None = None,
) -> Nudge:
    async def acted() -> dict[str, str]:
        await act()
        return {}

    key = shortened(identity, _LONGEST_IDENTITY)
    return Nudge(key, acted, what, system=system, before=cut(before), is_repeatable=True, change=changed)


def step_name(what: str) -> str:
    """Return the name of a step, short enough and still its own."""
    return shortened(what, LONGEST_STEP_NAME)
