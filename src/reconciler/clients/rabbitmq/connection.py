"""The connection of the process, kept up.

Any end that was not asked for, of the connection or of one of its channels, is answered in one way: everything is
closed, and after a short while connected, declared and consumed anew. What was not acknowledged comes again.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import aio_pika
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, HeadersType
from aio_pika.exceptions import AMQPError, PublishError
from yarl import URL

from reconciler.clients.rabbitmq.declarations import declare
from reconciler.clients.rabbitmq.failures import (
    GOODBYE,
    LOST,
    SYSTEM,
    is_cancelled,
    obey_cancellation,
    outcome_of,
    reason_of,
    report_end,
    unless_lost,
)
from reconciler.clients.rabbitmq.round_trip import there_and_back
from reconciler.clients.rabbitmq.subscription import Handler, Subscription
from reconciler.domain.clock import Clock
from reconciler.domain.errors import Unavailable
from reconciler.domain.messages import Topology
from reconciler.resilience.moments import Moment, passing

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """Whether the broker is reachable, why not, and since when."""

    connected: bool
    detail: str
    since: datetime


OnChange = Callable[[ConnectionState], None]


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
        self._subscriptions = [other for other in self._subscriptions if not other.is_over] + [subscription]
        if self._current is not None:
            try:
                with unless_lost(self._lost.set):
                    await subscription.attach(self._current)
            except asyncio.CancelledError:
                await subscription.stop(timedelta(0))  # nobody else would
                raise
        return subscription

    async def consume_own(self, handler: Handler) -> Subscription:
        """Hand over the messages of a queue of this connection's own, which is made and goes with it."""
        return await self.consume("", handler, prefetch=1)

    def restart(self, why: str) -> None:
        """Give up the connection as if it were lost, and make it anew."""
        _LOG.warning("the connection to RabbitMQ is given up: %s", why)
        self._lost.set()

    async def works_afresh(self) -> None:
        """Send a message through a queue on a fresh connection and get it back. Raises Unavailable."""
        try:
            async with asyncio.timeout(self._connect_timeout.total_seconds()):
                await there_and_back(self._url)
        except asyncio.CancelledError as error:
            if is_cancelled():
                raise
            raise Unavailable("the connection was lost", system=SYSTEM) from error
        except (*LOST, AMQPError) as error:
            raise Unavailable(reason_of(error, self._url), system=SYSTEM) from error

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        headers: Mapping[str, Any] | None = None,
        message_id: str = "",
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
            raise Unavailable(f"RabbitMQ is not connected: {self._state.detail}", system=SYSTEM)
        message = Message(
            body,
            headers=cast("HeadersType", sendable(dict(headers or {}))),
            message_id=message_id or None,
            content_type=content_type,
            timestamp=timestamp,
            delivery_mode=DeliveryMode.PERSISTENT if persistent else DeliveryMode.NOT_PERSISTENT,
        )
        told = exchange or routing_key
        with (
            outcome_of(exchange, routing_key),
            self._declared_again(exchange, routing_key),
            passing(Moment.PUBLISH, told),
        ):
            async with asyncio.timeout(self._publish_timeout.total_seconds()):
                # Not by an Exchange: that holds the channel until each message is written, one after the other, a turn
                # of the loop or more for each; with many looks under way heartbeats would wait for seconds.
                underlay = await channel.get_underlay_channel()
                await underlay.basic_publish(  # type: ignore[call-arg]  # its abstract class omits `wait`
                    message.body,
                    exchange=exchange,
                    routing_key=routing_key,
                    properties=message.properties,
                    mandatory=mandatory,
                    wait=False,
                )

    @contextlib.contextmanager
    def _declared_again(self, exchange: str, routing_key: str) -> Iterator[None]:
        """Make the connection anew when a queue is gone that is declared at every connect."""
        try:
            yield
        except PublishError:
            if any(topology.has_queue_for(exchange, routing_key) for topology in self._topologies):
                self.restart(f"the queue behind {exchange or routing_key} is gone")
            raise

    # Keeping it up.

    async def _keep_connected(self) -> None:
        while not is_cancelled():
            try:
                async with self._connection() as connection:
                    await self._set_up(connection)
                    await self._watch(connection)
                    self._tell(connected=False, detail="the connection was lost")
            except asyncio.CancelledError:
                if is_cancelled():
                    raise
                self._tell(connected=False, detail="the connection was lost")  # aio_pika's own cancellation.
            except LOST as error:
                self._tell(connected=False, detail=reason_of(error, self._url))
            except Exception as error:  # noqa: BLE001 - a bug here must not end the only connection
                _LOG.exception("the connection to RabbitMQ is made anew")
                self._tell(connected=False, detail=reason_of(error, self._url))
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
        _widen(connection)
        try:
            yield connection
        finally:
            with contextlib.suppress(*LOST):
                async with asyncio.timeout(GOODBYE.total_seconds()):
                    await connection.close()

    async def _set_up(self, connection: AbstractConnection) -> None:
        async with asyncio.timeout(self._connect_timeout.total_seconds()):
            for topology in self._topologies:
                await declare(connection, topology)
            publishing = await connection.channel(on_return_raises=True)
            report_end(publishing, self._lost, lambda: self._publishing is publishing)
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
        obey_cancellation()

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


def sendable(value: Any) -> Any:
    """Return a header as it can be sent: the library reads a text that is not UTF-8 as bytes, and cannot write them."""
    match value:
        case bytes():
            return bytearray(value)
        case dict():
            return {name: sendable(inner) for name, inner in value.items()}
        case list():
            return [sendable(inner) for inner in value]
        case _:
            return value


def _widen(connection: AbstractConnection) -> None:
    """Let more frames wait to be written than the library's ten.

    Whoever finds them full holds the channel's lock while it waits, and from then on one message goes out per turn of
    the event loop: under load heartbeats were a second late. What waits is bounded by those who wait for confirms.
    """
    if connection.transport is not None:
        connection.transport.connection.write_queue._maxsize = _FRAMES_WAITING  # type: ignore[attr-defined]  # noqa: SLF001 - no other knob


_FRAMES_WAITING = 1000
