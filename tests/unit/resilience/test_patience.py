import asyncio
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.domain.errors import Unavailable
from reconciler.resilience.backoff import Backoff
from reconciler.resilience.budget import remaining, spending
from reconciler.resilience.permits import Permits


class HandClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


@given(failures=st.integers(0, 10_000), seed=st.integers(0, 10))
def test_a_delay_lies_between_the_floor_and_the_ceiling(failures: int, seed: int) -> None:
    backoff = Backoff(timedelta(seconds=1), timedelta(minutes=5), floor=timedelta(milliseconds=500))
    delay = backoff.delay(failures, Random(seed))  # noqa: S311 - no secret
    assert timedelta(milliseconds=500) <= delay <= backoff.ceiling(failures) <= timedelta(minutes=5)


def test_ceilings_double_up_to_the_longest() -> None:
    backoff = Backoff(timedelta(seconds=1), timedelta(seconds=10))
    assert [backoff.ceiling(n).total_seconds() for n in range(7)] == [1, 1, 2, 4, 8, 10, 10]


def test_a_budget_handed_down_is_never_longer_than_the_one_above() -> None:
    clock = HandClock()
    assert remaining(30, clock) == 30
    with spending(10, clock):
        clock.seconds = 4
        assert remaining(30, clock) == 6
        with spending(30, clock) as inner:
            assert inner == 6
        with spending(2, clock) as inner:
            assert inner == 2
        clock.seconds = 11
        assert remaining(30, clock) == 0
    assert remaining(30, clock) == 30


async def test_a_budget_belongs_to_its_task() -> None:
    clock = HandClock()
    inside = asyncio.Event()

    async def spend() -> None:
        with spending(1, clock):
            inside.set()
            await asyncio.sleep(0)

    task = asyncio.ensure_future(spend())
    await inside.wait()
    assert remaining(30, clock) == 30
    await task


async def test_permits_go_to_who_came_first() -> None:
    permits = Permits(1, patience=timedelta(seconds=20))
    order: list[int] = []

    async def take(number: int) -> None:
        async with permits.permit():
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(take(number) for number in range(20)))
    assert order == list(range(20))


@pytest.mark.parametrize("patience", [timedelta(0), timedelta(milliseconds=1)])
async def test_nobody_waits_long_for_a_permit(patience: timedelta) -> None:
    permits = Permits(1, patience=patience, name="shopd")
    async with permits.permit():
        with pytest.raises(Unavailable, match="shopd: 1 requests are under way"):
            async with permits.permit():
                pass
    async with permits.permit():
        assert permits.taken == 1


async def test_a_cancelled_waiter_keeps_no_permit() -> None:
    permits = Permits(1, patience=timedelta(seconds=20))

    async def take() -> None:
        async with permits.permit():
            pass

    async with permits.permit():
        waiting = asyncio.ensure_future(take())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with permits.permit():
        assert permits.taken == 1
