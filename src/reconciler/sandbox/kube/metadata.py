"""ObjectMeta: its schema, how it is read, and its rules."""

import re
from typing import Any, Final

from reconciler.sandbox.kube.errors import JSON, Cause, bad_request
from reconciler.sandbox.kube.schema import compile_schema
from reconciler.sandbox.kube.trees import quoted
from reconciler.sandbox.kube.validate import INVALID, REQUIRED, TOO_LONG

_STRING: Final = {"type": "string"}
_BOOLEAN: Final = {"type": "boolean"}
_STRINGS: Final = {"type": "object", "additionalProperties": _STRING}
_NUMBER: Final = {"type": "integer"}

METADATA_SCHEMA: Final[JSON] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion"), _STRING),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), _STRING),
        "generation": _NUMBER,
        "deletionGracePeriodSeconds": _NUMBER,
        "labels": _STRINGS,
        "annotations": _STRINGS,
        "finalizers": {"type": "array", "items": _STRING, "x-kubernetes-list-type": "set"},
        "ownerReferences": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["uid"],
            "items": {
                "type": "object",
                "properties": {
                    **dict.fromkeys(("apiVersion", "kind", "name", "uid"), _STRING),
                    **dict.fromkeys(("controller", "blockOwnerDeletion"), _BOOLEAN),
                },
            },
        },
        "managedFields": {
            "type": "array",
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    },
}
METADATA = compile_schema(METADATA_SCHEMA)

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NAME_PART = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
MAX_NAME: Final = 253
_MAX_LABEL: Final = 63
_MAX_ANNOTATIONS: Final = 262_144

_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_QUALIFIED_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def read_metadata(raw: Any) -> JSON:
    """Return metadata with the types Go would have decoded. Raises 400."""
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise bad_request(f"json: cannot unmarshal {_json_word(raw)} into Go value of type v1.ObjectMeta")
    metadata: JSON = raw
    for field in _TEXTS:
        if metadata.get(field) is not None and not isinstance(metadata[field], str):
            raise _cannot_decode(metadata[field], field, "string")
    for field, wanted in _LISTS.items():
        items = metadata.get(field)
        if items is not None and (not isinstance(items, list) or not all(_is_item(item, wanted) for item in items)):
            raise _cannot_decode(items, field, wanted)
    for field in ("labels", "annotations"):
        if metadata.get(field) is not None:
            metadata = _read_mapping(metadata, field)
    return metadata


_TEXTS: Final = ("name", "namespace", "generateName", "uid", "resourceVersion")
_LISTS: Final = {
    "finalizers": "[]string",
    "ownerReferences": "[]v1.OwnerReference",
    "managedFields": "[]v1.ManagedFieldsEntry",
}


def _is_item(item: Any, wanted: str) -> bool:
    return isinstance(item, str if wanted == "[]string" else dict)


def _read_mapping(metadata: JSON, field: str) -> JSON:
    """Check a map of texts; a null in it is an empty text."""
    mapping = metadata[field]
    if not isinstance(mapping, dict):
        raise _cannot_decode(mapping, field, "map[string]string")
    for value in mapping.values():
        if value is not None and not isinstance(value, str):
            raise _cannot_decode(value, field, "string")
    if any(value is None for value in mapping.values()):
        return {**metadata, field: {key: "" if value is None else value for key, value in mapping.items()}}
    return metadata


def _json_word(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    words: dict[type, str] = {dict: "object", list: "array", str: "string"}
    return words.get(type(value), "number")


def _cannot_decode(value: Any, field: str, wanted: str) -> Exception:
    text = f"json: cannot unmarshal {_json_word(value)} into Go struct field ObjectMeta.{field} of type {wanted}"
    return bad_request(text)


def is_subdomain(text: str) -> bool:
    """Tell whether a text is an RFC 1123 subdomain."""
    return len(text) <= MAX_NAME and _SUBDOMAIN.fullmatch(text) is not None


def check_metadata(metadata: JSON, old: JSON, *, label_name: bool) -> list[Cause]:
    """Return the violations; what is the same object as in `old` was checked before."""
    causes: list[Cause] = []
    if not old:
        causes += check_name(metadata["name"], label_name=label_name)
    if metadata.get("labels") is not old.get("labels"):
        causes += _check_labels(metadata.get("labels") or {})
    if metadata.get("annotations") is not old.get("annotations"):
        causes += _check_annotations(metadata.get("annotations") or {})
    if metadata.get("finalizers") is not old.get("finalizers"):
        causes += _check_finalizers(metadata.get("finalizers") or [])
    if metadata.get("ownerReferences") is not old.get("ownerReferences"):
        causes += _check_owners(metadata.get("ownerReferences") or [])
    return causes


def check_name(name: str, *, label_name: bool) -> list[Cause]:
    """Return what is wrong with a name."""
    field = "metadata.name"
    shown = f"Invalid value: {quoted(name)}: "
    limit = _MAX_LABEL if label_name else MAX_NAME
    causes = []
    if len(name) > limit:
        causes.append(Cause(field, INVALID, f"{shown}must be no more than {limit} bytes"))
    if label_name and not _LABEL.fullmatch(name):
        causes.append(Cause(field, INVALID, shown + _LABEL_RULE))
    elif not label_name and not _SUBDOMAIN.fullmatch(name):
        causes.append(Cause(field, INVALID, shown + _SUBDOMAIN_RULE))
    return causes


def _check_qualified(key: str, field: str) -> list[Cause]:
    prefix, slash, name = key.rpartition("/")
    causes = []
    shown = f"Invalid value: {quoted(key)}: "
    if slash and not is_subdomain(prefix):
        causes.append(Cause(field, INVALID, f"{shown}prefix part {_SUBDOMAIN_RULE}"))
    if not _NAME_PART.fullmatch(name):
        causes.append(Cause(field, INVALID, shown + _QUALIFIED_RULE))
    elif len(name) > _MAX_LABEL:
        causes.append(Cause(field, INVALID, f"{shown}name part must be no more than {_MAX_LABEL} bytes"))
    return causes


def _check_labels(labels: JSON) -> list[Cause]:
    causes = []
    for key, value in labels.items():
        causes += _check_qualified(key, "metadata.labels")
        shown = f"Invalid value: {quoted(value)}: "
        if len(value) > _MAX_LABEL:
            causes.append(Cause("metadata.labels", INVALID, f"{shown}must be no more than {_MAX_LABEL} bytes"))
        if value and not _NAME_PART.fullmatch(value):
            causes.append(Cause("metadata.labels", INVALID, shown + _VALUE_RULE))
    return causes


def _check_annotations(annotations: JSON) -> list[Cause]:
    causes = []
    for key in annotations:
        causes += _check_qualified(key.lower(), "metadata.annotations")
    size = sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items())
    if size > _MAX_ANNOTATIONS:
        rule = f"Too long: may not be more than {_MAX_ANNOTATIONS} bytes"
        causes.append(Cause("metadata.annotations", TOO_LONG, rule))
    return causes


def _check_finalizers(finalizers: list[str]) -> list[Cause]:
    causes = []
    for finalizer in finalizers:
        causes += _check_qualified(finalizer, "metadata.finalizers")
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        rule = "finalizer orphan and foregroundDeletion cannot be both set"
        causes.append(Cause("metadata.finalizers", INVALID, f"Invalid value: {quoted(finalizers)}: {rule}"))
    return causes


def _check_owners(owners: list[JSON]) -> list[Cause]:
    field = "metadata.ownerReferences"
    causes = [
        Cause(f"{field}.{key}", INVALID, 'Invalid value: "": must not be empty')
        for owner in owners
        for key in ("apiVersion", "kind", "name", "uid")
        if not owner.get(key)
    ]
    controllers = [owner for owner in owners if owner.get("controller")]
    if len(controllers) > 1:
        first, second = controllers[0], controllers[1]
        rule = (
            "Only one reference can have Controller set to true. Found "
            f'"true" in references for {first.get("kind")}/{first.get("name")} and '
            f"{second.get('kind')}/{second.get('name')}"
        )
        causes.append(Cause(field, INVALID, f"Invalid value: {quoted(owners)}: {rule}"))
    return causes


def finalizer_warnings(finalizers: list[str]) -> list[str]:
    """Return the warnings for finalizers without a domain."""
    return [
        f'metadata.finalizers: "{name}": prefer a domain-qualified finalizer name including a path (/) to avoid '
        "accidental conflicts with other finalizer writers"
        for name in finalizers
        if "/" not in name and name not in {"orphan", "foregroundDeletion", "kubernetes"}
    ]


def missing_name() -> Cause:
    """Return the violation of an object with neither name nor generateName."""
    return Cause("metadata.name", REQUIRED, "Required value: name or generateName is required")
