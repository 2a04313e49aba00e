import asyncio
import copy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.domain.errors import AlreadyExists, Conflict, Unavailable
from reconciler.domain.health import Condition
from reconciler.domain.keys import Body, Kind
from reconciler.operator.leadership import Leadership

pytestmark = pytest.mark.looptime(start=0)


class LoopClock:
    """Each machine's own, as wrong as `off`."""

    def __init__(self, off: float = 0) -> None:
        self.off = timedelta(seconds=off)

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.monotonic()) + self.off

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class FakeLeases:
    """One lease; each request takes a moment, so that two candidates meet."""

    def __init__(self) -> None:
        self.lease: Body | None = None
        self.down = False
        self.moment = 0.01

    async def find(self, kind: Kind, namespace: str, name: str) -> Body | None:
        await self._moment()
        return copy.deepcopy(self.lease)

    async def create(self, kind: Kind, namespace: str, body: Body) -> Body:
        await self._moment()
        if self.lease is not None:
            raise AlreadyExists("there")
        return self._store(body, 1)

    async def replace(self, kind: Kind, namespace: str, name: str, body: Body) -> Body:
        await self._moment()
        assert self.lease is not None
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("newer")
        return self._store(body, int(body["metadata"]["resourceVersion"]) + 1)

    def _store(self, body: Body, version: int) -> Body:
        body = copy.deepcopy(body)
        body["metadata"]["resourceVersion"] = str(version)
        self.lease = body
        return body

    async def _moment(self) -> None:
        await asyncio.sleep(self.moment)
        if self.down:
            raise Unavailable("down")


@asynccontextmanager
async def a_candidate(leases: FakeLeases, identity: str, off: float = 0) -> AsyncIterator[Leadership]:
    candidate = Leadership(leases, identity, namespace="ns", clock=LoopClock(off))
    running = asyncio.ensure_future(candidate.run())
    try:
        yield candidate
    finally:
        await candidate.stop()
        await running


async def test_one_candidate_leads_and_keeps_leading() -> None:
    leases = FakeLeases()
    async with a_candidate(leases, "a") as a:
        await a.leading()
        await asyncio.sleep(300)

        assert a.is_leading
        assert leases.lease is not None
        assert leases.lease["spec"]["leaseTransitions"] == 0
        assert a.state().state is Condition.OK


async def test_of_two_that_begin_at_once_one_leads() -> None:
    leases = FakeLeases()
    async with a_candidate(leases, "a") as a, a_candidate(leases, "b", off=-3600) as b:
        for _ in range(100):
            await asyncio.sleep(1)
            assert a.is_leading + b.is_leading <= 1

        assert a.is_leading + b.is_leading == 1


async def test_a_lease_that_is_given_back_is_taken_at_once() -> None:
    leases = FakeLeases()
    async with a_candidate(leases, "a") as a:
        await a.leading()
        async with a_candidate(leases, "b") as b:
            await asyncio.sleep(10)
            assert not b.is_leading
            await a.stop()
            given_back = asyncio.get_running_loop().time()
            await b.leading()

            assert asyncio.get_running_loop().time() - given_back < 5


async def test_a_holder_that_died_is_followed_after_its_duration_whatever_its_clock_said() -> None:
    leases = FakeLeases()
    leases.lease = {
        "metadata": {"name": "x", "resourceVersion": "7"},
        "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 15, "renewTime": "2099-01-01T00:00:00.000000Z"},
    }
    async with a_candidate(leases, "b") as b:
        await asyncio.sleep(14)
        assert not b.is_leading
        assert "dead leads" in b.state().detail
        await b.leading()

        assert asyncio.get_running_loop().time() < 20
        assert leases.lease["spec"]["leaseTransitions"] == 1


async def test_who_cannot_renew_stops_leading_before_anybody_else_begins() -> None:
    leases = FakeLeases()
    async with a_candidate(leases, "a") as a:
        await a.leading()
        leases.down = True
        await asyncio.sleep(14)
        assert not a.is_leading
        assert a.state().state is Condition.DEGRADED
        leases.down = False
        await asyncio.sleep(5)

        assert a.is_leading


async def test_beginning_and_ceasing_to_lead_is_told() -> None:
    told: list[bool] = []
    leader = Leadership(FakeLeases(), "a", namespace="ns", clock=LoopClock(), changed=told.append)
    running = asyncio.ensure_future(leader.run())
    await leader.leading()
    await leader.stop()
    await running

    assert told == [True, False]


def held_by(holder: str) -> Body:
    return {
        "metadata": {"name": "x", "resourceVersion": "7"},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3},
    }


async def test_a_replica_that_starts_again_does_not_wait_for_its_former_life() -> None:
    leases = FakeLeases()
    leases.lease = held_by("pod-1_former")
    async with a_candidate(leases, "pod-1_this") as candidate:
        await candidate.leading()

        assert asyncio.get_running_loop().time() < 1
        assert leases.lease["spec"]["holderIdentity"] == "pod-1_this"
        assert leases.lease["spec"]["leaseTransitions"] == 4


async def test_of_two_programs_with_one_name_the_younger_leads_and_then_it_is_quiet() -> None:
    leases = FakeLeases()
    async with a_candidate(leases, "pod-1_older") as older:
        await older.leading()
        async with a_candidate(leases, "pod-1_younger") as younger:
            await younger.leading()
            await older.ceased()
            await asyncio.sleep(100)

            assert younger.is_leading
            assert not older.is_leading
            assert leases.lease is not None
            assert leases.lease["spec"]["leaseTransitions"] == 1


async def test_a_standby_says_who_leads_without_the_life() -> None:
    leases = FakeLeases()
    leases.lease = held_by("pod-2_abc")
    async with a_candidate(leases, "pod-1_this") as candidate:
        await asyncio.sleep(1)

        assert candidate.state().detail == "standing by; pod-2 leads"
        assert candidate.state().state is Condition.OK


@pytest.mark.parametrize("answers_after", [0.01, 2.9, 60.0])
async def test_who_cannot_renew_ceases_when_two_thirds_of_the_lease_are_over(answers_after: float) -> None:
    leases = FakeLeases()
    async with a_candidate(leases, "a") as a:
        await a.leading()
        renewed = asyncio.get_running_loop().time()
        leases.down, leases.moment = True, answers_after
        await a.ceased()

        assert 9 < asyncio.get_running_loop().time() - renewed < 10.1
        leases.moment = 0.01


async def test_notes_go_with_renewals_and_are_read_by_who_leads_next() -> None:
    leases, written = FakeLeases(), {"freeleaps.com/audit-head": "i1/17/abc"}
    leases.lease = held_by("")
    leases.lease["metadata"]["annotations"] = {"freeleaps.com/audit-head": "i0/3/def", "of": "somebody"}
    a = Leadership(leases, "a", namespace="ns", clock=LoopClock(), notes=lambda: written)
    running = asyncio.ensure_future(a.run())
    await a.leading()

    assert a.found["freeleaps.com/audit-head"] == "i0/3/def"
    assert leases.lease["metadata"]["annotations"]["freeleaps.com/audit-head"] == "i0/3/def"
    await asyncio.sleep(4)
    assert leases.lease["metadata"]["annotations"] == {**written, "of": "somebody"}

    written["freeleaps.com/audit-head"] = "i1/18/fed"
    await a.stop()
    await running
    async with a_candidate(leases, "b") as b:
        await b.leading()
        assert b.found["freeleaps.com/audit-head"] == "i1/18/fed"


async def test_first_notes_are_on_the_lease_before_anybody_works_and_stay_until_they_are_renewed() -> None:
    leases, first = FakeLeases(), {"freeleaps.com/audit-head": "i1/0/abc"}
    for name in ("a", "b"):
        candidate = Leadership(leases, name, namespace="ns", clock=LoopClock(), first_notes=lambda: first)
        running = asyncio.ensure_future(candidate.run())
        await candidate.leading()
        assert leases.lease is not None
        assert leases.lease["metadata"]["annotations"] == {"freeleaps.com/audit-head": "i1/0/abc"}
        assert candidate.found == {"freeleaps.com/audit-head": "i1/0/abc"}
        first["freeleaps.com/audit-head"] = "i2/0/def"
        await candidate.stop()
        await running
