"""Label and field selectors as predicates."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from reconciler.sandbox.kube.errors import JSON, bad_request
from reconciler.sandbox.kube.trees import MISSING, dig

Predicate = Callable[[JSON], bool]
Labels = dict[str, str]

_NAME = r"(?:[A-Za-z0-9.-]+/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?"
_VALUE = r"[-A-Za-z0-9_.]*"
_SET = re.compile(rf"({_NAME})\s+(in|notin)\s*\(([^()]*)\)")
_COMPARE = re.compile(rf"({_NAME})\s*(==|!=|=|>|<)\s*({_VALUE})")
_EXISTS = re.compile(rf"(!?)\s*({_NAME})")


def _split(text: str) -> list[str]:
    """Split at the commas outside parentheses."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", text)]


@lru_cache(maxsize=512)
def label_requirements(text: str) -> tuple[Callable[[Labels], bool], ...]:
    """Return the requirements of a label selector; all of them must hold. Raises 400."""
    if not text.strip():
        return ()
    return tuple(_requirement(part) for part in _split(text))


def _requirement(part: str) -> Callable[[Labels], bool]:
    if found := _SET.fullmatch(part):
        key, operator, raw = found.groups()
        values = {value.strip() for value in raw.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _COMPARE.fullmatch(part):
        return _comparison(found[1], found[2], found[3])
    if found := _EXISTS.fullmatch(part):
        negated, key = bool(found[1]), found[2]
        return lambda labels: (key in labels) != negated
    raise bad_request(f"unable to parse requirement: found '{part}', expected: a requirement")


def _comparison(key: str, operator: str, value: str) -> Callable[[Labels], bool]:
    if operator in {"=", "=="}:
        return lambda labels: labels.get(key) == value
    if operator == "!=":
        return lambda labels: labels.get(key) != value
    if not re.fullmatch(r"-?\d+", value):
        raise bad_request(
            f"unable to parse requirement: for 'Gt', 'Lt' operators, the value must be an integer: {value}"
        )
    bound = int(value)

    def compares(labels: Labels) -> bool:
        try:
            actual = int(labels[key])
        except (KeyError, ValueError):
            return False
        return actual > bound if operator == ">" else actual < bound

    return compares


def field_value(obj: JSON, path: tuple[str, ...]) -> str:
    """Return a selectable field as the text selectors compare with; empty where it is absent."""
    value = dig(obj, path)
    if value is MISSING or value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _field_requirement(part: str, allowed: frozenset[str], aliases: dict[str, str]) -> Predicate:
    found = re.fullmatch(r"([^=!]+)(==|!=|=)(.*)", part)
    if found is None:
        raise bad_request(f"invalid selector: '{part}'; can't understand '{part}'")
    name, operator, wanted = found[1], found[2], found[3].replace("\\,", ",").replace("\\=", "=")
    if name not in allowed:
        raise bad_request(f"field label not supported: {name}")
    path = tuple(aliases.get(name, name).split("."))
    if operator == "!=":
        return lambda obj: field_value(obj, path) != wanted
    return lambda obj: field_value(obj, path) == wanted


def selector(labels: str, fields: str, allowed: frozenset[str], aliases: dict[str, str]) -> Predicate | None:
    """Return one predicate for both selectors, or None where everything is selected. Raises 400."""
    requirements = label_requirements(labels) if labels else ()
    field_checks: list[Predicate] = []
    if fields:
        parts = re.split(r"(?<!\\),", fields)
        field_checks = [_field_requirement(part, allowed, aliases) for part in parts if part]
    if not requirements and not field_checks:
        return None

    def selects(obj: JSON) -> bool:
        carried: Any = obj["metadata"].get("labels") or {}
        return all(holds(carried) for holds in requirements) and all(holds(obj) for holds in field_checks)

    return selects
