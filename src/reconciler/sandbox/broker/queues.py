"""One queue: who gets which message when, and what becomes of those that come back or live too long."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from reconciler.domain.clock import Clock
from reconciler.sandbox.broker.messages import Entry, Message
from reconciler.sandbox.broker.specifications import QueueSpecification

Bury = Callable[["Queue", Message, str], None]


class Consumer(Protocol):
    """Somebody who takes messages as they come."""

    def has_credit(self) -> bool:
        """Tell whether one more message may be handed over now."""
        ...

    def deliver(self, queue: "Queue", entry: Entry) -> None:
        """Take a message; the queue hears of its end through `settle` or `put_back`."""
        ...

    def cancelled(self) -> None:
        """Hear that the queue is gone."""
        ...


class Queue:
    """Messages ready, messages handed out, consumers in turn.

    `bury(queue, message, reason)` is called for each message that dies here; reasons are RabbitMQ's: `rejected`,
    `expired`, `delivery_limit`.
    """

    def __init__(
        self, specification: QueueSpecification, *, clock: Clock, bury: Bury, owner: object, delivered: Counter[str]
    ) -> None:
        self.specification = specification
        self.owner = owner
        self.consumers: deque[Consumer] = deque()
        self.had_consumers = False
        self._ready: deque[Entry] = deque()
        self._handed_out = 0
        self._arrived = 0
        self._clock = clock
        self._bury = bury
        self._delivered = delivered
        self._timer: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """The queue's name."""
        return self.specification.name

    def __len__(self) -> int:
        """Count the messages that are ready."""
        return len(self._ready)

    @property
    def depth(self) -> int:
        """How many messages are here, ready or handed out."""
        return len(self._ready) + self._handed_out

    def put(self, message: Message) -> None:
        """Take a message in, and hand out what can be handed out."""
        lives = [seconds for seconds in (message.expiration, self.specification.time_to_live) if seconds is not None]
        self._arrived += 1
        expires_at = self._clock.monotonic() + min(lives) if lives else None
        self._ready.append(Entry(message, self._arrived, expires_at))
        self.pump()

    def pump(self) -> None:
        """Give ready messages to consumers in turn, as far as their credit goes."""
        while self._ready and (consumer := self._next_consumer()) is not None:
            entry = self.take()
            if entry is not None:
                consumer.deliver(self, entry)
        self._watch_the_head()

    def _next_consumer(self) -> Consumer | None:
        for _ in range(len(self.consumers)):
            consumer = self.consumers[0]
            self.consumers.rotate(-1)
            if consumer.has_credit():
                return consumer
        return None

    def take(self) -> Entry | None:
        """Hand out the first message that is not too old, if any."""
        now = self._clock.monotonic()
        while self._ready:
            entry = self._ready.popleft()
            if entry.expires_at is None or entry.expires_at >= now:
                self._handed_out += 1
                self._delivered[self.name] += 1
                return entry
            self._bury(self, entry.message, "expired")
        return None

    def settle(self) -> None:
        """Forget one message that was handed out: it is done, or dead."""
        self._handed_out -= 1

    def reject(self, entry: Entry) -> None:
        """Let a message that was handed out die."""
        self.settle()
        self._bury(self, entry.message, "rejected")

    def put_back(self, entry: Entry) -> None:
        """Take a message back that was handed out and not settled; a quorum queue counts how often."""
        self.settle()
        entry.returns += 1
        limit = self.specification.delivery_limit
        if limit is not None and entry.returns > limit:
            self._bury(self, entry.message, "delivery_limit")
        elif self.specification.is_quorum and limit is None:
            self._ready.append(entry)
        else:
            at = next((i for i, other in enumerate(self._ready) if other.position > entry.position), len(self._ready))
            self._ready.insert(at, entry)

    def purge(self) -> int:
        """Drop what is ready; return how many that were."""
        count = len(self._ready)
        self._ready.clear()
        self._watch_the_head()
        return count

    def close(self) -> None:
        """End the queue: consumers hear of it, no timer is left."""
        for consumer in tuple(self.consumers):
            consumer.cancelled()
        self.consumers.clear()
        self.purge()

    def _watch_the_head(self) -> None:
        """Wake up when the first message is too old; those behind it are not looked at before (FACTS 5.3)."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ready and (expires_at := self._ready[0].expires_at) is not None:
            delay = max(0.0, expires_at - self._clock.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._expire)

    def _expire(self) -> None:
        now = self._clock.monotonic()
        while self._ready and (expires_at := self._ready[0].expires_at) is not None and expires_at <= now:
            self._bury(self, self._ready.popleft().message, "expired")
        self._watch_the_head()
