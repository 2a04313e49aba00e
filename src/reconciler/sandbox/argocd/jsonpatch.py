"""RFC 6902 and RFC 7386 as the API server applies them, with the words of its library (evanphx/json-patch)."""

from typing import Any

from reconciler.sandbox.argocd.errors import unknown

_MISSING = object()


def apply_patch(document: Any, operations: Any) -> Any:
    """Apply a JSON patch to `document`, which is changed. A failing `test` is a plain error there: 500."""
    if not isinstance(operations, list):
        raise unknown("error decoding json patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    for operation in operations:
        _apply(document, operation)
    return document


def merge(target: Any, patch: Any) -> Any:
    """Return `target` after a JSON merge patch; lists are replaced."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def _apply(document: Any, operation: dict[str, Any]) -> None:
    kind, path = operation["op"], operation["path"]
    parent, key = _find(document, path)
    value = operation.get("value")
    match kind:
        case "test":
            if parent is _MISSING:
                raise _does_not_apply(kind, path)
            if _get(parent, key) != value and not (value is None and _get(parent, key) is _MISSING):
                raise unknown(f"error applying patch: testing value {path} failed: test failed")
        case "add":
            _add(parent, key, value, path)
        case "replace":
            if _get(parent, key) is _MISSING:
                raise _does_not_apply(kind, path)
            _put(parent, key, value)
        case "remove":
            if _get(parent, key) is _MISSING:
                raise _does_not_apply(kind, path)
            del parent[int(key) if isinstance(parent, list) else key]
        case _:
            raise unknown(f"error applying patch: Unexpected kind: {kind}")


def _does_not_apply(kind: str, path: str) -> Exception:
    return unknown(
        f'error applying patch: {kind} operation does not apply: doc is missing path: "{path}": missing value'
    )


def _find(document: Any, path: str) -> tuple[Any, str]:
    *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")[1:]]
    node = document
    for step in steps:
        node = _get(node, step)
        if node is _MISSING:
            return _MISSING, last
    return node, last


def _get(parent: Any, key: str) -> Any:
    if isinstance(parent, list):
        return parent[int(key)] if key.isdigit() and int(key) < len(parent) else _MISSING
    return parent.get(key, _MISSING) if isinstance(parent, dict) else _MISSING


def _add(parent: Any, key: str, value: Any, path: str) -> None:
    if isinstance(parent, list):
        parent.insert(len(parent) if key == "-" else int(key), value)
    elif isinstance(parent, dict):
        parent[key] = value
    else:
        raise _does_not_apply("add", path)


def _put(parent: Any, key: str, value: Any) -> None:
    parent[int(key) if isinstance(parent, list) else key] = value
