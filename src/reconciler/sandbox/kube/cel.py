"""`x-kubernetes-validations`: rules compiled once per text, and what a violation says."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from reconciler.sandbox.kube.cel_expression import CelError, Expression, Optional, compile_expression
from reconciler.sandbox.kube.cel_functions import read_duration, read_timestamp
from reconciler.sandbox.kube.errors import JSON, Cause
from reconciler.sandbox.kube.trees import MISSING, quoted

if TYPE_CHECKING:
    from reconciler.sandbox.kube.schema import Node


@dataclass(frozen=True)
class Rule:
    """One compiled rule."""

    text: str
    holds: Expression
    message: str
    message_expression: Expression | None
    reason: str
    field_path: str
    transition: bool
    optional_old: bool


def compile_rules(sources: Iterable[JSON]) -> tuple[Rule, ...]:
    """Compile the rules of one schema node. Raises CelError for a rule that cannot be read."""
    return tuple(_compile(source) for source in sources)


def _compile(source: JSON) -> Rule:
    text = source["rule"].strip()
    holds = _parsed(text)
    expression = source.get("messageExpression")
    return Rule(
        text=text,
        holds=holds,
        message=source.get("message") or f"failed rule: {text}",
        message_expression=_parsed(expression) if expression else None,
        reason=source.get("reason", "FieldValueInvalid"),
        field_path=source.get("fieldPath", ""),
        transition="oldSelf" in holds.names,
        optional_old=bool(source.get("optionalOldSelf", False)),
    )


@lru_cache(maxsize=2048)
def _parsed(text: str) -> Expression:
    return compile_expression(text)


def check_rules(rules: tuple[Rule, ...], value: Any, old: Any, node: "Node", path: str) -> list[Cause]:
    """Return the violations of one node's rules; transition rules are skipped where there was no old value."""
    me = to_cel(value, node)
    before = MISSING if old is MISSING else to_cel(old, node)
    causes = []
    for rule in rules:
        if rule.optional_old:
            names = {"self": me, "oldSelf": Optional(None if before is MISSING else (before,))}
        elif rule.transition and before is MISSING:
            continue
        else:
            names = {"self": me, "oldSelf": before}
        message = _violation(rule, names)
        if message is not None:
            causes.append(Cause(path + rule.field_path, rule.reason, f"{_shown(value, rule)}{message}"))
    return causes


def _shown(value: Any, rule: Rule) -> str:
    if rule.reason == "FieldValueRequired":
        return "Required value: "
    if rule.reason == "FieldValueForbidden":
        return "Forbidden: "
    if isinstance(value, (dict, list)) or rule.field_path:
        return "Invalid value: "
    return f"Invalid value: {quoted(value)}: "


def _violation(rule: Rule, names: dict[str, Any]) -> str | None:
    try:
        if rule.holds(names) is True:
            return None
    except CelError as error:
        return f"{error} evaluating rule: {rule.message}"
    if rule.message_expression is None:
        return rule.message
    try:
        return str(rule.message_expression(names))
    except CelError:
        return rule.message


def to_cel(value: Any, node: "Node") -> Any:
    """Return the value with date-times and durations as CEL sees them; untouched where a schema has none."""
    if not _has_times(node) or value is None:
        return value
    if isinstance(value, str):
        return _read_time(value, node.source.get("format"))
    if isinstance(value, dict):
        return {
            name: item if (child := node.child(name)) is None else to_cel(item, child) for name, item in value.items()
        }
    if isinstance(value, list) and node.items is not None:
        return [to_cel(item, node.items) for item in value]
    return value


def _read_time(value: str, form: str | None) -> Any:
    if form in {"date-time", "datetime", "date"}:
        return read_timestamp(value)
    return read_duration(value) if form == "duration" else value


def _has_times(node: "Node") -> bool:
    known: bool | None = node.__dict__.get("_has_times")
    if known is None:
        below = [*node.properties.values(), node.additional, node.items]
        known = node.source.get("format") in {"date-time", "datetime", "date", "duration"}
        known = known or any(_has_times(child) for child in below if child is not None)
        node.__dict__["_has_times"] = known
    return known
