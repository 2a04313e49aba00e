"""The kinds of values a setting may have: each knows how it is written, what is allowed and how it is shown."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

_UNITS: Mapping[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be written, as a phrase for errors and the reference page."""

    what: str


def read_duration(written: Any) -> Any:
    """Read `30`, `30s`, `500ms`, `1h30m`, `7d`; anything else is left to pydantic (ISO 8601)."""
    if not isinstance(written, str):
        return written
    text = written.strip().lower()
    if _NUMBER.fullmatch(text):
        return timedelta(seconds=float(text))
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return written
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))


def write_duration(span: timedelta) -> str:
    """Write a duration as it may be read: `1h30m`, `500ms`."""
    left, written = round(span.total_seconds() * 1000), ""
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, round(_UNITS[unit] * 1000))
        written += f"{count}{unit}" if count else ""
    return written or "0s"


def _read_list(written: Any) -> Any:
    if not isinstance(written, str):
        return written
    return tuple(word for word in (part.strip() for part in written.split(",")) if word)


def _read_url(written: str) -> str:
    if not written or written.lower() == "none":
        return ""
    parts = urlsplit(written)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it has no http or https scheme, or no host")
    if parts.username is not None:
        raise ValueError("user information does not belong into a URL")
    if parts.query or parts.fragment:
        raise ValueError("a base URL has no query and no fragment")
    _ = parts.port  # raises ValueError when it is no port
    return written.rstrip("/")


def _read_optional(written: Any) -> Any:
    return None if isinstance(written, str) and written.strip().lower() in {"", "none"} else written


Duration = Annotated[timedelta, BeforeValidator(read_duration), Allowed("a duration such as 500ms, 30s, 10m, 2h, 7d")]
OptionalDuration = Annotated[
    timedelta | None,
    BeforeValidator(read_duration),
    BeforeValidator(_read_optional),
    Allowed("none, or a duration such as 30s, 10m, 2h, 7d"),
]
Words = Annotated[tuple[str, ...], BeforeValidator(_read_list), Allowed("words separated by commas")]
InventoryKinds = Annotated[
    tuple[Literal["Application", "Record"], ...],
    BeforeValidator(_read_list),
    Allowed("Application, Record, both separated by a comma, or nothing"),
]
Address = Annotated[str, AfterValidator(_read_url), Allowed("an http or https URL without user information and query")]
OptionalAddress = Annotated[
    str, AfterValidator(_read_url), Allowed("an http or https URL without user information and query, or none")
]
OptionalPath = Annotated[Path | None, BeforeValidator(_read_optional), Allowed("the path of a file")]
Secret = Annotated[SecretStr, Allowed("a secret")]


def show(value: Any) -> str:
    """Write a setting's value as it would be written in a variable; secrets are hidden."""
    match value:
        case SecretStr():
            return "(hidden)" if value.get_secret_value() else ""
        case timedelta():
            return write_duration(value)
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(value)
        case None:
            return "none"
        case _:
            return str(value)
