"""Rosters: one list for all who ask, never older than a minute, and silent about what we wrote ourselves."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta

import pytest

from reconciler.clients.rosters import Roster
from reconciler.domain.errors import ReconcilerError, Refused, Unavailable
from support.moments import ManualClock


class Place:
    """Lists what is there, slowly where a test says so."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.there: dict[str, str] = {"shop": "one"}
        self.lists = 0
        self.error: ReconcilerError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.roster = Roster(self.list_, clock=self.clock, fresh=timedelta(seconds=60))

    async def list_(self) -> Mapping[str, str]:
        self.lists += 1
        seen = dict(self.there)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return seen


async def test_all_who_ask_at_once_share_a_list() -> None:
    place = Place()
    place.gate.clear()
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(place.roster.latest("shop")) for _ in range(50)]
        await asyncio.sleep(0)
        place.gate.set()
    assert {one.result() for one in asked} == {"one"}
    assert place.lists == 1


async def test_those_who_wait_for_a_list_that_fails_do_not_list_again() -> None:
    place = Place()
    place.error = Unavailable("it does not answer", system="argocd")
    place.gate.clear()
    asking = asyncio.gather(*(place.roster.latest("shop") for _ in range(5)), return_exceptions=True)
    await asyncio.sleep(0)
    place.gate.set()
    assert await asking == [place.error] * 5
    assert place.lists == 1


async def test_a_list_is_taken_again_after_a_minute() -> None:
    place = Place()
    await place.roster.latest("shop")
    place.there["shop"] = "two"
    place.clock.advance(59)
    assert await place.roster.latest("shop") == "one"
    place.clock.advance(1)
    assert await place.roster.latest("shop") == "two"
    assert place.lists == 2


async def test_of_what_is_not_in_it_a_list_says_nothing_and_is_not_taken_again() -> None:
    place = Place()
    assert await place.roster.latest("other") is None
    assert await place.roster.latest("another") is None
    assert place.lists == 1


async def test_a_list_is_silent_about_what_was_written_since_it_was_begun() -> None:
    place = Place()
    place.there["other"] = "here"
    await place.roster.latest("shop")
    place.roster.wrote("shop")
    place.there["shop"] = "two"
    assert await place.roster.latest("shop") is None
    assert await place.roster.latest("other") == "here", "the others go on as before"
    assert place.lists == 1
    place.clock.advance(60)
    assert await place.roster.latest("shop") == "two"


async def test_who_may_not_list_reads_one_by_one() -> None:
    place = Place()
    place.error = Refused("403", system="argocd")
    assert await place.roster.latest("shop") is None
    assert await place.roster.latest("shop") is None
    assert place.lists == 1


async def test_an_outage_is_everybodys_and_is_not_kept() -> None:
    place = Place()
    place.error = Unavailable("refused", system="argocd")
    with pytest.raises(Unavailable):
        await place.roster.latest("shop")
    place.error = None
    assert await place.roster.latest("shop") == "one"
