"""The line to the broker is cut at the worst moments: what was accepted is stored once, what was refused is kept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import aio_pika
import pytest
from aio_pika import Message

from reconciler.clients.rabbitmq import RabbitMQ
from reconciler.domain.clock import SystemClock
from reconciler.domain.messages import Topology
from reconciler.intake.consumer import Intake
from reconciler.resilience.backoff import Backoff
from support.intake import FakeResources, FixedClock, reconcile
from support.proxy import CuttableLine
from support.rabbitmq import BrokerUnderTest

SOON = timedelta(milliseconds=10)
RECORD = "DeploymentRecord"


class CuttingResources(FakeResources):
    """Cuts the line after every `each`-th write, before anybody hears of it."""

    def __init__(self, cut: Callable[[], None], each: int) -> None:
        super().__init__()
        self._cut = cut
        self._each = each
        self.writes = 0

    async def create(self, kind: str, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        stored = await super().create(kind, namespace, body)
        self.writes += 1
        if self.writes % self._each == 0:
            self._cut()
        return stored


@pytest.fixture
async def line(broker: BrokerUnderTest) -> AsyncIterator[CuttableLine]:
    line = CuttableLine(broker.url)
    await line.start()
    yield line
    await line.stop()


async def start(line: CuttableLine, topology: Topology, resources: FakeResources) -> tuple[RabbitMQ, Intake]:
    client = RabbitMQ(line.url, clock=SystemClock(), reconnect_after=SOON, stable_after=SOON * 5)
    client.declare(topology)
    await client.start()
    await client.connected()
    intake = Intake(
        resources=resources,
        messenger=client,
        topology=topology,
        namespace="ns",
        clock=FixedClock(),
        prefetch=5,
        backoff=Backoff(first=SOON, longest=SOON),
    )
    await intake.start()
    return client, intake


def topology_of(broker: BrokerUnderTest) -> Topology:
    names = {part: broker.name(part) for part in ("exchange", "initialize", "reconcile", "retry", "dead", "heartbeat")}
    return Topology(**names)


async def send(broker: BrokerUnderTest, topology: Topology, bodies: list[bytes]) -> None:
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel(on_return_raises=True)
        exchange = await channel.get_exchange(topology.exchange)
        for body in bodies:
            await exchange.publish(Message(body), "reconcile")


async def until_empty(broker: BrokerUnderTest, queue: str, intake: Intake, client: RabbitMQ) -> None:
    """Wait until the queue is empty when its consumer has gone, that is: all of it was acknowledged."""
    async with await aio_pika.connect(broker.url) as connection, asyncio.timeout(40):
        channel = await connection.channel()
        while (await channel.declare_queue(queue, passive=True)).declaration_result.message_count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await intake.stop()
        await client.stop()
        assert (await channel.declare_queue(queue, passive=True)).declaration_result.message_count == 0


async def count(broker: BrokerUnderTest, queue: str) -> int:
    async with await aio_pika.connect(broker.url) as connection:
        found = await (await connection.channel()).declare_queue(queue, passive=True)
        return found.declaration_result.message_count or 0


async def test_a_cut_between_storing_and_acknowledging_stores_each_once(
    broker: BrokerUnderTest, line: CuttableLine
) -> None:
    topology, resources = topology_of(broker), CuttingResources(line.cut, each=3)
    client, intake = await start(line, topology, resources)
    await send(broker, topology, [reconcile(f"op-{number}") for number in range(20)])
    async with asyncio.timeout(40):
        while len(resources.bodies) < 20:  # noqa: ASYNC110 - the fake has no event
            await asyncio.sleep(0.01)
    await until_empty(broker, topology.reconcile, intake, client)
    assert resources.writes == 20
    assert await count(broker, topology.dead) == 0


async def test_cuts_while_dead_letters_are_sent_lose_none(broker: BrokerUnderTest, line: CuttableLine) -> None:
    topology = topology_of(broker)
    client, intake = await start(line, topology, FakeResources())
    bodies = [f"no json {number}".encode() for number in range(20)]
    await send(broker, topology, bodies)
    for _ in range(5):
        await client.connected()
        await asyncio.sleep(0.005)
        line.cut()
    await until_empty(broker, topology.reconcile, intake, client)
    async with await aio_pika.connect(broker.url) as connection:
        dead = await (await connection.channel()).get_queue(topology.dead)
        found = [await dead.get() for _ in range(dead.declaration_result.message_count or 0)]
    assert {message.body for message in found if message} == set(bodies)


async def test_what_a_killed_process_had_in_hand_is_taken_by_the_next(
    broker: BrokerUnderTest, line: CuttableLine
) -> None:
    topology, resources = topology_of(broker), FakeResources()
    client, intake = await start(line, topology, resources)
    entered = asyncio.Event()

    class Stuck(FakeResources):
        async def find(self, kind: str, namespace: str, name: str) -> None:
            entered.set()
            await asyncio.Event().wait()

    stuck = Stuck()
    intake._reconcile._resources = stuck
    await send(broker, topology, [reconcile()])
    await entered.wait()
    await asyncio.gather(*(subscription.stop(timedelta(0)) for subscription in client._subscriptions))
    line.cut()
    next_client, next_intake = await start(line, topology, resources)
    async with asyncio.timeout(40):
        while not resources.bodies:  # noqa: ASYNC110 - the fake has no event
            await asyncio.sleep(0.01)
    assert resources.only(RECORD)["spec"]["operationId"] == "op-1"
    for each in (next_intake, next_client, client):
        await each.stop()
