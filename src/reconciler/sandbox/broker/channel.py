"""One channel: what a client asks, one method after the other, and what it was handed and has not settled."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatchmethod
from typing import Protocol

from pamqp.base import Frame
from pamqp.commands import Basic, Confirm, Exchange, Queue, Tx
from pamqp.commands import Channel as ChannelMethods

from reconciler.sandbox.broker.errors import SessionError, not_implemented, precondition_failed
from reconciler.sandbox.broker.messages import Entry, Message
from reconciler.sandbox.broker.queues import Queue as MessageQueue
from reconciler.sandbox.broker.specifications import ExchangeSpecification, QueueSpecification
from reconciler.sandbox.broker.vhost import VirtualHost


class Line(Protocol):
    """The way back to the client, and what the channel must know of its connection."""

    @property
    def is_starved(self) -> bool:
        """Whether its consumers are given nothing more."""
        ...

    def send(self, channel: int, method: Frame) -> None:
        """Send a method."""
        ...

    def send_content(self, channel: int, method: Frame, properties: Basic.Properties, body: bytes) -> None:
        """Send a method with a message."""
        ...


@dataclass
class _Unsettled:
    """A message that was handed to the client."""

    queue: MessageQueue
    entry: Entry
    consumer: "Subscription | None"


class Subscription:
    """One consumer of a channel."""

    def __init__(self, channel: "Channel", queue: MessageQueue, *, tag: str, no_ack: bool, prefetch: int) -> None:
        self.queue = queue
        self.tag = tag
        self.no_ack = no_ack
        self.unsettled = 0
        self._channel = channel
        self._prefetch = prefetch

    def has_credit(self) -> bool:
        """Tell whether one more unsettled message may be out."""
        return (
            self.no_ack or self._prefetch == 0 or self.unsettled < self._prefetch
        ) and self._channel.has_shared_credit()

    def deliver(self, queue: MessageQueue, entry: Entry) -> None:
        """Hand the message to the client."""
        self._channel.deliver(self, queue, entry)

    def cancelled(self) -> None:
        """Tell the client that the queue is gone."""
        self._channel.consumer_cancelled(self)


class Channel:
    """The state of one channel. Methods raise `ChannelError` or `SessionError`; the session tells the client."""

    def __init__(self, number: int, *, vhost: VirtualHost, line: Line, drops_confirm: Callable[[], bool]) -> None:
        self.number = number
        self._vhost = vhost
        self._line = line
        self._drops_confirm = drops_confirm
        self._subscriptions: dict[str, Subscription] = {}
        self._unsettled: dict[int, _Unsettled] = {}
        self._last_delivery = 0
        self._last_publish = 0
        self._confirms = False
        self._prefetch = 0
        self._shared_prefetch = 0
        self._last_queue = ""

    # From the queues.

    def has_shared_credit(self) -> bool:
        """Tell whether the limit of all consumers of this channel together leaves room."""
        if self._line.is_starved:
            return False
        return self._shared_prefetch == 0 or len(self._unsettled) < self._shared_prefetch

    def deliver(self, subscription: Subscription, queue: MessageQueue, entry: Entry) -> None:
        """Send a message to a consumer."""
        tag = self._hand_out(queue, entry, subscription, no_ack=subscription.no_ack)
        message = entry.message
        method = Basic.Deliver(subscription.tag, tag, entry.redelivered, message.exchange, message.routing_key)
        self._line.send_content(self.number, method, _properties(queue, entry), message.body)

    def consumer_cancelled(self, subscription: Subscription) -> None:
        """Forget a consumer whose queue is gone."""
        self._subscriptions.pop(subscription.tag, None)
        self._line.send(self.number, Basic.Cancel(subscription.tag, nowait=True))

    def _hand_out(self, queue: MessageQueue, entry: Entry, consumer: Subscription | None, *, no_ack: bool) -> int:
        self._last_delivery += 1
        if no_ack:
            queue.settle()
            self._vhost.acknowledged[queue.name] += 1
        else:
            self._unsettled[self._last_delivery] = _Unsettled(queue, entry, consumer)
            if consumer is not None:
                consumer.unsettled += 1
        return self._last_delivery

    # From the session.

    def close(self) -> None:
        """End the channel: its consumers go, what was not settled goes back."""
        queues = {subscription.queue for subscription in self._subscriptions.values()}
        for subscription in tuple(self._subscriptions.values()):
            self._unsubscribe(subscription)
        queues |= {unsettled.queue for unsettled in self._unsettled.values()}
        self._put_back(tuple(self._unsettled))
        for queue in queues:
            queue.pump()

    def publish(self, method: Basic.Publish, properties: Basic.Properties, body: bytes) -> None:
        """Take a message from the client: route it, return it when it must and cannot be routed, confirm it."""
        if method.immediate:
            raise not_implemented("immediate=true")
        self._last_publish += self._confirms
        message = Message(method.exchange, method.routing_key, properties, body)
        routed = self._vhost.publish(message)
        if not routed and method.mandatory:
            returned = Basic.Return(312, "NO_ROUTE", message.exchange, message.routing_key)
            self._line.send_content(self.number, returned, properties, body)
        if self._confirms and not self._drops_confirm():
            self._line.send(self.number, Basic.Ack(self._last_publish))

    @singledispatchmethod
    def handle(self, method: Frame) -> None:
        """Do what a method asks. One that nobody knows ends the connection."""
        raise not_implemented(f"{method.name} is not part of the sandbox")

    def _reply(self, method: Frame, answer: Frame) -> None:
        if not getattr(method, "nowait", False):
            self._line.send(self.number, answer)

    # Exchanges.

    @handle.register
    def _(self, method: Exchange.Declare) -> None:
        if method.passive:
            self._vhost.exchange(method.exchange)
        else:
            self._vhost.declare_exchange(
                ExchangeSpecification(
                    name=method.exchange,
                    kind=method.exchange_type,
                    durable=method.durable,
                    auto_delete=method.auto_delete,
                    internal=method.internal,
                )
            )
        self._reply(method, Exchange.DeclareOk())

    @handle.register
    def _(self, method: Exchange.Delete) -> None:
        self._vhost.delete_exchange(method.exchange, if_unused=method.if_unused)
        self._reply(method, Exchange.DeleteOk())

    # Queues.

    @handle.register
    def _(self, method: Queue.Declare) -> None:
        if method.passive:
            queue = self._vhost.queue(method.queue, self._line)
        else:
            wanted = QueueSpecification(
                name=method.queue,
                durable=method.durable,
                exclusive=method.exclusive,
                auto_delete=method.auto_delete,
                arguments=method.arguments or {},
            )
            queue = self._vhost.declare_queue(wanted, self._line)
        self._last_queue = queue.name
        self._reply(method, Queue.DeclareOk(queue.name, len(queue), len(queue.consumers)))

    @handle.register
    def _(self, method: Queue.Bind) -> None:
        self._vhost.bind(self._queue(method.queue), method.exchange, method.routing_key)
        self._reply(method, Queue.BindOk())

    @handle.register
    def _(self, method: Queue.Unbind) -> None:
        self._vhost.unbind(self._queue(method.queue).name, method.exchange, method.routing_key)
        self._reply(method, Queue.UnbindOk())

    @handle.register
    def _(self, method: Queue.Purge) -> None:
        self._reply(method, Queue.PurgeOk(self._queue(method.queue).purge()))

    @handle.register
    def _(self, method: Queue.Delete) -> None:
        count = self._vhost.delete_queue(
            method.queue or self._last_queue, self._line, if_unused=method.if_unused, if_empty=method.if_empty
        )
        self._reply(method, Queue.DeleteOk(count))

    def _queue(self, name: str) -> MessageQueue:
        """Return the queue named; no name is the one declared last on this channel."""
        return self._vhost.queue(name or self._last_queue, self._line)

    # Publishing.

    @handle.register
    def _(self, method: Confirm.Select) -> None:
        self._confirms = True
        self._reply(method, Confirm.SelectOk())

    @handle.register
    def _(self, _: Tx.Select) -> None:
        raise not_implemented("transactions are not part of the sandbox")

    # Consuming.

    @handle.register
    def _(self, method: Basic.Qos) -> None:
        if method.global_:
            self._shared_prefetch = method.prefetch_count
        else:
            self._prefetch = method.prefetch_count
        self._line.send(self.number, Basic.QosOk())

    @handle.register
    def _(self, method: Basic.Consume) -> None:
        queue = self._queue(method.queue)
        if queue.specification.is_quorum and self._shared_prefetch:
            raise not_implemented(f"queue '{queue.name}' in vhost '/' does not support global qos")
        tag = method.consumer_tag or f"amq.ctag-{id(self):x}-{len(self._subscriptions) + 1}"
        if tag in self._subscriptions:
            raise SessionError(530, f"NOT_ALLOWED - attempt to reuse consumer tag '{tag}'")
        subscription = Subscription(self, queue, tag=tag, no_ack=method.no_ack, prefetch=self._prefetch)
        self._subscriptions[tag] = subscription
        self._reply(method, Basic.ConsumeOk(tag))
        queue.consumers.append(subscription)
        queue.pump()

    @handle.register
    def _(self, method: Basic.Cancel) -> None:
        subscription = self._subscriptions.get(method.consumer_tag or "")
        if subscription is not None:
            self._unsubscribe(subscription)
        self._reply(method, Basic.CancelOk(method.consumer_tag))

    @handle.register
    def _(self, _: Basic.CancelOk) -> None:
        """The client heard that its queue is gone."""

    def _unsubscribe(self, subscription: Subscription) -> None:
        del self._subscriptions[subscription.tag]
        if subscription in subscription.queue.consumers:
            subscription.queue.consumers.remove(subscription)
        self._vhost.drop_if_deserted(subscription.queue)

    @handle.register
    def _(self, method: Basic.Get) -> None:
        queue = self._queue(method.queue)
        entry = queue.take()
        if entry is None:
            self._line.send(self.number, Basic.GetEmpty())
            return
        tag = self._hand_out(queue, entry, None, no_ack=method.no_ack)
        message = entry.message
        answer = Basic.GetOk(tag, entry.redelivered, message.exchange, message.routing_key, len(queue))
        self._line.send_content(self.number, answer, _properties(queue, entry, always=True), message.body)

    # Settling.

    @handle.register
    def _(self, method: Basic.Ack) -> None:
        for unsettled in self._settle(method.delivery_tag, multiple=method.multiple):
            unsettled.queue.settle()
            self._vhost.acknowledged[unsettled.queue.name] += 1
        self._pump()

    @handle.register
    def _(self, method: Basic.Nack) -> None:
        self._reject(method.delivery_tag, multiple=method.multiple, requeue=method.requeue)

    @handle.register
    def _(self, method: Basic.Reject) -> None:
        self._reject(method.delivery_tag or 0, multiple=False, requeue=method.requeue)

    @handle.register
    def _(self, method: Basic.Recover) -> None:
        self._put_back(tuple(self._unsettled))
        self._line.send(self.number, Basic.RecoverOk())
        self._pump()

    def _reject(self, delivery_tag: int, *, multiple: bool, requeue: bool) -> None:
        touched = set()
        for unsettled in self._settle(delivery_tag, multiple=multiple):
            touched.add(unsettled.queue)
            if requeue:
                unsettled.queue.put_back(unsettled.entry)
            else:
                unsettled.queue.reject(unsettled.entry)
        for queue in touched:
            queue.pump()
        self._pump()

    def _settle(self, delivery_tag: int, *, multiple: bool) -> list[_Unsettled]:
        """Return what a tag means, taken off the books; tag 0 with `multiple` is all of it."""
        if multiple:
            tags = [tag for tag in self._unsettled if delivery_tag == 0 or tag <= delivery_tag]
        else:
            tags = [delivery_tag] if delivery_tag in self._unsettled else []
        if not tags and not (multiple and delivery_tag == 0):
            raise precondition_failed(f"unknown delivery tag {delivery_tag}")
        return [self._take_off(tag) for tag in tags]

    def _take_off(self, tag: int) -> _Unsettled:
        unsettled = self._unsettled.pop(tag)
        if unsettled.consumer is not None:
            unsettled.consumer.unsettled -= 1
        return unsettled

    def _put_back(self, tags: tuple[int, ...]) -> None:
        for tag in tags:
            unsettled = self._take_off(tag)
            unsettled.queue.put_back(unsettled.entry)

    def _pump(self) -> None:
        for subscription in tuple(self._subscriptions.values()):
            subscription.queue.pump()

    @handle.register
    def _(self, method: ChannelMethods.Flow) -> None:
        if not method.active:
            raise not_implemented("active=false")
        self._line.send(self.number, ChannelMethods.FlowOk(active=True))


def _properties(queue: MessageQueue, entry: Entry, *, always: bool = False) -> Basic.Properties:
    """Return the properties as delivered: a quorum queue says how often the message came back.

    RabbitMQ 3.10.8 leaves the header out of a consumer's first delivery, and says 0 to `basic.get`.
    """
    if not queue.specification.is_quorum or not (entry.returns or always):
        return entry.message.properties
    return entry.message.with_headers({**entry.message.headers, "x-delivery-count": entry.returns})
