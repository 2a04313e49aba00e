"""What a dead letter says: which operation it was about, why it died in words, and where it came from.

A letter is dead by the intake, which puts the reason into headers, or by the broker itself (`x-death`): a message that
ended the connection each time it was handed out, or that nobody took in time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reconciler.domain.messages import (
    ATTEMPT_HEADER,
    EXCHANGE_HEADER,
    FIELD_HEADER,
    MESSAGE_HEADER,
    REASON_HEADER,
    REMEDY_HEADER,
    ROUTING_KEY_HEADER,
    UNREADABLE_HEADER,
    Request,
)
from reconciler.intake.decoder import decode, subject_of
from reconciler.intake.ports import Letter

_OURS = {
    ATTEMPT_HEADER,
    EXCHANGE_HEADER,
    ROUTING_KEY_HEADER,
    REASON_HEADER,
    FIELD_HEADER,
    REMEDY_HEADER,
    MESSAGE_HEADER,
    UNREADABLE_HEADER,
}
_BROKERS = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count")
_BY_BROKER = {
    "delivery_limit": (
        "DeliveryLimit",
        "the broker handed it out too often and it was never settled: it cannot be read, or the operator died of it",
        "look at its properties and body; send a corrected message, and drop this one",
    ),
    "expired": ("Expired", "nobody took it in its time", "replay it when the operator runs"),
    "maxlen": ("QueueFull", "its queue was full", "replay it when there is room"),
    "rejected": ("Rejected", "it was rejected without a reason", "look at its body; replay or drop it"),
}
_REPAIRED = "replay it without what cannot be read, or drop it and send a correct message"
_UNKNOWN = ("Unknown", "nobody wrote why it is here", "look at its headers and body")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a letter was published to before it died."""

    exchange: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A letter read.

    Attributes:
        number: its place in the queue; 1 is the oldest.
        when: when it died where the broker noted that, else when it was sent; None where nobody said.
        operation_id: empty where it cannot be read.
        type: the message's type, empty where it cannot be read.
        reason: CamelCase.
        words: the reason in words.
        field: which field of the message broke a rule; empty where it is the message as a whole.
        attempts: how often it was tried in vain before.
        origin: None where nobody noted it.
    """

    number: int
    message_id: str
    when: datetime | None
    operation_id: str
    type: str
    reason: str
    words: str
    field: str
    remedy: str
    attempts: int
    origin: Origin | None


def read(number: int, letter: Letter) -> DeadLetter:
    """Read a letter, whatever it is."""
    headers = letter.headers
    decoded = decode(letter.body, content_type=letter.content_type, headers=headers, timestamp=letter.timestamp)
    subject = subject_of(decoded) if isinstance(decoded, Request) else decoded.subject
    reason, words, remedy = _why(headers)
    sent_at = decoded.sent_at if isinstance(decoded, Request) else None
    return DeadLetter(
        number=number,
        message_id=letter.message_id,
        when=_died_at(headers) or letter.timestamp or sent_at,
        operation_id=subject.operation_id if subject else "",
        type=subject.type.value if subject else "",
        reason=reason,
        words=words,
        field=_text(headers.get(FIELD_HEADER)),
        remedy=remedy,
        attempts=attempts if isinstance(attempts := headers.get(ATTEMPT_HEADER), int) else 0,
        origin=origin_of(headers),
    )


def origin_of(headers: Mapping[str, Any]) -> Origin | None:
    """Return where a letter was first sent to: by our headers, else by the broker's."""
    if ROUTING_KEY_HEADER in headers:
        return Origin(_text(headers.get(EXCHANGE_HEADER)), _text(headers[ROUTING_KEY_HEADER]))
    deaths = _deaths(headers)
    if not deaths:
        return None
    first = deaths[-1]  # The newest stands first.
    keys = first.get("routing-keys")
    if isinstance(keys, list) and keys and keys[0]:
        return Origin(_text(first.get("exchange")), _text(keys[0]))
    return Origin("", _text(first.get("queue"))) if first.get("queue") else None


def headers_for_replay(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sender's own headers: no counter, no reason and no broker's note of the former life."""
    return {name: value for name, value in headers.items() if name not in _OURS and not name.startswith(_BROKERS)}


def _why(headers: Mapping[str, Any]) -> tuple[str, str, str]:
    if REASON_HEADER in headers:
        return _text(headers[REASON_HEADER]), _text(headers.get(MESSAGE_HEADER)), _text(headers.get(REMEDY_HEADER))
    if UNREADABLE_HEADER in headers:
        return "Unreadable", f"its properties cannot be read ({_text(headers[UNREADABLE_HEADER])})", _REPAIRED
    deaths = _deaths(headers)
    said = _text(deaths[0].get("reason")) if deaths else _text(headers.get("x-first-death-reason"))
    return _BY_BROKER.get(said, _UNKNOWN)


def _died_at(headers: Mapping[str, Any]) -> datetime | None:
    deaths = _deaths(headers)
    moment = deaths[0].get("time") if deaths else None
    return moment if isinstance(moment, datetime) and REASON_HEADER not in headers else None


def _deaths(headers: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    deaths = headers.get("x-death")
    return [death for death in deaths if isinstance(death, Mapping)] if isinstance(deaths, list) else []


def _text(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    return "" if value is None else str(value)
