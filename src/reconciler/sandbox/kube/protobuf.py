"""Reading the few protobuf bodies kubectl insists on (`create namespace`, `secret`, `configmap`, `serviceaccount`)."""

import base64
from collections.abc import Iterator
from typing import Any, Final

from reconciler.sandbox.kube.errors import JSON, ApiError, bad_request

PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_METADATA: Final = {
    1: ("name", "text"),
    2: ("generateName", "text"),
    3: ("namespace", "text"),
    11: ("labels", "texts"),
    12: ("annotations", "texts"),
    14: ("finalizers", "list"),
}
_FIELDS: Final[dict[str, dict[int, tuple[str, str]]]] = {
    "Namespace": {1: ("metadata", "metadata")},
    "ServiceAccount": {1: ("metadata", "metadata")},
    "Secret": {
        1: ("metadata", "metadata"),
        2: ("data", "blobs"),
        3: ("type", "text"),
        4: ("stringData", "texts"),
        5: ("immutable", "bool"),
    },
    "ConfigMap": {
        1: ("metadata", "metadata"),
        2: ("data", "texts"),
        3: ("binaryData", "blobs"),
        4: ("immutable", "bool"),
    },
}


def decode(raw: bytes) -> JSON:
    """Return the object in a Kubernetes protobuf envelope. Raises 400, or 415 for a kind that is not read."""
    if not raw.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix k8s")
    try:
        envelope = dict(_fields(raw[len(_MAGIC) :]))
        types = dict(_fields(envelope.get(1, b"")))
        kind = types.get(2, b"").decode()
        if kind not in _FIELDS:
            message = f"protobuf bodies of kind {kind} are not supported here"
            raise ApiError(415, "UnsupportedMediaType", message)
        obj = _message(envelope.get(2, b""), _FIELDS[kind])
    except (IndexError, UnicodeDecodeError, AttributeError) as error:
        raise bad_request("cannot decode the protobuf body") from error
    return {"apiVersion": types.get(1, b"").decode(), "kind": kind, **obj}


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7


def _fields(raw: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(raw):
        tag, at = _varint(raw, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(raw, at)
            yield number, value
        elif wire == _BYTES:
            size, at = _varint(raw, at)
            yield number, raw[at : at + size]
            at += size
        elif wire in {_FIXED64, _FIXED32}:
            at += 8 if wire == _FIXED64 else 4
        else:
            raise IndexError(wire)


def _message(raw: bytes, fields: dict[int, tuple[str, str]]) -> JSON:
    obj: JSON = {}
    for number, value in _fields(raw):
        if number in fields:
            name, form = fields[number]
            _take(obj, name, form, value)
    return {name: value for name, value in obj.items() if value not in ("", {}, [])}


def _take(obj: JSON, name: str, form: str, value: Any) -> None:
    match form:
        case "text":
            obj[name] = value.decode()
        case "bool":
            obj[name] = bool(value)
        case "list":
            obj.setdefault(name, []).append(value.decode())
        case "metadata":
            obj[name] = _message(value, _METADATA)
        case _:
            pair = dict(_fields(value))
            content = pair.get(2, b"")
            text = base64.b64encode(content).decode() if form == "blobs" else content.decode()
            obj.setdefault(name, {})[pair.get(1, b"").decode()] = text
