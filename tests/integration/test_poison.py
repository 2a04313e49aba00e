"""What only a real broker carries: frames that the client library cannot read."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import aio_pika
import pytest
from click.testing import CliRunner, Result
from pamqp import commands, frame, header
from pamqp.body import ContentBody
from yarl import URL

from reconciler.cli import main
from reconciler.clients.rabbitmq import Delivery, RabbitMQ
from reconciler.domain.clock import SystemClock
from reconciler.domain.messages import Topology


class Raw:
    """A client that sends whatever it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def ask(self, method: frame.FrameTypes, channel: int = 0) -> None:
        self._writer.write(frame.marshal(method, channel))
        await self.heard()

    async def heard(self) -> None:
        head = await self._reader.readexactly(7)
        await self._reader.readexactly(int.from_bytes(head[3:7]) + 1)

    async def publish(self, exchange: str, routing_key: str, properties: bytes, body: bytes) -> None:
        """Publish with properties as bytes: flags and values."""
        start = header.ContentHeader(body_size=len(body)).marshal()[:12]
        payload = start + properties
        self._writer.write(frame.marshal(commands.Basic.Publish(exchange=exchange, routing_key=routing_key), 1))
        self._writer.write(b"\x02\x00\x01" + len(payload).to_bytes(4) + payload + b"\xce")
        self._writer.write(frame.marshal(ContentBody(body), 1))
        await self.heard()  # the confirm


@pytest.fixture
async def raw(rabbitmq_server: str) -> AsyncIterator[Raw]:
    url = URL(rabbitmq_server)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    raw = Raw(reader, writer)
    writer.write(b"AMQP\x00\x00\x09\x01")
    await raw.heard()
    await raw.ask(commands.Connection.StartOk({}, "PLAIN", "\0guest\0guest", "en_US"))
    writer.write(frame.marshal(commands.Connection.TuneOk(100, 131072, 0), 0))
    await raw.ask(commands.Connection.Open("/"))
    await raw.ask(commands.Channel.Open(), 1)
    await raw.ask(commands.Confirm.Select(), 1)
    yield raw
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    "properties",
    [b"\x00\x80\x02\xff\xfe", b"\x00\x40" + b"\xff" * 8],
    ids=["an id that is no text", "a moment that there is not"],
)
async def test_a_message_that_cannot_be_read_does_not_stop_the_others(
    rabbitmq_server: str, raw: Raw, properties: bytes
) -> None:
    names = {part: f"poison{properties.hex()}.{part}" for part in ("exchange", "initialize", "reconcile", "dead")}
    topology = Topology(**names, delivery_limit=4)
    client = RabbitMQ(
        rabbitmq_server,
        clock=SystemClock(),
        reconnect_after=timedelta(milliseconds=10),
        stable_after=timedelta(milliseconds=300),
    )
    client.declare(topology)
    await client.start()
    await client.connected()
    for number in range(5):
        await client.publish(topology.exchange, "reconcile", f"before {number}".encode())
    await raw.publish(topology.exchange, "reconcile", properties, b"poison")
    for number in range(5):
        await client.publish(topology.exchange, "reconcile", f"after {number}".encode())
    seen: set[bytes] = set()
    complete = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        await delivery.ack()
        seen.add(delivery.body)
        if len(seen) == 10:
            complete.set()

    await client.consume(topology.initialize, handle, prefetch=20)
    await client.consume(topology.reconcile, handle, prefetch=20)
    async with asyncio.timeout(30):
        await complete.wait()
    async with await aio_pika.connect(rabbitmq_server) as connection, asyncio.timeout(30):
        channel = await connection.channel()
        while (await channel.declare_queue(topology.dead, passive=True)).declaration_result.message_count != 1:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        work = await channel.declare_queue(topology.reconcile, passive=True)
        assert work.declaration_result.message_count == 0
    await client.stop()

    await the_command_copes_with(rabbitmq_server, topology)


async def the_command_copes_with(rabbitmq_server: str, topology: Topology) -> None:
    """Show the dead letter, send it again, and see it come back; then drop it."""
    url = URL(rabbitmq_server)
    environ = {"RABBITMQ_HOST": str(url.host), "RABBITMQ_PORT": str(url.port), "RABBITMQ_DEAD_QUEUE": topology.dead}

    async def call(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner(env=environ).invoke, main, ["dead-letters", *words])

    shown = await call("show", "1")
    assert shown.exit_code == 0, shown.output
    assert "Unreadable: its properties cannot be read" in shown.output
    assert "poison" in shown.output
    sent = await call("replay", "1")
    assert sent.output == f"sent again: 1 (without id) to {topology.exchange}/reconcile\n"
    async with await aio_pika.connect(rabbitmq_server) as connection, asyncio.timeout(30):
        channel = await connection.channel()
        work = await channel.declare_queue(topology.reconcile, passive=True)
        again = await work.get()
        assert (again.body, again.timestamp) == (b"poison", None)
        assert {name for name in again.headers if name != "x-delivery-count"} == set()
        await again.ack()
