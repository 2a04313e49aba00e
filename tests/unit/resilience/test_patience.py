import asyncio
import contextlib
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.domain.errors import Unavailable
from reconciler.resilience.backoff import Backoff
from reconciler.resilience.errand import sweeping
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


async def test_permits_go_to_who_came_first() -> None:
    permits = Permits(1, patience=timedelta(seconds=20))
    order: list[int] = []

    async def take(number: int) -> None:
        async with permits:
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(take(number) for number in range(20)))
    assert order == list(range(20))


@pytest.mark.parametrize("patience", [timedelta(0), timedelta(milliseconds=1)])
async def test_nobody_waits_long_for_a_permit(patience: timedelta) -> None:
    permits = Permits(1, patience=patience, name="shopd")
    async with permits:
        with pytest.raises(Unavailable, match="shopd: 1 requests are under way"):
            async with permits:
                pass
    async with permits:
        assert permits.taken == 1


async def test_a_cancelled_waiter_keeps_no_permit() -> None:
    permits = Permits(1, patience=timedelta(seconds=20))

    async def take() -> None:
        async with permits:
            pass

    async with permits:
        waiting = asyncio.ensure_future(take())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with permits:
        assert permits.taken == 1


async def hold(permits: Permits, order: list[str], name: str, *, is_sweep: bool = False) -> None:
    with sweeping() if is_sweep else nullcontext():
        async with permits:
            order.append(name)
            await asyncio.sleep(0)


async def test_a_sweep_leaves_the_last_permits_to_what_somebody_waits_for() -> None:
    permits = Permits(4, patience=timedelta(milliseconds=1), name="shopd")
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            with sweeping():
                await stack.enter_async_context(permits)
        with sweeping(), pytest.raises(Unavailable):
            await stack.enter_async_context(permits)
        await stack.enter_async_context(permits)
        assert permits.taken == 4


async def test_what_somebody_waits_for_goes_before_sweeps_that_came_first_and_one_in_eight_is_a_sweep() -> None:
    permits = Permits(1, patience=timedelta(seconds=20))
    order: list[str] = []
    async with asyncio.TaskGroup() as group, permits:
        for _ in range(3):
            group.create_task(hold(permits, order, "sweep", is_sweep=True))
        for _ in range(16):
            group.create_task(hold(permits, order, "urgent"))
        await asyncio.sleep(0)
        assert permits.waiting == 19
    assert order == [*["urgent"] * 7, "sweep"] * 2 + ["urgent"] * 2 + ["sweep"]


async def test_permits_tell_when_they_begin_and_cease_to_turn_away() -> None:
    told: list[bool] = []
    permits = Permits(2, patience=timedelta(0), used_up=told.append)
    async with permits, permits:
        for _ in range(2):
            with pytest.raises(Unavailable):
                await hold(permits, [], "late")
        assert told == [True]
    assert told == [True, False]


@given(bound=st.integers(1, 4), steps=st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.booleans()), max_size=40))
def test_permits_are_never_more_than_the_bound_and_none_is_lost(
    bound: int, steps: list[tuple[int, bool, bool]]
) -> None:
    async def history() -> None:
        permits = Permits(bound, patience=timedelta(seconds=60))
        tasks: list[asyncio.Task[None]] = []
        for turns, is_sweep, is_cancelled in steps:
            tasks.append(asyncio.ensure_future(hold(permits, [], "one", is_sweep=is_sweep)))
            for _ in range(turns):
                await asyncio.sleep(0)
                assert permits.taken <= bound
            if is_cancelled:
                tasks[len(tasks) // 2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (permits.taken, permits.waiting) == (0, 0)

    asyncio.run(history())
