"""Field sets as `managedFields` writes them (FieldsV1), and the operations on them.

A set is a nested dict: `{}` is a member without members below, a "." key makes a node with children a member
itself. Sets are shared between versions of an object and never changed in place.
"""

import json
from collections.abc import Iterator
from typing import Any

from reconciler.sandbox.kube.schema import Node
from reconciler.sandbox.kube.trees import MISSING
from reconciler.sandbox.kube.validate import item_key

Fields = dict[str, Any]

MEMBER = "."
LEAF: Fields = {}


def is_member(node: Fields) -> bool:
    """Tell whether the path that leads here is itself in the set."""
    return not node or MEMBER in node


def union(left: Fields, right: Fields) -> Fields:
    """Return both; `left` itself where it has everything already."""
    if left is right or (right is LEAF and MEMBER in left):
        return left
    if not left:
        return left if not right else _with_member(right)
    if not right:
        return _with_member(left)
    merged = left
    for key, below in right.items():
        before = left.get(key)
        new = below if before is None else union(before, below)
        if new is not before:
            merged = dict(merged) if merged is left else merged
            merged[key] = new
    return merged


def _with_member(node: Fields) -> Fields:
    return node if MEMBER in node else {MEMBER: {}, **node}


def subtract(left: Fields, right: Fields) -> Fields | None:
    """Return `left` without the members of `right`; None when nothing is left."""
    member = is_member(left) and not is_member(right)
    children: Fields = {}
    changed = is_member(left) and not member
    for key, below in left.items():
        if key == MEMBER:
            continue
        other = right.get(key)
        rest = below if other is None else subtract(below, other)
        changed = changed or rest is not below
        if rest is not None:
            children[key] = rest
    if not changed:
        return left
    if not children:
        return LEAF if member else None
    return {MEMBER: {}, **children} if member else children


def intersect(left: Fields, right: Fields) -> Fields | None:
    """Return the common members; None when there are none."""
    member = is_member(left) and is_member(right)
    children = {}
    for key, below in left.items():
        if key != MEMBER and key in right:
            common = intersect(below, right[key])
            if common is not None:
                children[key] = common
    if not children:
        return LEAF if member else None
    return {MEMBER: {}, **children} if member else children


def paths(fields: Fields, prefix: str = "") -> Iterator[str]:
    """Yield every member as conflicts write it: `.spec.ports[name="x"].port`."""
    if prefix and is_member(fields):
        yield prefix
    for key, below in fields.items():
        if key != MEMBER:
            yield from paths(below, prefix + _path_text(key))


def _path_text(key: str) -> str:
    kind, _, rest = key.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "k":
        pairs = json.loads(rest)
        return "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in pairs.items()) + "]"
    return f"[={rest}]" if kind == "v" else f"[{rest}]"


def child_key(item: Any, node: Node) -> str:
    """Return the key of a list item in a field set."""
    return ("v:" if node.list_type == "set" else "k:") + item_key(item, node)


def is_granular_list(node: Node | None) -> bool:
    """Tell whether the items of a list are owned one by one."""
    return node is not None and node.list_type in {"set", "map"}


def _is_granular_map(node: Node | None) -> bool:
    return node is None or not node.atomic_map


def owned_by_apply(value: Any, node: Node | None) -> Fields:
    """Return the set of an applied configuration: leaves, empty maps, and list items themselves."""
    if isinstance(value, dict) and value and _is_granular_map(node):
        return {f"f:{key}": owned_by_apply(item, _below(node, key)) for key, item in value.items()}
    if isinstance(value, list) and node is not None and is_granular_list(node):
        fields: Fields = {}
        for item in value:
            below = owned_by_apply(item, node.items) if node.list_type == "map" else LEAF
            fields[child_key(item, node)] = _with_member(below) if below else LEAF
        return fields
    return LEAF


def _below(node: Node | None, key: str) -> Node | None:
    return None if node is None else node.child(key)


def everything(value: Any, node: Node | None) -> Fields:
    """Return the set of all fields of an added value, maps included."""
    if isinstance(value, dict) and value and _is_granular_map(node):
        fields = {MEMBER: LEAF}
        for key, item in value.items():
            fields[f"f:{key}"] = everything(item, _below(node, key))
        return fields
    if isinstance(value, list) and value and node is not None and is_granular_list(node):
        fields = {MEMBER: LEAF}
        for item in value:
            fields[child_key(item, node)] = everything(item, node.items) if node.list_type == "map" else LEAF
        return fields
    return LEAF


def difference(old: Any, new: Any, node: Node | None) -> tuple[Fields | None, Fields | None]:
    """Return what was added or modified, and what was removed, going from `old` to `new`."""
    if old is new:
        return None, None
    if isinstance(old, dict) and isinstance(new, dict) and _is_granular_map(node):
        pairs = [(f"f:{key}", old.get(key, MISSING), new.get(key, MISSING), _below(node, key)) for key in old | new]
        return _differences(pairs)
    if isinstance(old, list) and isinstance(new, list) and node is not None and is_granular_list(node):
        before = {child_key(item, node): item for item in old}
        after = {child_key(item, node): item for item in new}
        return _differences(
            [(key, before.get(key, MISSING), after.get(key, MISSING), node.items) for key in before | after]
        )
    return (None, None) if old == new and type(old) is type(new) else (everything(new, node), None)


def _differences(pairs: list[tuple[str, Any, Any, Node | None]]) -> tuple[Fields | None, Fields | None]:
    changed: Fields = {}
    removed: Fields = {}
    for key, before, after, node in pairs:
        if before is MISSING:
            changed[key] = everything(after, node)
        elif after is MISSING:
            removed[key] = everything(before, node)
        elif before is not after:
            below_changed, below_removed = difference(before, after, node)
            if below_changed is not None:
                changed[key] = below_changed
            if below_removed is not None:
                removed[key] = below_removed
    return changed or None, removed or None
