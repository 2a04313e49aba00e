from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.domain.errors import RateLimited
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
    with pytest.raises(RateLimited, match=r"godaddy: our own limit of 60 requests in 60 s is used up") as caught:
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
    assert limiter.wait() > 0


async def test_acquire_waits_its_turn() -> None:
    limiter = Limiter(1, timedelta(milliseconds=5), starts_full=True)
    await limiter.acquire(patience=5)
    await limiter.acquire(patience=5)
