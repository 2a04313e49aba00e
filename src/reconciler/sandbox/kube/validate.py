"""Validation of a fitted value against a structural schema, in the real server's words."""

import re
from datetime import date, datetime
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Any
from urllib.parse import urlparse
from uuid import UUID

from reconciler.sandbox.kube.cel import check_rules
from reconciler.sandbox.kube.errors import Cause
from reconciler.sandbox.kube.schema import Node
from reconciler.sandbox.kube.trees import MISSING, dig, quoted

INVALID = "FieldValueInvalid"
REQUIRED = "FieldValueRequired"
FORBIDDEN = "FieldValueForbidden"
TYPE = "FieldValueTypeInvalid"
NOT_SUPPORTED = "FieldValueNotSupported"
TOO_LONG = "FieldValueTooLong"
TOO_MANY = "FieldValueTooMany"
DUPLICATE = "FieldValueDuplicate"

STOPS_RULES = frozenset({REQUIRED, TYPE, NOT_SUPPORTED, TOO_LONG, TOO_MANY})
"""After one of these the CEL rules are not looked at."""

UNCHECKED = Cause(
    "<nil>",
    INVALID,
    "Invalid value: null: some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation",
)


def validate(value: Any, old: Any, node: Node) -> list[Cause]:
    """Return all violations of an object, schema first, then CEL rules."""
    causes: list[Cause] = []
    _check(value, old, node, "", causes)
    if any(cause.reason in STOPS_RULES for cause in causes):
        return [*causes, UNCHECKED]
    check_tree_rules(value, old, node, "", causes)
    return causes


def json_type(value: Any) -> str:
    """Return JSON's name of a value's type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    return "integer" if isinstance(value, int) or float(value).is_integer() else "number"


def _has_type(value: Any, node: Node) -> bool:
    if node.int_or_string:
        return isinstance(value, (int, str)) and not isinstance(value, bool)
    if node.type is None:
        return True
    actual = json_type(value)
    return actual == node.type or (actual == "integer" and node.type == "number")


def _check(value: Any, old: Any, node: Node, path: str, causes: list[Cause]) -> None:
    if value is old:
        return
    if value is None:
        if not node.nullable and node.type is not None:
            causes.append(_wrong_type(path, node, value))
        return
    if not _has_type(value, node):
        causes.append(_wrong_type(path, node, value))
        return
    _check_enum(value, node, path, causes)
    if isinstance(value, str):
        _check_string(value, node, path, causes)
    elif isinstance(value, dict):
        _check_object(value, old, node, path, causes)
    elif isinstance(value, list):
        _check_list(value, old, node, path, causes)
    elif not isinstance(value, bool):
        _check_number(value, node, path, causes)
    if node.variants:
        _check_variants(value, node, path, causes)


def _wrong_type(path: str, node: Node, value: Any) -> Cause:
    actual = json_type(value)
    wanted = "integer,string" if node.int_or_string else node.type
    shown = f'"{actual}"'
    return Cause(path, TYPE, f"Invalid value: {shown}: {path} in body must be of type {wanted}: {shown}")


def _invalid(path: str, value: Any, rule: str) -> Cause:
    return Cause(path, INVALID, f"Invalid value: {quoted(value)}: {path} in body {rule}")


def _check_enum(value: Any, node: Node, path: str, causes: list[Cause]) -> None:
    allowed = node.source.get("enum")
    if allowed is not None and value not in allowed:
        supported = ", ".join(quoted(item) for item in allowed)
        causes.append(Cause(path, NOT_SUPPORTED, f"Unsupported value: {quoted(value)}: supported values: {supported}"))


def _check_string(value: str, node: Node, path: str, causes: list[Cause]) -> None:
    source = node.source
    if "maxLength" in source and len(value) > source["maxLength"]:
        causes.append(Cause(path, TOO_LONG, f"Too long: may not be more than {source['maxLength']} bytes"))
    elif "minLength" in source and len(value) < source["minLength"]:
        causes.append(_invalid(path, value, f"should be at least {source['minLength']} chars long"))
    elif node.pattern is not None and not node.pattern.search(value):
        causes.append(_invalid(path, value, f"should match '{source['pattern']}'"))
    elif "format" in source and not _has_format(value, source["format"]):
        rule = f"must be of type {source['format']}: {quoted(value)}"
        causes.append(Cause(path, TYPE, f"Invalid value: {quoted(value)}: {path} in body {rule}"))


def _has_format(value: str, name: str) -> bool:
    reader = _FORMATS.get(name)
    if reader is None:
        return True
    try:
        reader(value)
    except ValueError:
        return False
    return True


_DATE_TIME = re.compile(r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$")


def _date_time(value: str) -> datetime:
    if not _DATE_TIME.match(value):
        raise ValueError(value)
    return datetime.fromisoformat(value.upper())


def _uri(value: str) -> None:
    if not urlparse(value).scheme:
        raise ValueError(value)


_FORMATS: dict[str, Any] = {
    "date-time": _date_time,
    "datetime": _date_time,
    "date": date.fromisoformat,
    "uuid": UUID,
    "ipv4": IPv4Address,
    "ipv6": IPv6Address,
    "cidr": ip_network,
    "uri": _uri,
}


def _check_number(value: float, node: Node, path: str, causes: list[Cause]) -> None:
    source = node.source
    maximum, minimum = source.get("maximum"), source.get("minimum")
    if maximum is not None and (value > maximum or (source.get("exclusiveMaximum") and value == maximum)):
        bound = "less than" if source.get("exclusiveMaximum") else "less than or equal to"
        causes.append(_invalid(path, value, f"should be {bound} {quoted(maximum)}"))
    if minimum is not None and (value < minimum or (source.get("exclusiveMinimum") and value == minimum)):
        bound = "greater than" if source.get("exclusiveMinimum") else "greater than or equal to"
        causes.append(_invalid(path, value, f"should be {bound} {quoted(minimum)}"))
    multiple = source.get("multipleOf")
    if multiple and value % multiple:
        causes.append(_invalid(path, value, f"should be a multiple of {quoted(multiple)}"))


def _check_object(value: dict[str, Any], old: Any, node: Node, path: str, causes: list[Cause]) -> None:
    source = node.source
    if "maxProperties" in source and len(value) > source["maxProperties"]:
        rule = f"Too many: {len(value)}: must have at most {source['maxProperties']} items"
        causes.append(Cause(path, TOO_MANY, rule))
    if "minProperties" in source and len(value) < source["minProperties"]:
        causes.append(_invalid(path, value, f"should have at least {source['minProperties']} properties"))
    causes.extend(
        Cause(f"{path}.{name}" if path else name, REQUIRED, "Required value")
        for name in node.required
        if name not in value
    )
    before = old if isinstance(old, dict) else {}
    for name, item in value.items():
        child = node.child(name)
        if child is not None:
            _check(item, before.get(name, MISSING), child, f"{path}.{name}" if path else name, causes)


def _check_list(value: list[Any], old: Any, node: Node, path: str, causes: list[Cause]) -> None:
    source = node.source
    if "maxItems" in source and len(value) > source["maxItems"]:
        rule = f"Too many: {len(value)}: must have at most {source['maxItems']} items"
        causes.append(Cause(path, TOO_MANY, rule))
    if "minItems" in source and len(value) < source["minItems"]:
        causes.append(_invalid(path, value, f"should have at least {source['minItems']} items"))
    if node.list_type != "atomic":
        _check_duplicates(value, node, path, causes)
    if node.items is None:
        return
    before = old if isinstance(old, list) else []
    for index, item in enumerate(value):
        prior = before[index] if index < len(before) else MISSING
        _check(item, prior, node.items, f"{path}[{index}]", causes)


def item_key(item: Any, node: Node) -> str:
    """Return what identifies an item of a set or map list, as FieldsV1 and messages write it."""
    if node.list_type == "set" or not isinstance(item, dict):
        return quoted(item)
    return quoted({key: item[key] for key in node.list_keys if key in item})


def _check_duplicates(value: list[Any], node: Node, path: str, causes: list[Cause]) -> None:
    seen = set()
    for index, item in enumerate(value):
        key = item_key(item, node)
        if key in seen:
            causes.append(Cause(f"{path}[{index}]", DUPLICATE, f"Duplicate value: {key}"))
        seen.add(key)


def _check_variants(value: Any, node: Node, path: str, causes: list[Cause]) -> None:
    def passes(variant: Node) -> bool:
        found: list[Cause] = []
        _check(value, MISSING, variant, path, found)
        return not found

    for name, variants in node.variants.items():
        passed = sum(passes(variant) for variant in variants)
        if name == "anyOf" and not passed:
            rule = f'"{path}" must validate at least one schema (anyOf)'
        elif name == "oneOf" and passed != 1:
            found = "multiple" if passed else "none valid"
            rule = f'"{path}" must validate one and only one schema (oneOf). Found {found}'
        elif name == "allOf" and passed != len(variants):
            rule = f'"{path}" must validate all the schemas (allOf)'
        elif name == "not" and passed:
            rule = f'"{path}" must not validate the schema (not)'
        else:
            continue
        causes.append(Cause(path, INVALID, f"Invalid value: {rule}"))


def check_tree_rules(value: Any, old: Any, node: Node, path: str, causes: list[Cause]) -> None:
    """Add the violations of CEL rules, of this node and below."""
    if value is old or value is None or not has_rules(node):
        return
    if node.rules:
        causes.extend(check_rules(node.rules, value, old, node, path))
    if isinstance(value, dict):
        for name, item in value.items():
            child = node.child(name)
            if child is not None:
                check_tree_rules(item, dig(old, (name,)), child, f"{path}.{name}" if path else name, causes)
    elif isinstance(value, list) and node.items is not None:
        before = _matching(value, old, node)
        for index, item in enumerate(value):
            check_tree_rules(item, before[index], node.items, f"{path}[{index}]", causes)


def _matching(value: list[Any], old: Any, node: Node) -> list[Any]:
    """Return the old counterpart of each item: by key for map lists, none for atomic lists and sets."""
    if node.list_type != "map" or not isinstance(old, list):
        return [MISSING] * len(value)
    known = {item_key(item, node): item for item in old}
    return [known.get(item_key(item, node), MISSING) for item in value]


def has_rules(node: Node) -> bool:
    """Tell whether a schema has CEL rules at any depth; found once per node."""
    known: bool | None = node.__dict__.get("_has_rules")
    if known is None:
        below = [*node.properties.values(), node.additional, node.items]
        known = bool(node.rules) or any(has_rules(child) for child in below if child is not None)
        node.__dict__["_has_rules"] = known
    return known
