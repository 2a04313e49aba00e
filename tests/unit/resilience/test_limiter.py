from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.domain.errors import RateLimited
from reconciler.resilience.errand import on_errand, sweeping
from reconciler.resilience.limiter import Limiter


class HandClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


MINUTE = timedelta(minutes=1)


@given(
    limit=st.integers(1, 7),
    used_up=st.sampled_from([0, 1]),
    patience=st.sampled_from([0.0, 1.0, 10.0, 1000.0]),
    gaps=st.lists(st.integers(0, 40 * 1024).map(lambda parts: parts / 1024), max_size=60),  # exact as floats
)
def test_no_window_holds_more_than_the_limit(limit: int, used_up: int, patience: float, gaps: list[float]) -> None:
    clock = HandClock()
    limiter = Limiter(limit, MINUTE, clock=clock, starts_full=bool(used_up), slack=1 / 64)
    sends = [0.0] * limit * used_up
    for gap in gaps:
        clock.seconds += gap
        with suppress(RateLimited):
            sends.append(clock.seconds + limiter.reserve(patience))
    assert sends == sorted(sends)
    for index, send in enumerate(sends):
        assert sum(send <= other <= send + 60 for other in sends[index:]) <= limit


@given(
    limit=st.integers(1, 7),
    patience=st.sampled_from([0.0, 10.0, 1000.0]),
    lives=st.lists(st.lists(st.integers(0, 40 * 1024).map(lambda parts: parts / 1024), max_size=20), max_size=6),
)
def test_no_window_holds_more_than_the_limit_across_restarts(
    limit: int, patience: float, lives: list[list[float]]
) -> None:
    clock = HandClock()
    sends: list[float] = []
    for gaps in lives:
        limiter = Limiter(limit, MINUTE, clock=clock, slack=1 / 64)
        planned: list[float] = []
        for gap in gaps:
            clock.seconds += gap
            with suppress(RateLimited):
                planned.append(clock.seconds + limiter.reserve(patience))
        sends += [send for send in planned if send <= clock.seconds]  # Who still waits dies with its process.
    for index, send in enumerate(sends):
        assert sum(send <= other <= send + 60 for other in sends[index:]) <= limit


def test_the_first_ones_go_at_once_and_the_next_waits_for_the_oldest() -> None:
    clock = HandClock()
    limiter = Limiter(2, MINUTE, clock=clock, starts_full=False, slack=0)
    assert limiter.reserve() == 0
    clock.seconds = 10
    assert limiter.reserve() == 0
    assert limiter.reserve(100) == 50
    assert limiter.reserve(100) == 60


def test_after_a_start_the_window_counts_as_used_up() -> None:
    clock = HandClock()
    limiter = Limiter(60, MINUTE, clock=clock, name="godaddy", slack=0)
    with pytest.raises(
        RateLimited, match=r"our own limit of 60 requests in 60 s to godaddy is used up until 1970-01-01T00:01:00Z"
    ) as caught:
        limiter.reserve()
    assert caught.value.retry_after == MINUTE
    clock.seconds = 60
    assert [limiter.reserve() for _ in range(60)] == [0] * 60
    with pytest.raises(RateLimited):
        limiter.reserve()


def test_who_is_turned_away_takes_no_place() -> None:
    clock = HandClock()
    limiter = Limiter(1, MINUTE, clock=clock, starts_full=False, slack=0)
    limiter.reserve()
    for _ in range(5):
        with pytest.raises(RateLimited):
            limiter.reserve(1)
    clock.seconds = 60
    assert limiter.reserve() == 0


def test_the_window_is_kept_a_little_longer_than_promised() -> None:
    clock = HandClock()
    limiter = Limiter(1, MINUTE, clock=clock, starts_full=False)
    limiter.reserve()
    clock.seconds = 60
    assert limiter.state().free_in > 0


async def test_acquire_waits_its_turn() -> None:
    limiter = Limiter(1, timedelta(milliseconds=5), starts_full=True)
    await limiter.acquire(patience=5)
    await limiter.acquire(patience=5)


def ask(limiter: Limiter, name: str, *, is_sweep: bool = False) -> float | None:
    """Ask for a place now; return None for yes, else how long to stay away."""
    with on_errand(name), sweeping() if is_sweep else nullcontext():
        try:
            limiter.reserve()
        except RateLimited as error:
            return (error.retry_after or timedelta()).total_seconds()
    return None


def full(limit: int, clock: HandClock) -> Limiter:
    return Limiter(limit, MINUTE, clock=clock, slack=0)


def empty(limit: int, clock: HandClock) -> Limiter:
    return Limiter(limit, MINUTE, clock=clock, slack=0, starts_full=False)


def test_who_comes_later_does_not_overtake_who_was_turned_away() -> None:
    clock = HandClock()
    limiter = full(1, clock)
    assert ask(limiter, "first") == 60
    clock.seconds = 59
    assert ask(limiter, "second") == 61
    clock.seconds = 60
    assert ask(limiter, "third") == 120
    assert ask(limiter, "second") == 60
    assert ask(limiter, "first") is None


def test_who_does_not_come_back_keeps_nobody_waiting_for_long() -> None:
    clock = HandClock()
    limiter = full(1, clock)
    ask(limiter, "gone")
    clock.seconds = 60
    assert ask(limiter, "other") == 60
    clock.seconds = 70
    assert ask(limiter, "other") is None


def test_whose_turn_it_is_asks_on_before_others() -> None:
    clock = HandClock()
    limiter = full(8, clock)
    ask(limiter, "first")
    clock.seconds = 60
    assert [ask(limiter, "new") for _ in range(7)] == [None] * 7
    assert ask(limiter, "new") == 60
    assert ask(limiter, "first") is None


def test_one_errand_gets_no_more_than_its_share_in_one_turn() -> None:
    clock = HandClock()
    limiter = full(8, clock)
    ask(limiter, "greedy")
    ask(limiter, "modest")
    clock.seconds = 60
    assert [ask(limiter, "greedy") for _ in range(8)] == [None] * 7 + [60]
    assert ask(limiter, "modest") is None


@given(
    limit=st.integers(1, 6),
    moments=st.lists(st.integers(0, 90), min_size=1, max_size=25),
    each=st.integers(1, 3),
)
def test_errands_are_served_in_the_order_in_which_they_first_asked(limit: int, moments: list[int], each: int) -> None:
    """All that come back as they were told; `each` asks for so many places, one after the other."""
    clock = HandClock()
    limiter = full(limit, clock)
    due = sorted((float(moment), order, 0) for order, moment in enumerate(sorted(moments)))
    first_served: list[int] = []
    sends: list[float] = [0.0] * limit
    while due:
        clock.seconds, order, served = due.pop(0)
        wait = ask(limiter, str(order))
        if wait is None:
            sends.append(clock.seconds)
            if served == 0:
                first_served.append(order)
            if served + 1 < each:
                due.append((clock.seconds, order, served + 1))
        else:
            due.append((clock.seconds + wait, order, served))
        due.sort()
        assert len(sends) < 1000
    assert first_served == sorted(first_served)
    for index, send in enumerate(sends):
        assert sum(send <= other < send + 60 for other in sends[index:]) <= limit


def test_a_sweep_leaves_the_last_places_to_what_somebody_waits_for() -> None:
    clock = HandClock()
    limiter = empty(8, clock)
    assert [ask(limiter, "poll", is_sweep=True) for _ in range(7)] == [None] * 6 + [60]
    assert [ask(limiter, "deployment") for _ in range(2)] == [None] * 2


def test_a_sweep_makes_way_for_who_was_turned_away() -> None:
    clock = HandClock()
    limiter = full(2, clock)
    ask(limiter, "poll", is_sweep=True)
    ask(limiter, "deployment")
    ask(limiter, "expiry")
    clock.seconds = 60
    assert ask(limiter, "poll", is_sweep=True) == 60
    assert ask(limiter, "deployment") is None
    assert ask(limiter, "expiry") is None


def test_a_sweep_is_let_in_at_last_however_much_else_is_asked() -> None:
    clock = HandClock()
    limiter = full(4, clock)
    swept: list[float] = []
    for second in range(1200):
        clock.seconds = second
        if ask(limiter, "poll", is_sweep=True) is None:
            swept.append(second)
        for number in range(6):
            ask(limiter, f"deployment {number}")
    assert 2 <= len(swept) <= 8, "now and then, and not more"


def test_a_provider_that_wants_to_be_left_alone_is_by_all_that_use_the_key() -> None:
    clock = HandClock()
    limiter = empty(8, clock)
    limiter.leave_alone(90)
    assert (ask(limiter, "one"), limiter.state().left) == (90, 0)
    clock.seconds = 90
    assert ask(limiter, "one") is None


def test_its_state_and_its_changes_can_be_told() -> None:
    clock = HandClock()
    told: list[bool] = []
    limiter = Limiter(2, MINUTE, clock=clock, slack=0, starts_full=False, used_up=told.append)
    ask(limiter, "one")
    clock.seconds = 10
    assert (limiter.state().left, limiter.state().free_in, limiter.state().waiting) == (1, 0, 0)
    ask(limiter, "two")
    ask(limiter, "three")
    ask(limiter, "four", is_sweep=True)
    state = limiter.state()
    assert (state.limit, state.left, state.free_in, state.waiting, state.sweeps) == (2, 0, 60, 2, 1)
    assert told == [True]
    clock.seconds = 200
    ask(limiter, "five")
    assert told == [True, False]
