"""When a part is restarted, when this process is called dead, and when neither: by time alone."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from reconciler.resilience.proof import ProofOfLife, Verdict
from support.moments import ManualClock

INTERVAL = timedelta(seconds=30)


def go_on(proof: ProofOfLife, clock: ManualClock, seconds: float, *, works_afresh: bool) -> list[Verdict]:
    """Look at every interval, as the lifeline does; return what was decided."""
    verdicts = []
    for _ in range(int(seconds / 30)):
        clock.advance(30)
        if proof.is_late():
            verdicts.append(proof.judge(works_afresh=works_afresh))
    return verdicts


def test_it_is_late_after_three_intervals_and_not_before() -> None:
    clock = ManualClock()
    proof = ProofOfLife(INTERVAL, clock)
    assert go_on(proof, clock, 90, works_afresh=True) == []
    assert go_on(proof, clock, 30, works_afresh=True) == [Verdict.RESTART]


def test_what_comes_back_keeps_it_alive() -> None:
    clock = ManualClock()
    proof = ProofOfLife(INTERVAL, clock)
    for _ in range(20):
        assert go_on(proof, clock, 60, works_afresh=True) == []
        proof.arrived()
    assert (proof.age, proof.last) == (0, clock.now())


def test_two_restarts_in_vain_and_the_process_is_called_dead() -> None:
    clock = ManualClock()
    proof = ProofOfLife(INTERVAL, clock)
    verdicts = go_on(proof, clock, 420, works_afresh=True)
    assert verdicts[:3] == [Verdict.RESTART, Verdict.RESTART, Verdict.DEAD]
    assert set(verdicts[3:]) == {Verdict.DEAD}


def test_a_restart_that_helped_begins_the_count_anew() -> None:
    clock = ManualClock()
    proof = ProofOfLife(INTERVAL, clock)
    for _ in range(5):
        assert go_on(proof, clock, 120, works_afresh=True) == [Verdict.RESTART]
        proof.arrived()
    assert proof.verdict is Verdict.ALIVE


def test_an_outage_of_the_other_side_restarts_nothing_however_long_it_is() -> None:
    clock = ManualClock()
    proof = ProofOfLife(INTERVAL, clock)
    verdicts = go_on(proof, clock, 24 * 3600, works_afresh=False)
    assert set(verdicts) == {Verdict.OTHER_SIDE_AWAY}


def test_after_an_outage_there_is_as_much_time_as_from_a_start() -> None:
    clock = ManualClock()
    proof = ProofOfLife(INTERVAL, clock)
    go_on(proof, clock, 120, works_afresh=False)
    assert go_on(proof, clock, 30, works_afresh=True) == [Verdict.ALIVE]
    assert go_on(proof, clock, 90, works_afresh=True) == []
    assert go_on(proof, clock, 30, works_afresh=True) == [Verdict.RESTART]


def test_who_is_called_dead_is_so_no_more_when_the_other_side_goes_away_or_a_proof_comes() -> None:
    for is_proved in (False, True):
        clock = ManualClock()
        proof = ProofOfLife(INTERVAL, clock)
        go_on(proof, clock, 420, works_afresh=True)
        assert proof.verdict is Verdict.DEAD
        if is_proved:
            proof.arrived()
        else:
            go_on(proof, clock, 30, works_afresh=False)
        assert proof.verdict is not Verdict.DEAD


def test_a_process_that_was_frozen_is_not_late_for_that() -> None:
    clock = ManualClock()
    proof = ProofOfLife(INTERVAL, clock)
    go_on(proof, clock, 60, works_afresh=True)
    clock.advance(3600)
    assert not proof.is_late()
    assert go_on(proof, clock, 90, works_afresh=True) == []


@given(st.lists(st.sampled_from(["proof", "works", "away"]), max_size=60))
def test_nothing_is_restarted_or_dead_but_three_intervals_after_the_last_good_reason(moments: list[str]) -> None:
    clock = ManualClock()
    proof = ProofOfLife(INTERVAL, clock)
    quiet, restarts, was_away = 0, 0, False
    for moment in moments:
        clock.advance(30)
        quiet += 1
        if moment == "proof":
            proof.arrived()
            quiet, restarts, was_away = 0, 0, False
        if not proof.is_late():
            continue
        verdict = proof.judge(works_afresh=moment != "away")
        if moment == "away":
            assert verdict is Verdict.OTHER_SIDE_AWAY
            restarts, was_away = 0, True
        elif was_away:
            assert verdict is Verdict.ALIVE
            quiet, was_away = 0, False
        else:
            assert quiet > 3
            assert verdict is (Verdict.RESTART if restarts < 2 else Verdict.DEAD)
            restarts += verdict is Verdict.RESTART
            quiet = 0 if verdict is Verdict.RESTART else quiet
