"""A broker in memory: queues, messages that come again, waiting queues, confirms that get lost, lost connections."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import orjson
from tests.simulation.loop import Process
from tests.simulation.world import World

from reconciler.domain.errors import OutcomeUnknown, Unavailable
from reconciler.domain.messages import Topology

Handler = Callable[["Delivery"], Awaitable[None]]
_PUBLISH_SECONDS = 10.0


@dataclass(eq=False, slots=True)
class Message:
    """One message in a queue."""

    body: bytes
    exchange: str
    routing_key: str
    headers: dict[str, Any] = field(default_factory=dict)
    message_id: str = ""
    content_type: str = "application/json"
    timestamp: datetime | None = None


class Broker:
    """The server."""

    def __init__(self, world: World, topology: Topology) -> None:
        self._world = world
        self.topology = topology
        self.queues: dict[str, list[Message]] = {name: [] for name in (*topology.bindings, topology.dead)}
        self.waiting: list[Message] = []
        self.heartbeats: list[Mapping[str, Any]] = []
        self.lines: list[BrokerLine] = []
        self.acknowledged: Callable[[Message], None] = lambda _: None
        self._delays = {topology.retry_name(delay): delay.total_seconds() for delay in topology.retry_delays}
        self._keys = {key: queue for queue, keys in topology.bindings.items() for key in keys}

    def route(self, message: Message) -> None:
        """Take a message."""
        if message.exchange == self.topology.heartbeat:
            beat = orjson.loads(message.body)["payload"]
            self.heartbeats.append(beat)
            self._world.note(f"heartbeat {beat['operation_id']} {beat['sequence']} {beat['phase']}", count="heartbeats")
        elif message.exchange in self._delays:
            self.waiting.append(message)
            self._world.note(f"message waits: {message.message_id}", count="retries")
            self._world.loop.call_in_world(self._delays[message.exchange], self._waited, message)
        elif message.exchange == "":
            self.put(message.routing_key, message)
        else:
            self.put(self._keys[message.routing_key], message)

    def kept(self) -> Iterator[Message]:
        """Yield what is not lost: what waits, dead letters, and what is in somebody's hands and not settled."""
        yield from itertools.chain(*self.queues.values(), self.waiting, *(line.unsettled() for line in self.lines))

    def put(self, queue: str, message: Message, *, first: bool = False) -> None:
        messages = self.queues[queue]
        messages.insert(0, message) if first else messages.append(message)
        if queue == self.topology.dead:
            self._world.note(
                f"dead letter {message.message_id} {message.headers.get('x-reconciler-reason')}", count="dead"
            )
        for line in self.lines:
            line.offer(queue)

    def _waited(self, message: Message) -> None:
        self.waiting.remove(message)
        self.put(message.routing_key, message)


class Subscription:
    """A consumer of one process."""

    def __init__(self, line: "BrokerLine", queue: str, handler: Handler, prefetch: int) -> None:
        self.line, self.queue, self.handler, self.prefetch = line, queue, handler, prefetch
        self.is_wanted = True
        self.channel = 0
        self.unsettled: dict[Message, None] = {}
        self.running: set[asyncio.Task[None]] = set()

    async def pause(self) -> None:
        self.is_wanted = False
        await asyncio.sleep(0.001)
        self.give_back()

    async def resume(self) -> None:
        self.is_wanted = True
        await asyncio.sleep(0.001)
        self.line.offer(self.queue)

    async def stop(self, grace: timedelta) -> None:
        self.is_wanted = False
        if self.running:
            await asyncio.wait(self.running, timeout=grace.total_seconds())
        for task in tuple(self.running):
            task.cancel()
        self.give_back()
        self.line.forget(self)

    def give_back(self) -> None:
        """End the channel: what is not settled comes again."""
        if self.line.process.is_dead and not self.line.is_closed:
            return
        self.channel += 1
        messages = tuple(self.unsettled)
        self.unsettled.clear()
        for message in reversed(messages):
            self.line.broker.put(self.queue, message, first=True)

    def deliver(self, message: Message) -> None:
        self.unsettled[message] = None
        self.line.process.call_soon(self._receive, Delivery(self, message, self.channel))

    def _receive(self, delivery: "Delivery") -> None:
        if not self.is_wanted or self.line.process.is_dead:
            return
        task = asyncio.get_running_loop().create_task(self._handle(delivery), name=f"message of {self.queue}")
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def _handle(self, delivery: "Delivery") -> None:
        try:
            await self.handler(delivery)
        except Exception as error:  # noqa: BLE001 - as the real one: it comes again
            self.line.world.fail("intake", f"the handler raised {error!r}")


class Delivery:
    """A message in the hands of a process."""

    def __init__(self, subscription: Subscription, message: Message, channel: int) -> None:
        self._subscription, self._channel = subscription, channel
        self.message = message
        self.body, self.headers = message.body, message.headers
        self.content_type, self.message_id, self.timestamp = message.content_type, message.message_id, message.timestamp
        self.exchange, self.routing_key = message.exchange, message.routing_key

    async def ack(self) -> None:
        world = self._subscription.line.world
        if self._subscription.line.process.is_dead:
            return
        world.later(0.001, 0.05, self._acked)

    def _acked(self) -> None:
        subscription = self._subscription
        if subscription.channel != self._channel or self.message not in subscription.unsettled:
            return
        del subscription.unsettled[self.message]
        subscription.line.world.note(f"acknowledged {self.message.message_id}", count="acknowledged")
        subscription.line.broker.acknowledged(self.message)
        subscription.line.offer(subscription.queue)


class BrokerLine:
    """One process' connection. Fits the ports of intake and heartbeats."""

    def __init__(self, world: World, broker: Broker, process: Process) -> None:
        self.world, self.broker, self.process = world, broker, process
        self.is_connected = False
        self.is_closed = False
        self.came_back: Callable[[], None] = lambda: None
        self._subscriptions: list[Subscription] = []
        self._epochs = itertools.count()
        self._epoch = next(self._epochs)
        broker.lines.append(self)
        world.later(0.05, 2, self.connect)

    @property
    def state(self) -> SimpleNamespace:
        return SimpleNamespace(connected=self.is_connected)

    def unsettled(self) -> Iterator[Message]:
        return itertools.chain(*(one.unsettled for one in self._subscriptions))

    def forget(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)

    def connect(self) -> None:
        if self.is_closed or self.is_connected:
            return
        self.is_connected = True
        self.process.call_soon(self.came_back)
        for subscription in self._subscriptions:
            self.offer(subscription.queue)

    def lose(self, seconds: float) -> None:
        """Cut the connection; it is made anew after a while."""
        if self.is_closed:
            return
        self.is_connected = False
        self._epoch = next(self._epochs)
        for subscription in self._subscriptions:
            subscription.give_back()
        self.world.loop.call_in_world(seconds, self.connect)

    def close(self) -> None:
        """See the process gone."""
        self.is_closed, self.is_connected = True, False
        self._epoch = next(self._epochs)
        for subscription in self._subscriptions:
            subscription.give_back()
        self.broker.lines.remove(self)

    def offer(self, queue: str) -> None:
        """Hand over what there is, as far as the consumers take it; now and then out of order."""
        messages = self.broker.queues[queue]
        for subscription in self._subscriptions:
            while (
                messages
                and subscription.queue == queue
                and subscription.is_wanted
                and self.is_connected
                and len(subscription.unsettled) < subscription.prefetch
            ):
                at = 0 if self.world.is_calm else int(self.world.dice.random() ** 3 * len(messages))
                subscription.deliver(messages.pop(at))

    async def consume(self, queue: str, handler: Handler, *, prefetch: int) -> Subscription:
        subscription = Subscription(self, queue, handler, prefetch)
        self._subscriptions.append(subscription)
        self.offer(queue)
        return subscription

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
        mandatory: bool = True,
    ) -> None:
        if self.process.is_dead:
            raise asyncio.CancelledError
        if not self.is_connected:
            raise Unavailable("RabbitMQ is not connected", system="rabbitmq")
        message = Message(body, exchange, routing_key, dict(headers or {}), message_id, content_type, timestamp)
        confirm: asyncio.Future[None] = self.world.loop.create_future()
        self.world.later(0.001, 0.05, self._take, message, confirm, self._epoch)
        try:
            async with asyncio.timeout(_PUBLISH_SECONDS):
                await confirm
        except TimeoutError as error:
            raise OutcomeUnknown("no confirm came", system="rabbitmq") from error

    def _take(self, message: Message, confirm: asyncio.Future[None], epoch: int) -> None:
        luck = 1.0 if self.world.is_calm else self.world.dice.random()
        if epoch != self._epoch or luck < self.world.weather.badness / 2:
            return  # It never got there.
        self.broker.route(message)
        if luck > self.world.weather.badness:
            self.world.later(0.001, 0.05, lambda: confirm.done() or confirm.set_result(None))
