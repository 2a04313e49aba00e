"""How queues and exchanges are declared, and which declarations RabbitMQ 3.10 refuses (FACTS section 5.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.sandbox.broker.errors import SessionError, inequivalent, precondition_failed

EXCHANGE_TYPES = ("direct", "fanout", "topic")
_QUEUE_TYPES = ("classic", "quorum")
_WHOLE_NUMBERS = ("x-message-ttl", "x-expires", "x-delivery-limit", "x-max-priority", "x-max-length")
# An argument outside this list is accepted and not compared.
_COMPARED = (*_WHOLE_NUMBERS, "x-dead-letter-exchange", "x-dead-letter-routing-key", "x-queue-type", "x-overflow")
_NOT_FOR_QUORUM = ("x-max-priority", "x-queue-mode")
_NOT_FOR_CLASSIC = ("x-delivery-limit",)


@dataclass(frozen=True)
class QueueSpecification:
    """A queue as declared."""

    name: str
    durable: bool
    exclusive: bool
    auto_delete: bool
    arguments: Mapping[str, Any]

    @property
    def is_quorum(self) -> bool:
        """Whether it is replicated; such queues count deliveries."""
        return bool(self.arguments.get("x-queue-type") == "quorum")

    @property
    def time_to_live(self) -> float | None:
        """How many seconds a message may stay."""
        milliseconds = self.arguments.get("x-message-ttl")
        return None if milliseconds is None else milliseconds / 1000

    @property
    def delivery_limit(self) -> int | None:
        """How often a message may come back."""
        return self.arguments.get("x-delivery-limit")

    def check(self) -> None:
        """Refuse what the queue's type does not allow."""
        for argument in _WHOLE_NUMBERS:
            value = self.arguments.get(argument, 0)
            if not isinstance(value, int) or value < 0:
                raise precondition_failed(f"invalid arg '{argument}' for queue '{self.name}' in vhost '/': {value!r}")
        kind = self.arguments.get("x-queue-type", "classic")
        if kind not in _QUEUE_TYPES:
            raise precondition_failed(f"invalid arg 'x-queue-type' for queue '{self.name}' in vhost '/': {kind!r}")
        if "x-dead-letter-routing-key" in self.arguments and "x-dead-letter-exchange" not in self.arguments:
            raise precondition_failed(
                f"invalid arg 'x-dead-letter-routing-key' for queue '{self.name}' in vhost '/': "
                "routing_key_but_no_dlx_defined"
            )
        self._check_type(_NOT_FOR_QUORUM if self.is_quorum else _NOT_FOR_CLASSIC)

    def _check_type(self, foreign: tuple[str, ...]) -> None:
        for argument in foreign:
            if argument in self.arguments:
                raise precondition_failed(f"invalid arg '{argument}' for queue '{self.name}' in vhost '/'")
        if not self.is_quorum:
            return
        for property_, wrong in (
            ("non-durable", not self.durable),
            ("exclusive-owner", self.exclusive),
            ("auto-delete", self.auto_delete),
        ):
            if wrong:
                raise precondition_failed(f"invalid property '{property_}' for queue '{self.name}' in vhost '/'")

    def check_same(self, wanted: "QueueSpecification") -> None:
        """Refuse a declaration that says something else than this one."""
        for argument in ("durable", "auto_delete"):
            ours, theirs = getattr(self, argument), getattr(wanted, argument)
            if ours != theirs:
                raise inequivalent(argument, "queue", self.name, theirs, ours)
        for argument in _COMPARED:
            current, received = self.arguments.get(argument), wanted.arguments.get(argument)
            if argument == "x-queue-type":
                current, received = current or "classic", received or "classic"
            if current != received:
                raise inequivalent(argument, "queue", self.name, received, current)


@dataclass(frozen=True)
class ExchangeSpecification:
    """An exchange as declared."""

    name: str
    kind: str
    durable: bool
    auto_delete: bool
    internal: bool

    def check(self) -> None:
        """Refuse a type that there is not."""
        if self.kind == "headers":
            raise SessionError(540, "NOT_IMPLEMENTED - headers exchanges are not part of the sandbox")
        if self.kind not in EXCHANGE_TYPES:
            raise SessionError(503, f"COMMAND_INVALID - unknown exchange type '{self.kind}'")

    def check_same(self, wanted: "ExchangeSpecification") -> None:
        """Refuse a declaration that says something else than this one."""
        if self.kind != wanted.kind:
            raise precondition_failed(
                f"inequivalent arg 'type' for exchange '{self.name}' in vhost '/': "
                f"received '{wanted.kind}' but current is '{self.kind}'"
            )
        for argument in ("durable", "auto_delete", "internal"):
            ours, theirs = getattr(self, argument), getattr(wanted, argument)
            if ours != theirs:
                raise inequivalent(argument, "exchange", self.name, theirs, ours)
