"""A step and an answer make the next state of the step. Pure."""

from datetime import datetime, timedelta
from typing import Any, TypeVar

from reconciler.domain.answers import Done, Facts, Failed, Skipped, Waiting
from reconciler.domain.errors import CircuitOpen, Unavailable
from reconciler.domain.resources import Claim, Settled, Step, StepState
from reconciler.domain.words import cut

S = TypeVar("S", bound=Step)
_FIELDS = {"externalId": "external_id", "url": "url", "message": "message"}
_LONGEST = {"external_id": 256, "url": 1024, "message": 256}
_LONGEST_FACT = 512
_NO_ANSWER = {Unavailable.__name__, CircuitOpen.__name__}
_ANYWAY = timedelta(minutes=5)
"""A wait that ends with a change is looked at all the same, and says when."""


def is_same_wait(reason: str, other: str) -> bool:
    """Tell whether a wait goes on: a system that does not answer, and one that is not asked for it, are one."""
    return reason == other or {reason, other} == _NO_ANSWER


def fold(step: S, answer: Done | Skipped | Waiting | Failed, now: datetime, most_attempts: int) -> S:
    """Return the step after an answer."""
    match answer:
        case Done(facts=facts, message=message):
            return _changed(step, facts, **_end(StepState.DONE, step, now), message=message)
        case Skipped(message=message):
            return _changed(step, {}, **_end(StepState.SKIPPED, step, now), message=message)
        case Waiting():
            return _waiting(step, answer, now)
        case Failed(again=True) if step.attempt < most_attempts:
            return _next_attempt(step, answer, now)
        case Failed(reason=reason, message=message, facts=facts):
            return _changed(step, facts, **_end(StepState.FAILED, step, now) | {"reason": reason}, message=message)


def claimed(step: S, claim: Claim, what: str, now: datetime) -> S:
    """Return the step with a claim that is about to be stored and acted on.

    A claim of which nothing could be sent is tried again: since when that is so is kept, the waits grow with it.
    """
    is_retry = step.claim is not None and step.claim.settled is Settled.NOT_SENT and step.claim.key == claim.key
    return _changed(
        step,
        {},
        **_quiet() | {"waiting_since": step.waiting_since if is_retry else None},
        state=StepState.RUNNING,
        started_at=step.started_at or now,
        claim=claim,
        message=what,
        reason="",
    )


def settled(step: S, how: Settled, facts: Facts) -> S:
    """Return the step with the end of its act, as its maker saw it."""
    if step.claim is None:
        return step
    since = step.waiting_since if how is Settled.NOT_SENT else None
    return _changed(step, facts, claim=step.claim.model_copy(update={"settled": how}), waiting_since=since)


def _waiting(step: S, answer: Waiting, now: datetime) -> S:
    is_retry = step.state is StepState.RUNNING and step.waiting_since is not None
    is_same = is_retry or (step.state is StepState.WAITING and is_same_wait(step.reason, answer.reason))
    until = answer.until or now + _ANYWAY
    if is_same and step.next_look_at is not None and now < step.next_look_at < until:
        # A look between two that were promised moves nothing: an unchanged world is not written again.
        until = step.next_look_at
    return _changed(
        step,
        answer.facts,
        state=StepState.WAITING,
        started_at=step.started_at or now,
        reason=answer.reason,
        waiting_for=answer.what,
        waiting_since=step.waiting_since if is_same else now,
        remedy=answer.remedy,
        system=answer.system,
        next_look_at=until,
        message="",
    )


def _next_attempt(step: S, answer: Failed, now: datetime) -> S:
    changes = {
        **_quiet(),
        "state": StepState.RUNNING,
        "attempt": step.attempt + 1,
        "claim": None,
        "external_id": "",
        "url": "",
        "facts": {},
        "next_look_at": now,
        "reason": answer.reason,
        "message": f"attempt {step.attempt} ended: {answer.message}",
    }
    return _changed(step, {}, **changes)


def _end(state: StepState, step: Step, now: datetime) -> dict[str, Any]:
    finished_at = step.finished_at if step.state is state and step.finished_at else now
    return {
        **_quiet(),
        "state": state,
        "started_at": step.started_at or now,
        "finished_at": finished_at,
        "reason": "",
    }


def _quiet() -> dict[str, Any]:
    return {"waiting_for": "", "waiting_since": None, "remedy": "", "system": "", "next_look_at": None}


def _changed(step: S, found: Facts, **changes: Any) -> S:
    facts = dict(changes.pop("facts", step.facts))
    for name, value in found.items():
        if name in _FIELDS:
            changes[_FIELDS[name]] = value
        else:
            facts[name] = value[:_LONGEST_FACT]
    for name, longest in _LONGEST.items() | {("waiting_for", 256), ("remedy", 256), ("reason", 64)}:
        if isinstance(changes.get(name), str):
            changes[name] = cut(changes[name], longest)
    return step.model_copy(update={**changes, "facts": facts})
