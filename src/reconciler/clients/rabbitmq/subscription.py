"""A consumer that outlives its connections, and the messages it hands over."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue

from reconciler.clients.rabbitmq.failures import GOODBYE, report_end, unless_lost
from reconciler.resilience.moments import Moment, passing

_LOG = logging.getLogger(__name__)


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
        with unless_lost(), passing(Moment.ACK, self.routing_key):
            await self.message.ack()

    async def give_back(self) -> None:
        """Let it come again."""
        with unless_lost():
            await self.message.reject(requeue=True)


Handler = Callable[[Delivery], Awaitable[None]]


class Subscription:
    """A consumer with a channel of its own, taken up again after each reconnect unless it is paused or stopped.

    Attributes:
        queue: its name; where the queue is our own the broker names it, anew at each connect. Empty before the first.
    """

    def __init__(self, queue: str, handler: Handler, *, prefetch: int, lost: asyncio.Event) -> None:
        """Prepare; an empty `queue` is one of our own, which goes with its connection."""
        self.queue = queue
        self._is_own = not queue
        self._handler = handler
        self._prefetch = prefetch
        self._lost = lost
        self._wanted = True
        self._is_over = False
        self._one_by_one = False
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._cancel: Callable[[], Awaitable[object]] | None = None
        self._changing = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()

    @property
    def is_over(self) -> bool:
        """Whether it was stopped for good."""
        return self._is_over

    async def pause(self) -> None:
        """Take no more messages; those that are not settled go back at once. What runs goes on."""
        self._wanted = False
        async with self._changing:
            await self._close()

    async def resume(self) -> None:
        """Take messages again, now or as soon as there is a connection."""
        self._wanted = True
        async with self._changing:
            with unless_lost(self._lost.set):
                await self._open()

    async def stop(self, grace: timedelta = timedelta(seconds=10)) -> None:
        """Take no more messages, let what runs end within `grace`, then give back the rest."""
        self._wanted, self._is_over = False, True
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
        report_end(channel, self._lost, lambda: self._channel is channel)
        self._channel = channel
        await channel.set_qos(prefetch_count=1 if self._one_by_one else self._prefetch)
        queue = await self._queue_on(channel)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: self._lost.set())
        self._cancel = partial(queue.cancel, await queue.consume(self._receive))

    async def _queue_on(self, channel: AbstractChannel) -> AbstractQueue:
        if not self._is_own:
            return await channel.get_queue(self.queue, ensure=False)
        # Transient is allowed as long as it is exclusive (FACTS 5.5); the former one may still be locked: a new name.
        queue = await channel.declare_queue(exclusive=True, auto_delete=True)
        self.queue = queue.name
        return queue

    async def _take_no_more(self) -> None:
        cancel, self._cancel = self._cancel, None
        if cancel is not None and self._channel is not None:
            with unless_lost():
                async with asyncio.timeout(GOODBYE.total_seconds()):
                    await cancel()

    async def _close(self) -> None:
        channel, self._channel = self._channel, None
        self._cancel = None
        if channel is not None:
            with unless_lost():
                async with asyncio.timeout(GOODBYE.total_seconds()):
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
