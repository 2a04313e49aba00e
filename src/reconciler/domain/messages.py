"""What is said over RabbitMQ: who sends what where, the two requests that come in, the heartbeat that goes out."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import orjson
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from reconciler.domain.names import routing_key
from reconciler.domain.resources import DevOpsProjectSpec, Phase
from reconciler.domain.resources.common import Duration, Moment, Name, Revision, Word
from reconciler.domain.resources.deployment_record import OperationId
from reconciler.domain.resources.parameters import Parameters

LARGEST_BODY = 64 * 1024
"""Bytes; a longer message is never accepted."""
CLOUD_EVENTS = "application/cloudevents+json"

ATTEMPT_HEADER = "x-reconciler-attempt"
"""How often a message was sent to wait; our own, because brokers count in different ways (FACTS section 5.3)."""
EXCHANGE_HEADER = "x-reconciler-exchange"
ROUTING_KEY_HEADER = "x-reconciler-routing-key"
REASON_HEADER = "x-reconciler-reason"
FIELD_HEADER = "x-reconciler-field"
REMEDY_HEADER = "x-reconciler-remedy"
MESSAGE_HEADER = "x-reconciler-message"
UNREADABLE_HEADER = "x-reconciler-unreadable"
"""Nobody sends it: it stands for properties that the library could not read, with its words (`clients.rabbitmq`)."""
TRACEPARENT_HEADER = "traceparent"

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class EventType(StrEnum):
    """The messages, by the name that stands in `event_type`."""

    INITIALIZE = "DevOpsInitialize"
    RECONCILE = "DevOpsReconcile"
    HEARTBEAT = "DevOpsReconcileJobHeartbeat"
    ENVIRONMENT = "DevOpsEnvironment"
    """Never sent by itself: the `type` of a heartbeat that is about an environment, not about an operation."""


@dataclass(frozen=True, slots=True)
class Topology:
    """The names on the broker, and how long messages wait that cannot be accepted now.

    Attributes:
        exchange: durable topic exchange for requests.
        retry: prefix of one fanout exchange and one queue for each delay.
        delivery_limit: how often the broker hands out a message that ends the connection before it is a dead letter.
        retry_delays: the first is for the first attempt; the last is for all that follow.
    """

    exchange: str = "devops"
    initialize: str = "devops.initialize"
    reconcile: str = "devops.reconcile"
    retry: str = "devops.retry"
    dead: str = "devops.dead"
    heartbeat: str = "devops.heartbeat"
    delivery_limit: int = 20
    retry_delays: tuple[timedelta, ...] = (
        timedelta(seconds=5),
        timedelta(seconds=30),
        timedelta(minutes=2),
        timedelta(minutes=10),
    )

    def retry_name(self, delay: timedelta) -> str:
        """Name exchange and queue of a delay; other delays are other queues, so a changed setting never clashes."""
        milliseconds = delay // timedelta(milliseconds=1)
        return f"{self.retry}.{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{self.retry}.{milliseconds}ms"

    def retry_for(self, attempt: int) -> str:
        """Name where a message waits after its n-th attempt (1 is the first)."""
        return self.retry_name(self.retry_delays[min(attempt, len(self.retry_delays)) - 1])

    def has_queue_for(self, exchange: str, routing_key: str) -> bool:
        """Tell whether what is published so comes into a queue of this topology, where that is there."""
        if exchange:
            return exchange in map(self.retry_name, self.retry_delays)
        return routing_key in (self.initialize, self.reconcile, self.dead)

    @property
    def bindings(self) -> dict[str, tuple[str, ...]]:
        """The work queues and the routing keys they take."""
        return {
            self.initialize: ("initialize", EventType.INITIALIZE.value),
            self.reconcile: ("reconcile", EventType.RECONCILE.value),
        }


def traceparent_of(value: object) -> str:
    """Return a W3C trace context as text, empty where it is none."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes | bytearray) else value
    return text if isinstance(text, str) and _TRACEPARENT.fullmatch(text) else ""


class Payload(BaseModel):
    """What both requests have. A field that there is not is refused: a typing error must not deploy something else."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    operation_id: OperationId
    requested_by: Word = ""


class InitializePayload(Payload):
    """DevOpsInitialize: a project as it shall be. `name` is accepted for `project`."""

    project: Name = Field(validation_alias=AliasChoices("project", "name"))
    spec: DevOpsProjectSpec


class ReconcilePayload(Payload):
    """DevOpsReconcile: one revision to one environment."""

    project: Name
    environment: Name
    revision: Revision
    components: list[Name] = Field(default=[], max_length=20)
    parameters: Parameters = {}
    ttl: Duration | None = None
    force: bool = False


class Link(BaseModel):
    """Something to look at: `build`, `application`, `address`, ..."""

    name: str
    url: str


class Heartbeat(BaseModel):
    """How far an operation is. `sequence` rises with each stored change; a beat without a change repeats it.

    Attributes:
        operation_id: `-` where it is about an environment: it will end soon, `waiting_for` and `next_look_at` say when.
        type: the kind of operation.
        environment: `-` for a project's set-up.
        deployment: the name of the DeploymentRecord, empty where there is none.
        phase: as in the record's status; one of its ends is the last word on the operation.
        progress: percent; 100 only at an end.
        reason: CamelCase, at an end that is no success.
    """

    model_config = ConfigDict(frozen=True)

    operation_id: str
    type: EventType
    project: str
    environment: str = "-"
    deployment: str = ""
    sequence: int = 0
    phase: Phase
    stage: str = ""
    component: str = ""
    state: str = ""
    progress: int = Field(default=0, ge=0, le=100)
    reason: str = ""
    message: str = ""
    waiting_for: str = ""
    next_look_at: Moment | None = None
    links: list[Link] = []
    started_at: Moment | None = None
    timestamp: Moment
    traceparent: str = ""

    @property
    def routing_key(self) -> str:
        """Where it goes on the heartbeat exchange."""
        return routing_key(self.project, self.environment, self.operation_id)

    @property
    def event_id(self) -> str:
        """Name this beat: the same for the same operation, sequence and moment."""
        return f"{self.operation_id}:{self.sequence}:{int(self.timestamp.timestamp() * 1000)}"

    def encode(self) -> bytes:
        """Write it as it goes over the wire, in the envelope that all messages have."""
        payload: dict[str, Any] = self.model_dump(mode="json")
        return orjson.dumps(
            {
                "event_type": EventType.HEARTBEAT.value,
                "event_id": self.event_id,
                "timestamp": payload["timestamp"],
                "payload": payload,
            }
        )


@dataclass(frozen=True, slots=True)
class Request:
    """A message that came in and is well formed.

    Attributes:
        event_id: the sender's name for the message, empty where there is none.
        sent_at: the message's timestamp, None where there is none.
        traceparent: the sender's trace, empty where there is none.
    """

    payload: InitializePayload | ReconcilePayload
    event_id: str = ""
    sent_at: datetime | None = None
    traceparent: str = ""

    @property
    def type(self) -> EventType:
        """Which message it is."""
        return EventType.INITIALIZE if isinstance(self.payload, InitializePayload) else EventType.RECONCILE

    def requested_at(self, now: datetime) -> datetime:
        """Return the moment that decides precedence: the timestamp, or now where there is none or it is to come."""
        return now if self.sent_at is None or self.sent_at > now else self.sent_at
