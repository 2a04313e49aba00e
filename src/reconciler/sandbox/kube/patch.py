"""Merge, JSON and strategic merge patches: pure functions that change nothing in place."""

import copy
import re
from typing import Any, Final

from reconciler.sandbox.kube.trees import MISSING


class PatchFailed(Exception):
    """A JSON patch does not apply; the real server says no more than that."""


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply an RFC 7386 merge patch. Parts the patch does not name stay the same objects."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = merge_patch(merged.get(key), value)
        else:
            merged[key] = value
    return merged


def json_patch(target: Any, operations: list[Any]) -> Any:
    """Apply an RFC 6902 patch, with the leniency of the real server. Raises PatchFailed."""
    document = copy.deepcopy(target)
    for operation in operations:
        if not isinstance(operation, dict):
            raise PatchFailed("not an operation")
        document = _operate(document, operation)
    return document


def _operate(document: Any, operation: dict[str, Any]) -> Any:
    path = _tokens(operation.get("path"))
    match operation.get("op"):
        case "add":
            return _add(document, path, _value(operation))
        case "remove":
            return _remove(document, path)
        case "replace":
            return _replace(document, path, _value(operation))
        case "test":
            found = _look(document, path)
            if (None if found is MISSING else found) != operation.get("value"):
                raise PatchFailed("test failed")
            return document
        case "move":
            source = _tokens(operation.get("from"))
            moved = _look(document, source)
            if moved is MISSING:
                raise PatchFailed("nothing to move")
            return _add(_remove(document, source), path, moved)
        case "copy":
            copied = _look(document, _tokens(operation.get("from")))
            if copied is MISSING:
                raise PatchFailed("nothing to copy")
            return _add(document, path, copy.deepcopy(copied))
        case other:
            raise PatchFailed(f"unknown operation {other!r}")


def _tokens(path: Any) -> list[str]:
    if not isinstance(path, str) or (path and not path.startswith("/")):
        raise PatchFailed("bad path")
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise PatchFailed("no value")
    return operation["value"]


_INDEX = re.compile(r"-?(0|[1-9]\d*)")


def _index(token: str, length: int) -> int:
    if not _INDEX.fullmatch(token):
        raise PatchFailed("bad index")
    index = int(token)
    index = index + length if index < 0 else index
    if not 0 <= index <= length:
        raise PatchFailed("bad index")
    return index


def _look(document: Any, path: list[str]) -> Any:
    for token in path:
        if isinstance(document, dict):
            document = document.get(token, MISSING)
        elif isinstance(document, list):
            index = _index(token, len(document))
            document = document[index] if index < len(document) else MISSING
        else:
            return MISSING
    return document


def _parent(document: Any, path: list[str]) -> Any:
    parent = _look(document, path[:-1])
    if not isinstance(parent, (dict, list)):
        raise PatchFailed("missing parent")
    return parent


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _parent(document, path)
    if isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        parent.insert(len(parent) if path[-1] == "-" else _index(path[-1], len(parent)), value)
    return document


def _remove(document: Any, path: list[str]) -> Any:
    if not path:
        return None
    parent = _parent(document, path)
    if isinstance(parent, dict):
        if path[-1] not in parent:
            raise PatchFailed("nothing to remove")
        del parent[path[-1]]
    else:
        _existing(parent, path[-1])
        del parent[_index(path[-1], len(parent))]
    return document


def _existing(parent: list[Any], token: str) -> int:
    index = _index(token, len(parent))
    if index == len(parent):
        raise PatchFailed("bad index")
    return index


def _replace(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent = _parent(document, path)
    if isinstance(parent, dict):
        parent[path[-1]] = value
    else:
        parent[_existing(parent, path[-1])] = value
    return document


_MERGE_KEYS: Final = {"ownerReferences": "uid", "secrets": "name", "conditions": "type"}
"""Lists of objects that merge by a key, of the built-in kinds the sandbox has."""

_MERGED_SETS: Final = frozenset({"finalizers"})
_FROM_LIST: Final = "$deleteFromPrimitiveList/"
_ORDER: Final = "$setElementOrder/"


def strategic_patch(target: Any, patch: Any) -> Any:
    """Apply a strategic merge patch with the merge rules of the built-in kinds."""
    if not isinstance(patch, dict):
        return patch
    directive = patch.get("$patch")
    if directive == "delete":
        return {}
    merged = {} if directive == "replace" or not isinstance(target, dict) else dict(target)
    for key, value in patch.items():
        if key.startswith(_FROM_LIST):
            name = key.removeprefix(_FROM_LIST)
            merged[name] = [item for item in merged.get(name) or [] if item not in value]
        elif not key.startswith(("$patch", "$retainKeys", _ORDER)):
            _merge_field(merged, key, value)
    return merged


def _merge_field(merged: dict[str, Any], key: str, value: Any) -> None:
    if value is None:
        merged.pop(key, None)
    elif isinstance(value, dict):
        merged[key] = strategic_patch(merged.get(key), value)
    elif isinstance(value, list) and key in _MERGED_SETS:
        before = merged.get(key) or []
        merged[key] = before + [item for item in value if item not in before]
    elif isinstance(value, list) and key in _MERGE_KEYS:
        merged[key] = _merge_items(merged.get(key) or [], value, _MERGE_KEYS[key])
    else:
        merged[key] = value


def _merge_items(before: list[Any], patches: list[Any], key: str) -> list[Any]:
    merged = {item.get(key): item for item in before}
    for patch in patches:
        if patch.get("$patch") == "delete":
            merged.pop(patch.get(key), None)
        elif patch.get("$patch") != "replace":
            merged[patch.get(key)] = strategic_patch(merged.get(patch.get(key)), patch)
    return list(merged.values())
