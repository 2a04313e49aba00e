"""RabbitMQ: one connection for the process, kept up; publishing that knows what became of it; consuming that can pause.

Any end that was not asked for, of the connection or of one of its channels, is answered in one way: everything is
closed, and after a short while connected, declared and consumed anew. What was not acknowledged comes again.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, cast

import aio_pika
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, HeadersType
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    AMQPConnectionError,
    ChannelClosed,
    ChannelInvalidStateError,
    ChannelPreconditionFailed,
    DeliveryError,
    ProbableAuthenticationError,
    PublishError,
)
from yarl import URL

from reconciler.domain.clock import Clock
from reconciler.domain.errors import OutcomeUnknown, Unavailable
from reconciler.domain.messages import Topology

_LOG = logging.getLogger(__name__)
_SYSTEM = "rabbitmq"
_LOST = (*CONNECTION_EXCEPTIONS, ChannelInvalidStateError, TimeoutError)
_GOODBYE = timedelta(seconds=2)
"""A frozen broker does not answer a close."""
_QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """Whether the broker is reachable, why not, and since when."""

    connected: bool
    detail: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as handed over, until it is settled one way or the other.

    Settling after its channel ended changes nothing and is no error: the message comes again.
    """

    body: bytes
    headers: Mapping[str, Any]
    content_type: str
    message_id: str
    timestamp: datetime | None
    exchange: str
    routing_key: str
    redelivered: bool
    message: AbstractIncomingMessage

    async def ack(self) -> None:
        """Say that it is done."""
        with contextlib.suppress(*_LOST):
            await self.message.ack()

    async def give_back(self) -> None:
        """Let it come again."""
        with contextlib.suppress(*_LOST):
            await self.message.reject(requeue=True)


Handler = Callable[[Delivery], Awaitable[None]]
OnChange = Callable[[ConnectionState], None]


class Subscription:
    """A consumer with a channel of its own, taken up again after each reconnect unless it is paused or stopped."""

    def __init__(self, queue: str, handler: Handler, *, prefetch: int, lost: asyncio.Event) -> None:
        self.queue = queue
        self._handler = handler
        self._prefetch = prefetch
        self._lost = lost
        self._wanted = True
        self._one_by_one = False
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._cancel: Callable[[], Awaitable[object]] | None = None
        self._changing = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()

    async def pause(self) -> None:
        """Take no more messages; those that are not settled go back at once. What runs goes on."""
        self._wanted = False
        async with self._changing:
            await self._close()

    async def resume(self) -> None:
        """Take messages again, now or as soon as there is a connection."""
        self._wanted = True
        async with self._changing:
            try:
                await self._open()
            except _LOST:
                self._lost.set()

    async def stop(self, grace: timedelta = timedelta(seconds=10)) -> None:
        """Take no more messages, let what runs end within `grace`, then give back the rest."""
        self._wanted = False
        await self._take_no_more()
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=grace.total_seconds())
        running = tuple(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        async with self._changing:
            await self._close()

    async def attach(self, connection: AbstractConnection | None, *, one_by_one: bool = False) -> None:
        """Move to a new connection, or off a lost one. For `RabbitMQ` only."""
        async with self._changing:
            if connection is self._connection:
                await self._close()
            self._connection = connection
            self._one_by_one = one_by_one
            self._channel = self._cancel = None
            await self._open()

    async def _open(self) -> None:
        if not self._wanted or self._channel is not None or self._connection is None:
            return
        channel = await self._connection.channel(publisher_confirms=False)
        _report_end(channel, self._lost, lambda: self._channel is channel)
        self._channel = channel
        await channel.set_qos(prefetch_count=1 if self._one_by_one else self._prefetch)
        queue = await channel.get_queue(self.queue, ensure=False)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: self._lost.set())
        self._cancel = partial(queue.cancel, await queue.consume(self._receive))

    async def _take_no_more(self) -> None:
        cancel, self._cancel = self._cancel, None
        if cancel is not None and self._channel is not None:
            with contextlib.suppress(*_LOST):
                async with asyncio.timeout(_GOODBYE.total_seconds()):
                    await cancel()

    async def _close(self) -> None:
        channel, self._channel = self._channel, None
        self._cancel = None
        if channel is not None:
            with contextlib.suppress(*_LOST):
                async with asyncio.timeout(_GOODBYE.total_seconds()):
                    await channel.close()

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        # In a task of ours: aiormq cancels its own when the channel ends, and a pause ends the channel.
        if not self._wanted:
            return  # The end of the channel, which comes next, gives it back.
        task = asyncio.create_task(self._handle(_delivery(message)), name=f"message of {self.queue}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _handle(self, delivery: Delivery) -> None:
        try:
            await self._handler(delivery)
        except Exception:  # noqa: BLE001 - whatever it was, the message must not be lost
            _LOG.exception("a message of %s could not be handled; it is given back", self.queue)
            await delivery.give_back()


class RabbitMQ:
    """The connection of the process.

    Args:
        url: `amqp://` or `amqps://` with credentials; it is never shown with its password.
        heartbeat: a frozen broker is noticed after about four of them.
        publish_timeout: how long a confirm may take; then the outcome is unknown.
        stable_after: a connection lost sooner than that is suspected to have died of a message.
        on_change: hears of every change of the state.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        on_change: OnChange = lambda _: None,
        heartbeat: timedelta = timedelta(seconds=4),
        reconnect_after: timedelta = timedelta(seconds=0.5),
        connect_timeout: timedelta = timedelta(seconds=10),
        publish_timeout: timedelta = timedelta(seconds=10),
        stable_after: timedelta = timedelta(seconds=5),
    ) -> None:
        self._url = URL(url).update_query(heartbeat=max(1, round(heartbeat.total_seconds())))
        self._clock = clock
        self._on_change = on_change
        self._reconnect_after = reconnect_after
        self._connect_timeout = connect_timeout
        self._publish_timeout = publish_timeout
        self._stable_after = stable_after
        self._suspicious = False
        self._turn = 0
        self._topologies: list[Topology] = []
        self._subscriptions: list[Subscription] = []
        self._current: AbstractConnection | None = None
        self._publishing: AbstractChannel | None = None
        self._lost = asyncio.Event()
        self._up = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._state = ConnectionState(False, "not started", clock.now())  # noqa: FBT003 - a row

    @property
    def state(self) -> ConnectionState:
        """Whether the broker is reachable."""
        return self._state

    def declare(self, topology: Topology) -> None:
        """Have exchanges and queues declared at every connect; call it before `start`."""
        self._topologies.append(topology)

    async def start(self) -> None:
        """Begin to connect; returns at once, the broker need not be there."""
        self._keeper = asyncio.create_task(self._keep_connected(), name="rabbitmq connection")

    async def stop(self) -> None:
        """End consumers, let what they do end, and close the connection."""
        await asyncio.gather(*(subscription.stop() for subscription in self._subscriptions))
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
            self._keeper = None
        self._tell(connected=False, detail="stopped")

    async def connected(self) -> None:
        """Wait until there is a connection, everything is declared and consumers are back."""
        await self._up.wait()

    async def consume(self, queue: str, handler: Handler, *, prefetch: int) -> Subscription:
        """Hand the messages of a queue to `handler`, at most `prefetch` at a time, whenever there is a connection."""
        subscription = Subscription(queue, handler, prefetch=prefetch, lost=self._lost)
        self._subscriptions.append(subscription)
        if self._current is not None:
            try:
                await subscription.attach(self._current)
            except _LOST:
                self._lost.set()
        return subscription

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        headers: Mapping[str, Any] | None = None,
        message_id: str = "",
        expiration: timedelta | None = None,
        content_type: str = "application/json",
        timestamp: datetime | None = None,
        persistent: bool = True,
        mandatory: bool = True,
    ) -> None:
        """Publish and wait until the broker has it.

        Raises:
            OutcomeUnknown: it was sent and no confirm came.
            Unavailable: there is no connection, no queue takes it (`mandatory`), or the broker refused it.
        """
        channel = self._publishing
        if channel is None:
            raise Unavailable(f"RabbitMQ is not connected: {self._state.detail}", system=_SYSTEM)
        message = Message(
            body,
            headers=cast("HeadersType", _sendable(dict(headers or {}))),
            message_id=message_id or None,
            expiration=expiration,
            content_type=content_type,
            timestamp=timestamp,
            delivery_mode=DeliveryMode.PERSISTENT if persistent else DeliveryMode.NOT_PERSISTENT,
        )
        with _outcome(exchange, routing_key):
            async with asyncio.timeout(self._publish_timeout.total_seconds()):
                target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
                await target.publish(message, routing_key, mandatory=mandatory)

    # Keeping it up.

    async def _keep_connected(self) -> None:
        while True:
            try:
                async with self._connection() as connection:
                    await self._set_up(connection)
                    await self._watch(connection)
                    self._tell(connected=False, detail="the connection was lost")
            except asyncio.CancelledError:
                if _is_cancelled():
                    raise
                self._tell(connected=False, detail="the connection was lost")  # aio_pika's own cancellation.
            except _LOST as error:
                self._tell(connected=False, detail=_reason(error, self._url))
            except Exception as error:  # noqa: BLE001 - a bug here must not end the only connection
                _LOG.exception("the connection to RabbitMQ is made anew")
                self._tell(connected=False, detail=_reason(error, self._url))
            finally:
                self._up.clear()
                self._publishing = self._current = None
                for subscription in self._subscriptions:
                    await subscription.attach(None)
            await asyncio.sleep(self._reconnect_after.total_seconds())

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[AbstractConnection]:
        self._lost.clear()
        connection = await aio_pika.connect(self._url, timeout=self._connect_timeout.total_seconds())
        connection.close_callbacks.add(lambda *_: self._lost.set())
        try:
            yield connection
        finally:
            with contextlib.suppress(*_LOST):
                async with asyncio.timeout(_GOODBYE.total_seconds()):
                    await connection.close()

    async def _set_up(self, connection: AbstractConnection) -> None:
        async with asyncio.timeout(self._connect_timeout.total_seconds()):
            for topology in self._topologies:
                await _declare(connection, topology)
            publishing = await connection.channel(on_return_raises=True)
            _report_end(publishing, self._lost, lambda: self._publishing is publishing)
            self._publishing = publishing
            self._current = connection
            await self._attach(connection)
        self._tell(connected=True, detail=f"connected to {self._url.host}:{self._url.port}")
        self._up.set()

    async def _attach(self, connection: AbstractConnection) -> None:
        """Begin to consume. Under suspicion one queue at a time, message by message.

        A message that the library cannot read ends the connection, each time it comes. Taken alone it alone is counted
        by the broker, and its queue's delivery limit makes it a dead letter; the others go on.
        """
        chosen = self._subscriptions
        if self._suspicious and chosen:
            chosen = [chosen[self._turn % len(chosen)]]
        for subscription in chosen:
            await subscription.attach(connection, one_by_one=self._suspicious)

    async def _watch(self, connection: AbstractConnection) -> None:
        """Wait for the end of a connection, and learn from how soon it comes."""
        while True:
            try:
                async with asyncio.timeout(self._stable_after.total_seconds()):
                    await self._lost.wait()
            except TimeoutError:
                if not self._suspicious:
                    await self._lost.wait()
                    return
                self._suspicious = False
                await self._attach(connection)
            else:
                self._suspicious = True
                self._turn += 1
                return

    def _tell(self, *, connected: bool, detail: str) -> None:
        if (self._state.connected, self._state.detail) == (connected, detail):
            return
        expected = connected or self._keeper is None
        changed = connected != self._state.connected
        self._state = ConnectionState(connected, detail, self._clock.now() if changed else self._state.since)
        _LOG.log(logging.INFO if expected else logging.WARNING, "RabbitMQ: %s", detail)
        self._on_change(self._state)


async def _declare(connection: AbstractConnection, topology: Topology) -> None:
    """Declare exchanges and queues, with no more arguments than must be: the rest belongs to policies (FACTS 5.1)."""
    async with connection.channel() as channel:
        await channel.declare_exchange(topology.exchange, ExchangeType.TOPIC, durable=True)
        await channel.declare_exchange(topology.heartbeat, ExchangeType.TOPIC, durable=True)
    await _declare_ours_or_theirs(connection, topology.dead, {})
    safety_net = {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": topology.dead,
        "x-delivery-limit": topology.delivery_limit,
    }
    for name in topology.bindings:
        await _declare_ours_or_theirs(connection, name, safety_net)
    async with connection.channel() as channel:
        for name, keys in topology.bindings.items():
            queue = await channel.get_queue(name, ensure=False)
            for key in keys:
                await queue.bind(topology.exchange, key)
        for delay in topology.retry_delays:
            await _declare_delay(channel, topology.retry_name(delay), delay)


async def _declare_ours_or_theirs(connection: AbstractConnection, name: str, arguments: dict[str, Any]) -> None:
    """Declare a queue; one that somebody declared in another way before is taken as it is."""
    try:
        async with connection.channel() as channel:
            await channel.declare_queue(name, durable=True, arguments=_QUORUM | arguments)
    except ChannelPreconditionFailed as error:
        async with connection.channel() as channel:
            await channel.declare_queue(name, passive=True)
        _LOG.warning("queue %s is not declared as expected and is used as it is: %s", name, error)


async def _declare_delay(channel: AbstractChannel, name: str, delay: timedelta) -> None:
    """Declare where messages wait. The routing key names the queue that the default exchange brings them back to."""
    exchange = await channel.declare_exchange(name, ExchangeType.FANOUT, durable=True)
    waits: dict[str, Any] = {"x-message-ttl": delay // timedelta(milliseconds=1), "x-dead-letter-exchange": ""}
    queue = await channel.declare_queue(name, durable=True, arguments=_QUORUM | waits)
    await queue.bind(exchange)


def _sendable(value: Any) -> Any:
    """Return a header as it can be sent: the library reads a text that is not UTF-8 as bytes, and cannot write them."""
    match value:
        case bytes():
            return bytearray(value)
        case dict():
            return {name: _sendable(inner) for name, inner in value.items()}
        case list():
            return [_sendable(inner) for inner in value]
        case _:
            return value


def _report_end(channel: AbstractChannel, lost: asyncio.Event, is_current: Callable[[], bool]) -> None:
    """Count a channel that ended while it was in use as a lost connection."""

    def report(*_: object) -> None:
        if is_current():
            lost.set()

    channel.close_callbacks.add(report)


@contextlib.contextmanager
def _outcome(exchange: str, routing_key: str) -> Iterator[None]:
    """Say in our words what became of a publish."""
    where = f"{exchange or 'the default exchange'} with routing key {routing_key}"
    try:
        yield
    except PublishError as error:
        raise Unavailable(f"no queue takes messages of {where}", system=_SYSTEM) from error
    except DeliveryError as error:
        raise Unavailable(f"RabbitMQ did not take a message to {where}", system=_SYSTEM) from error
    except ChannelClosed as error:
        raise Unavailable(f"RabbitMQ refused a message to {where}: {error}", system=_SYSTEM) from error
    except _LOST as error:
        raise OutcomeUnknown(f"no confirm came for a message to {where}", system=_SYSTEM) from error
    except asyncio.CancelledError as error:
        if _is_cancelled():
            raise
        raise OutcomeUnknown(f"the connection was lost during a message to {where}", system=_SYSTEM) from error


def _is_cancelled() -> bool:
    """Tell a cancellation of ours from one that aio_pika raises for a connection that it gives up (CHOICES)."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _reason(error: BaseException, url: URL) -> str:
    where = f"{url.host}:{url.port}"
    match error:
        case ProbableAuthenticationError():
            return f"{where} refused the user or the password"
        case TimeoutError():
            return f"{where} does not answer"
        case ChannelClosed():
            return f"{where} refused what was asked: {error}"[:256]
        case AMQPConnectionError() | OSError():
            return f"{where} is not reachable ({type(error).__name__})"
        case _:
            return f"the connection to {where} was lost ({type(error).__name__})"


def _delivery(message: AbstractIncomingMessage) -> Delivery:
    return Delivery(
        body=message.body,
        headers=message.headers or {},
        content_type=message.content_type or "",
        message_id=message.message_id or "",
        timestamp=message.timestamp,
        exchange=message.exchange or "",
        routing_key=message.routing_key or "",
        redelivered=bool(message.redelivered),
        message=message,
    )
