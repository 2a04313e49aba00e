"""Structural schemas: pruning, nulls and defaults in one pass (`fit`), then validation.

Both passes skip every part that is the same Python object as in the stored version (see `trees.graft`).
"""

import re
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from reconciler.sandbox.kube.cel import Rule, compile_rules
from reconciler.sandbox.kube.errors import JSON
from reconciler.sandbox.kube.trees import MISSING

LIST_ATOMIC = "atomic"


@dataclass(eq=False)
class Node:
    """One schema, read once."""

    source: JSON
    type: str | None
    nullable: bool
    default: Any
    properties: dict[str, "Node"]
    additional: "Node | None"
    items: "Node | None"
    preserve: bool
    int_or_string: bool
    list_type: str
    list_keys: tuple[str, ...]
    atomic_map: bool
    required: tuple[str, ...]
    rules: tuple[Rule, ...]
    pattern: re.Pattern[str] | None
    variants: dict[str, list["Node"]]
    defaulted: tuple[tuple[str, Any], ...] = field(default=())

    @property
    def has_default(self) -> bool:
        """Tell whether an absent value is filled in."""
        return self.default is not MISSING

    def child(self, name: str) -> "Node | None":
        """Return the schema of one key of an object."""
        return self.properties.get(name) or self.additional


def compile_schema(source: JSON) -> Node:
    """Read an OpenAPI v3 schema as CustomResourceDefinitions have it."""
    properties = {name: compile_schema(sub) for name, sub in source.get("properties", {}).items()}
    additional = source.get("additionalProperties")
    items = source.get("items")
    node = Node(
        source=source,
        type=source.get("type"),
        nullable=bool(source.get("nullable", False)),
        default=source.get("default", MISSING),
        properties=properties,
        additional=compile_schema(additional) if isinstance(additional, dict) else None,
        items=compile_schema(items) if isinstance(items, dict) else None,
        preserve=bool(source.get("x-kubernetes-preserve-unknown-fields", False)) or additional is True,
        int_or_string=bool(source.get("x-kubernetes-int-or-string", False)),
        list_type=source.get("x-kubernetes-list-type", LIST_ATOMIC),
        list_keys=tuple(source.get("x-kubernetes-list-map-keys", ())),
        atomic_map=source.get("x-kubernetes-map-type") == "atomic",
        required=tuple(source.get("required", ())),
        rules=compile_rules(source.get("x-kubernetes-validations", ())),
        pattern=re.compile(source["pattern"]) if "pattern" in source else None,
        variants=_variants(source),
    )
    node.defaulted = tuple(
        (name, fit(child.default, MISSING, child, "", [])) for name, child in properties.items() if child.has_default
    )
    return node


def _variants(source: JSON) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {
        name: [compile_schema(sub) for sub in source[name]] for name in ("allOf", "anyOf", "oneOf") if name in source
    }
    if "not" in source:
        found["not"] = [compile_schema(source["not"])]
    return found


def fit(value: Any, old: Any, node: Node, path: str, unknown: list[str]) -> Any:
    """Return the value pruned and defaulted; paths of dropped fields are added to `unknown`.

    Nothing is changed in place; an unchanged part is returned as it is.
    """
    if value is old:
        return value
    if isinstance(value, dict):
        if node.type not in {None, "object"}:
            return value
        return _fit_object(value, old, node, path, unknown)
    if isinstance(value, list) and node.items is not None:
        return _fit_list(value, old, node, path, unknown)
    if node.type == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _fit_object(value: JSON, old: Any, node: Node, path: str, unknown: list[str]) -> JSON:
    before = old if isinstance(old, dict) else {}
    fitted = {}
    changed = False
    for name, item in value.items():
        child = node.child(name)
        here = f"{path}.{name}" if path else name
        if child is None:
            if node.preserve:
                fitted[name] = item
            else:
                unknown.append(here)
                changed = True
            continue
        if item is None and not child.nullable:
            changed = True
            continue
        new = fit(item, before.get(name, MISSING), child, here, unknown)
        changed = changed or new is not item
        fitted[name] = new
    for name, default in node.defaulted:
        if name not in fitted:
            fitted[name] = default
            changed = True
    return fitted if changed else value


def _fit_list(value: list[Any], old: Any, node: Node, path: str, unknown: list[str]) -> list[Any]:
    items = node.items
    if items is None:
        return value
    before = old if isinstance(old, list) else []
    fitted = [
        fit(item, before[index] if index < len(before) else MISSING, items, f"{path}[{index}]", unknown)
        for index, item in enumerate(value)
    ]
    return fitted if any(new is not item for new, item in zip(fitted, value, strict=True)) else value


fit_silently = partial(fit, unknown=[])
