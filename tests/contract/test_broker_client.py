"""`clients/rabbitmq.py` against both brokers, and against the weather of the sandbox's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import aio_pika
import pytest

from reconciler.clients.rabbitmq import ConnectionState, Delivery, RabbitMQ
from reconciler.clients.rabbitmq.failures import outcome_of
from reconciler.domain.clock import SystemClock
from reconciler.domain.errors import OutcomeUnknown, Unavailable
from reconciler.domain.messages import Topology
from reconciler.sandbox.broker import Broker
from support.proxy import CuttableLine
from support.rabbitmq import BrokerUnderTest

SOON = timedelta(milliseconds=20)


def topology_of(broker: BrokerUnderTest) -> Topology:
    name = broker.name
    return Topology(
        exchange=name("devops"),
        initialize=name("initialize"),
        reconcile=name("reconcile"),
        retry=name("retry"),
        dead=name("dead"),
        heartbeat=name("heartbeat"),
        retry_delays=(timedelta(milliseconds=30), timedelta(milliseconds=60)),
    )


@pytest.fixture
def topology(broker: BrokerUnderTest) -> Topology:
    return topology_of(broker)


@pytest.fixture
async def client(broker: BrokerUnderTest, topology: Topology) -> AsyncIterator[RabbitMQ]:
    client = RabbitMQ(broker.url, clock=SystemClock(), reconnect_after=SOON)
    client.declare(topology)
    await client.start()
    async with asyncio.timeout(15):
        await client.connected()
    yield client
    await client.stop()


class Inbox:
    """Keeps what arrives, and settles it when told to."""

    def __init__(self, *, acknowledge: bool = True) -> None:
        self.arrived: asyncio.Queue[Delivery] = asyncio.Queue()
        self._acknowledge = acknowledge

    async def __call__(self, delivery: Delivery) -> None:
        if self._acknowledge:
            await delivery.ack()
        await self.arrived.put(delivery)

    async def next(self) -> Delivery:
        async with asyncio.timeout(20):
            return await self.arrived.get()


async def test_what_is_published_is_consumed_with_its_properties(client: RabbitMQ, topology: Topology) -> None:
    inbox = Inbox()
    await client.consume(topology.reconcile, inbox, prefetch=5)
    now = SystemClock().now().replace(microsecond=0)
    for key in ("reconcile", "DevOpsReconcile"):
        await client.publish(
            topology.exchange, key, b"{}", headers={"a": "b"}, message_id="m", timestamp=now, content_type="x/y"
        )
        delivery = await inbox.next()
        assert (delivery.body, delivery.headers["a"], delivery.message_id) == (b"{}", "b", "m")
        assert (delivery.content_type, delivery.timestamp) == ("x/y", now)
        assert (delivery.exchange, delivery.routing_key) == (topology.exchange, key)


async def test_a_message_that_no_queue_takes_is_unavailable_and_not_mandatory_is_fine(
    client: RabbitMQ, topology: Topology
) -> None:
    with pytest.raises(Unavailable, match="no queue takes"):
        await client.publish(topology.heartbeat, "a.b.c", b"{}")
    await client.publish(topology.heartbeat, "a.b.c", b"{}", mandatory=False)


async def test_a_retried_message_comes_back_to_the_queue_named_by_its_routing_key(
    client: RabbitMQ, topology: Topology
) -> None:
    inbox = Inbox()
    await client.consume(topology.reconcile, inbox, prefetch=5)
    for attempt in (1, 2, 3):
        await client.publish(topology.retry_for(attempt), topology.reconcile, b"later", headers={"n": attempt})
        assert (await inbox.next()).headers["n"] == attempt


async def test_an_unknown_exchange_is_unavailable_and_the_client_recovers(client: RabbitMQ, topology: Topology) -> None:
    with pytest.raises(Unavailable):
        await client.publish("no-such-exchange", "x", b"{}")
    await until_published(client, topology.exchange)


async def until_published(client: RabbitMQ, exchange: str, routing_key: str = "reconcile") -> None:
    async with asyncio.timeout(20):
        while True:
            await client.connected()
            try:
                await client.publish(exchange, routing_key, b"{}")
            except Unavailable:
                await asyncio.sleep(0.01)
            else:
                return


async def test_prefetch_bounds_what_is_handled_at_once(client: RabbitMQ, topology: Topology) -> None:
    inbox = Inbox(acknowledge=False)
    await client.consume(topology.reconcile, inbox, prefetch=2)
    for _ in range(3):
        await client.publish(topology.exchange, "reconcile", b"{}")
    first, _ = await inbox.next(), await inbox.next()
    assert inbox.arrived.empty()
    await first.ack()
    await inbox.next()


async def test_a_cut_between_publish_and_confirm_is_an_unknown_outcome(
    broker: BrokerUnderTest, client: RabbitMQ, topology: Topology
) -> None:
    line = CuttableLine(broker.url)
    await line.start()
    far = RabbitMQ(line.url, clock=SystemClock(), reconnect_after=SOON)
    await far.start()
    await far.connected()
    inbox = Inbox()
    await client.consume(topology.reconcile, inbox, prefetch=1)
    line.hold_answers()
    publishing = asyncio.create_task(far.publish(topology.exchange, "reconcile", b"once"))
    assert (await inbox.next()).body == b"once"
    line.cut()
    with pytest.raises(OutcomeUnknown):
        await publishing
    await far.stop()
    await line.stop()


async def test_a_pause_gives_back_what_is_not_settled_and_a_resume_takes_it_again(
    client: RabbitMQ, topology: Topology
) -> None:
    inbox = Inbox(acknowledge=False)
    subscription = await client.consume(topology.reconcile, inbox, prefetch=5)
    await client.publish(topology.exchange, "reconcile", b"{}")
    first = await inbox.next()
    await subscription.pause()
    await first.ack()  # too late, and no error
    await client.publish(topology.exchange, "reconcile", b"second")
    assert inbox.arrived.empty()
    await subscription.resume()
    again = {delivery.body: delivery.redelivered for delivery in (await inbox.next(), await inbox.next())}
    assert again == {b"{}": True, b"second": False}
    assert client.state.connected


async def test_a_handler_that_fails_gives_its_message_back(client: RabbitMQ, topology: Topology) -> None:
    inbox = Inbox()
    failures = iter([RuntimeError("a bug")])

    async def handle(delivery: Delivery) -> None:
        for failure in failures:
            raise failure
        await inbox(delivery)

    await client.consume(topology.reconcile, handle, prefetch=1)
    await client.publish(topology.exchange, "reconcile", b"{}")
    assert (await inbox.next()).redelivered


async def test_stopping_lets_a_handler_end(broker: BrokerUnderTest, topology: Topology) -> None:
    client = RabbitMQ(broker.url, clock=SystemClock())
    client.declare(topology)
    await client.start()
    await client.connected()
    entered, leave, left = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        entered.set()
        await leave.wait()
        await delivery.ack()
        left.set()

    await client.consume(topology.reconcile, handle, prefetch=1)
    await client.publish(topology.exchange, "reconcile", b"{}")
    await entered.wait()
    stopping = asyncio.create_task(client.stop())
    leave.set()
    await stopping
    assert left.is_set()
    async with await aio_pika.connect(broker.url) as connection:
        queue = await (await connection.channel()).get_queue(topology.reconcile)
        assert queue.declaration_result.message_count == 0


async def test_a_deleted_queue_is_declared_and_consumed_anew(
    broker: BrokerUnderTest, client: RabbitMQ, topology: Topology
) -> None:
    inbox = Inbox()
    await client.consume(topology.reconcile, inbox, prefetch=1)
    async with await aio_pika.connect(broker.url) as connection:
        await (await connection.channel()).queue_delete(topology.reconcile)
    await until_published(client, topology.exchange)
    await inbox.next()


@pytest.mark.parametrize("gone", ["dead", "retry"])
async def test_a_deleted_queue_that_nobody_consumes_is_declared_anew(
    broker: BrokerUnderTest, client: RabbitMQ, topology: Topology, gone: str
) -> None:
    exchange, queue = ("", topology.dead) if gone == "dead" else (topology.retry_for(1), topology.retry_for(1))
    await until_published(client, exchange, routing_key=queue)
    async with await aio_pika.connect(broker.url) as connection:
        await (await connection.channel()).queue_delete(queue)
    with pytest.raises(Unavailable, match="no queue takes"):
        await client.publish(exchange, queue, b"{}")
    await until_published(client, exchange, routing_key=queue)


async def test_a_work_queue_declared_in_another_way_is_used_as_it_is(
    broker: BrokerUnderTest, topology: Topology
) -> None:
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel()
        await channel.declare_queue(topology.reconcile, durable=True, arguments={"x-queue-type": "quorum"})
        await channel.declare_queue(topology.dead, durable=True)
    client = RabbitMQ(broker.url, clock=SystemClock(), reconnect_after=SOON)
    client.declare(topology)
    await client.start()
    inbox = Inbox()
    await client.consume(topology.reconcile, inbox, prefetch=1)
    await until_published(client, topology.exchange)
    await inbox.next()
    await client.stop()


async def test_a_delay_queue_declared_in_another_way_is_named(broker: BrokerUnderTest, topology: Topology) -> None:
    async with await aio_pika.connect(broker.url) as connection:
        await (await connection.channel()).declare_queue(topology.retry_for(1), durable=True)
    client, state = watched(broker.url, lambda state: "inequivalent arg" in state.detail)
    client.declare(topology)
    await client.start()
    assert topology.retry_for(1) in (await state()).detail
    await client.stop()


def watched(url: str, wanted: Callable[[ConnectionState], bool]) -> tuple[RabbitMQ, Callable[[], object]]:
    """A client, and a wait for a state of it."""
    seen: asyncio.Queue[ConnectionState] = asyncio.Queue()

    async def state() -> ConnectionState:
        async with asyncio.timeout(20):
            while not wanted(found := await seen.get()):
                pass
        return found

    return RabbitMQ(url, clock=SystemClock(), on_change=seen.put_nowait, reconnect_after=SOON), state


# The weather.


@pytest.fixture
async def sandbox() -> AsyncIterator[Broker]:
    sandbox = Broker()
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


async def in_sandbox(sandbox: Broker, **options: timedelta) -> RabbitMQ:
    client = RabbitMQ(sandbox.url, clock=SystemClock(), reconnect_after=SOON, **options)
    client.declare(Topology())
    await client.start()
    await client.connected()
    return client


async def test_a_broker_that_is_away_at_the_start_is_found_later(sandbox: Broker) -> None:
    await sandbox.faults.down()
    client, state = watched(sandbox.url, lambda state: state.detail.endswith("is not reachable (AMQPConnectionError)"))
    client.declare(Topology())
    await client.start()
    await state()
    with pytest.raises(Unavailable, match="not connected"):
        await client.publish("devops", "reconcile", b"{}")
    await sandbox.faults.up()
    await until_published(client, "devops")
    assert client.state.connected
    await client.stop()


async def test_consumers_come_back_after_a_cut(sandbox: Broker) -> None:
    client = await in_sandbox(sandbox)
    inbox = Inbox()
    await client.consume("devops.reconcile", inbox, prefetch=1)
    for _ in range(3):
        sandbox.faults.cut_connections()
        await until_published(client, "devops")
        await inbox.next()
    await client.stop()


async def test_a_missing_confirm_is_an_unknown_outcome(sandbox: Broker) -> None:
    client = await in_sandbox(sandbox, publish_timeout=timedelta(milliseconds=100))
    sandbox.faults.drop_confirms(1)
    with pytest.raises(OutcomeUnknown):
        await client.publish("devops", "reconcile", b"{}")
    assert sandbox.depth("devops.reconcile") == 1
    await client.publish("devops", "reconcile", b"{}")
    await client.stop()


async def test_a_cut_during_a_publish_is_an_unknown_outcome_and_no_cancellation(sandbox: Broker) -> None:
    client = await in_sandbox(sandbox)
    sandbox.faults.drop_confirms(1)
    publishing = asyncio.create_task(client.publish("devops", "reconcile", b"{}"))
    while sandbox.depth("devops.reconcile") == 0:  # noqa: ASYNC110 - queues have no event
        await asyncio.sleep(0)
    sandbox.faults.cut_connections()
    with pytest.raises(OutcomeUnknown):
        await publishing
    await client.stop()


def test_a_publish_whose_channel_is_closed_without_a_reason_has_an_unknown_outcome_and_a_bug_stays_one() -> None:
    with pytest.raises(OutcomeUnknown), outcome_of("devops", "reconcile"):
        raise Exception  # noqa: TRY002 - as aiormq does
    with pytest.raises(KeyError), outcome_of("devops", "reconcile"):
        raise KeyError


async def test_a_frozen_broker_is_noticed_and_found_again(sandbox: Broker) -> None:
    client = RabbitMQ(
        sandbox.url,
        clock=SystemClock(),
        heartbeat=timedelta(seconds=1),
        connect_timeout=timedelta(seconds=1),
        publish_timeout=timedelta(seconds=1),
        reconnect_after=SOON,
    )
    client.declare(Topology())
    await client.start()
    await client.connected()
    sandbox.faults.freeze()
    with pytest.raises(OutcomeUnknown):
        await client.publish("devops", "reconcile", b"{}")
    async with asyncio.timeout(30):
        while client.state.connected:  # noqa: ASYNC110 - `watched` would need the same client
            await asyncio.sleep(0.05)
    sandbox.faults.thaw()
    await until_published(client, "devops")
    await client.stop()


async def test_a_publish_that_is_cancelled_stays_cancelled(sandbox: Broker) -> None:
    client = await in_sandbox(sandbox)
    sandbox.faults.freeze()
    publishing = asyncio.create_task(client.publish("devops", "reconcile", b"{}"))
    await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    sandbox.faults.thaw()
    await client.stop()


async def test_no_state_shows_the_password(sandbox: Broker) -> None:
    client, state = watched(sandbox.url.replace(":guest@", ":hunter2@"), lambda state: "refused" in state.detail)
    await client.start()
    found = await state()
    assert "hunter2" not in found.detail
    await client.stop()


async def test_it_ends_at_whatever_moment_of_connecting_it_is_stopped(sandbox: Broker) -> None:
    for turns in range(0, 240, 6):
        client = RabbitMQ(sandbox.url, clock=SystemClock(), reconnect_after=SOON)
        client.declare(Topology())
        await client.start()
        for _ in range(turns):
            await asyncio.sleep(0)

        async with asyncio.timeout(20):
            await client.stop()
