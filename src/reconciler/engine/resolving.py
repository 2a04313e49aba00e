"""How an act ended whose maker did not see it: killed before the answer came, or the answer was lost. Pure."""

from dataclasses import dataclass, field
from typing import TypeVar

from reconciler.domain.answers import Answer, Broken, Done, Facts, Failed, Nudge, Skipped, Waiting
from reconciler.domain.resources import Claim, Settled, Step

S = TypeVar("S", bound=Step)


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a later look found out about a claim, for the audit.

    Attributes:
        result: `Found` (its effect is there, and goes on), `Done`, `Skipped`, `Failed: <reason>`; or `Absent` (two
            searches found nothing), `Repeated` (it may be done twice, and is), `Overtaken` (something else comes next).
    """

    claim: Claim
    result: str
    facts: Facts = field(default_factory=dict)
    system: str = ""


def resolution_of(step: Step, answer: Answer) -> Resolution | None:
    """Return what an answer says about the open claim of a step; None: the claim is not open, or it says nothing.

    For a nudge it must be known already that it is claimed again.
    """
    claim = step.claim
    if claim is None or claim.settled is not Settled.UNKNOWN:
        return None
    match answer:
        case Done(facts=facts):
            return Resolution(claim, "Done", facts, step.system)
        case Skipped():
            return Resolution(claim, "Skipped", system=step.system)
        case Failed(reason=reason, facts=facts):
            return Resolution(claim, f"Failed: {reason}", facts, step.system)
        case Waiting(facts=facts, system=system):
            # Whoever found nothing, or nobody, has nothing to tell of it.
            return Resolution(claim, "Found", facts, system) if facts else None
        case Broken():
            return None
        case Nudge():
            return Resolution(claim, _again(claim, answer), system=answer.system)


def resolved(step: S) -> S:
    """Return the step with its open claim marked: it is told once."""
    if step.claim is None:
        return step
    return step.model_copy(update={"claim": step.claim.model_copy(update={"settled": Settled.RESOLVED})})


def _again(claim: Claim, nudge: Nudge) -> str:
    if claim.key != nudge.identity:
        return "Overtaken"
    return "Repeated" if nudge.is_repeatable else "Absent"
