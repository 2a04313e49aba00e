"""Conditions as kstatus reads them: exactly one of ready, on its way, waiting for a person."""

from datetime import timedelta

import pytest

from reconciler.domain.conditions import KState, deployment_conditions, kstatus, reachability
from reconciler.domain.resources import Condition, Phase, Step, StepState
from support.moments import EIGHT


def truths(conditions: list[Condition]) -> dict[str, str]:
    return {one.type: one.status for one in conditions}


@pytest.mark.parametrize("state", ["Ready", "Reconciling", "Stalled"])
def test_exactly_one_of_the_three_is_true(state: KState) -> None:
    found = truths(kstatus([], state, "Why", "", 3, EIGHT))
    assert [name for name, truth in found.items() if truth == "True"] == [state]
    assert set(found) == {"Ready", "Reconciling", "Stalled"}


def test_a_transition_time_moves_only_when_the_truth_does() -> None:
    first = kstatus([], "Reconciling", "Building", "", 1, EIGHT)
    later = EIGHT + timedelta(minutes=1)
    second = {one.type: one for one in kstatus(first, "Ready", "Ready", "", 2, later)}
    assert second["Ready"].last_transition_time == later
    assert second["Stalled"].last_transition_time == EIGHT
    assert second["Stalled"].observed_generation == 2


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        (Phase.SUCCEEDED, "Ready"),
        (Phase.FAILED, "Stalled"),
        (Phase.ROLLED_BACK, "Stalled"),
        (Phase.RUNNING, "Reconciling"),
        (Phase.QUEUED, "Reconciling"),
    ],
)
def test_a_deployments_phase_says_how_it_stands(phase: Phase, state: str) -> None:
    found = truths(deployment_conditions([], phase, "", "", [], 1, EIGHT))
    assert found[state] == "True"


def waiting(reason: str, system: str = "jenkins") -> Step:
    return Step(state=StepState.WAITING, reason=reason, system=system, waiting_for="jenkins to answer")


def test_a_system_is_unreachable_while_a_step_waits_for_its_answer_and_reachable_after() -> None:
    away = reachability([], [waiting("Unavailable")], 1, EIGHT)
    assert truths(away) == {"JenkinsReachable": "False"}
    back = reachability(away, [waiting("Building")], 1, EIGHT)
    assert truths(back) == {"JenkinsReachable": "True"}


def test_a_system_that_never_failed_has_no_condition() -> None:
    assert reachability([], [waiting("Building")], 1, EIGHT) == []


def test_long_words_are_cut_to_what_a_condition_holds() -> None:
    condition = kstatus([], "Stalled", "R" * 99, "m" * 999, 1, EIGHT)[0]
    assert (len(condition.reason), len(condition.message)) == (64, 510)
