"""Conditions as kstatus reads them: Ready, Reconciling, Stalled, and one per outside system. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from reconciler.domain.drift import left_standing
from reconciler.domain.resources import Condition, Drift, Phase, Step, StepState
from reconciler.domain.words import cut

Truth = Literal["True", "False", "Unknown"]
KState = Literal["Ready", "Reconciling", "Stalled"]
REACHABLE = {
    "jenkins": "JenkinsReachable",
    "argocd": "ArgoReachable",
    "registry": "RegistryReachable",
    "dns": "DNSReachable",
}
_REFUSED = "CredentialsRefused"
_AWAY = frozenset({"Unavailable", "RateLimited", "CircuitOpen", "OutcomeUnknown", "Refused"})


def with_condition(
    conditions: Sequence[Condition],
    name: str,
    status: Truth,
    reason: str,
    message: str,
    generation: int,
    now: datetime,
) -> list[Condition]:
    """Return the conditions with one set; its transition time moves only when its status does."""
    old = next((condition for condition in conditions if condition.type == name), None)
    new = Condition(
        type=name,
        status=status,
        reason=reason[:64] or "Unknown",
        message=cut(message, 512),
        observed_generation=generation,
        last_transition_time=old.last_transition_time if old and old.status == status else now,
    )
    if old is None:
        return [*conditions, new]
    return [new if condition is old else condition for condition in conditions]


def kstatus(
    conditions: Sequence[Condition],
    state: KState,
    reason: str,
    message: str,
    generation: int,
    now: datetime,
) -> list[Condition]:
    """Return the conditions of a resource that is ready, on its way, or waits for a person."""
    truths: dict[str, Truth] = {
        "Ready": "True" if state == "Ready" else "False",
        "Reconciling": "True" if state == "Reconciling" else "False",
        "Stalled": "True" if state == "Stalled" else "False",
    }
    result = list(conditions)
    for name, truth in truths.items():
        result = with_condition(result, name, truth, reason, message, generation, now)
    return result


def deployment_conditions(
    conditions: Sequence[Condition],
    phase: Phase,
    reason: str,
    message: str,
    steps: Iterable[Step],
    generation: int,
    now: datetime,
) -> list[Condition]:
    """Return the conditions of a deployment in a phase, with what its steps know of the systems."""
    match phase:
        case Phase.SUCCEEDED:
            state: KState = "Ready"
        case Phase.FAILED | Phase.ROLLED_BACK | Phase.CANCELLED | Phase.SUPERSEDED:
            state = "Stalled"
        case _:
            state = "Reconciling"
    result = kstatus(conditions, state, reason or phase.value, message, generation, now)
    return reachability(result, steps, generation, now)


def credentials_refused(
    conditions: Sequence[Condition], refusal: str, generation: int, now: datetime
) -> list[Condition]:
    """Return the conditions with whether newer credentials are refused; none where they never were."""
    if refusal:
        return with_condition(conditions, _REFUSED, "True", _REFUSED, refusal, generation, now)
    if any(condition.type == _REFUSED and condition.status == "True" for condition in conditions):
        return with_condition(conditions, _REFUSED, "False", "CredentialsAccepted", "", generation, now)
    return list(conditions)


def reachability(
    conditions: Sequence[Condition], steps: Iterable[Step], generation: int, now: datetime
) -> list[Condition]:
    """Return the conditions with what the waiting steps know of the outside systems.

    A system is unreachable while a step waits for its answer, and reachable again when a condition said otherwise and
    no step waits any more. A system that never failed has no condition: it costs nothing to be well.
    """
    result = list(conditions)
    away = {
        step.system: step for step in steps if step.state is StepState.WAITING and step.system and step.reason in _AWAY
    }
    for system, name in REACHABLE.items():
        if system in away:
            step = away[system]
            result = with_condition(result, name, "False", step.reason, step.waiting_for, generation, now)
        elif any(condition.type == name and condition.status != "True" for condition in result):
            result = with_condition(result, name, "True", "Answers", "", generation, now)
    return result


def with_drift(
    conditions: Sequence[Condition], entries: Sequence[Drift], generation: int, now: datetime
) -> list[Condition]:
    """Return the conditions with what somebody changed outside and stays so; what never drifted has no condition."""
    if text := left_standing(entries):
        return with_condition(conditions, "Drifted", "True", "Drifted", text, generation, now)
    if any(one.type == "Drifted" and one.status == "True" for one in conditions):
        return with_condition(conditions, "Drifted", "False", "AsWanted", "", generation, now)
    return list(conditions)
