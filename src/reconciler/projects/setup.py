"""A set-up: named steps in order, each looked at anew at every poll, so that what somebody changed is found again.

Used by every settings kind; the kinds bring the steps, this brings order, claims, inventory, conditions and the status.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from reconciler.domain.answers import Answer, Done, Nudge, Waiting
from reconciler.domain.clock import Clock
from reconciler.domain.conditions import kstatus, reachability
from reconciler.domain.keys import Key
from reconciler.domain.names import shortened
from reconciler.domain.resources import InventoryItem, Resource, Settled, SetupStep, StepState
from reconciler.domain.resources.settings import SettingsStatus
from reconciler.domain.resources.step import LONGEST_STEP_NAME
from reconciler.engine.looking import answers_of
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store

_SHOWS_BY = timedelta(seconds=60)
"""After this long a change has shown, or it had no effect."""
_LONGEST_IDENTITY = 320


@dataclass(frozen=True, slots=True)
class SetupLook:
    """One step of a set-up.

    Attributes:
        name: of the step, unique in the set-up.
        look: answers how it stands; asked only when all steps before it are done in this pass.
        item: what it makes outside; written as intended with the claim and as made when the step is done.
        generation: of the project that it is for; kept with the step when it is done.
    """

    name: str
    look: Callable[[], Awaitable[Answer]]
    item: InventoryItem | None = None
    generation: int = 0


class SetupWork:
    """One pass over the steps of a settings resource. Implements `engine.engine.Work`."""

    def __init__(
        self,
        resource: Resource,
        status: SettingsStatus,
        looks: Sequence[SetupLook],
        *,
        store: Store,
        clock: Clock,
        patience: Patience,
    ) -> None:
        self._resource = resource
        self._status = status
        self._looks = {look.name: look for look in looks}
        self._store = store
        self._clock = clock
        self._patience = patience
        self._passed: set[str] = set()
        self.poll: timedelta = timedelta(seconds=300)
        self.detail = ""

    @property
    def subject(self) -> str:
        """Name the resource."""
        return f"{self._resource.kind}/{self._resource.name}"

    @property
    def status(self) -> SettingsStatus:
        """The status as stored."""
        return self._status

    def steps(self) -> dict[str, SetupStep]:
        """Return the steps as stored; a new one is pending."""
        stored = {step.name: step for step in self._status.steps}
        return {name: stored.get(name) or SetupStep(name=name) for name in self._looks}

    async def look(self, steps: Mapping[str, SetupStep]) -> Mapping[str, Answer]:
        """Ask the steps in order, and stop at the first that is not done."""
        answers = dict[str, Answer]()
        for name, step in self._looks.items():
            if name in self._passed:
                continue
            now = self._clock.now()
            asked = await answers_of({name: _asked(step)}, steps, now, self._patience, self.subject)
            asked = {name: _once(answer, steps[name], now) for name, answer in asked.items()}
            answers |= asked
            if not isinstance(asked[name], Done):
                break
            self._passed.add(name)
        return answers

    async def store(self, steps: Mapping[str, SetupStep]) -> None:
        """Write steps, inventory and conditions."""
        self._status = self._rendered([self._as_of(step) for step in steps.values()])
        self._resource.body = await self._store.write_status(self._resource.body, self._status.dump())

    async def reread(self) -> dict[str, SetupStep]:
        """Read the resource from the API server."""
        resource = self._resource
        resource.body = await self._store.fetch(Key(resource.kind, resource.namespace, resource.name))
        self._status = SettingsStatus.model_validate(resource.body.get("status") or {})
        return self.steps()

    def _as_of(self, step: SetupStep) -> SetupStep:
        """Return the step with the generation for which it is done."""
        is_done = step.state is StepState.DONE and step.name in self._passed
        return step.model_copy(update={"generation": self._looks[step.name].generation}) if is_done else step

    def _rendered(self, steps: list[SetupStep]) -> SettingsStatus:
        now, generation = self._clock.now(), self._resource.metadata.generation
        first = next((step for step in steps if step.state is not StepState.DONE), None)
        next_look = self._next_look(steps, now)
        changes: dict[str, Any] = {
            "observed_generation": generation,
            "steps": steps,
            "inventory": self._inventory(steps),
            "conditions": reachability(_conditions(self._status, first, generation, now), steps, generation, now),
            "checked_at": now if next_look == now + self.poll else self._status.checked_at or now,
            "next_look_at": next_look,
            "waiting_for": first.waiting_for if first else "",
            "detail": self.detail[:512] or self._status.detail,
        }
        return self._status.model_copy(update=changes)

    def _next_look(self, steps: list[SetupStep], now: datetime) -> datetime | None:
        """Return when to look again; a look between two polls moves nothing, so an unchanged world is not written.

        The steps behind the first that is not done were not asked in this pass: what they said of the future is over.
        """
        first = next((step for step in steps if step.state is not StepState.DONE), None)
        if first is not None:
            return first.next_look_at
        due, checked = self._status.next_look_at, self._status.checked_at
        is_planned = due is not None and checked is not None and now < due == checked + self.poll
        return due if is_planned else now + self.poll

    def _inventory(self, steps: list[SetupStep]) -> list[InventoryItem]:
        items = {(item.kind, item.name): item for item in self._status.inventory}
        for step in steps:
            item = self._looks[step.name].item
            if item is None or (step.claim is None and step.state is not StepState.DONE):
                continue
            state = "Made" if step.state is StepState.DONE else items.get((item.kind, item.name), item).state
            items[item.kind, item.name] = item.model_copy(update={"state": state})
        return list(items.values())


def _once(answer: Answer, step: SetupStep, now: datetime) -> Answer:
    """Do not make the same change again before the first can have shown."""
    claim = step.claim
    if not isinstance(answer, Nudge) or claim is None or claim.key != answer.identity:
        return answer
    shows_by = claim.at + _SHOWS_BY
    if claim.settled is not Settled.DONE or step.state is StepState.DONE or now >= shows_by:
        return answer
    return Waiting(f"an effect of: {answer.what}", shows_by, reason="ReadLag", system=answer.system)


async def _asked(step: SetupLook) -> Answer:
    return await step.look()


def _conditions(status: SettingsStatus, first: SetupStep | None, generation: int, now: datetime) -> list[Any]:
    if first is None:
        return kstatus(status.conditions, "Ready", "Ready", "", generation, now)
    text = first.waiting_for or first.message
    if first.remedy:
        return kstatus(status.conditions, "Stalled", first.reason, f"{text}; {first.remedy}", generation, now)
    if first.state is StepState.FAILED:
        return kstatus(status.conditions, "Stalled", first.reason, text, generation, now)
    return kstatus(status.conditions, "Reconciling", first.reason or "Reconciling", text, generation, now)


def change(
    resource: Resource, step: str, act: Callable[[], Awaitable[None]], what: str, system: str, before: str = ""
) -> Nudge:
    """Return a change of a set-up: it is named, so doing it twice is doing it once."""

    async def acted() -> dict[str, str]:
        await act()
        return {}

    identity = f"{resource.kind}/{resource.namespace}/{resource.name}/{step}/{resource.metadata.generation}"
    key = shortened(identity, _LONGEST_IDENTITY)
    return Nudge(key, acted, what, system=system, before=before[:256], is_repeatable=True)


def step_name(what: str) -> str:
    """Return the name of a step, short enough and still its own."""
    return shortened(what, LONGEST_STEP_NAME)
