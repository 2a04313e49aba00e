"""The same behaviours on the sandbox's broker and on a real RabbitMQ."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pytest
from aio_pika import ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import (
    ChannelClosed,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    ProbableAuthenticationError,
    PublishError,
    QueueEmpty,
)
from aiormq.exceptions import ConnectionNotImplemented
from pamqp.common import FieldTable

from support.rabbitmq import BrokerUnderTest

QUORUM: FieldTable = {"x-queue-type": "quorum"}


@pytest.fixture
async def connection(broker: BrokerUnderTest) -> AsyncIterator[AbstractConnection]:
    connection = await aio_pika.connect(broker.url)
    async with connection:
        yield connection


@pytest.fixture
async def channel(connection: AbstractConnection) -> AbstractChannel:
    return await connection.channel(on_return_raises=True)


@pytest.fixture
async def work(broker: BrokerUnderTest, channel: AbstractChannel) -> AsyncIterator[AbstractQueue]:
    queue = await channel.declare_queue(broker.name("work"), durable=True, arguments=QUORUM)
    yield queue
    await queue.channel.close()


async def publish(channel: AbstractChannel, queue: AbstractQueue, body: bytes, **properties: Any) -> None:
    await channel.default_exchange.publish(Message(body, **properties), routing_key=queue.name, mandatory=True)


async def arrival(queue: AbstractQueue) -> AbstractIncomingMessage:
    """Wait for one message, whenever it comes."""
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    tag = await queue.consume(arrived.put)
    async with asyncio.timeout(15):
        message = await arrived.get()
    await queue.cancel(tag)
    return message


async def test_a_message_arrives_as_it_was_sent(channel: AbstractChannel, work: AbstractQueue) -> None:
    await publish(channel, work, b"hello", message_id="m1", headers={"a": 1, "b": "x"}, content_type="text/plain")
    message = await work.get()
    assert message is not None
    assert (message.body, message.message_id, message.content_type) == (b"hello", "m1", "text/plain")
    assert message.headers == {"a": 1, "b": "x", "x-delivery-count": 0}
    assert not message.redelivered
    await message.ack()


async def test_an_empty_queue_has_nothing_to_get(work: AbstractQueue) -> None:
    assert await work.get(fail=False) is None
    with pytest.raises(QueueEmpty):
        await work.get()


@pytest.mark.parametrize("size", [0, 1, 131_064, 131_065, 700_000])
async def test_a_body_of_any_size_comes_back_whole(channel: AbstractChannel, work: AbstractQueue, size: int) -> None:
    body = bytes(i % 251 for i in range(size))
    await publish(channel, work, body)
    message = await work.get()
    assert message is not None
    assert message.body == body
    await message.ack()


@pytest.mark.parametrize(
    ("pattern", "key", "taken"),
    [
        ("shop.alpha", "shop.alpha", True),
        ("shop.*", "shop.alpha", True),
        ("shop.*", "shop", False),
        ("shop.*", "shop.alpha.op", False),
        ("shop.#", "shop", True),
        ("shop.#", "shop.alpha.op", True),
        ("#", "", True),
        ("#.op", "shop.alpha.op", True),
        ("*.#.op", "op", False),
        ("*.#.op", "a.op", True),
        ("#.alpha.#", "shop.alpha", True),
        ("shop.#.alpha.*", "shop.alpha.alpha.op", True),
    ],
)
async def test_topic_patterns(
    broker: BrokerUnderTest, channel: AbstractChannel, pattern: str, key: str, *, taken: bool
) -> None:
    exchange = await channel.declare_exchange(broker.name("topic"), ExchangeType.TOPIC, auto_delete=True)
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(exchange, pattern)
    if taken:
        await exchange.publish(Message(b""), key)
        assert await queue.get() is not None
    else:
        with pytest.raises(PublishError):
            await exchange.publish(Message(b""), key)


async def test_a_fanout_goes_to_all_and_a_direct_one_by_its_key(
    broker: BrokerUnderTest, channel: AbstractChannel
) -> None:
    queues = [await channel.declare_queue(exclusive=True) for _ in range(2)]
    for kind, counts in ((ExchangeType.FANOUT, [1, 1]), (ExchangeType.DIRECT, [1, 0])):
        exchange = await channel.declare_exchange(broker.name(kind.value), kind)
        for key, queue in zip(("a", "b"), queues, strict=True):
            await queue.bind(exchange, key)
        await exchange.publish(Message(b""), "a")
        assert [(await queue.purge()).message_count for queue in queues] == counts
        await exchange.delete()


async def test_an_unbound_queue_gets_no_more(broker: BrokerUnderTest, channel: AbstractChannel) -> None:
    exchange = await channel.declare_exchange(broker.name("topic"), ExchangeType.TOPIC, auto_delete=True)
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(exchange, "a")
    await queue.bind(exchange, "b")
    await queue.unbind(exchange, "a")
    with pytest.raises(PublishError):
        await exchange.publish(Message(b""), "a")


async def test_an_unroutable_mandatory_message_comes_back(broker: BrokerUnderTest, channel: AbstractChannel) -> None:
    with pytest.raises(PublishError):
        await channel.default_exchange.publish(Message(b"lost"), broker.name("nowhere"), mandatory=True)


async def test_an_unroutable_message_that_is_not_mandatory_is_confirmed_and_lost(
    broker: BrokerUnderTest, channel: AbstractChannel
) -> None:
    confirmation = await channel.default_exchange.publish(Message(b""), broker.name("nowhere"), mandatory=False)
    assert type(confirmation).__name__ == "Ack"


async def test_publishing_to_a_missing_exchange_closes_the_channel(
    broker: BrokerUnderTest, connection: AbstractConnection
) -> None:
    channel = await connection.channel()
    exchange = await channel.get_exchange(broker.name("absent"), ensure=False)
    with pytest.raises((ChannelNotFoundEntity, ChannelClosed, DeliveryError)):
        await exchange.publish(Message(b""), "a")
    other = await connection.channel()
    assert not other.is_closed


async def test_a_passive_declare_of_what_is_missing_is_404(
    broker: BrokerUnderTest, connection: AbstractConnection
) -> None:
    for declare in ("declare_queue", "declare_exchange"):
        channel = await connection.channel()
        with pytest.raises(ChannelNotFoundEntity):
            await getattr(channel, declare)(broker.name("absent"), passive=True)


async def test_a_passive_declare_counts_what_is_ready(
    broker: BrokerUnderTest, channel: AbstractChannel, work: AbstractQueue
) -> None:
    await publish(channel, work, b"1")
    await publish(channel, work, b"2")
    again = await channel.declare_queue(work.name, passive=True)
    assert again.declaration_result.message_count == 2


@pytest.mark.parametrize(
    "options",
    [
        {"exclusive": True, "arguments": QUORUM},
        {"auto_delete": True, "durable": True, "arguments": QUORUM},
        {"durable": False, "arguments": QUORUM},
        {"durable": True, "arguments": QUORUM | {"x-max-priority": 3}},
        {"durable": True, "arguments": {"x-delivery-limit": 3}},
        {"durable": True, "arguments": {"x-queue-type": "fancy"}},
        {"durable": True, "arguments": {"x-message-ttl": -1}},
        {"durable": True, "arguments": {"x-dead-letter-routing-key": "x"}},
    ],
)
async def test_a_queue_that_its_type_does_not_allow_is_406(
    broker: BrokerUnderTest, connection: AbstractConnection, options: dict[str, Any]
) -> None:
    channel = await connection.channel()
    with pytest.raises(ChannelPreconditionFailed):
        await channel.declare_queue(broker.name("refused"), **options)


@pytest.mark.parametrize(
    "arguments", [{}, QUORUM | {"x-message-ttl": 5}, QUORUM | {"x-dead-letter-exchange": ""}], ids=str
)
async def test_declaring_a_queue_again_in_another_way_is_406(
    connection: AbstractConnection, work: AbstractQueue, arguments: dict[str, Any]
) -> None:
    channel = await connection.channel()
    with pytest.raises(ChannelPreconditionFailed, match="inequivalent arg"):
        await channel.declare_queue(work.name, durable=True, arguments=arguments)


async def test_an_unknown_argument_is_accepted_and_not_compared(channel: AbstractChannel, work: AbstractQueue) -> None:
    await channel.declare_queue(work.name, durable=True, arguments=QUORUM | {"x-own": "thing"})


async def test_declaring_an_exchange_again_in_another_way_is_406(
    broker: BrokerUnderTest, connection: AbstractConnection
) -> None:
    channel = await connection.channel()
    await channel.declare_exchange(broker.name("e"), ExchangeType.TOPIC, durable=True)
    with pytest.raises(ChannelPreconditionFailed):
        await channel.declare_exchange(broker.name("e"), ExchangeType.FANOUT, durable=True)


async def test_an_exclusive_queue_is_locked_for_others_and_goes_with_its_connection(
    broker: BrokerUnderTest, connection: AbstractConnection
) -> None:
    owner = await aio_pika.connect(broker.url)
    async with owner:
        queue = await (await owner.channel()).declare_queue(broker.name("mine"), exclusive=True)
        with pytest.raises(ChannelClosed, match="RESOURCE_LOCKED"):
            await (await connection.channel()).declare_queue(queue.name, passive=True)
    with pytest.raises(ChannelNotFoundEntity):
        await (await connection.channel()).declare_queue(queue.name, passive=True)


async def test_prefetch_bounds_what_is_out(connection: AbstractConnection, work: AbstractQueue) -> None:
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=2)
    queue = await channel.get_queue(work.name)
    for number in range(4):
        await publish(channel, work, str(number).encode())
    out: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await queue.consume(out.put)
    first, second = await out.get(), await out.get()
    passive = await (await connection.channel()).get_queue(work.name)
    assert passive.declaration_result.message_count == 2
    assert out.empty()
    await first.ack()
    third = await out.get()
    assert [message.body for message in (first, second, third)] == [b"0", b"1", b"2"]


async def test_a_cancelled_consumer_gets_no_more(channel: AbstractChannel, work: AbstractQueue) -> None:
    out: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await work.cancel(await work.consume(out.put))
    await publish(channel, work, b"later")
    assert (await work.get()) is not None
    assert out.empty()


async def test_what_is_not_acknowledged_comes_back_when_the_channel_ends(
    connection: AbstractConnection, channel: AbstractChannel, work: AbstractQueue
) -> None:
    await publish(channel, work, b"again")
    other = await connection.channel()
    taken = await (await other.get_queue(work.name)).get()
    assert taken is not None
    assert taken.headers["x-delivery-count"] == 0
    await other.close()
    message = await arrival(work)
    assert message.redelivered
    assert message.headers["x-delivery-count"] == 1
    await message.ack()


@pytest.mark.parametrize("requeue", ["reject", "nack"])
async def test_a_message_sent_back_counts(channel: AbstractChannel, work: AbstractQueue, requeue: str) -> None:
    await publish(channel, work, b"again")
    for count in (None, 1, 2):
        message = await arrival(work)
        assert message.headers.get("x-delivery-count") == count
        await getattr(message, requeue)(requeue=True)
    await (await arrival(work)).ack()


async def test_one_acknowledgement_can_settle_many(
    connection: AbstractConnection, channel: AbstractChannel, work: AbstractQueue
) -> None:
    for number in range(3):
        await publish(channel, work, str(number).encode())
    other = await connection.channel()
    queue = await other.get_queue(work.name)
    out = [await queue.get() for _ in range(3)]
    assert out[1] is not None
    await out[1].ack(multiple=True)
    await other.close()
    assert (await arrival(work)).body == b"2"


async def test_an_unknown_delivery_tag_is_406(connection: AbstractConnection, work: AbstractQueue) -> None:
    channel = await connection.channel()
    closed: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
    channel.close_callbacks.add(lambda _, reason: None if closed.done() else closed.set_result(reason))
    underlay = await channel.get_underlay_channel()
    await underlay.basic_ack(77)
    async with asyncio.timeout(10):
        reason = await closed
    assert "PRECONDITION_FAILED" in str(reason)


async def graveyard(broker: BrokerUnderTest, channel: AbstractChannel, **arguments: Any) -> tuple[AbstractQueue, ...]:
    """Declare a queue whose dead letters go to a second one; return both."""
    dead = await channel.declare_queue(broker.name("dead"), durable=True, arguments=QUORUM)
    letters = QUORUM | {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead.name}
    queue = await channel.declare_queue(broker.name("dying"), durable=True, arguments=letters | arguments)
    return queue, dead


async def test_a_rejected_message_is_dead_lettered_with_its_story(
    broker: BrokerUnderTest, channel: AbstractChannel
) -> None:
    queue, dead = await graveyard(broker, channel)
    await publish(channel, queue, b"bad", headers={"own": "kept"})
    await (await arrival(queue)).reject(requeue=False)
    letter = await arrival(dead)
    await letter.ack()
    death: Any = letter.headers["x-death"][0]  # type: ignore[index]
    assert (death["queue"], death["reason"], death["count"]) == (queue.name, "rejected", 1)
    assert (death["exchange"], death["routing-keys"]) == ("", [queue.name])
    assert letter.headers["x-first-death-reason"] == "rejected"
    assert letter.headers["x-first-death-queue"] == queue.name
    assert letter.headers["own"] == "kept"
    assert letter.headers.get("x-delivery-count") is None


async def test_the_delivery_limit_lets_a_message_out_once_more_than_it_says(
    broker: BrokerUnderTest, channel: AbstractChannel
) -> None:
    queue, dead = await graveyard(broker, channel, **{"x-delivery-limit": 2})
    await publish(channel, queue, b"poison")
    for _ in range(3):
        await (await arrival(queue)).reject(requeue=True)
    letter = await arrival(dead)
    await letter.ack()
    assert letter.headers["x-first-death-reason"] == "delivery_limit"
    assert letter.headers.get("x-delivery-count") is None


async def test_a_delay_queue_gives_the_message_back_and_counts_each_round(
    broker: BrokerUnderTest, channel: AbstractChannel, work: AbstractQueue
) -> None:
    delay = await channel.declare_queue(
        broker.name("delay"),
        durable=True,
        arguments=QUORUM | {"x-message-ttl": 50, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": work.name},
    )
    await publish(channel, delay, b"later", headers={"attempt": 1})
    message = await arrival(work)
    await message.ack()
    assert message.headers["attempt"] == 1
    again = Message(message.body, headers=message.headers)
    await channel.default_exchange.publish(again, delay.name)
    message = await arrival(work)
    await message.ack()
    death: Any = message.headers["x-death"][0]  # type: ignore[index]
    assert (death["queue"], death["reason"], death["count"]) == (delay.name, "expired", 2)


async def test_a_message_expires_at_the_head_only(broker: BrokerUnderTest, channel: AbstractChannel) -> None:
    queue, dead = await graveyard(broker, channel)
    await publish(channel, queue, b"long", expiration=600)
    await publish(channel, queue, b"short", expiration=0.02)
    probe, _ = await arrival_after_expiry(broker, channel)
    assert probe.headers["x-first-death-reason"] == "expired"
    counted = await channel.declare_queue(queue.name, passive=True)
    assert counted.declaration_result.message_count == 2
    first = await arrival(queue)
    assert first.body == b"long"
    letter = await arrival(dead)
    assert letter.body == b"short"
    assert letter.expiration is None
    death: Any = letter.headers["x-death"][0]  # type: ignore[index]
    assert death["original-expiration"] == "20"


async def arrival_after_expiry(
    broker: BrokerUnderTest, channel: AbstractChannel
) -> tuple[AbstractIncomingMessage, AbstractQueue]:
    """Let a message with a longer life than that of the one under test die at a head of its own."""
    end = await channel.declare_queue(exclusive=True)
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": end.name}
    queue = await channel.declare_queue(exclusive=True, arguments=arguments)
    await publish(channel, queue, b"probe", expiration=0.2)
    return await arrival(end), end


async def test_purge_and_delete_tell_how_many_went(
    channel: AbstractChannel, broker: BrokerUnderTest, work: AbstractQueue
) -> None:
    for _ in range(3):
        await publish(channel, work, b"x")
    assert (await work.purge()).message_count == 3
    await publish(channel, work, b"x")
    assert (await work.delete(if_unused=False, if_empty=False)).message_count == 1


async def test_a_wrong_password_is_refused(broker: BrokerUnderTest) -> None:
    with pytest.raises(ProbableAuthenticationError):
        await aio_pika.connect(broker.url.replace("guest:guest", "guest:wrong"))


async def test_many_publishers_are_each_confirmed(channel: AbstractChannel, work: AbstractQueue) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(200):
            tasks.create_task(publish(channel, work, str(number).encode()))
    counted = await channel.declare_queue(work.name, passive=True)
    assert counted.declaration_result.message_count == 200


async def test_two_consumers_take_turns(connection: AbstractConnection, work: AbstractQueue) -> None:
    arrived: list[asyncio.Queue[AbstractIncomingMessage]] = [asyncio.Queue(), asyncio.Queue()]
    for inbox in arrived:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        await (await channel.get_queue(work.name)).consume(inbox.put)
    channel = await connection.channel()
    await publish(channel, work, b"1")
    await publish(channel, work, b"2")
    async with asyncio.timeout(10):
        assert {(await inbox.get()).body for inbox in arrived} == {b"1", b"2"}


async def test_consumers_that_need_no_acknowledgement_leave_nothing_behind(
    connection: AbstractConnection, channel: AbstractChannel, work: AbstractQueue
) -> None:
    other = await connection.channel()
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await (await other.get_queue(work.name)).consume(arrived.put, no_ack=True)
    await publish(channel, work, b"gone")
    async with asyncio.timeout(10):
        await arrived.get()
    await other.close()
    assert await work.get(fail=False) is None


async def test_a_global_limit_on_a_quorum_queue_ends_the_connection(
    broker: BrokerUnderTest, work: AbstractQueue
) -> None:
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1, global_=True)
        queue = await channel.get_queue(work.name)
        with pytest.raises((ConnectionNotImplemented, ChannelClosed, asyncio.CancelledError)):
            await queue.consume(asyncio.Queue[AbstractIncomingMessage]().put)


@pytest.mark.parametrize("options", [{"if_unused": True}, {"if_empty": True}], ids=str)
async def test_a_queue_in_use_or_not_empty_can_be_spared_from_deletion(
    broker: BrokerUnderTest, connection: AbstractConnection, options: dict[str, bool]
) -> None:
    channel = await connection.channel(on_return_raises=True)
    queue = await channel.declare_queue(broker.name("classic"), durable=True)
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    if "if_unused" in options:
        await queue.consume(arrived.put)
    else:
        await publish(channel, queue, b"here")
    with pytest.raises(ChannelPreconditionFailed):
        await (await connection.channel()).queue_delete(queue.name, **options)
