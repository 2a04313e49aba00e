"""Messages as senders write them, and fakes: a store with the API server's manners, a broker."""

import copy
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from reconciler.domain.errors import AlreadyExists, Conflict, ReconcilerError

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
REVISION = "4be1c05d" * 5
Body = dict[str, Any]


class FixedClock:
    """A clock that stands until it is moved."""

    def __init__(self, now: datetime = NOW) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    def advance(self, **by: float) -> None:
        self.time += timedelta(**by)


def envelope(type_: str, payload: Body, **more: Any) -> Body:
    return {"event_type": type_, "event_id": "e-1", "timestamp": "2026-11-23T07:59:00Z", "payload": payload, **more}


def reconcile(operation_id: str = "op-1", *, envelope_: Body | None = None, **payload: Any) -> bytes:
    """A DevOpsReconcile message; a field given as `...` is left out."""
    full = {
        "operation_id": operation_id,
        "project": "shop",
        "environment": "alpha",
        "revision": REVISION,
        "components": ["api"],
        "requested_by": "anna@example.com",
    } | payload
    return _encode("DevOpsReconcile", full, envelope_)


def project_spec(**more: Any) -> Body:
    return {"git": {"url": "https://git.example.com/shop.git"}, "components": [{"name": "api", "port": 8080}], **more}


def initialize(operation_id: str = "init-1", *, envelope_: Body | None = None, **payload: Any) -> bytes:
    """A DevOpsInitialize message; a field given as `...` is left out."""
    return _encode(
        "DevOpsInitialize",
        {"operation_id": operation_id, "project": "shop", "spec": project_spec()} | payload,
        envelope_,
    )


def _encode(type_: str, payload: Body, more: Body | None) -> bytes:
    message = envelope(type_, {key: value for key, value in payload.items() if value is not ...}) | (more or {})
    return orjson.dumps({key: value for key, value in message.items() if value is not ...})


class FakeResources:
    """A store with versions and conflicts.

    `failures` are raised first, one for each call, in any method; `failing` at every call; `refusal` at every write.
    """

    def __init__(self) -> None:
        self.bodies: dict[tuple[str, str], Body] = {}
        self.calls: list[tuple[str, str, str]] = []
        self.failures: list[Exception] = []
        self.failing: ReconcilerError | None = None
        self.refusal: ReconcilerError | None = None
        self._version = 0

    def only(self, kind: str) -> Body:
        (body,) = (body for (of, _), body in self.bodies.items() if of == kind)
        return body

    def _ask(self, verb: str, kind: str, name: str) -> None:
        self.calls.append((verb, kind, name))
        if self.failing is not None:
            raise self.failing
        if self.failures:
            raise self.failures.pop(0)
        if self.refusal is not None and verb != "find":
            raise self.refusal

    def _store(self, kind: str, name: str, body: Body) -> Body:
        self._version += 1
        stored = copy.deepcopy(body)
        stored["metadata"]["resourceVersion"] = str(self._version)
        self.bodies[kind, name] = stored
        return copy.deepcopy(stored)

    async def find(self, kind: str, namespace: str, name: str) -> Body | None:
        self._ask("find", kind, name)
        return copy.deepcopy(self.bodies.get((kind, name)))

    async def create(self, kind: str, namespace: str, body: Body) -> Body:
        name = body["metadata"]["name"]
        self._ask("create", kind, name)
        if (kind, name) in self.bodies:
            raise AlreadyExists(f"{kind} {name} exists")
        return self._store(kind, name, body)

    async def replace(self, kind: str, namespace: str, name: str, body: Body) -> Body:
        self._ask("replace", kind, name)
        if self.bodies[kind, name]["metadata"]["resourceVersion"] != body["metadata"].get("resourceVersion"):
            raise Conflict(f"{kind} {name} was changed")
        return self._store(kind, name, body)


@dataclass
class FakeDelivery:
    body: bytes
    headers: Mapping[str, Any] = field(default_factory=dict)
    content_type: str = "application/json"
    message_id: str = "m-1"
    timestamp: datetime | None = None
    exchange: str = "devops"
    routing_key: str = "reconcile"
    acknowledged: bool = False

    async def ack(self) -> None:
        self.acknowledged = True


@dataclass(frozen=True)
class Published:
    exchange: str
    routing_key: str
    body: bytes
    headers: Mapping[str, Any]
    mandatory: bool

    @property
    def payload(self) -> Body:
        decoded: Body = orjson.loads(self.body)["payload"]
        return decoded


class FakeSubscription:
    def __init__(self) -> None:
        self.story: list[str] = []

    async def pause(self) -> None:
        self.story.append("pause")

    async def resume(self) -> None:
        self.story.append("resume")

    async def stop(self, grace: timedelta) -> None:
        self.story.append("stop")


class FakeMessenger:
    def __init__(self) -> None:
        self.published: list[Published] = []
        self.subscriptions: dict[str, FakeSubscription] = {}
        self.failures: list[Exception] = []

    def to(self, exchange: str, routing_key: str | None = None) -> list[Published]:
        return [
            message
            for message in self.published
            if message.exchange == exchange and routing_key in (None, message.routing_key)
        ]

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
        if self.failures:
            raise self.failures.pop(0)
        self.published.append(Published(exchange, routing_key, body, headers or {}, mandatory))

    async def consume(
        self, queue: str, handler: Callable[[Any], Awaitable[None]], *, prefetch: int
    ) -> FakeSubscription:
        self.subscriptions[queue] = FakeSubscription()
        return self.subscriptions[queue]
