"""A back office: sends requests to the broker, hears every heartbeat, collects the dead letters."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from reconciler.clients.rabbitmq import RabbitMQ
from reconciler.clients.rabbitmq.subscription import Delivery
from reconciler.domain.clock import Clock, SystemClock
from reconciler.domain.messages import FIELD_HEADER, REASON_HEADER, Topology
from reconciler.domain.resources import Phase
from reconciler.sandbox.samples import Request

HEARTBEATS = "sandbox.heartbeats"
_PREFETCH = 200


@dataclass(frozen=True)
class _Ear(Topology):
    """The queue that hears all heartbeats, declared the way that all queues are."""

    @property
    def bindings(self) -> dict[str, tuple[str, ...]]:
        """Hear everything."""
        return {HEARTBEATS: ("#",)}


@dataclass(frozen=True, slots=True)
class Beat:
    """One heartbeat as it came.

    Attributes:
        at: monotonic seconds.
    """

    routing_key: str
    payload: dict[str, Any]
    at: float

    @property
    def operation_id(self) -> str:
        """Whose it is."""
        return str(self.payload["operation_id"])

    @property
    def is_last(self) -> bool:
        """Whether it says an end."""
        return Phase(self.payload["phase"]).is_end


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was refused for good."""

    body: bytes
    message_id: str
    reason: str
    field: str
    headers: dict[str, Any]


@dataclass
class Heard:
    """What was heard of one operation."""

    beats: list[Beat] = field(default_factory=list)
    first: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def last_words(self) -> list[Beat]:
        """The beats that say an end; there must be one."""
        return [beat for beat in self.beats if beat.is_last]


class BackOffice:
    """A sender and listener with a connection of its own.

    Attributes:
        sent: monotonic second at which each operation was first sent.
        dead: dead letters in the order they came.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, topology: Topology | None = None) -> None:
        """Prepare; `open` connects."""
        self._clock = clock or SystemClock()
        self._topology = topology or Topology()
        self._connection = RabbitMQ(url, clock=self._clock)
        self._listeners: list[Callable[[Beat], None]] = []
        self._dead_came = asyncio.Event()
        self.operations: defaultdict[str, Heard] = defaultdict(Heard)
        self.sent: dict[str, float] = {}
        self.dead: list[DeadLetter] = []

    async def open(self) -> None:
        """Connect, and hear everything from now on."""
        names = self._topology
        self._connection.declare(names)
        self._connection.declare(_Ear(exchange=names.heartbeat, heartbeat=names.heartbeat, retry_delays=()))
        await self._connection.start()
        await self._connection.connected()
        await self._connection.consume(HEARTBEATS, self._hear, prefetch=_PREFETCH)
        await self._connection.consume(names.dead, self._bury, prefetch=_PREFETCH)

    async def close(self) -> None:
        """Say goodbye."""
        await self._connection.stop()

    def listen(self, listener: Callable[[Beat], None]) -> None:
        """Tell `listener` of every heartbeat from now on."""
        self._listeners.append(listener)

    async def send(self, request: Request) -> None:
        """Publish a request and wait until the broker has it."""
        self.sent.setdefault(request.operation_id, self._clock.monotonic())
        await self.publish(request.body(), request.type.value, message_id=request.operation_id)

    async def publish(self, body: bytes, key: str, *, message_id: str = "") -> None:
        """Publish whatever bytes."""
        await self._connection.publish(self._topology.exchange, key, body, message_id=message_id)

    async def heard_of(self, operation_id: str) -> None:
        """Wait for the first heartbeat of an operation: it is stored."""
        await self.operations[operation_id].first.wait()

    async def ended(self, operation_id: str) -> Beat:
        """Wait for the last word on an operation."""
        heard = self.operations[operation_id]
        await heard.ended.wait()
        return heard.last_words[0]

    async def dead_letter(self, message_id: str) -> DeadLetter:
        """Wait for a dead letter of that id."""
        while True:
            self._dead_came.clear()
            found = next((letter for letter in self.dead if letter.message_id == message_id), None)
            if found is not None:
                return found
            await self._dead_came.wait()

    async def _hear(self, delivery: Delivery) -> None:
        payload: dict[str, Any] = orjson.loads(delivery.body)["payload"]
        beat = Beat(delivery.routing_key, payload, self._clock.monotonic())
        heard = self.operations[beat.operation_id]
        heard.beats.append(beat)
        heard.first.set()
        if beat.is_last:
            heard.ended.set()
        for listener in self._listeners:
            listener(beat)
        await delivery.ack()

    async def _bury(self, delivery: Delivery) -> None:
        headers = dict(delivery.headers)
        reason, where = str(headers.get(REASON_HEADER, "")), str(headers.get(FIELD_HEADER, ""))
        self.dead.append(DeadLetter(delivery.body, delivery.message_id, reason, where, headers))
        self._dead_came.set()
        await delivery.ack()
