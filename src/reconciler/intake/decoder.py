"""Bytes to a request: pure, and any bytes give an answer."""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from reconciler.domain.messages import (
    CLOUD_EVENTS,
    LARGEST_BODY,
    TRACEPARENT_HEADER,
    EventType,
    InitializePayload,
    Payload,
    ReconcilePayload,
    Request,
    traceparent_of,
)
from reconciler.domain.names import OPERATION_ID
from reconciler.intake.outcomes import Rejected, Subject

_LARGEST_READABLE = 1024 * 1024
"""Bytes; a body over the limit and up to this is read only to learn whom to answer."""
_LONGEST_WORD = 64
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_PAYLOADS: dict[EventType, type[InitializePayload | ReconcilePayload]] = {
    EventType.INITIALIZE: InitializePayload,
    EventType.RECONCILE: ReconcilePayload,
}
_KNOWN = " or ".join(_PAYLOADS)
_NOT_A_MOMENT = "give a moment with its offset, such as 2026-11-23T08:00:00Z, or none"


class _UnacceptableError(Exception):
    """What is wrong with the message."""

    def __init__(self, reason: str, field: str, rule: str, remedy: str) -> None:
        super().__init__(rule)
        self.reason, self.field, self.rule, self.remedy = reason, field, rule, remedy


def decode(
    body: bytes,
    *,
    content_type: str = "",
    headers: Mapping[str, Any] | None = None,
    timestamp: datetime | None = None,
) -> Request | Rejected:
    """Read a message.

    Args:
        body: the bytes as sent.
        content_type: `application/cloudevents+json` is CloudEvents' structured mode; so is a body with `specversion`.
        headers: only `traceparent` is read.
        timestamp: the AMQP property; one in the body goes before it.
    """
    document: dict[str, Any] = {}
    try:
        if len(body) > LARGEST_BODY:
            document = _peek(body)
        _check_size(body)
        document = _document(body)
        envelope = _envelope(document, content_type)
        traceparent = traceparent_of((headers or {}).get(TRACEPARENT_HEADER)) or traceparent_of(
            document.get(TRACEPARENT_HEADER)
        )
        return _request(envelope, timestamp, traceparent)
    except _UnacceptableError as error:
        subject = _subject(document, content_type)
        return Rejected(error.reason, error.field, error.rule, error.remedy, subject)


def _peek(body: bytes) -> dict[str, Any]:
    try:
        return _document(body) if len(body) <= _LARGEST_READABLE else {}
    except _UnacceptableError:
        return {}


def _check_size(body: bytes) -> None:
    if len(body) > LARGEST_BODY:
        rule, remedy = f"the body has {len(body)} bytes", f"send at most {LARGEST_BODY} bytes"
        raise _UnacceptableError("TooLarge", "", rule, remedy)


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _UnacceptableError(
            "NotJson",
            "",
            f"the body is no UTF-8 JSON (line {error.lineno}, column {error.colno})",
            "send a JSON object",
        ) from error
    if not isinstance(document, dict):
        raise _UnacceptableError("NotJson", "", "the body is JSON but no object", "send a JSON object")
    return document


def _is_cloud_event(document: dict[str, Any], content_type: str) -> bool:
    return content_type.split(";", maxsplit=1)[0].strip().lower() == CLOUD_EVENTS or "specversion" in document


def _envelope(document: dict[str, Any], content_type: str) -> dict[str, Any]:
    """Return the message in our own envelope, whichever it came in."""
    if not _is_cloud_event(document, content_type):
        return document
    if document.get("specversion") != "1.0":
        raise _shape("specversion", "must be 1.0", "send CloudEvents 1.0 in structured mode")
    for attribute in ("id", "source", "type"):
        if not isinstance(document.get(attribute), str) or not document[attribute]:
            raise _shape(attribute, "must be a text that is not empty", "send CloudEvents 1.0 in structured mode")
    return {
        "event_type": document["type"].rsplit(".", 1)[-1],
        "event_id": document["id"],
        "timestamp": document.get("time"),
        "payload": _cloud_data(document),
    }


def _cloud_data(document: dict[str, Any]) -> Any:
    kind = document.get("datacontenttype", "application/json")
    media_type = kind.split(";")[0].strip().lower() if isinstance(kind, str) else ""
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise _shape("datacontenttype", "must be application/json", "send the payload as JSON")
    if "data_base64" not in document:
        return document.get("data")
    try:
        return orjson.loads(base64.b64decode(document["data_base64"], validate=True))
    except (binascii.Error, ValueError, TypeError) as error:
        raise _shape("data_base64", "is not JSON in base64", "send the payload as JSON in data") from error


def _shape(field: str, rule: str, remedy: str) -> _UnacceptableError:
    return _UnacceptableError("InvalidShape", field, rule, remedy)


def _request(envelope: dict[str, Any], timestamp: datetime | None, traceparent: str) -> Request:
    type_ = envelope.get("event_type")
    if not isinstance(type_, str) or type_ not in _PAYLOADS:
        raise _UnacceptableError("UnknownType", "event_type", "is no message that is taken here", f"send {_KNOWN}")
    event_id = envelope.get("event_id") or ""
    if not isinstance(event_id, str):
        raise _shape("event_id", "must be a text", "give the message's id as a text, or none")
    payload = envelope.get("payload")
    if not isinstance(payload, dict):
        raise _shape("payload", "must be an object", "send what is asked for in payload")
    return Request(
        payload=_payload(EventType(type_), payload),
        event_id=event_id,
        sent_at=_moment(envelope.get("timestamp"), timestamp),
        traceparent=traceparent,
    )


def _payload(type_: EventType, payload: dict[str, Any]) -> InitializePayload | ReconcilePayload:
    try:
        read = _PAYLOADS[type_].model_validate(payload)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(["payload", *(str(step)[:_LONGEST_WORD] for step in first["loc"])])
        raise _shape(field, first["msg"], _remedy(first["type"], _PAYLOADS[type_])) from error
    if isinstance(read, InitializePayload) and (field := _unknown_field(payload["spec"], read.spec, "payload.spec")):
        raise _shape(field, "is no field of a DevOpsProject", "leave it out or correct its name")
    return read


def _unknown_field(raw: Any, model: Any, path: str) -> str:
    """Name the first field that was sent and that the models do not have, empty where there is none.

    The models leave such fields out, as the API server does; in a message it is a typing error that must be told.
    """
    if isinstance(model, BaseModel) and isinstance(raw, dict):
        known = {alias: name for name, field in type(model).model_fields.items() for alias in (name, field.alias)}
        for key, value in raw.items():
            inner = f"{path}.{key[:_LONGEST_WORD]}"
            name = known.get(key)
            found = inner if name is None else _unknown_field(value, getattr(model, name), inner)
            if found:
                return found
    if isinstance(model, list) and isinstance(raw, list):
        found_in = (_unknown_field(*both, f"{path}.{at}") for at, both in enumerate(zip(raw, model, strict=False)))
        return next(filter(None, found_in), "")
    return ""


def _remedy(kind: str, model: type[Payload]) -> str:
    match kind:
        case "missing":
            return "add the field"
        case "extra_forbidden":
            return f"leave it out; known fields are {', '.join(model.model_fields)}"
        case _:
            return "correct the value and send the message again"


def _moment(text: Any, property_: datetime | None) -> datetime | None:
    if text is None:
        if property_ is None:
            return None
        return property_ if property_.tzinfo else property_.replace(tzinfo=UTC)
    if not isinstance(text, str) or not _MOMENT.fullmatch(text):
        raise _shape("timestamp", "is no RFC 3339 moment", _NOT_A_MOMENT)
    try:
        return datetime.fromisoformat(_cut_to_microseconds(text).upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _shape("timestamp", "is no moment there is", _NOT_A_MOMENT) from error


def _cut_to_microseconds(text: str) -> str:
    return re.sub(r"(\.\d{6})\d+", r"\1", text)


def _subject(document: dict[str, Any], content_type: str) -> Subject | None:
    """Return the operation that a refused message speaks of, when that much can be read."""
    payload, type_ = document.get("payload"), document.get("event_type")
    if _is_cloud_event(document, content_type):
        payload, type_ = document.get("data"), str(document.get("type", "")).rsplit(".", 1)[-1]
    if not isinstance(payload, dict) or not isinstance(type_, str) or type_ not in _PAYLOADS:
        return None
    operation_id = payload.get("operation_id")
    if not isinstance(operation_id, str) or not OPERATION_ID.fullmatch(operation_id):
        return None
    project = payload.get("project", payload.get("name"))
    return Subject(operation_id, EventType(type_), _word(project), _word(payload.get("environment")))


def _word(value: Any) -> str:
    """Return a name as it was sent, `-` where it could not stand in a routing key."""
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._-]{1,40}", value) else "-"


def subject_of(request: Request) -> Subject:
    """Return the operation that a well-formed message speaks of."""
    payload = request.payload
    environment = payload.environment if isinstance(payload, ReconcilePayload) else "-"
    return Subject(payload.operation_id, request.type, payload.project, environment, request.traceparent)
