"""A real broker that is stopped, not dead: its connections stay open, and nothing is answered. Nothing is lost."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from reconciler.clients.rabbitmq import Delivery, RabbitMQ
from reconciler.domain.clock import SystemClock
from reconciler.domain.errors import OutcomeUnknown, Unavailable
from reconciler.domain.messages import Topology
from support.rabbitmq import Node

SECOND = timedelta(seconds=1)


class Inbox:
    """Keeps what arrives; acknowledges it when `may_ack` is set."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self.news = asyncio.Event()
        self.may_ack = asyncio.Event()

    async def __call__(self, delivery: Delivery) -> None:
        self.seen.add(delivery.body)
        self.news.set()
        await self.may_ack.wait()
        await delivery.ack()

    async def until_seen(self, bodies: set[bytes]) -> None:
        async with asyncio.timeout(60):
            while not bodies <= self.seen:
                self.news.clear()
                await self.news.wait()


async def test_what_a_broker_had_when_it_froze_and_what_was_not_confirmed_arrives(rabbitmq_node: Node) -> None:
    names = ("exchange", "initialize", "reconcile", "retry", "dead", "heartbeat")
    prefix = f"frozen-{uuid4().hex[:8]}"
    topology = Topology(**{name: f"{prefix}.{name}" for name in names})
    client = RabbitMQ(
        rabbitmq_node.url,
        clock=SystemClock(),
        heartbeat=SECOND,
        connect_timeout=SECOND * 5,
        publish_timeout=SECOND,
        reconnect_after=SECOND / 10,
    )
    client.declare(topology)
    await client.start()
    await client.connected()
    inbox = Inbox()
    await client.consume(topology.reconcile, inbox, prefetch=5)
    await client.publish(topology.exchange, "reconcile", b"in hand")
    await inbox.until_seen({b"in hand"})

    with rabbitmq_node.frozen():
        with pytest.raises(OutcomeUnknown):
            await client.publish(topology.exchange, "reconcile", b"the end")
        async with asyncio.timeout(60):
            while client.state.connected:  # noqa: ASYNC110 - the state has no event
                await asyncio.sleep(0.05)
        inbox.may_ack.set()
    inbox.seen.clear()  # what was in hand was not acknowledged, and comes again
    async with asyncio.timeout(90):
        while b"the end" not in inbox.seen:
            await client.connected()
            try:
                await client.publish(topology.exchange, "reconcile", b"the end")
            except Unavailable:
                await asyncio.sleep(0.05)
            else:
                await inbox.until_seen({b"in hand", b"the end"})
    await client.stop()
