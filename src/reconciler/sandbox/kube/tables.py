"""Tables (`as=Table`) and PartialObjectMetadata: what kubectl prints from."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from reconciler.sandbox.kube.errors import JSON
from reconciler.sandbox.kube.resources import Column, Resource, json_path

NAME: Final = Column(
    "Name",
    "string",
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a "
    "client to request the generation of an appropriate name automatically.",
    json_path(".metadata.name"),
    format="name",
)
AGE: Final = Column(
    "Age",
    "date",
    "CreationTimestamp is a timestamp representing the server time when this object was created.",
    json_path(".metadata.creationTimestamp"),
)


def custom_columns(printed: list[JSON]) -> tuple[Column, ...]:
    """Return the columns of a custom resource from `additionalPrinterColumns`."""
    if not printed:
        return (NAME, AGE)
    return (NAME, *(_printed(source) for source in printed))


def _printed(source: JSON) -> Column:
    path = source["jsonPath"]
    return Column(
        source["name"],
        source["type"],
        source.get("description") or f"Custom resource definition column (in JSONPath format): {path}",
        json_path(path),
        source.get("format", ""),
        source.get("priority", 0),
    )


def age(text: str, now: datetime) -> str:
    """Return how long ago an RFC 3339 time was, as kubectl writes it: `6s`, `2m59s`, `3h5m`, `4d2h`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return "<invalid>"
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = int((now - moment).total_seconds())
    if seconds < -1:
        return "<invalid>"
    return _span(max(0, seconds))


_MINUTE, _HOUR, _DAY, _YEAR = 60, 3600, 86_400, 31_536_000


def _span(seconds: int) -> str:  # noqa: PLR0911 - the steps of apimachinery's HumanDuration, one line each
    if seconds < 2 * _MINUTE:
        return f"{seconds}s"
    if seconds < 10 * _MINUTE:
        return _two(seconds, _MINUTE, "m", 1, "s")
    if seconds < 3 * _HOUR:
        return f"{seconds // _MINUTE}m"
    if seconds < 8 * _HOUR:
        return _two(seconds, _HOUR, "h", _MINUTE, "m")
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR}h"
    if seconds < 8 * _DAY:
        return _two(seconds, _DAY, "d", _HOUR, "h")
    if seconds < 2 * _YEAR:
        return f"{seconds // _DAY}d"
    if seconds < 8 * _YEAR:
        return _two(seconds, _YEAR, "y", _DAY, "d")
    return f"{seconds // _YEAR}y"


def _two(seconds: int, big: int, big_unit: str, small: int, small_unit: str) -> str:
    rest = seconds % big // small
    return f"{seconds // big}{big_unit}" + (f"{rest}{small_unit}" if rest else "")


def _cell(column: Column, obj: JSON, now: datetime) -> Any:
    value = column.cell(obj)
    if value is None:
        return None
    if (column.is_age or column.type == "date") and isinstance(value, str):
        return age(value, now)
    if column.type in {"integer", "number", "boolean"} and isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if column.type == "string" and not isinstance(value, str):
        return str(value)
    return value


def partial(obj: JSON, version: str = "v1") -> JSON:
    """Return the object's PartialObjectMetadata."""
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": obj["metadata"]}


def table(
    resource: Resource,
    objects: Iterable[JSON],
    metadata: JSON,
    now: datetime,
    *,
    include: str,
    columns: bool = True,
    version: str = "v1",
) -> JSON:
    """Return a Table; `include` says what stands beside the cells (None, Metadata or Object)."""
    shown = resource.columns
    rows = []
    for obj in objects:
        beside = obj if include == "Object" else None if include == "None" else partial(obj, version)
        rows.append({"cells": [_cell(column, obj, now) for column in shown], "object": beside})
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": metadata,
        "columnDefinitions": [column.definition() for column in shown] if columns else None,
        "rows": rows,
    }
