import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from reconciler.agenda.agenda import Agenda, AgendaState, Looked, Outcome, Patience
from reconciler.domain.errors import Conflict, NotFound, Refused, Unavailable
from reconciler.resilience.backoff import Backoff

pytestmark = pytest.mark.looptime(start=0)
EPOCH = datetime(2026, 11, 23, tzinfo=UTC)
STEADY = Backoff(first=timedelta(seconds=2), longest=timedelta(seconds=2), floor=timedelta(seconds=2))


class LoopClock:
    """The wall clock runs with the loop, which a test may hurry; it may be set."""

    def __init__(self) -> None:
        self.set_by = timedelta()

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=asyncio.get_running_loop().time()) + self.set_by

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def at(seconds: float) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


class Looker:
    """Remembers when it looked at what, and answers as it is told, one answer after the other, then None."""

    def __init__(self, answers: Mapping[str, list[Any]] | None = None, takes: float = 0) -> None:
        self.answers = {key: list(values) for key, values in (answers or {}).items()}
        self.takes = takes
        self.looks: list[tuple[str, float]] = []
        self.running: list[str] = []
        self.most_at_once = 0

    async def __call__(self, key: str) -> datetime | None:
        self.looks.append((key, round(asyncio.get_running_loop().time(), 3)))
        self.running.append(key)
        self.most_at_once = max(self.most_at_once, len(self.running))
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.running.remove(key)
        answers = self.answers.get(key)
        answer = answers.pop(0) if answers else None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def times(self, key: str = "a") -> list[float]:
        return [when for looked, when in self.looks if looked == key]


class Heard:
    def __init__(self) -> None:
        self.looks: list[Looked] = []

    def looked(self, look: Looked) -> None:
        self.looks.append(look)


@asynccontextmanager
async def running(look: Callable[[str], Any], **options: Any) -> AsyncIterator[Agenda[str]]:
    options.setdefault("patience", Patience(backoff=STEADY))
    options.setdefault("clock", LoopClock())
    agenda: Agenda[str] = Agenda(look, random=Random(1), **options)  # noqa: S311 - jitter
    task = asyncio.ensure_future(agenda.run())
    await asyncio.sleep(0)
    try:
        yield agenda
    finally:
        await agenda.stop(timedelta(seconds=1))
        await task


async def test_a_key_added_many_times_is_looked_at_once() -> None:
    look = Looker()
    agenda = Agenda(look, clock=LoopClock())
    for _ in range(5):
        agenda.add("a")

    task = asyncio.ensure_future(agenda.run())
    await asyncio.sleep(1)
    await agenda.stop()
    await task

    assert look.times() == [0]


async def test_a_key_is_looked_at_when_it_is_due_and_not_before() -> None:
    look = Looker()
    async with running(look) as agenda:
        agenda.add("a", at(90))
        await asyncio.sleep(200)

    assert look.times() == [90]


@pytest.mark.parametrize("order", [(10, 50), (50, 10)])
async def test_the_earliest_due_time_stands(order: tuple[float, float]) -> None:
    look = Looker()
    async with running(look) as agenda:
        for due in order:
            agenda.add("a", at(due))
        await asyncio.sleep(100)

    assert look.times() == [10]


async def test_a_look_says_when_the_next_one_is_due() -> None:
    look = Looker({"a": [at(30), at(70)]})
    async with running(look) as agenda:
        agenda.add("a")
        await asyncio.sleep(100)

    assert look.times() == [0, 30, 70]


async def test_a_key_added_while_its_look_runs_is_looked_at_again_after_and_never_twice_at_once() -> None:
    look = Looker(takes=5)
    async with running(look) as agenda:
        agenda.add("a")
        await asyncio.sleep(2)
        agenda.add("a")
        agenda.add("a")
        await asyncio.sleep(20)

    assert look.times() == [0, 5]
    assert look.most_at_once == 1


async def test_a_lane_allows_so_many_looks_at_once() -> None:
    look = Looker(takes=5)
    async with running(look, lanes={"looks": 3}) as agenda:
        for number in range(9):
            agenda.add(str(number))
        await asyncio.sleep(30)

    assert look.most_at_once == 3
    assert len(look.looks) == 9


async def test_a_full_lane_holds_up_no_other() -> None:
    look = Looker(takes=100)
    lanes = {"looks": 1, "deletion": 1}
    async with running(look, lanes=lanes, lane_of=lambda key: "deletion" if key == "x" else "looks") as agenda:
        agenda.add("a")
        agenda.add("b")
        agenda.add("x")
        await asyncio.sleep(1)
        state = agenda.state()

    assert look.times("x") == [0]
    assert state.depth == {"looks": 1, "deletion": 0}
    assert state.running == {"looks": 1, "deletion": 1}


async def test_a_forgotten_key_is_not_looked_at() -> None:
    look = Looker()
    async with running(look) as agenda:
        agenda.add("a", at(10))
        agenda.forget("a")
        await asyncio.sleep(20)

    assert look.looks == []


async def test_what_a_forgotten_look_says_of_the_future_is_not_heard() -> None:
    look = Looker({"a": [at(10)]}, takes=1)
    async with running(look) as agenda:
        agenda.add("a")
        await asyncio.sleep(0.5)
        agenda.forget("a")
        await asyncio.sleep(20)

    assert look.times() == [0]


async def test_a_conflict_is_looked_at_again_at_once_but_not_for_ever() -> None:
    look = Looker({"a": [Conflict("x"), NotFound("x"), Conflict("x"), Conflict("x"), Conflict("x")]})
    async with running(look) as agenda:
        agenda.add("a")
        await asyncio.sleep(20)

    assert look.times() == [0, 0, 0, 0, 2, 4]


async def test_what_is_unavailable_is_looked_at_when_it_said() -> None:
    look = Looker({"a": [Unavailable("x", retry_after=timedelta(seconds=7)), Unavailable("x")]})
    heard = Heard()
    async with running(look, observer=heard) as agenda:
        agenda.add("a")
        await asyncio.sleep(20)

    assert look.times() == [0, 7, 9]
    assert [looked.outcome for looked in heard.looks] == [Outcome.UNAVAILABLE, Outcome.UNAVAILABLE, Outcome.DONE]


async def test_an_outage_is_never_a_bug_however_long_it_is() -> None:
    look = Looker({"a": [Unavailable("x") for _ in range(50)]})
    async with running(look) as agenda:
        agenda.add("a")
        await asyncio.sleep(60)
        state = agenda.state()

    assert state.parked == 0
    assert len(look.times()) == 31


async def test_an_api_server_that_refuses_us_is_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    look = Looker({"a": [Refused("HTTP 403") for _ in range(10)]})
    async with running(look) as agenda:
        agenda.add("a")
        await asyncio.sleep(60)
        state = agenda.state()

    assert (state.parked, caplog.records) == (0, [])
    assert len(look.times()) == 11


async def test_a_bug_is_logged_with_its_traceback_and_operation(caplog: pytest.LogCaptureFixture) -> None:
    look = Looker({"a": [ZeroDivisionError("oops")]})
    with caplog.at_level(logging.ERROR):
        async with running(look, describe=lambda key: {"operation_id": f"op-{key}"}) as agenda:
            agenda.add("a")
            await asyncio.sleep(1)

    (record,) = caplog.records
    assert record.exc_info is not None
    assert record.exc_info[0] is ZeroDivisionError
    assert record.operation_id == "op-a"  # type: ignore[attr-defined]


async def test_what_cannot_be_read_or_written_is_tried_again_within_a_minute_however_often_it_failed() -> None:
    look = Looker({"a": [Unavailable("no connection") for _ in range(40)]})
    async with running(look, patience=Patience()) as agenda:
        agenda.add("a")
        await asyncio.sleep(900)
    times = look.times()
    assert max(later - earlier for earlier, later in pairwise(times)) <= 60
    assert 900 - times[-1] <= 60


async def test_a_key_with_a_bug_is_parked_after_the_limit_until_long_after() -> None:
    look = Looker({"a": [ZeroDivisionError() for _ in range(6)]})
    async with running(look) as agenda:
        agenda.add("a")
        await asyncio.sleep(300)
        parked = agenda.state().parked
        await asyncio.sleep(2000)

    assert parked == 1
    assert look.times() == [0, 2, 4, 6, 8, 608, 1208]


async def test_a_parked_key_is_looked_at_when_it_changes() -> None:
    look = Looker({"a": [ZeroDivisionError() for _ in range(5)]})
    async with running(look) as agenda:
        agenda.add("a")
        await asyncio.sleep(100)
        agenda.add("a")
        await asyncio.sleep(1)
        state = agenda.state()

    assert look.times()[-1] == 100
    assert state.parked == 0


async def test_a_change_ends_a_backoff_but_not_in_a_hot_loop() -> None:
    look = Looker({"a": [ZeroDivisionError(), ZeroDivisionError()]})
    async with running(look) as agenda:
        agenda.add("a")
        await asyncio.sleep(0.1)
        agenda.add("a")
        await asyncio.sleep(20)

    assert look.times() == [0, 1, 3]


async def test_a_change_ends_a_backoff_also_after_the_clock_was_set_back() -> None:
    look, clock = Looker({"a": [ZeroDivisionError()]}), LoopClock()
    async with running(look, clock=clock) as agenda:
        agenda.add("a")
        await asyncio.sleep(0.1)
        clock.set_by = timedelta(hours=-1)
        agenda.add("a")
        await asyncio.sleep(20)

    assert look.times() == [0, 1.1]


async def test_one_keys_bug_leaves_the_others_alone() -> None:
    look = Looker({"a": [ZeroDivisionError() for _ in range(9)]})
    async with running(look) as agenda:
        agenda.add("a")
        agenda.add("b")
        await asyncio.sleep(1)

    assert look.times("b") == [0]


async def test_a_cancellation_that_leaks_from_a_library_is_a_bug_and_not_an_end() -> None:
    look = Looker({"a": [asyncio.CancelledError()]})
    async with running(look) as agenda:
        agenda.add("a")
        await asyncio.sleep(10)

    assert look.times() == [0, 2]


async def test_stop_lets_looks_end_and_begins_no_more() -> None:
    look = Looker(takes=5)
    agenda: Agenda[str] = Agenda(look, clock=LoopClock(), lanes={"looks": 1})
    task = asyncio.ensure_future(agenda.run())
    agenda.add("a")
    agenda.add("b")
    await asyncio.sleep(1)

    await agenda.stop(timedelta(seconds=10))
    await task

    assert look.looks == [("a", 0)]
    assert asyncio.get_running_loop().time() == 5


async def test_stop_cancels_what_takes_longer_than_the_grace() -> None:
    look, heard = Looker(takes=500), Heard()
    agenda: Agenda[str] = Agenda(look, clock=LoopClock(), observer=heard)
    task = asyncio.ensure_future(agenda.run())
    await asyncio.sleep(0)
    agenda.add("a")
    await asyncio.sleep(1)

    await agenda.stop(timedelta(seconds=10))
    await task

    assert asyncio.get_running_loop().time() == 11
    assert [looked.outcome for looked in heard.looks] == [Outcome.CANCELLED]
    assert look.running == []


async def test_what_is_added_after_a_cancellation_does_no_harm() -> None:
    look = Looker(takes=5)
    agenda: Agenda[str] = Agenda(look, clock=LoopClock())
    task = asyncio.ensure_future(agenda.run())
    agenda.add("a")
    await asyncio.sleep(1)

    task.cancel()
    agenda.add("b")
    await asyncio.wait([task])
    agenda.add("c")

    assert task.cancelled()
    assert look.looks == [("a", 0)]


async def test_the_state_shows_what_waits_for_when() -> None:
    look = Looker(takes=3)
    async with running(look, lanes={"looks": 1}) as agenda:
        agenda.add("a")
        agenda.add("b")
        agenda.add("c", at(60))
        agenda.add("d", at(50))
        await asyncio.sleep(1)
        state = agenda.state()

    assert state == AgendaState({"looks": 1}, {"looks": 1}, 2, at(50), 0, at(0))


async def test_how_long_a_key_waited_is_told() -> None:
    look, heard = Looker(takes=3), Heard()
    async with running(look, lanes={"looks": 1}, observer=heard) as agenda:
        agenda.add("a")
        agenda.add("b")
        await asyncio.sleep(10)

    assert [(each.waited.total_seconds(), each.took.total_seconds()) for each in heard.looks] == [(0, 3), (3, 3)]


async def test_nothing_is_kept_of_a_key_that_has_no_future() -> None:
    look = Looker()
    async with running(look) as agenda:
        agenda.add("a")
        await asyncio.sleep(1)

        assert agenda._items == {}


async def test_many_keys_come_in_the_order_they_are_due() -> None:
    look = Looker()
    random = Random(7)  # noqa: S311 - any order will do
    dues = [random.randrange(1, 1000) for _ in range(300)]
    async with running(look) as agenda:
        for number, due in enumerate(dues):
            agenda.add(str(number), at(due))
        await asyncio.sleep(1001)

    assert [when for _, when in look.looks] == sorted(dues)


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_each_change_is_followed_by_a_look_and_no_key_is_looked_at_twice_at_once(
    seed: int,
) -> None:
    random = Random(seed)  # noqa: S311 - any order will do
    loop = asyncio.get_running_loop()
    changed: dict[str, float] = {}
    looked: dict[str, float] = {}
    busy: set[str] = set()

    async def look(key: str) -> datetime | None:
        assert key not in busy
        busy.add(key)
        begun = loop.time()
        await asyncio.sleep(random.choice([0, 0.1, 3]))
        busy.remove(key)
        ends: list[Exception | None] = [None, None, None, Conflict("x"), Unavailable("x"), ZeroDivisionError()]
        if (trouble := random.choice(ends)) is not None:
            raise trouble
        looked[key] = begun
        return at(loop.time() + 50) if random.random() < 0.1 else None

    lanes = {"looks": 2, "other": 1}
    async with running(look, lanes=lanes, lane_of=lambda key: "other" if key in "ab" else "looks") as agenda:
        for _ in range(300):
            key = random.choice("abcdefgh")
            if random.random() < 0.2:
                agenda.add(key, at(loop.time() + random.randrange(40)))
            else:
                changed[key] = loop.time()
                agenda.add(key)
            await asyncio.sleep(random.choice([0, 0.05, 1]))
        await asyncio.sleep(10_000)

        assert all(looked[key] >= when for key, when in changed.items())
        assert busy == set()
