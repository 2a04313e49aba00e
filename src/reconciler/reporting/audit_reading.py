"""Reads audit lines out of logs: alone, inside the JSON lines of our log or of a pipeline, or behind other words."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from reconciler.reporting.audit_check import Line

_BEGIN = '{"audit":'
_DEPTH = 4
"""Our JSON line in a container's JSON line in a collector's is three deep."""


def audit_lines(file: str, lines: Iterable[str]) -> Iterator[Line]:
    """Yield the audit lines among all lines of a file; what is no audit line is passed over."""
    for number, text in enumerate(lines, start=1):
        # What is escaped has backslashes: the word alone is looked for first, most lines do not have it.
        if "audit" in text and (said := _found(text, _DEPTH)) is not None:
            yield Line(said, file, number)


def _found(text: str, depth: int) -> Mapping[str, Any] | None:
    if depth == 0:
        return None
    outer = _read(text.strip())
    if outer is None:
        start = text.find(_BEGIN)
        return _read(_object_at(text, start)) if start >= 0 else None
    if _is_audit(outer):
        return outer
    for value in outer.values():
        if isinstance(value, dict) and _is_audit(value):
            return value
        if isinstance(value, str) and "audit" in value and (said := _found(value, depth - 1)) is not None:
            return said
    return None


def _is_audit(said: Mapping[str, Any]) -> bool:
    return isinstance(said.get("audit"), str) and "hash" in said


def _read(text: str) -> dict[str, Any] | None:
    try:
        read = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return read if isinstance(read, dict) else None


def _object_at(text: str, start: int) -> str:
    """Return the JSON object that begins there, up to its closing brace."""
    depth, is_text, is_escaped = 0, False, False
    for place in range(start, len(text)):
        letter = text[place]
        if is_text:
            is_text = is_escaped or letter != '"'
            is_escaped = letter == "\\" and not is_escaped
            continue
        is_text = letter == '"'
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            return text[start : place + 1]
    return ""
