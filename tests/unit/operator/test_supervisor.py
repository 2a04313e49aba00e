import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from reconciler.operator.shell import pauses
from reconciler.operator.supervisor import Supervisor
from reconciler.resilience.backoff import Backoff

pytestmark = pytest.mark.looptime(start=0)
STEADY = Backoff(first=timedelta(seconds=2), longest=timedelta(seconds=2), floor=timedelta(seconds=2))


class LoopClock:
    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def supervised(life: Callable[[asyncio.Event], Awaitable[None]], backoff: Backoff = STEADY) -> Supervisor:
    return Supervisor("it", life, clock=LoopClock(), backoff=backoff, random=Random(1))  # noqa: S311 - jitter


async def test_it_lives_again_after_each_death() -> None:
    births: list[float] = []

    async def dies(_: asyncio.Event) -> None:
        births.append(round(asyncio.get_running_loop().time(), 3))
        await asyncio.sleep(1)
        raise ZeroDivisionError("oops")

    supervisor = supervised(dies)
    running = asyncio.ensure_future(supervisor.run())
    await asyncio.sleep(8)
    await supervisor.stop()
    await running

    assert births == [0, 3, 6]
    assert supervisor.last_death == "ZeroDivisionError: oops"


async def test_an_end_that_nobody_asked_for_is_a_death() -> None:
    async def ends(_: asyncio.Event) -> None:
        await asyncio.sleep(1)

    supervisor = supervised(ends)
    running = asyncio.ensure_future(supervisor.run())
    await asyncio.sleep(2)
    assert supervisor.next_life is not None
    await supervisor.stop()
    await running

    assert supervisor.deaths == 1


async def test_stopping_waits_for_the_life_to_end_in_order() -> None:
    async def lives(stop: asyncio.Event) -> None:
        await stop.wait()
        await asyncio.sleep(4)

    supervisor = supervised(lives)
    running = asyncio.ensure_future(supervisor.run())
    await asyncio.sleep(1)
    await supervisor.stop()
    await running

    assert (asyncio.get_running_loop().time(), supervisor.deaths) == (5, 0)


async def test_a_long_life_makes_the_next_pause_short_again() -> None:
    births: list[float] = []

    async def dies(_: asyncio.Event) -> None:
        births.append(asyncio.get_running_loop().time())
        await asyncio.sleep(500 if len(births) == 4 else 0)
        raise ZeroDivisionError

    steps = Backoff(first=timedelta(seconds=10), longest=timedelta(seconds=80))
    supervisor = supervised(dies, steps)
    running = asyncio.ensure_future(supervisor.run())
    await asyncio.sleep(800)
    await supervisor.stop()
    await running

    assert births[4] - births[3] - 500 <= 10


def test_kopfs_pauses_double_up_to_a_bound_and_last_its_patience() -> None:
    drawn = pauses(timedelta(minutes=10), timedelta(seconds=15), Random(1))  # noqa: S311 - jitter

    assert sum(drawn) == pytest.approx(600)
    assert max(drawn) <= 15 * 1.25
    assert drawn[0] < drawn[1] < drawn[2]
