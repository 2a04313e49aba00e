"""The sandbox broker's weather, as a client of aio_pika meets it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import aio_pika
import pytest
from aio_pika import Message
from aio_pika.abc import AbstractIncomingMessage
from aiormq.exceptions import AMQPConnectionError

from reconciler.sandbox.broker import Broker


@pytest.fixture
async def sandbox() -> AsyncIterator[Broker]:
    broker = Broker()
    await broker.start()
    yield broker
    await broker.stop()


async def test_a_broker_that_is_down_refuses_and_comes_back_with_its_messages(sandbox: Broker) -> None:
    async with await aio_pika.connect(sandbox.url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("kept", durable=True)
        await channel.default_exchange.publish(Message(b"kept"), "kept")
        await sandbox.faults.down()
        with pytest.raises(AMQPConnectionError):
            await aio_pika.connect(sandbox.url)
    await sandbox.faults.up()
    async with await aio_pika.connect(sandbox.url) as connection:
        queue = await (await connection.channel()).get_queue("kept")
        message = await queue.get()
        assert message is not None
        await message.ack()


async def test_a_frozen_broker_answers_nothing_until_it_thaws(sandbox: Broker) -> None:
    async with await aio_pika.connect(sandbox.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("q")
        sandbox.faults.freeze()
        sending = asyncio.create_task(channel.default_exchange.publish(Message(b""), "q"))
        done, _ = await asyncio.wait({sending}, timeout=0.1)
        assert not done
        sandbox.faults.thaw()
        await sending
    assert sandbox.depth("q") == 1


async def test_a_dropped_confirm_leaves_the_message_in_its_queue(sandbox: Broker) -> None:
    async with await aio_pika.connect(sandbox.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("q")
        sandbox.faults.drop_confirms(1)
        with pytest.raises(TimeoutError):
            await channel.default_exchange.publish(Message(b""), "q", timeout=0.1)
        assert sandbox.depth("q") == 1
        await channel.default_exchange.publish(Message(b""), "q", timeout=10)


async def test_latency_delays_and_changes_nothing_else(sandbox: Broker) -> None:
    sandbox.faults.latency = timedelta(milliseconds=2)
    async with await aio_pika.connect(sandbox.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue("q")
        await channel.default_exchange.publish(Message(b""), "q")
    assert sandbox.depth("q") == 1


async def test_a_robust_client_finds_its_consumer_back_after_a_cut(sandbox: Broker) -> None:
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    connection = await aio_pika.connect_robust(sandbox.url, reconnect_interval=0.01)
    async with connection:
        queue = await (await connection.channel()).declare_queue("q", durable=True)
        await queue.consume(arrived.put)
        other = await aio_pika.connect(sandbox.url)
        async with other:
            await (await other.channel()).default_exchange.publish(Message(b"twice"), "q")
        assert not (await arrived.get()).redelivered
        sandbox.faults.cut_connections()
        again = await arrived.get()
        assert again.redelivered
        await again.ack()


async def test_the_counters_tell_what_happened(sandbox: Broker) -> None:
    async with await aio_pika.connect(sandbox.url) as connection:
        channel = await connection.channel()
        exchange = await channel.declare_exchange("e", aio_pika.ExchangeType.TOPIC)
        queue = await channel.declare_queue("q")
        await queue.bind(exchange, "#")
        for _ in range(2):
            await exchange.publish(Message(b""), "a.b")
        message = await queue.get()
        assert message is not None
        await message.ack()
        await channel.declare_queue("q", passive=True)
    assert (sandbox.published["e"], sandbox.delivered["q"], sandbox.acknowledged["q"]) == (2, 1, 1)
    assert sandbox.depth("q") == 1


async def test_bytes_that_are_no_amqp_end_only_their_own_connection(sandbox: Broker) -> None:
    host, port = sandbox.url.rstrip("/").rsplit("@", 1)[1].split(":")
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"AMQP\x00\x00\x09\x01" + b"\xff" * 64, b"AMQP"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(garbage)
        writer.write_eof()
        await reader.read()
        writer.close()
        await writer.wait_closed()
    async with await aio_pika.connect(sandbox.url) as connection:
        assert not connection.is_closed
