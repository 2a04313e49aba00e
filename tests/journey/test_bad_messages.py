"""The journey of each bad message, over the sandbox's broker and over a real RabbitMQ, up to the store.

Bad input of the issue: not JSON, wrong shape, unknown type, 300 KiB, duplicate, same id other content, late, out of
order, for an unknown project. Each gets its answer, nothing is lost, and the next good message is taken.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aio_pika
import orjson
import pytest
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from reconciler.clients.rabbitmq import RabbitMQ
from reconciler.domain.clock import SystemClock
from reconciler.domain.errors import Invalid, Unavailable
from reconciler.domain.messages import Topology
from reconciler.intake.consumer import Intake
from reconciler.resilience.backoff import Backoff
from support.intake import FakeResources, FixedClock, initialize, project_spec, reconcile
from support.rabbitmq import BrokerUnderTest

RECORD, PROJECT = "DeploymentRecord", "DevOpsProject"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Office:
    """A back office with its own connection, and the operator's intake at the other end of the broker."""

    channel: AbstractChannel
    topology: Topology
    resources: FakeResources
    heartbeats: AbstractQueue
    settled: "asyncio.Queue[tuple[str, str]]"

    async def send(self, body: bytes, key: str = "DevOpsReconcile", **properties: Any) -> None:
        exchange = await self.channel.get_exchange(self.topology.exchange, ensure=False)
        await exchange.publish(Message(body, **properties), key)

    async def sent(self, body: bytes, key: str = "DevOpsReconcile", **properties: Any) -> str:
        """Send, and return what became of it."""
        await self.send(body, key, **properties)
        return await self.outcome()

    async def outcome(self) -> str:
        async with asyncio.timeout(20):
            return (await self.settled.get())[1]

    async def dead(self) -> AbstractIncomingMessage:
        return await next_of(await self.channel.get_queue(self.topology.dead, ensure=False))

    async def heartbeat(self) -> dict[str, Any]:
        payload: dict[str, Any] = orjson.loads((await next_of(self.heartbeats)).body)["payload"]
        return payload

    async def is_alive(self) -> bool:
        return await self.sent(reconcile("op-after")) == "Stored"


async def next_of(queue: AbstractQueue) -> AbstractIncomingMessage:
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    tag = await queue.consume(arrived.put, no_ack=True)
    async with asyncio.timeout(20):
        message = await arrived.get()
    await queue.cancel(tag)
    return message


@pytest.fixture
async def office(broker: BrokerUnderTest) -> AsyncIterator[Office]:
    names = {part: broker.name(part) for part in ("exchange", "initialize", "reconcile", "retry", "dead", "heartbeat")}
    topology = Topology(**names, retry_delays=(timedelta(milliseconds=20),))
    client = RabbitMQ(broker.url, clock=SystemClock(), reconnect_after=timedelta(milliseconds=20))
    client.declare(topology)
    await client.start()
    await client.connected()
    resources, settled = FakeResources(), asyncio.Queue[tuple[str, str]]()
    intake = Intake(
        resources=resources,
        messenger=client,
        topology=topology,
        namespace="ns",
        clock=FixedClock(),
        attempts=3,
        backoff=Backoff(first=timedelta(milliseconds=10), longest=timedelta(milliseconds=10)),
        observe=lambda type_, outcome: settled.put_nowait((type_, outcome)),
    )
    await intake.start()
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel(on_return_raises=True)
        heartbeats = await channel.declare_queue(exclusive=True)
        await heartbeats.bind(topology.heartbeat, "#")
        yield Office(channel, topology, resources, heartbeats, settled)
    await intake.stop()
    await client.stop()


async def test_a_good_message_is_stored_with_its_trace(office: Office) -> None:
    assert await office.sent(reconcile(), headers={"traceparent": TRACE}) == "Stored"
    assert office.resources.only(RECORD)["spec"]["traceparent"] == TRACE
    assert await office.sent(initialize(), "DevOpsInitialize") == "Stored"
    assert office.resources.only(PROJECT)["spec"]["operation"]["id"] == "init-1"


@pytest.mark.parametrize(
    ("body", "reason", "field"),
    [
        (b"\x00 not json", "NotJson", ""),
        (b'{"event_type": "DevOpsReconcile"', "NotJson", ""),
        (b"[1, 2]", "NotJson", ""),
        (b'{"event_type": "DevOpsDestroy", "payload": {}}', "UnknownType", "event_type"),
        (b'{"event_type": "DevOpsReconcile", "payload": []}', "InvalidShape", "payload"),
    ],
    ids=["bytes", "cut", "list", "type", "shape"],
)
async def test_what_cannot_be_read_is_kept_with_its_reason(
    office: Office, body: bytes, reason: str, field: str
) -> None:
    assert await office.sent(body, message_id="their-id") == "Rejected"
    letter = await office.dead()
    assert (letter.body, letter.message_id) == (body, "their-id")
    assert (letter.headers["x-reconciler-reason"], letter.headers["x-reconciler-field"]) == (reason, field)
    assert letter.headers["x-reconciler-routing-key"] == "DevOpsReconcile"
    assert await office.is_alive()


async def test_a_wrong_shape_is_answered_to_its_sender(office: Office) -> None:
    assert await office.sent(reconcile(revision="main")) == "Rejected"
    beat = await office.heartbeat()
    assert (beat["operation_id"], beat["phase"], beat["reason"]) == ("op-1", "Failed", "InvalidShape")
    assert "payload.revision" in beat["message"]
    assert (await office.dead()).headers["x-reconciler-field"] == "payload.revision"
    assert await office.is_alive()


async def test_300_kib_are_kept_whole_and_answered(office: Office) -> None:
    body = reconcile(requested_by="x" * 300 * 1024)
    assert await office.sent(body) == "Rejected"
    letter = await office.dead()
    assert letter.body == body
    assert letter.headers["x-reconciler-reason"] == "TooLarge"
    assert (await office.heartbeat())["reason"] == "TooLarge"
    assert await office.is_alive()


async def test_a_duplicate_is_one_record(office: Office) -> None:
    outcomes = [await office.sent(reconcile()) for _ in range(3)]
    assert outcomes == ["Stored", "Unchanged", "Unchanged"]
    assert office.resources.only(RECORD)["metadata"]["name"] == "op-1"


async def test_duplicates_at_once_are_one_record(office: Office) -> None:
    for _ in range(10):
        await office.send(reconcile())
    outcomes = [await office.outcome() for _ in range(10)]
    assert sorted(outcomes) == ["Stored", *["Unchanged"] * 9]


async def test_the_same_id_with_other_content_is_dead_and_leaves_the_first_alone(office: Office) -> None:
    await office.sent(reconcile())
    assert await office.sent(reconcile(environment="beta")) == "Rejected"
    letter = await office.dead()
    assert letter.headers["x-reconciler-reason"] == "OperationIdReused"
    assert letter.headers["x-reconciler-field"] == "payload.environment"
    assert office.resources.only(RECORD)["spec"]["environment"] == "alpha"
    assert await office.is_alive()


async def test_a_late_message_is_dead_and_answered(office: Office) -> None:
    assert await office.sent(reconcile(envelope_={"timestamp": "2026-11-01T00:00:00Z"})) == "Rejected"
    assert (await office.dead()).headers["x-reconciler-reason"] == "TooOld"
    assert (await office.heartbeat())["reason"] == "TooOld"
    assert await office.is_alive()


async def test_out_of_order_the_newer_initialize_stays_and_the_older_ends_as_superseded(office: Office) -> None:
    newer = initialize("init-2", spec=project_spec(displayName="newer"))
    older = initialize("init-1", envelope_={"timestamp": "2026-11-23T07:00:00Z"})
    assert await office.sent(newer, "initialize") == "Stored"
    assert await office.sent(older, "initialize") == "Ended"
    assert office.resources.only(PROJECT)["spec"]["displayName"] == "newer"
    beat = await office.heartbeat()
    assert (beat["operation_id"], beat["phase"]) == ("init-1", "Superseded")


async def test_out_of_order_reconciles_keep_the_moments_that_decide(office: Office) -> None:
    await office.sent(reconcile("op-2"))
    await office.sent(reconcile("op-1", envelope_={"timestamp": "2026-11-23T07:00:00Z"}))
    moments = {name: body["spec"]["requestedAt"] for (_, name), body in office.resources.bodies.items()}
    assert moments == {"op-2": "2026-11-23T07:59:00Z", "op-1": "2026-11-23T07:00:00Z"}


async def test_an_unknown_project_is_stored_all_the_same(office: Office) -> None:
    assert await office.sent(reconcile(project="nowhere")) == "Stored"
    assert office.resources.only(RECORD)["spec"]["projectRef"] == "nowhere"


async def test_what_the_api_server_refuses_is_dead_with_the_field(office: Office) -> None:
    office.resources.refusal = Invalid("spec.environment: unknown", field="spec.environment", status=422)
    assert await office.sent(reconcile()) == "Rejected"
    letter = await office.dead()
    assert letter.headers["x-reconciler-reason"] == "InvalidResource"
    assert letter.headers["x-reconciler-field"] == "spec.environment"
    assert (await office.heartbeat())["reason"] == "InvalidResource"
    office.resources.refusal = None
    assert await office.is_alive()


async def test_what_cannot_be_done_now_comes_back_until_it_can(office: Office) -> None:
    office.resources.failures = [Unavailable("overloaded", status=503)]
    assert await office.sent(reconcile(), headers={"traceparent": TRACE}) == "Later"
    assert await office.outcome() == "Stored"
    assert office.resources.only(RECORD)["spec"]["traceparent"] == TRACE


async def test_what_never_can_be_done_is_dead_after_the_last_attempt(office: Office) -> None:
    office.resources.failing = Unavailable("overloaded", status=503)
    await office.send(reconcile(), headers={"own": "kept"})
    assert [await office.outcome() for _ in range(4)] == ["Later", "Later", "Later", "Rejected"]
    letter = await office.dead()
    assert letter.headers["x-reconciler-reason"] == "Unavailable"
    assert letter.headers["own"] == "kept"
    assert letter.headers["x-reconciler-exchange"] == office.topology.exchange


async def test_while_the_api_server_is_silent_nothing_is_lost_and_nothing_counted(office: Office) -> None:
    office.resources.failing = Unavailable("connection refused")
    for number in range(5):
        await office.send(reconcile(f"op-{number}"))
    async with asyncio.timeout(20):
        while len(office.resources.calls) < 8:  # noqa: ASYNC110 - the fake has no event
            await asyncio.sleep(0.005)
    assert office.settled.empty()
    office.resources.failing = None
    assert [await office.outcome() for _ in range(5)] == ["Stored"] * 5
    assert len(office.resources.bodies) == 5
    dead = await office.channel.get_queue(office.topology.dead)
    assert dead.declaration_result.message_count == 0
