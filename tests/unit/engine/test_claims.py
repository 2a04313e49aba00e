"""A nudge is acted on only when nobody can have done it already."""

from datetime import timedelta

import pytest

from reconciler.domain.answers import Facts, Nudge, Waiting
from reconciler.domain.resources import Claim, Settled, Step
from reconciler.engine.claims import Held, claim_or_hold, seen
from reconciler.engine.patience import Incarnation, Patience
from support.moments import EIGHT

ME = Incarnation("replica-0", "life-2")
PATIENCE = Patience()


async def nothing() -> Facts:
    return {}


def nudge(identity: str = "op/api/1", **changes: object) -> Nudge:
    return Nudge(identity, nothing, "start the build", **changes)  # type: ignore[arg-type]


def claimed(seconds_ago: float, *, key: str = "op/api/1", incarnation: str = "life-1", **changes: object) -> Step:
    at = EIGHT - timedelta(seconds=seconds_ago)
    return Step(claim=Claim(key=key, replica="replica-0", incarnation=incarnation, at=at, **changes))  # type: ignore[arg-type]


def test_a_first_nudge_is_claimed_under_our_incarnation() -> None:
    claim = claim_or_hold(Step(), nudge(), EIGHT, ME, PATIENCE)
    assert isinstance(claim, Claim)
    assert (claim.key, claim.replica, claim.incarnation, claim.at) == ("op/api/1", "replica-0", "life-2", EIGHT)


@pytest.mark.parametrize("incarnation", ["life-1", "life-2"])
def test_an_open_claim_is_not_acted_on_while_its_act_may_still_show(incarnation: str) -> None:
    held = claim_or_hold(claimed(34, incarnation=incarnation), nudge(), EIGHT, ME, PATIENCE)
    assert isinstance(held, Held)
    assert held.claim.absent_since is None
    assert held.waiting.until == EIGHT + timedelta(seconds=1)


def test_the_quiet_period_of_the_system_is_waited_for() -> None:
    held = claim_or_hold(claimed(36), nudge(settle=5.0), EIGHT, ME, PATIENCE)
    assert isinstance(held, Held)
    assert held.waiting.until == EIGHT + timedelta(seconds=4)


def test_one_search_proves_nothing() -> None:
    held = claim_or_hold(claimed(60), nudge(), EIGHT, ME, PATIENCE)
    assert isinstance(held, Held)
    assert held.claim.absent_since == EIGHT
    assert held.waiting.until == EIGHT + timedelta(seconds=30)


def test_a_second_search_too_soon_proves_nothing_either() -> None:
    held = claim_or_hold(claimed(90, absent_since=EIGHT - timedelta(seconds=29)), nudge(), EIGHT, ME, PATIENCE)
    assert isinstance(held, Held)


def test_absence_proved_twice_is_claimed_again_by_us() -> None:
    claim = claim_or_hold(claimed(90, absent_since=EIGHT - timedelta(seconds=30)), nudge(), EIGHT, ME, PATIENCE)
    assert isinstance(claim, Claim)
    assert (claim.incarnation, claim.at, claim.absent_since) == ("life-2", EIGHT, None)


def test_an_accepted_act_that_cannot_be_found_needs_proof_as_well() -> None:
    held = claim_or_hold(claimed(1, settled=Settled.DONE), nudge(), EIGHT, ME, PATIENCE)
    assert isinstance(held, Held)


@pytest.mark.parametrize(
    ("step", "what"),
    [
        (claimed(1, settled=Settled.NOT_SENT), nudge()),
        (claimed(1), nudge("op/api/2")),
        (claimed(1), nudge(is_repeatable=True)),
    ],
    ids=["nothing was sent", "another identity", "repeatable"],
)
def test_what_cannot_double_anything_is_claimed_at_once(step: Step, what: Nudge) -> None:
    assert isinstance(claim_or_hold(step, what, EIGHT, ME, PATIENCE), Claim)


@pytest.mark.parametrize(
    ("answer", "is_kept"),
    [
        (Waiting("the build, running", reason="Building"), False),
        (Waiting("jenkins to answer", reason="Unavailable"), True),
        (Waiting("jenkins to answer", reason="CircuitOpen"), True),
    ],
)
def test_what_is_found_between_two_searches_was_never_absent(answer: Waiting, is_kept: bool) -> None:  # noqa: FBT001 - a table
    step = seen(claimed(90, absent_since=EIGHT), answer)
    assert step.claim is not None
    assert (step.claim.absent_since is not None) is is_kept
