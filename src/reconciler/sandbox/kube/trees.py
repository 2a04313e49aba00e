"""Comparing JSON trees so that unchanged parts stay the same Python objects."""

import json
from typing import Any, Final

MISSING: Final = object()


def graft(new: Any, old: Any) -> Any:
    """Return `new` with every part that equals its counterpart in `old` replaced by it.

    Afterwards `is` tells what changed, at any depth. Types count: 1, 1.0 and True differ.
    """
    if new is old:
        return old
    if type(new) is not type(old):
        return new
    if isinstance(new, dict):
        return _graft_dict(new, old)
    if isinstance(new, list):
        return _graft_list(new, old)
    return old if new == old else new


def _graft_dict(new: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    same = len(new) == len(old)
    merged = {}
    for key, value in new.items():
        before = old.get(key, MISSING)
        grafted = value
        if value is not before and type(value) is type(before):
            # Written out, not a call of graft: this is the busiest line of the server.
            if isinstance(value, (dict, list)):
                grafted = graft(value, before)
            elif value == before:
                grafted = before
        merged[key] = grafted
        same = same and grafted is before
    return old if same else merged


def _graft_list(new: list[Any], old: list[Any]) -> list[Any]:
    same = len(new) == len(old)
    merged = [graft(value, old[index]) if index < len(old) else value for index, value in enumerate(new)]
    if same and all(value is before for value, before in zip(merged, old, strict=True)):
        return old
    return merged


def dig(value: Any, path: tuple[str, ...]) -> Any:
    """Return what stands at a path of keys, or MISSING."""
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return MISSING
        value = value[key]
    return value


def planted(value: Any, path: tuple[str, ...], leaf: Any) -> dict[str, Any]:
    """Return a copy of `value` with `leaf` at a path of keys; parents are made where they are missing."""
    base = dict(value) if isinstance(value, dict) else {}
    key, *rest = path
    base[key] = planted(base.get(key), tuple(rest), leaf) if rest else leaf
    return base


def quoted(value: Any) -> str:
    """Return a value as messages show it: compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
