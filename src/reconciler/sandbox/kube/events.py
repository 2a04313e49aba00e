"""Events: one stored form (core v1), two wire forms (core v1 and events.k8s.io/v1)."""

from typing import Any, Final

from reconciler.sandbox.kube.errors import JSON, Cause
from reconciler.sandbox.kube.resources import Rules
from reconciler.sandbox.kube.times import microseconds, whole_seconds
from reconciler.sandbox.kube.trees import quoted
from reconciler.sandbox.kube.validate import INVALID, REQUIRED, TOO_LONG

_TEXT: Final = {"type": "string"}
_OPEN: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_MAX_MESSAGE: Final = 1024

EVENT_SCHEMA: Final[JSON] = {
    "type": "object",
    "description": "Event is a report of an event somewhere in the cluster.",
    "properties": {
        **dict.fromkeys(("reason", "message", "type", "action", "reportingComponent", "reportingInstance"), _TEXT),
        **dict.fromkeys(("firstTimestamp", "lastTimestamp", "eventTime"), _TEXT),
        **dict.fromkeys(("involvedObject", "related", "source", "series"), _OPEN),
        "count": {"type": "integer"},
    },
}

_NEW_NAMES: Final = {
    "message": "note",
    "involvedObject": "regarding",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
_OLD_NAMES: Final = {new: old for old, new in _NEW_NAMES.items()}

EVENT_ALIASES: Final = {
    **{
        f"involvedObject.{name}": f"involvedObject.{name}"
        for name in ("kind", "namespace", "name", "uid", "apiVersion")
    },
    **{f"regarding.{name}": f"involvedObject.{name}" for name in ("kind", "namespace", "name", "uid", "apiVersion")},
    "involvedObject.resourceVersion": "involvedObject.resourceVersion",
    "involvedObject.fieldPath": "involvedObject.fieldPath",
    "reason": "reason",
    "type": "type",
    "source": "source.component",
    "reportingComponent": "reportingComponent",
    "reportingController": "reportingComponent",
}


def _to_wire(obj: JSON) -> JSON:
    wire = {_NEW_NAMES.get(name, name): value for name, value in obj.items()}
    wire["apiVersion"] = "events.k8s.io/v1"
    return wire


def _from_wire(wire: JSON) -> JSON:
    obj = {_OLD_NAMES.get(name, name): value for name, value in wire.items()}
    obj["apiVersion"] = "v1"
    return obj


def _prepare(obj: JSON, _old: JSON | None, _patch: bool) -> None:  # noqa: FBT001 - the signature of Rules.prepare
    for name in ("firstTimestamp", "lastTimestamp"):
        if obj.get(name) is not None:
            obj[name] = whole_seconds(obj[name])
    if obj.get("eventTime") is not None:
        obj["eventTime"] = microseconds(obj["eventTime"])


def _required(obj: JSON, *fields: str) -> list[Cause]:
    return [Cause(field, REQUIRED, "Required value") for field in fields if not obj.get(field)]


def _check_core(obj: JSON, old: JSON | None) -> list[Cause]:
    if old is not None:
        return []
    if obj.get("eventTime"):
        causes = _required(obj, "reportingComponent", "reportingInstance", "action", "reason")
        if len(obj.get("message") or "") > _MAX_MESSAGE:
            causes.append(Cause("message", TOO_LONG, f"Too long: may not be more than {_MAX_MESSAGE} bytes"))
        return causes
    return _check_namespace(obj)


def _check_namespace(obj: JSON) -> list[Cause]:
    involved = (obj.get("involvedObject") or {}).get("namespace", "")
    own = obj["metadata"]["namespace"]
    if involved == own or (not involved and own == "default"):
        return []
    rule = f"Invalid value: {quoted(involved)}: does not match event.namespace"
    return [Cause("involvedObject.namespace", INVALID, rule)]


def _check_new(obj: JSON, old: JSON | None) -> list[Cause]:
    if old is not None:
        return []
    causes = _required(obj, "eventTime", "reportingInstance", "action", "reason")
    if not obj.get("reportingComponent"):
        causes.append(Cause("reportingController", REQUIRED, "Required value"))
    if obj.get("type") not in {"Normal", "Warning"}:
        causes.append(Cause("type", INVALID, f"Invalid value: {quoted(obj.get('type', ''))}: has invalid value: "))
    return causes


CORE_EVENT_RULES: Final = Rules(prepare=_prepare, check=_check_core)
NEW_EVENT_RULES: Final[Any] = Rules(prepare=_prepare, check=_check_new, from_wire=_from_wire, to_wire=_to_wire)
