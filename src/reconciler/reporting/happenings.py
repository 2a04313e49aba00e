"""What a change of a resource's status is worth telling to people who run `kubectl describe`. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.domain.answers import INTERNAL_ERROR
from reconciler.domain.keys import Body
from reconciler.domain.resources import DriftState, Environment, Phase, StepState
from reconciler.reporting.beats import ends_soon

_UNHAPPY = frozenset({Phase.FAILED, Phase.ROLLED_BACK})
Part = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing to tell; `reason` is CamelCase."""

    reason: str
    message: str
    is_warning: bool = False


def happenings(before: Body | None, after: Body) -> list[Happening]:
    """Return what happened between two stored bodies of a resource: nothing, where nothing changed.

    Without a body before, only what a status says is told: after a restart nothing is told twice.
    """
    if before is None:
        return []
    old, new = before.get("status") or {}, after.get("status") or {}
    life = _of_lifetime(old, after) if after["kind"] == Environment.kind else ()
    of_steps = (*_of_steps(old, new), *life, *_of_drift(old, new))
    others = (*_of_bugs(old, new), *_of_leftovers(old, new), *_of_credentials(old, new))
    return [*_of_phase(old, new), *of_steps, *others, *_of_readiness(old, new)]


def _of_leftovers(old: Part, new: Part) -> Iterator[Happening]:
    """Tell of what stays outside when a resource goes: left behind for a sweep, or kept on purpose."""
    left, before = new.get("leftovers") or [], old.get("leftovers") or []
    if left and left != before:
        said = _condition(new, "Reconciling")
        reason = said.get("reason") or "LeftBehind"
        yield Happening(reason, said.get("message", ""), is_warning=reason != "Kept")


def _of_phase(old: Part, new: Part) -> Iterator[Happening]:
    phase = new.get("phase")
    if phase and phase != old.get("phase"):
        text = ": ".join(word for word in (new.get("reason"), new.get("message")) if word)
        yield Happening(phase, text or f"is {phase}", is_warning=phase in _UNHAPPY)


def _of_lifetime(old: Part, environment: Body) -> Iterator[Happening]:
    """Tell of an end that is near, that was moved or is not to come, and of what was asked in vain."""
    new = environment.get("status") or {}
    warned, former = new.get("warned") or {}, old.get("warned") or {}
    if warned.get("sequence", 0) > former.get("sequence", 0):
        yield Happening("ExpiresSoon", ends_soon(environment), is_warning=True)
    ends, ended = new.get("expiresAt"), old.get("expiresAt")
    if ends and ended and ends != ended and new.get("holder") is None and old.get("holder") is None:
        yield Happening("LifetimeChanged", f"expires at {ends}, not at {ended}")
    if bool(new.get("pinned")) != bool(old.get("pinned")):
        yield Happening("Pinned", "does not expire") if new.get("pinned") else Happening("Unpinned", "may expire again")
    for name, why in (new.get("refusals") or {}).items():
        if (old.get("refusals") or {}).get(name) != why or _token(old, name) != _token(new, name):
            yield Happening("Refused", f"{name}: {why}", is_warning=True)
    cleanup, before = new.get("cleanup") or {}, old.get("cleanup") or {}
    if cleanup.get("restingUntil") and cleanup != before:
        yield Happening("CleanupTimeout", _condition(new, "Reconciling").get("message", ""), is_warning=True)


def _token(status: Part, annotation: str) -> str:
    return str((status.get("handled") or {}).get(annotation, ""))


def _of_steps(old: Part, new: Part) -> Iterator[Happening]:
    """Tell of steps that failed or wait for a person, each, and of those that are done, together by their name."""
    known = {_place(step): step for step in _steps(old)}
    done: dict[str, list[str]] = {}
    for step in _steps(new):
        former = known.get(_place(step), {})
        if step.get("state") == StepState.DONE and former.get("state") != StepState.DONE:
            done.setdefault(step["name"], []).append(step.get("component", ""))
        elif step.get("state") == StepState.FAILED and former.get("state") != StepState.FAILED:
            text = f"{_place(step)}: {step.get('message', '')}"
            yield Happening(step.get("reason") or "StepFailed", text, is_warning=True)
        elif step.get("remedy") and step["remedy"] != former.get("remedy"):
            waiting = f"{_place(step)}: waiting for {step.get('waitingFor', '')}; {step['remedy']}"
            yield Happening(step.get("reason") or "ActionRequired", waiting, is_warning=True)
    for name, components in done.items():
        of = ", ".join(component for component in components if component)
        yield Happening(f"{_camel(name)}Done", f"{name} of {of} is done" if of else f"{name} is done")


def _of_drift(old: Part, new: Part) -> Iterator[Happening]:
    """Tell of what somebody changed outside: put right, or left as it is; of a fight its step tells."""
    before, now = ({one["step"]: one for one in status.get("drift") or ()} for status in (old, new))
    for step, one in now.items():
        state, former = one["state"], before.get(step, {})
        if state == DriftState.REPAIRED and former.get("state") == DriftState.FOUND:
            yield Happening("DriftRepaired", one["change"], is_warning=True)
        elif state == DriftState.REPAIRED and former.get("state") == DriftState.FOUGHT:
            yield Happening("DriftEnded", f"is as wanted again: {one['change']}")
        elif state == DriftState.REPORTED and one["change"] != former.get("change"):
            yield Happening("Drifted", f"{one['change']}; nothing is changed: driftPolicy is Report", is_warning=True)
    for step, former in before.items():
        if step not in now and former["state"] == DriftState.REPORTED:
            yield Happening("DriftEnded", f"is as wanted again: {former['change']}")


def _of_bugs(old: Part, new: Part) -> Iterator[Happening]:
    """Tell once that every look at a resource fails unexpectedly; a bug of one step is told with the step."""
    stalled, before = _condition(new, "Stalled"), _condition(old, "Stalled")
    is_news = stalled.get("reason") == INTERNAL_ERROR != before.get("reason")
    if is_news and not any(step.get("reason") == INTERNAL_ERROR for step in _steps(new)):
        yield Happening(INTERNAL_ERROR, stalled.get("message", ""), is_warning=True)


def _of_credentials(old: Part, new: Part) -> Iterator[Happening]:
    """Tell of new credentials that are refused, and of their end."""
    name = "CredentialsRefused"
    before, now = _condition(old, name), _condition(new, name)
    if now.get("status") == "True" and now.get("message") != before.get("message"):
        yield Happening(name, now.get("message", ""), is_warning=True)
    elif now.get("status") == "False" and before.get("status") == "True":
        yield Happening("CredentialsAccepted", "the credentials in the Secret are in use")


def _of_readiness(old: Part, new: Part) -> Iterator[Happening]:
    """Tell of kinds without phases when they become ready, or stop being so."""
    if "phase" in new:
        return
    before, now = _condition(old, "Ready"), _condition(new, "Ready")
    if now.get("status") == "True" and before.get("status") != "True":
        yield Happening("Ready", now.get("message") or "is ready")
    stalled = _condition(new, "Stalled")
    if stalled.get("reason") == INTERNAL_ERROR:
        return
    was_stalled = _condition(old, "Stalled")
    if stalled.get("status") == "True" and stalled.get("reason") != was_stalled.get("reason") and not _steps(new):
        yield Happening(stalled.get("reason", "Stalled"), stalled.get("message", ""), is_warning=True)


def _steps(status: Part) -> list[Part]:
    found: list[Part] = status.get("stages") or status.get("steps") or []
    return found


def _place(step: Part) -> str:
    component = step.get("component")
    return f"{step['name']} of {component}" if component else str(step["name"])


def _camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.replace("/", "-").split("-"))


def _condition(status: Part, name: str) -> Part:
    return next((one for one in status.get("conditions") or () if one["type"] == name), {})
