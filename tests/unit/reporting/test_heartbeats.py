import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import orjson
import pytest

from reconciler.domain.errors import OutcomeUnknown, Refused, Unavailable
from reconciler.domain.keys import Key
from reconciler.reporting.heartbeats import HeartbeatSender

pytestmark = pytest.mark.looptime(start=0)
EPOCH = datetime(2026, 11, 23, tzinfo=UTC)


class LoopClock:
    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=asyncio.get_running_loop().time())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Broker:
    """Keeps what it confirmed; `away` is what it answers instead."""

    def __init__(self) -> None:
        self.away: Exception | None = None
        self.attempts = 0
        self.takes = 0.0
        self.underway = 0
        self.most_at_once = 0
        self.beats: list[dict[str, Any]] = []
        self.times: list[float] = []
        self.mandatory: set[bool] = set()

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        headers: Mapping[str, Any] | None = None,
        message_id: str = "",
        timestamp: datetime | None = None,
        mandatory: bool = True,
    ) -> None:
        self.attempts += 1
        self.underway += 1
        self.most_at_once = max(self.most_at_once, self.underway)
        self.mandatory.add(mandatory)
        await asyncio.sleep(self.takes)
        self.underway -= 1
        if self.away:
            raise self.away
        self.beats.append(orjson.loads(body)["payload"])
        self.times.append(round(asyncio.get_running_loop().time(), 3))

    def sequences(self, operation: str = "op-1") -> list[int]:
        return [beat["sequence"] for beat in self.beats if beat["operation_id"] == operation]

    def phases(self) -> list[str]:
        return [beat["phase"] for beat in self.beats]


class Marks:
    """Remembers what was announced; `away` is what it answers instead."""

    def __init__(self) -> None:
        self.away: Exception | None = None
        self.takes = 0.0
        self.attempts = 0
        self.written: list[tuple[str, int]] = []

    async def mark_announced(self, resource: Key, operation_id: str, sequence: int) -> None:
        self.attempts += 1
        await asyncio.sleep(self.takes)
        if self.away:
            raise self.away
        self.written.append((operation_id, sequence))


class Metrics:
    def __init__(self) -> None:
        self.sent: list[str] = []

    def heartbeat_sent(self, outcome: str) -> None:
        self.sent.append(outcome)


class World:
    def __init__(self) -> None:
        self.broker, self.marks, self.metrics = Broker(), Marks(), Metrics()
        self.sender = HeartbeatSender(
            self.broker,
            self.marks,
            clock=LoopClock(),
            observer=self.metrics,
            random=Random(1),  # noqa: S311 - jitter
        )


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    world = World()
    task = asyncio.get_running_loop().create_task(world.sender.run())
    try:
        yield world
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def record(sequence: int, phase: str = "Running", *, name: str = "op-1", announced: int = 0, uid: str = "u") -> Any:
    return {
        "kind": "DeploymentRecord",
        "metadata": {"name": name, "namespace": "ns", "uid": uid},
        "spec": {"projectRef": "shop", "environment": "alpha", "revision": "0" * 40},
        "status": {"phase": phase, "sequence": sequence, "announced": announced},
    }


async def test_an_active_operation_is_heard_of_at_once_and_every_ten_seconds() -> None:
    async with running() as world:
        world.sender.changed(record(1))
        await asyncio.sleep(35)
    assert world.broker.times == [0, 10, 20, 30]
    assert world.broker.sequences() == [1, 1, 1, 1]


async def test_each_stored_change_is_heard_of_and_starts_the_ten_seconds_anew() -> None:
    async with running() as world:
        world.sender.changed(record(1))
        await asyncio.sleep(4)
        world.sender.changed(record(2))
        await asyncio.sleep(11)
    assert list(zip(world.broker.sequences(), world.broker.times, strict=True)) == [(1, 0), (2, 4), (2, 14)]


async def test_an_older_or_the_same_state_is_no_news() -> None:
    async with running() as world:
        for sequence in (2, 2, 1, 2):
            world.sender.changed(record(sequence))
            await asyncio.sleep(1)
    assert world.broker.sequences() == [2]


async def test_changes_that_come_faster_than_they_go_out_are_merged() -> None:
    async with running() as world:
        for sequence in range(1, 6):
            world.sender.changed(record(sequence))
        await asyncio.sleep(1)
    assert world.broker.sequences() == [5]


async def test_while_the_broker_is_away_the_newest_state_is_kept() -> None:
    async with running() as world:
        world.broker.away = Unavailable("away")
        for sequence in range(1, 20):
            world.sender.changed(record(sequence))
            await asyncio.sleep(5)
        assert world.sender.is_stuck
        world.broker.away = None
        await asyncio.sleep(10)
        assert not world.sender.is_stuck
    assert world.broker.sequences()[0] == 19
    assert world.metrics.sent[0] == "failed"


async def test_an_outage_costs_few_attempts() -> None:
    async with running() as world:
        world.broker.away = Unavailable("away")
        world.sender.changed(record(1))
        await asyncio.sleep(600)
    assert world.broker.attempts < 200


async def test_when_the_broker_is_back_nothing_waits_for_the_backoff() -> None:
    async with running() as world:
        world.broker.away = Unavailable("away")
        world.sender.changed(record(1))
        await asyncio.sleep(300)
        world.broker.away = None
        world.sender.broker_is_back()
        await asyncio.sleep(0.001)
        assert world.broker.sequences() == [1]


async def test_the_last_word_survives_an_outage_and_the_removal_of_its_resource() -> None:
    async with running() as world:
        world.broker.away = OutcomeUnknown("no confirm")
        world.sender.changed(record(7, "Failed"))
        await asyncio.sleep(30)
        world.sender.removed(Key("DeploymentRecord", "ns", "op-1"))
        world.broker.away = None
        await asyncio.sleep(30)
    assert world.broker.phases() == ["Failed"]
    assert world.marks.written == [("op-1", 7)]


async def test_a_confirmed_last_word_is_announced_once_and_then_there_is_silence() -> None:
    async with running() as world:
        world.sender.changed(record(1))
        await asyncio.sleep(1)
        world.sender.changed(record(2, "Succeeded"))
        await asyncio.sleep(1)
        world.sender.changed(record(2, "Succeeded", announced=2))
        await asyncio.sleep(100)
        assert len(world.sender) == 0
    assert world.broker.phases() == ["Running", "Succeeded"]
    assert world.marks.written == [("op-1", 2)]
    assert len(world.sender) == 0


async def test_an_end_that_the_broker_did_not_confirm_is_not_announced() -> None:
    async with running() as world:
        world.broker.away = Unavailable("away")
        world.sender.changed(record(2, "Succeeded"))
        await asyncio.sleep(100)
    assert world.marks.attempts == 0


async def test_while_the_api_is_away_the_last_word_is_not_repeated_but_announced_later() -> None:
    async with running() as world:
        world.marks.away = Unavailable("away")
        world.sender.changed(record(2, "Succeeded"))
        await asyncio.sleep(60)
        assert world.marks.attempts > 1
        world.marks.away = None
        await asyncio.sleep(20)
    assert world.broker.phases() == ["Succeeded"]
    assert world.marks.written == [("op-1", 2)]


async def test_a_slow_api_does_not_slow_the_beats() -> None:
    async with running() as world:
        world.marks.takes = 60
        world.sender.changed(record(2, "Succeeded", name="op-0"))
        world.sender.changed(record(1))
        await asyncio.sleep(25)
    assert len(world.broker.sequences("op-1")) == 3


async def test_the_late_echo_of_an_announced_end_is_not_sent_again() -> None:
    async with running() as world:
        world.sender.changed(record(2, "Succeeded"))
        await asyncio.sleep(1)
        world.sender.changed(record(2, "Succeeded"))
        await asyncio.sleep(1)
    assert world.broker.sequences() == [2]


async def test_an_end_that_changed_once_more_is_announced_with_its_new_sequence() -> None:
    async with running() as world:
        world.marks.takes = 1
        world.sender.changed(record(2, "Failed"))
        await asyncio.sleep(0.5)
        world.sender.changed(record(3, "Failed"))
        await asyncio.sleep(10)
    assert world.broker.sequences() == [2, 3]
    assert world.marks.written[-1] == ("op-1", 3)
    assert len(world.sender) == 0


async def test_what_ended_unannounced_is_announced_at_start_and_what_was_announced_is_not() -> None:
    async with running() as world:
        world.sender.resume(
            [record(3, "Failed", name="a"), record(4, "Succeeded", name="b", announced=4), record(1, name="c")]
        )
        await asyncio.sleep(1)
        world.sender.resume([record(1, name="c")])
        await asyncio.sleep(1)
    assert sorted(beat["operation_id"] for beat in world.broker.beats) == ["a", "c"]
    assert world.marks.written == [("a", 3)]


async def test_an_active_operation_whose_resource_is_gone_is_forgotten() -> None:
    async with running() as world:
        world.sender.changed(record(1))
        await asyncio.sleep(1)
        world.sender.removed(Key("DeploymentRecord", "ns", "op-1"))
        await asyncio.sleep(60)
    assert world.broker.sequences() == [1]


async def test_a_record_made_anew_starts_at_the_beginning() -> None:
    async with running() as world:
        world.sender.changed(record(5))
        await asyncio.sleep(1)
        world.sender.changed(record(1, uid="other"))
        await asyncio.sleep(1)
    assert world.broker.sequences() == [5, 1]


async def test_a_bug_in_one_beat_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    broken = record(1, name="broken")
    del broken["spec"]["projectRef"]
    async with running() as world:
        world.sender.changed(broken)
        world.sender.changed(record(1))
        await asyncio.sleep(25)
    assert len(world.broker.sequences("op-1")) == 3
    assert "a bug while delivering" in caplog.text


async def test_an_announcement_that_the_api_server_refuses_is_no_bug_and_is_noted_once_it_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as world:
        world.marks.away = Refused("HTTP 401", system="kubernetes")
        world.sender.changed(record(2, "Succeeded"))
        await asyncio.sleep(30)
        world.marks.away = None
        await asyncio.sleep(60)
    assert world.marks.written == [("op-1", 2)]
    assert "a bug" not in caplog.text


async def test_operations_of_one_project_are_heard_of_and_announced_each() -> None:
    ended = {"id": "init-1", "state": "Superseded", "sequence": 3}
    body = {
        "kind": "DevOpsProject",
        "metadata": {"name": "shop", "namespace": "ns", "uid": "u"},
        "spec": {"operation": {"id": "init-2"}},
        "status": {"operations": [ended, {"id": "init-2", "state": "Running", "sequence": 1}]},
    }
    async with running() as world:
        world.sender.changed(body)
        await asyncio.sleep(15)
    assert world.marks.written == [("init-1", 3)]
    assert world.broker.sequences("init-2") == [1, 1]
    assert world.broker.sequences("init-1") == [3]


async def test_five_hundred_active_operations_cost_one_beat_each_per_ten_seconds() -> None:
    async with running() as world:
        world.broker.takes = 0.01
        for number in range(500):
            world.sender.changed(record(1, name=f"op-{number}"))
        await asyncio.sleep(9.9)
        assert len(world.broker.beats) == 500
        await asyncio.sleep(10)
        assert len(world.broker.beats) == 1000
    assert world.broker.most_at_once <= 64


async def test_nobody_has_to_listen() -> None:
    async with running() as world:
        world.sender.changed(record(2, "Succeeded"))
        await asyncio.sleep(1)
    assert world.broker.mandatory == {False}


async def test_secrets_are_masked_in_what_leaves() -> None:
    broker = Broker()
    sender = HeartbeatSender(broker, Marks(), clock=LoopClock(), mask=lambda text: text.replace("hunter2", "***"))
    task = asyncio.get_running_loop().create_task(sender.run())
    told = record(1)
    told["status"]["message"] = "said hunter2"
    sender.changed(told)
    await asyncio.sleep(1)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert broker.beats[0]["message"] == "said ***"


async def test_a_flush_waits_for_what_is_due_and_its_announcement() -> None:
    async with running() as world:
        world.broker.takes = world.marks.takes = 1
        world.sender.changed(record(2, "Succeeded"))
        world.sender.changed(record(1, name="op-2"))
        assert await world.sender.flush(timedelta(seconds=5))
        assert len(world.broker.beats) == 2
        assert world.marks.written == [("op-1", 2)]


async def test_a_flush_gives_up_when_the_broker_is_away() -> None:
    async with running() as world:
        world.broker.away = Unavailable("away")
        world.sender.changed(record(2, "Succeeded"))
        assert not await world.sender.flush(timedelta(seconds=5))
        assert asyncio.get_running_loop().time() == 5
