"""When a nudge may be acted on: the rules that let a kill anywhere lose nothing and double nothing."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from reconciler.domain.answers import Answer, Nudge, Waiting
from reconciler.domain.resources import Claim, Settled, Step
from reconciler.engine.patience import Incarnation, Patience

S = TypeVar("S", bound=Step)


@dataclass(frozen=True, slots=True)
class Held:
    """The nudge must wait; `claim` is what is to be stored meanwhile."""

    waiting: Waiting
    claim: Claim


def claim_or_hold(step: Step, nudge: Nudge, now: datetime, me: Incarnation, patience: Patience) -> Claim | Held:
    """Decide on a nudge, which says that a complete search found nothing under its identity.

    A first claim, a claim of which nothing was sent and an act that may be repeated are claimed at once. Any other
    claim may have had its effect unseen: absence is believed only after two searches, the first when the act must have
    become visible, the second `between_searches` later.
    """
    claim = step.claim
    if claim is None or claim.key != nudge.identity or claim.settled is Settled.NOT_SENT or nudge.is_repeatable:
        return _claim(nudge, now, me)
    visible_at = claim.at + patience.request + patience.send + timedelta(seconds=nudge.settle)
    if now < visible_at:
        return _held(claim, nudge, visible_at)
    if claim.absent_since is None:
        return _held(claim.model_copy(update={"absent_since": now}), nudge, now + patience.between_searches)
    if now < claim.absent_since + patience.between_searches:
        return _held(claim, nudge, claim.absent_since + patience.between_searches)
    return _claim(nudge, now, me)


def seen(step: S, answer: Answer) -> S:
    """Return the step without the first half of a proof of absence, unless the answer is that nobody answered.

    Two searches prove an absence only when nothing was found between them: what was away for a moment, as while a
    server starts, and is there again has never been absent.
    """
    claim = step.claim
    if claim is None or claim.absent_since is None or (isinstance(answer, Waiting) and answer.reason in _NO_SEARCH):
        return step
    return step.model_copy(update={"claim": claim.model_copy(update={"absent_since": None})})


def on_its_way_until(steps: Iterable[Step], patience: Patience) -> datetime | None:
    """Return until when a request whose outcome nobody saw may yet take effect; None: there is none.

    What is not there before that is no proof that nothing has to be removed.
    """
    claims = (step.claim for step in steps if step.claim is not None)
    unseen = (claim.at for claim in claims if claim.settled is Settled.UNKNOWN)
    return max((at + patience.request + patience.send for at in unseen), default=None)


_NO_SEARCH = frozenset({"Unavailable", "RateLimited", "CircuitOpen"})


def _claim(nudge: Nudge, now: datetime, me: Incarnation) -> Claim:
    return Claim(key=nudge.identity, replica=me.replica, incarnation=me.id, at=now, place=nudge.place)


def _held(claim: Claim, nudge: Nudge, until: datetime) -> Held:
    waiting = Waiting(
        f"proof that an earlier attempt to {nudge.what} had no effect",
        until,
        reason="OutcomeUnknown",
        system=nudge.system,
    )
    return Held(waiting, claim)
