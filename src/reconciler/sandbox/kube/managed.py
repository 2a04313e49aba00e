"""Who owns which field: `metadata.managedFields` of updates, and server-side apply."""

from dataclasses import dataclass
from typing import Any

from reconciler.sandbox.kube.errors import JSON, ApiError, Cause
from reconciler.sandbox.kube.fieldsets import (
    LEAF,
    Fields,
    child_key,
    difference,
    intersect,
    is_granular_list,
    is_member,
    owned_by_apply,
    paths,
    subtract,
    union,
)
from reconciler.sandbox.kube.schema import Node

UNTRACKED = frozenset({"apiVersion", "kind", "metadata", "status"})
_UNTRACKED_METADATA = frozenset(
    {
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
    }
)


@dataclass(frozen=True)
class Manager:
    """Who writes: the identity of one managedFields entry."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    def same(self, entry: JSON) -> bool:
        """Tell whether an entry is this manager's."""
        return (
            entry.get("manager") == self.name
            and entry.get("operation") == self.operation
            and entry.get("apiVersion") == self.api_version
            and entry.get("subresource", "") == self.subresource
        )

    def entry(self, fields: Fields, time: str) -> JSON:
        """Return the entry with these fields."""
        entry = {
            "manager": self.name,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
        if self.subresource:
            entry["subresource"] = self.subresource
        return entry


def tracked(obj: JSON) -> JSON:
    """Return the object without the fields nobody owns."""
    fields = {key: value for key, value in obj.items() if key not in {"apiVersion", "kind", "metadata"}}
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _UNTRACKED_METADATA}
    if metadata:
        fields["metadata"] = metadata
    return fields


def _without_metadata_itself(fields: Fields | None) -> Fields | None:
    """Nobody owns `metadata` as such, only what is in it."""
    if fields is None:
        return None
    fields = {key: value for key, value in fields.items() if key != "."}
    metadata = fields.get("f:metadata")
    if metadata and "." in metadata:
        fields["f:metadata"] = {key: value for key, value in metadata.items() if key != "."}
    return fields or None


def _changes(old: JSON, new: JSON, node: Node) -> tuple[Fields | None, Fields | None]:
    changed: Fields = {}
    removed: Fields = {}
    for key in old | new:
        if key in {"apiVersion", "kind"}:
            continue
        before, after = old.get(key), new.get(key)
        if before is after:
            continue
        if key == "metadata":
            before, after = tracked({"metadata": before or {}}), tracked({"metadata": after})
            add, drop = difference(before.get(key, {}), after.get(key, {}), None)
        else:
            holder = ({} if before is None else {key: before}, {} if after is None else {key: after})
            add, drop = difference(*holder, node)
            add, drop = (add or {}).get(f"f:{key}"), (drop or {}).get(f"f:{key}")
        if add is not None:
            changed[f"f:{key}"] = add
        if drop is not None:
            removed[f"f:{key}"] = drop
    return changed or None, removed or None


def after_update(entries: list[JSON], old: JSON, new: JSON, node: Node, manager: Manager, time: str) -> list[JSON]:
    """Return managedFields after an update: what it changed is the updater's, and no longer anybody else's."""
    changed, removed = _changes(old, new, node)
    if changed is None and removed is None:
        return entries
    kept: list[JSON] = []
    own: Fields | None = None
    for entry in entries:
        fields: Fields | None = entry.get("fieldsV1") or None
        for gone in (changed, removed):
            if fields is not None and gone is not None:
                fields = subtract(fields, gone)
        if manager.same(entry):
            own = fields
        elif fields is entry.get("fieldsV1"):
            kept.append(entry)
        elif fields is not None:
            kept.append({**entry, "fieldsV1": fields})
    mine = changed if own is None else own if changed is None else union(own, changed)
    if mine is not None:
        kept.append(manager.entry(mine, time))
    return kept


@dataclass
class Applied:
    """The outcome of a server-side apply before validation."""

    obj: JSON
    fields: Fields


def apply(live: JSON, config: JSON, node: Node, entries: list[JSON], manager: Manager) -> Applied:
    """Merge an applied configuration into the live object and drop what this manager no longer applies."""
    wanted = tracked(config)
    fields = owned_by_apply(wanted, node)
    merged = _merge(live, config, node)
    former = next((entry["fieldsV1"] for entry in entries if manager.same(entry)), None)
    if former:
        others: Fields = {"f:": {}}
        for entry in entries:
            if not manager.same(entry):
                others = union(others, entry.get("fieldsV1") or {"f:": {}})
        stale = subtract(former, fields)
        stale = None if stale is None else subtract(stale, others)
        if stale is not None:
            merged = _pruned(merged, stale, union(fields, others), node)
    return Applied(merged, fields)


def _merge(live: Any, applied: Any, node: Node | None) -> Any:
    if isinstance(live, dict) and isinstance(applied, dict) and not (node is not None and node.atomic_map):
        merged = dict(live)
        for key, value in applied.items():
            below = None if node is None else node.child(key)
            merged[key] = _merge(live[key], value, below) if key in live else value
        return merged
    if isinstance(live, list) and isinstance(applied, list) and node is not None and is_granular_list(node):
        return _merge_items(live, applied, node)
    return applied


def _merge_items(live: list[Any], applied: list[Any], node: Node) -> list[Any]:
    merged = {child_key(item, node): item for item in live}
    for item in applied:
        key = child_key(item, node)
        merged[key] = _merge(merged[key], item, node.items) if key in merged else item
    return list(merged.values())


def _pruned(value: Any, stale: Fields, kept: Fields, node: Node | None) -> Any:
    """Remove stale members; a parent that is empty afterwards and owned by nobody goes too."""
    if isinstance(value, dict):
        result = dict(value)
        for key, below in stale.items():
            name = key[2:]
            if key.startswith("f:") and name in result:
                _prune_one(result, name, below, kept.get(key), None if node is None else node.child(name))
        return result
    if isinstance(value, list) and node is not None and is_granular_list(node):
        items = {child_key(item, node): item for item in value}
        for key, below in stale.items():
            if key in items:
                _prune_one(items, key, below, kept.get(key), node.items)
        return list(items.values())
    return value


def _prune_one(holder: dict[str, Any], key: str, stale: Fields, kept: Fields | None, node: Node | None) -> None:
    if kept is None and is_member(stale):
        del holder[key]
        return
    if stale:
        holder[key] = _pruned(holder[key], stale, kept or {}, node)
        if kept is None and holder[key] in ({}, []):
            del holder[key]


def conflicts(old: JSON, new: JSON, node: Node, entries: list[JSON], manager: Manager) -> list[tuple[JSON, Fields]]:
    """Return the other managers whose fields this apply would change, with the fields."""
    changed, _ = _changes(old, new, node)
    if changed is None:
        return []
    found = []
    for entry in entries:
        if not manager.same(entry):
            common = intersect(changed, entry.get("fieldsV1") or {"f:": {}})
            if common is not None:
                found.append((entry, common))
    return found


def after_apply(
    entries: list[JSON], fields: Fields, manager: Manager, lost: list[tuple[JSON, Fields]], time: str
) -> list[JSON]:
    """Return managedFields after an apply; `lost` names what forced conflicts take from others."""
    kept = []
    before: JSON | None = None
    for entry in entries:
        if manager.same(entry):
            before = entry
            continue
        rest: Fields | None = entry.get("fieldsV1")
        for other, taken in lost:
            if other is entry and rest is not None:
                rest = subtract(rest, taken)
        if rest is not None:
            kept.append(entry if rest is entry.get("fieldsV1") else {**entry, "fieldsV1": rest})
    if before is not None and before.get("fieldsV1") == fields:
        return entries if len(kept) == len(entries) - 1 and not lost else [*kept, before]
    return [*kept, manager.entry(fields or LEAF, time)]


def conflict_error(found: list[tuple[JSON, Fields]]) -> ApiError:
    """Return the 409 that names every manager and field."""
    causes = []
    sections = []
    for entry, fields in found:
        who = f'"{entry["manager"]}"'
        if entry["operation"] == "Update":
            sub = f' with subresource "{entry["subresource"]}"' if entry.get("subresource") else ""
            who += f"{sub} using {entry['apiVersion']}"
        where = sorted(paths(fields))
        sections.append((who, where))
        causes += [Cause(path, "FieldManagerConflict", f"conflict with {who}") for path in where]
    return ApiError(409, "Conflict", _conflict_message(sections), {"causes": [cause.json() for cause in causes]})


def _conflict_message(sections: list[tuple[str, list[str]]]) -> str:
    total = sum(len(where) for _, where in sections)
    if total == 1:
        who, where = sections[0]
        return f"Apply failed with 1 conflict: conflict with {who}: {where[0]}"
    parts = [f"conflicts with {who}:" + "".join(f"\n- {path}" for path in where) for who, where in sections]
    return f"Apply failed with {total} conflicts: " + "\n".join(parts)
