"""A message on its way through the broker, and what dead-lettering writes into its headers."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pamqp.commands import Basic

from reconciler.sandbox.broker.errors import precondition_failed


@dataclass(frozen=True)
class Message:
    """What was published: where to, with which properties, what."""

    exchange: str
    routing_key: str
    properties: Basic.Properties
    body: bytes

    @property
    def headers(self) -> Mapping[str, Any]:
        """The header table, empty where there is none."""
        return self.properties.headers or {}

    @property
    def expiration(self) -> float | None:
        """How many seconds the publisher lets it live in a queue; raises 406 where that is not a number."""
        text = self.properties.expiration
        if not text:
            return None
        if not text.isdecimal():
            raise precondition_failed(f"invalid expiration '{text}'")
        return int(text) / 1000

    def with_headers(self, headers: Mapping[str, Any]) -> Basic.Properties:
        """Return the properties with these headers instead."""
        properties = copy.copy(self.properties)
        properties.headers = dict(headers) or None
        return properties


@dataclass
class Entry:
    """A message in a queue. `position` is its place in the order of arrival; `expires_at` is monotonic seconds."""

    message: Message
    position: int
    expires_at: float | None = None
    returns: int = 0

    @property
    def redelivered(self) -> bool:
        """Whether it was handed out before."""
        return self.returns > 0


def dead_lettered(
    message: Message, *, queue: str, reason: str, exchange: str, routing_key: str | None, at: datetime
) -> Message:
    """Return the message as it goes to the dead letter exchange: `x-death` counted, expiration taken off.

    `x-death` holds the latest death first, one entry for each queue and reason (FACTS section 5.3).
    """
    deaths = [dict(death) for death in message.headers.get("x-death", [])]
    known = next((death for death in deaths if (death["queue"], death["reason"]) == (queue, reason)), None)
    if known is None:
        known = {"reason": reason, "queue": queue, "count": 0}
    else:
        deaths.remove(known)
    known |= {
        "count": known["count"] + 1,
        "time": at,
        "exchange": message.exchange,
        "routing-keys": [message.routing_key],
    }
    if message.properties.expiration:
        known["original-expiration"] = message.properties.expiration
    headers = {
        "x-first-death-queue": queue,
        "x-first-death-reason": reason,
        "x-first-death-exchange": message.exchange,
        **message.headers,
        "x-death": [known, *deaths],
    }
    headers.pop("x-delivery-count", None)
    properties = message.with_headers(headers)
    properties.expiration = None
    return Message(exchange, message.routing_key if routing_key is None else routing_key, properties, message.body)


def goes_in_a_circle(message: Message, queue: str) -> bool:
    """Tell whether a dead letter comes back to a queue with no rejection in between: RabbitMQ drops such a one."""
    reasons: list[str] = []
    for death in message.headers.get("x-death", []):
        reasons.append(death["reason"])
        if death["queue"] == queue:
            return "rejected" not in reasons
    return False
