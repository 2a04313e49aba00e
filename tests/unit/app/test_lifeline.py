"""A part under proof of life, on virtual time: what is sent, tried, restarted and told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.app.lifeline import Lifeline
from reconciler.domain.errors import ReconcilerError, Unavailable
from reconciler.domain.health import Condition

pytestmark = pytest.mark.looptime(start=0)


class LoopClock:
    def now(self) -> datetime:
        return datetime(2026, 11, 28, tzinfo=UTC) + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Way:
    """A way there and back that can be blocked, mended by a restart or not, while the other side works or not."""

    def __init__(self, *, helps: bool = True) -> None:
        self.lifeline = Lifeline(
            "messages", self, interval=timedelta(seconds=30), clock=LoopClock(), restarted=lambda _: None
        )
        self.is_blocked = False
        self.helps = helps
        self.away: Exception | None = None
        self.hangs = False
        self.is_mute = False
        self.sent = 0
        self.restarts: list[float] = []

    async def send(self) -> None:
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.away:
            raise self.away
        self.sent += 1
        if not self.is_blocked:
            self.lifeline.arrived()

    async def works_afresh(self) -> None:
        if self.is_mute:
            await asyncio.get_running_loop().create_future()
        if self.away:
            raise self.away

    def restart(self, why: str) -> None:
        self.restarts.append(asyncio.get_running_loop().time())
        self.is_blocked = self.is_blocked and not self.helps
        self.hangs = self.hangs and not self.helps


@asynccontextmanager
async def living(way: Way) -> AsyncIterator[Lifeline]:
    running = asyncio.ensure_future(way.lifeline.run())
    try:
        yield way.lifeline
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_canary_is_sent_at_each_interval_and_its_return_is_told() -> None:
    way = Way()
    async with living(way) as lifeline:
        await asyncio.sleep(95)
        told = lifeline.state()

    assert way.sent == 4
    assert (told.state, told.detail) == (Condition.OK, "last proof at 2026-11-28T00:01:30Z")
    assert way.restarts == []


@pytest.mark.parametrize("how", ["is_blocked", "hangs"])
async def test_a_dead_way_is_restarted_and_lives_again(how: str) -> None:
    way = Way()
    async with living(way) as lifeline:
        await asyncio.sleep(1)
        setattr(way, how, True)
        await asyncio.sleep(600)
        assert lifeline.is_alive
        assert lifeline.state().state is Condition.OK

    assert len(way.restarts) == 1
    assert way.restarts[0] <= 150


async def test_restarts_in_vain_end_in_death_and_not_before_the_third_time() -> None:
    way = Way(helps=False)
    way.is_blocked = True
    async with living(way) as lifeline:
        await asyncio.sleep(301)
        assert (len(way.restarts), lifeline.is_alive) == (2, True)
        await asyncio.sleep(120)
        assert (len(way.restarts), lifeline.is_alive) == (2, False)
        told = lifeline.state()

    assert told.state is Condition.FAILED
    assert "no proof yet; restarted 2 times since" in told.detail


@pytest.mark.parametrize("error", [Unavailable("refused", system="rabbitmq"), ReconcilerError("403"), KeyError("bug")])
async def test_while_the_other_side_is_away_nothing_is_restarted_and_nobody_is_dead(error: Exception) -> None:
    way = Way()
    way.away = error
    async with living(way) as lifeline:
        await asyncio.sleep(7200)
        assert lifeline.is_alive
        assert lifeline.state().state is Condition.DEGRADED
        way.away = None
        await asyncio.sleep(60)
        assert lifeline.state().state is Condition.OK

    assert way.restarts == []


async def test_an_other_side_that_tells_a_fresh_connection_nothing_either_is_away() -> None:
    way = Way()
    async with living(way) as lifeline:
        way.is_blocked = way.is_mute = True
        await asyncio.sleep(3600)
        assert lifeline.is_alive
        assert "a fresh connection does not work within 30 s" in lifeline.state().detail

    assert way.restarts == []


async def test_a_part_that_came_back_by_itself_after_an_outage_is_not_restarted() -> None:
    way = Way()
    async with living(way):
        way.away = Unavailable("refused")
        await asyncio.sleep(600)
        way.away, way.is_blocked = None, True  # it connects anew: for a while nothing comes yet
        await asyncio.sleep(60)
        way.is_blocked = False
        await asyncio.sleep(300)

    assert way.restarts == []
