"""The functions of CEL, and those Kubernetes adds, over plain JSON values."""

import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final
from urllib.parse import urlparse


class CelError(Exception):
    """CEL would report an error here: at compile time or while evaluating."""


class Optional:
    """CEL's optional value; `held` is a one-tuple, or None for no value."""

    def __init__(self, held: tuple[Any] | None) -> None:
        self.held = held

    def value(self) -> Any:
        """Return the value. Raises CelError where there is none."""
        if self.held is None:
            raise CelError("optional.none() dereference")
        return self.held[0]


def equal(left: Any, right: Any) -> bool:
    """Compare as CEL: numbers across types, everything else only with its own type."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def type_name(value: Any) -> str:
    """Return CEL's name of a value's type."""
    names = {bool: "bool", int: "int", float: "double", str: "string", list: "list", dict: "map"}
    return names.get(type(value), "null_type" if value is None else type(value).__name__)


def read_timestamp(text: str) -> datetime:
    """Return an RFC 3339 text (or a date) as a moment. Raises CelError."""
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise CelError(f"invalid timestamp {text!r}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


def read_duration(text: str) -> timedelta:
    """Return Go's duration text as a time span. Raises CelError."""
    body = text.lstrip("+-")
    if not body or _DURATION.sub("", body) not in {"", "0"}:
        raise CelError(f"invalid duration {text!r}")
    seconds = sum(float(amount) * _UNITS[unit] for amount, unit in _DURATION.findall(body))
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)


@lru_cache(maxsize=1024)
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _matches(text: str, pattern: str) -> bool:
    return _regex(pattern).search(text) is not None


def _find(text: str, pattern: str) -> str:
    found = _regex(pattern).search(text)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in _regex(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


def _size(value: Any) -> int:
    if not isinstance(value, (str, list, dict)):
        raise CelError("no such overload")
    return len(value)


def _contains(text: str, part: str) -> bool:
    if not isinstance(text, str):
        raise CelError("no such overload")
    return part in text


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    return list(text) if not separator else text.split(separator, -1 if limit < 0 else limit - 1)


def _substring(text: str, start: int, end: int | None = None) -> str:
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise CelError(f"substring index out of range: {start}")
    return text[start:stop]


def _index_of(value: Any, part: Any, start: int = 0) -> int:
    if isinstance(value, str):
        return value.find(part, start)
    return next((index for index, item in enumerate(value) if equal(item, part)), -1)


def _last_index_of(value: Any, part: Any) -> int:
    if isinstance(value, str):
        return value.rfind(part)
    return next((index for index in range(len(value) - 1, -1, -1) if equal(value[index], part)), -1)


def _is_sorted(items: list[Any]) -> bool:
    return all(first <= second for first, second in pairwise(items))


def _to_int(value: Any) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp())
    return int(value)


def _to_string(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}[value]


def _is_url(text: str) -> bool:
    parsed = urlparse(text)
    return bool(parsed.scheme) or text.startswith("/")


def _url(text: str) -> Any:
    if not _is_url(text):
        raise CelError(f"URL parse error during conversion from string: {text!r}")
    return urlparse(text)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_cidr(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "size": _size,
    "matches": _matches,
    "int": _to_int,
    "uint": _to_int,
    "double": float,
    "string": _to_string,
    "bool": _to_bool,
    "dyn": lambda value: value,
    "timestamp": lambda value: value if isinstance(value, datetime) else read_timestamp(value),
    "duration": lambda value: value if isinstance(value, timedelta) else read_duration(value),
    "isURL": _is_url,
    "url": _url,
    "isIP": _is_ip,
    "isCIDR": _is_cidr,
}

METHODS: Final[dict[str, Callable[..., Any]]] = {
    "size": _size,
    "matches": _matches,
    "contains": _contains,
    "startsWith": lambda text, part: text.startswith(part),
    "endsWith": lambda text, part: text.endswith(part),
    "find": _find,
    "findAll": _find_all,
    "lowerAscii": lambda text: text.lower(),
    "upperAscii": lambda text: text.upper(),
    "trim": lambda text: text.strip(),
    "replace": lambda text, old, new, limit=-1: text.replace(old, new, limit),
    "split": _split,
    "join": lambda items, separator="": separator.join(items),
    "substring": _substring,
    "charAt": lambda text, index: text[index : index + 1],
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "isSorted": _is_sorted,
    "sum": sum,
    "min": min,
    "max": max,
    "getScheme": lambda parsed: parsed.scheme,
    "getHost": lambda parsed: parsed.netloc.rpartition("@")[2],
    "getHostname": lambda parsed: parsed.hostname or "",
    "getPort": lambda parsed: "" if parsed.port is None else str(parsed.port),
    "getEscapedPath": lambda parsed: parsed.path,
    "getSeconds": lambda span: int(span.total_seconds()) if isinstance(span, timedelta) else span.second,
    "getMinutes": lambda span: int(span.total_seconds() // 60) if isinstance(span, timedelta) else span.minute,
    "getHours": lambda span: int(span.total_seconds() // 3600) if isinstance(span, timedelta) else span.hour,
    "getFullYear": lambda moment: moment.year,
    "hasValue": lambda optional: optional.held is not None,
    "value": lambda optional: optional.value(),
    "orValue": lambda optional, other: other if optional.held is None else optional.held[0],
}
