"""What becomes of a difference that a step finds: carried out, only reported, or left alone because it is fought over.

Set-ups of settings and the upkeep of environments ask the same judge; each keeps the entries in its own status.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol

from reconciler.domain.annotations import ADOPT
from reconciler.domain.answers import Answer, Done, Nudge, Waiting
from reconciler.domain.changes import Change
from reconciler.domain.drift import DriftRules, as_fought, as_repair, as_reported, as_wanted, drift_of
from reconciler.domain.errors import RateLimited
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import Drift, DriftPolicy, DriftState, Resource, Settled, SetupStep, StepState
from reconciler.resilience.errand import errand

_SHOWS_BY = timedelta(seconds=60)
"""After this long a change has shown, or it had no effect."""


class Judged(Protocol):
    """What the judge has to know of a step."""

    @property
    def name(self) -> str:
        """Its name, unique among its neighbours."""
        ...

    @property
    def wanted(self) -> str:
        """A fingerprint of what is wanted; empty where nothing can drift."""
        ...

    @property
    def policy(self) -> DriftPolicy:
        """What is done about drift."""
        ...


class Judge:
    """Judges the answers of one pass.

    Attributes:
        entries: what is known of drift, as the status keeps it.
        made: steps whose change is no drift: something else is wanted than before.
    """

    def __init__(self, entries: Sequence[Drift], rules: DriftRules) -> None:
        self.entries = list(entries)
        self.made: set[str] = set()
        self._rules = rules

    def judge(self, look: Judged, step: SetupStep, answer: Answer, now: datetime) -> Answer:
        """Return what is to become of an answer."""
        answer = _once(answer, step, now)
        match answer:
            case Done():
                was_ours = step.claim is not None and step.claim.settled is not Settled.NOT_SENT
                self.entries = as_wanted(self.entries, look.name, now, was_ours=was_ours)
                return answer
            case Nudge(change=Change() as change):
                return self._judged(look, step, answer, change, now)
            case _:
                return answer

    def ignore(self, look: Judged, now: datetime) -> None:
        """Forget what was told of a step that is not looked at any more."""
        self.entries = as_wanted(self.entries, look.name, now, was_ours=False)

    def as_of(self, look: Judged, step: SetupStep, *, is_passed: bool) -> SetupStep:
        """Return the step with what it is done for, where it is done."""
        if step.state is StepState.DONE and is_passed:
            return step.model_copy(update={"wanted": look.wanted})
        return step.model_copy(update={"wanted": ""}) if step.name in self.made else step

    def _judged(self, look: Judged, step: SetupStep, nudge: Nudge, change: Change, now: datetime) -> Answer:
        """Say what becomes of a change: it is done, unless it is drift that is only reported, or fought over."""
        was_done = bool(look.wanted) and step.wanted == look.wanted
        if was_done and look.policy is DriftPolicy.REPORT:
            self.entries = as_reported(self.entries, look.name, change, now)
            return Done(message=f"differs: {change.text()}")
        if not was_done and not _is_second(nudge, step):
            self.made.add(look.name)
            return nudge
        before = drift_of(self.entries, look.name)
        if before is not None and before.state is DriftState.FOUND and _goes_on(nudge, step):
            return nudge
        if before is not None and self._rules.goes_on(before, now) and now < self._rules.pause_until(before):
            self.entries = as_fought(self.entries, before, change)
            return _fought(change, before.times, self._rules.pause_until(before))
        self.entries = as_repair(self.entries, look.name, change, now, self._rules)
        return nudge


def leave_as_it_is(answer: Answer, now: datetime) -> None:
    """End a poll that is not let in now: it has learned nothing, so what was known stays as it is told.

    Raises:
        RateLimited: with the time of the next look.
    """
    if errand().is_sweep and isinstance(answer, Waiting) and answer.reason == RateLimited.__name__:
        wait = answer.until - now if answer.until else None
        raise RateLimited(answer.what, retry_after=wait, system=answer.system)


def name_taken(resource: Resource, kind: str, name: str, marker: Marker | None) -> Waiting:
    """Say that a name outside belongs to somebody else, and to whom."""
    whose = marker.told() if marker else "somebody without a marker of ours"
    place = f"annotate {resource.kind} {resource.name} with {ADOPT}={kind}/{name}"
    remedy = f"choose another name, let go of the other owner's, or take it over: {place}"
    return Waiting(f"{kind} {name}, owned by {whose}", reason="NameTaken", remedy=remedy)


def _goes_on(nudge: Nudge, step: SetupStep) -> bool:
    """Tell whether a nudge belongs to the repair that has begun: nothing of it was sent, or it is its next part."""
    claim = step.claim
    return claim is not None and (claim.settled is Settled.NOT_SENT or claim.key != nudge.identity)


def _fought(change: Change, times: int, until: datetime) -> Waiting:
    fields = ", ".join(change.paths) or "its presence"
    what = f"{fields} of {change.kind} {change.name} to stay as wanted: put right {times} times, each time undone"
    remedy = "stop what changes it, or set the project's driftPolicy to Report or Ignore"
    return Waiting(what, until, reason="DriftFought", remedy=remedy, system=change.system)


def _is_second(nudge: Nudge, step: SetupStep) -> bool:
    """Tell whether the very same was done before and has had its time to show."""
    claim = step.claim
    return claim is not None and claim.key == nudge.identity and claim.settled is Settled.DONE


def _once(answer: Answer, step: SetupStep, now: datetime) -> Answer:
    """Do not make the same change again before the first can have shown."""
    claim = step.claim
    if not isinstance(answer, Nudge) or claim is None or claim.key != answer.identity:
        return answer
    shows_by = claim.at + _SHOWS_BY
    if claim.settled is not Settled.DONE or step.state is StepState.DONE or now >= shows_by:
        return answer
    return Waiting(f"an effect of: {answer.what}", shows_by, reason="ReadLag", system=answer.system)
