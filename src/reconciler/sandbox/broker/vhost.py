"""The virtual host: exchanges, queues, bindings, and the way of a message from one to the other."""

import secrets
from collections import Counter
from dataclasses import replace

from reconciler.domain.clock import Clock
from reconciler.sandbox.broker.errors import access_refused, not_found, precondition_failed, resource_locked
from reconciler.sandbox.broker.messages import Message, dead_lettered, goes_in_a_circle
from reconciler.sandbox.broker.queues import Queue
from reconciler.sandbox.broker.specifications import EXCHANGE_TYPES, ExchangeSpecification, QueueSpecification
from reconciler.sandbox.broker.topics import topic_matches

_RESERVED = "amq."


class Exchange:
    """An exchange and what is bound to it: pairs of queue name and binding key, in the order of binding."""

    def __init__(self, specification: ExchangeSpecification) -> None:
        self.specification = specification
        self.bindings: dict[tuple[str, str], None] = {}

    def routes(self, routing_key: str) -> list[str]:
        """Name the queues that take this routing key, each once."""
        match self.specification.kind:
            case "fanout":
                taken = (queue for queue, _ in self.bindings)
            case "direct":
                taken = (queue for queue, key in self.bindings if key == routing_key)
            case _:
                taken = (queue for queue, key in self.bindings if topic_matches(key, routing_key))
        return list(dict.fromkeys(taken))

    def forget(self, queue: str) -> None:
        """Drop all bindings of a queue."""
        for binding in [binding for binding in self.bindings if binding[0] == queue]:
            del self.bindings[binding]


class VirtualHost:
    """`/`: everything that connections share. What is in it survives cut connections and an outage."""

    def __init__(self, clock: Clock) -> None:
        self.queues: dict[str, Queue] = {}
        self.exchanges: dict[str, Exchange] = {}
        self.published: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.acknowledged: Counter[str] = Counter()
        self._clock = clock
        for kind in EXCHANGE_TYPES:
            name = f"amq.{kind}"
            self.exchanges[name] = Exchange(ExchangeSpecification(name, kind, True, False, False))  # noqa: FBT003 - a row

    def declare_exchange(self, wanted: ExchangeSpecification) -> None:
        """Make the exchange, or check that it is the same."""
        if not wanted.name:
            raise access_refused("operation not permitted on the default exchange")
        wanted.check()
        if (known := self.exchanges.get(wanted.name)) is not None:
            known.specification.check_same(wanted)
            return
        if wanted.name.startswith(_RESERVED):
            raise access_refused(f"exchange name '{wanted.name}' contains reserved prefix 'amq.*'")
        self.exchanges[wanted.name] = Exchange(wanted)

    def exchange(self, name: str) -> Exchange:
        """Return an exchange; 404 where there is none."""
        if name not in self.exchanges:
            raise not_found("exchange", name)
        return self.exchanges[name]

    def delete_exchange(self, name: str, *, if_unused: bool) -> None:
        """Remove an exchange; one that is not there is fine."""
        if not name or name.startswith(_RESERVED):
            raise access_refused(f"operation not permitted on exchange '{name}'")
        if if_unused and name in self.exchanges and self.exchanges[name].bindings:
            raise precondition_failed(f"exchange '{name}' in vhost '/' in use")
        self.exchanges.pop(name, None)

    def declare_queue(self, wanted: QueueSpecification, owner: object) -> Queue:
        """Make the queue, or check that it is the same; without a name it gets one."""
        known = self.queues.get(wanted.name)
        if known is not None:
            self._check_access(known, owner)
            known.specification.check_same(wanted)
            return known
        if not wanted.name:
            wanted = replace(wanted, name=f"amq.gen-{secrets.token_urlsafe(16)}")
        elif wanted.name.startswith(_RESERVED):
            raise access_refused(f"queue name '{wanted.name}' contains reserved prefix 'amq.*'")
        wanted.check()
        queue = Queue(
            wanted,
            clock=self._clock,
            bury=self._bury,
            owner=owner if wanted.exclusive else None,
            delivered=self.delivered,
        )
        self.queues[wanted.name] = queue
        return queue

    def queue(self, name: str, owner: object) -> Queue:
        """Return a queue; 404 where there is none, 405 where another connection has it for itself."""
        if name not in self.queues:
            raise not_found("queue", name)
        queue = self.queues[name]
        self._check_access(queue, owner)
        return queue

    @staticmethod
    def _check_access(queue: Queue, owner: object) -> None:
        if queue.owner is not None and queue.owner is not owner:
            raise resource_locked(queue.name)

    def delete_queue(self, name: str, owner: object, *, if_unused: bool = False, if_empty: bool = False) -> int:
        """Remove a queue with its messages; return how many; one that is not there is fine."""
        if name not in self.queues:
            return 0
        queue = self.queue(name, owner)
        if if_unused and queue.consumers:
            raise precondition_failed(f"queue '{name}' in vhost '/' in use")
        if if_empty and len(queue):
            raise precondition_failed(f"queue '{name}' in vhost '/' is not empty")
        count = len(queue)
        del self.queues[name]
        for exchange in self.exchanges.values():
            exchange.forget(name)
        queue.close()
        return count

    def drop_owned_by(self, owner: object) -> None:
        """Remove the exclusive queues of a connection that ended."""
        for name in [name for name, queue in self.queues.items() if queue.owner is owner]:
            self.delete_queue(name, owner)

    def drop_if_deserted(self, queue: Queue) -> None:
        """Remove an auto-delete queue when its last consumer went."""
        if queue.specification.auto_delete and not queue.consumers and self.queues.get(queue.name) is queue:
            self.delete_queue(queue.name, queue.owner)

    def bind(self, queue: Queue, exchange: str, routing_key: str) -> None:
        """Let a queue take what an exchange gets; twice is once."""
        if not exchange:
            raise access_refused("operation not permitted on the default exchange")
        self.exchange(exchange).bindings[queue.name, routing_key] = None

    def unbind(self, queue: str, exchange: str, routing_key: str) -> None:
        """Undo a binding; one that is not there is fine."""
        if exchange in self.exchanges:
            self.exchanges[exchange].bindings.pop((queue, routing_key), None)

    def publish(self, message: Message) -> bool:
        """Put a client's message into the queues that take it; tell whether there was any; 404 without exchange."""
        queues = self._routes(message)
        _ = message.expiration
        self.published[message.exchange] += 1
        for queue in queues:
            queue.put(message)
        return bool(queues)

    def _routes(self, message: Message) -> list[Queue]:
        if not message.exchange:
            names = [message.routing_key]
        else:
            exchange = self.exchange(message.exchange)
            if exchange.specification.internal:
                raise access_refused(f"cannot publish to internal exchange '{message.exchange}' in vhost '/'")
            names = exchange.routes(message.routing_key)
        return [self.queues[name] for name in names if name in self.queues]

    def _bury(self, queue: Queue, message: Message, reason: str) -> None:
        """Send a message that died to the queue's dead letter exchange; without one it is gone."""
        arguments = queue.specification.arguments
        exchange = arguments.get("x-dead-letter-exchange")
        if exchange is None or (exchange and exchange not in self.exchanges):
            return
        letter = dead_lettered(
            message,
            queue=queue.name,
            reason=reason,
            exchange=exchange,
            routing_key=arguments.get("x-dead-letter-routing-key"),
            at=self._clock.now(),
        )
        for target in self._routes(letter):
            if reason == "rejected" or not goes_in_a_circle(letter, target.name):
                target.put(letter)
