"""The built-in kinds the sandbox has: their schemas, columns and rules."""

import base64
import binascii
import re
from dataclasses import replace
from typing import Any, Final

from reconciler.sandbox.kube.errors import JSON, Cause, bad_request
from reconciler.sandbox.kube.events import CORE_EVENT_RULES, EVENT_ALIASES, EVENT_SCHEMA, NEW_EVENT_RULES
from reconciler.sandbox.kube.resources import CORE_VERBS, Column, Resource, Rules, json_path, root_schema
from reconciler.sandbox.kube.tables import AGE, NAME
from reconciler.sandbox.kube.times import microseconds
from reconciler.sandbox.kube.trees import quoted
from reconciler.sandbox.kube.validate import INVALID, TOO_LONG

_TEXT: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer"}
_OPEN: Final = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
_CORE_AGE: Final = replace(AGE, type="string", is_age=True)
NAME_FIELDS: Final = frozenset({"metadata.name", "metadata.namespace"})
_MAX_DATA: Final = 1_048_576
_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")


def _object(properties: JSON, description: str = "") -> JSON:
    return {"type": "object", "description": description, "properties": properties}


def _map(values: JSON) -> JSON:
    return {"type": "object", "additionalProperties": values}


def _size(*fields: str) -> Any:
    return lambda obj: sum(len(obj.get(field) or {}) for field in fields)


def _prepare_namespace(obj: JSON, old: JSON | None, _patch: bool) -> None:  # noqa: FBT001 - the signature of Rules.prepare
    metadata = obj["metadata"]
    labels = metadata.get("labels") or {}
    if labels.get("kubernetes.io/metadata.name") != metadata["name"]:
        metadata["labels"] = {**labels, "kubernetes.io/metadata.name": metadata["name"]}
    if old is None:
        obj["spec"] = {"finalizers": ["kubernetes"]}
        obj["status"] = {"phase": "Active"}
    else:
        obj["spec"] = old["spec"]


def _check_data(data: JSON, field: str) -> list[Cause]:
    rule = (
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',"
        "  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    )
    return [
        Cause(f"{field}[{key}]", INVALID, f"Invalid value: {quoted(key)}: {rule}")
        for key in data
        if not _KEY.fullmatch(key)
    ]


def _check_frozen(obj: JSON, old: JSON | None, fields: tuple[str, ...]) -> list[Cause]:
    if old is None or not old.get("immutable"):
        return []
    return [
        Cause(field, "FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set")
        for field in (*fields, "immutable")
        if obj.get(field) != old.get(field)
    ]


def _check_configmap(obj: JSON, old: JSON | None) -> list[Cause]:
    data = obj.get("data") or {}
    causes = _check_data(data, "data") + _check_data(obj.get("binaryData") or {}, "binaryData")
    if sum(len(key) + len(value) for key, value in data.items()) > _MAX_DATA:
        causes.append(Cause("", TOO_LONG, f"Too long: may not be more than {_MAX_DATA} bytes"))
    return causes + _check_frozen(obj, old, ("data", "binaryData"))


def _prepare_secret(obj: JSON, _old: JSON | None, _patch: bool) -> None:  # noqa: FBT001 - the signature of Rules.prepare
    data = dict(obj.get("data") or {})
    for value in data.values():
        _check_base64(value)
    written = obj.pop("stringData", None)
    for key, value in (written or {}).items():
        data[key] = base64.b64encode(value.encode()).decode()
    if data or "data" in obj:
        obj["data"] = data
    obj.setdefault("type", "Opaque")


def _check_base64(value: Any) -> None:
    try:
        if not isinstance(value, str):
            raise bad_request("json: cannot unmarshal into Go struct field Secret.data of type []uint8")
        base64.b64decode(value, validate=True)
    except binascii.Error as error:
        alphabet = re.match(r"[A-Za-z0-9+/]*={0,2}", value)
        at = len(alphabet[0]) if alphabet else 0
        raise bad_request(f"illegal base64 data at input byte {at}") from error


def _check_secret(obj: JSON, old: JSON | None) -> list[Cause]:
    causes = _check_data(obj.get("data") or {}, "data") + _check_frozen(obj, old, ("data",))
    if old is not None and obj["type"] != old["type"]:
        causes.append(Cause("type", INVALID, f"Invalid value: {quoted(obj['type'])}: field is immutable"))
    return causes


def _prepare_lease(obj: JSON, _old: JSON | None, _patch: bool) -> None:  # noqa: FBT001 - the signature of Rules.prepare
    spec = obj.get("spec")
    if not spec:
        return
    times = {name: microseconds(spec[name]) for name in ("acquireTime", "renewTime") if name in spec}
    if any(spec[name] != text for name, text in times.items()):
        obj["spec"] = {**spec, **times}


def _check_lease(obj: JSON, _old: JSON | None) -> list[Cause]:
    causes = []
    spec = obj.get("spec") or {}
    for name, least in (("leaseDurationSeconds", 1), ("leaseTransitions", 0)):
        value = spec.get(name)
        if value is not None and value < least:
            rule = "must be greater than 0" if least else "must be greater than or equal to 0"
            causes.append(Cause(f"spec.{name}", INVALID, f"Invalid value: {value}: {rule}"))
    return causes


def _core(plural: str, kind: str, schema: JSON, **more: Any) -> Resource:
    values: dict[str, Any] = {
        "group": "",
        "version": "v1",
        "namespaced": True,
        "selectable": NAME_FIELDS,
        "columns": (NAME, _CORE_AGE),
        "guarded": False,
        **more,
    }
    return Resource(
        plural=plural,
        kind=kind,
        custom=False,
        schema=root_schema(schema),
        verbs=CORE_VERBS,
        has_generation=False,
        **values,
    )


def _column(name: str, cell: Any, kind: str = "string", description: str = "") -> Column:
    return Column(name, kind, description, json_path(cell) if isinstance(cell, str) else cell)


_LEASE_SPEC: Final = _object(
    {
        **dict.fromkeys(("holderIdentity", "acquireTime", "renewTime", "strategy", "preferredHolder"), _TEXT),
        **dict.fromkeys(("leaseDurationSeconds", "leaseTransitions"), _INTEGER),
    },
    "Specification of the lease.",
)


def builtin_resources() -> list[Resource]:
    """Return the built-in resources, except CustomResourceDefinition."""
    return [_namespaces(), _configmaps(), _secrets(), _service_accounts(), *_events(), _leases()]


def _namespaces() -> Resource:
    return _core(
        "namespaces",
        "Namespace",
        _object({"spec": _OPEN, "status": _OPEN}, "Namespace provides a scope for Names."),
        namespaced=False,
        short_names=("ns",),
        has_status=True,
        label_name=True,
        columns=(NAME, _column("Status", ".status.phase"), _CORE_AGE),
        selectable=frozenset({"metadata.name", "status.phase"}),
        rules=Rules(prepare=_prepare_namespace),
    )


def _configmaps() -> Resource:
    return _core(
        "configmaps",
        "ConfigMap",
        _object(
            {"data": _map(_TEXT), "binaryData": _map(_TEXT), "immutable": {"type": "boolean"}},
            "ConfigMap holds configuration data for pods to consume.",
        ),
        short_names=("cm",),
        columns=(NAME, _column("Data", _size("data", "binaryData"), "integer"), _CORE_AGE),
        rules=Rules(check=_check_configmap),
    )


def _secrets() -> Resource:
    return _core(
        "secrets",
        "Secret",
        _object(
            {"data": _map(_TEXT), "stringData": _map(_TEXT), "type": _TEXT, "immutable": {"type": "boolean"}},
            "Secret holds secret data of a certain type.",
        ),
        columns=(NAME, _column("Type", ".type"), _column("Data", _size("data"), "integer"), _CORE_AGE),
        selectable=NAME_FIELDS | {"type"},
        rules=Rules(prepare=_prepare_secret, check=_check_secret),
    )


def _service_accounts() -> Resource:
    items = {"type": "array", "items": _OPEN}
    return _core(
        "serviceaccounts",
        "ServiceAccount",
        _object({"secrets": items, "imagePullSecrets": items, "automountServiceAccountToken": {"type": "boolean"}}),
        short_names=("sa",),
        returned_by_delete=True,
    )


def _last_seen(obj: JSON) -> Any:
    return obj.get("lastTimestamp") or obj.get("eventTime") or obj.get("firstTimestamp")


def _involved(obj: JSON) -> str:
    involved = obj.get("involvedObject") or {}
    return f"{str(involved.get('kind', '')).lower()}/{involved.get('name', '')}"


def _events() -> list[Resource]:
    shared: dict[str, Any] = {
        "short_names": ("ev",),
        "bucket": "events",
        "selectable": NAME_FIELDS | set(EVENT_ALIASES),
        "aliases": EVENT_ALIASES,
        "columns": (
            replace(_CORE_AGE, name="Last Seen", cell=_last_seen),
            _column("Type", ".type"),
            _column("Reason", ".reason"),
            _column("Object", _involved),
            _column("Message", ".message"),
        ),
    }
    return [
        _core("events", "Event", EVENT_SCHEMA, rules=CORE_EVENT_RULES, **shared),
        _core("events", "Event", EVENT_SCHEMA, group="events.k8s.io", rules=NEW_EVENT_RULES, **shared),
    ]


def _leases() -> Resource:
    return _core(
        "leases",
        "Lease",
        _object({"spec": _LEASE_SPEC}, "Lease defines a lease concept."),
        group="coordination.k8s.io",
        guarded=True,
        created_by_put=True,
        columns=(NAME, _column("Holder", ".spec.holderIdentity"), _CORE_AGE),
        rules=Rules(prepare=_prepare_lease, check=_check_lease),
    )
