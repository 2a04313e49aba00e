"""`metav1.Time` and `metav1.MicroTime` as Go reads and writes them."""

import re
from datetime import UTC, datetime
from typing import Any

from reconciler.domain.clock import rfc3339, rfc3339_micro
from reconciler.sandbox.kube.errors import bad_request

_SECONDS = "2006-01-02T15:04:05Z07:00"
_MICROS = "2006-01-02T15:04:05.000000Z07:00"
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _read(text: Any, layout: str, *, micro: bool) -> datetime:
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    if found is None or (micro and len(found[1] or "") != len(".123456")):
        raise bad_request(f'parsing time "{text}" as "{layout}": cannot parse "{text}" as "{layout}"')
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", found[0])).astimezone(UTC)
    except ValueError as error:
        raise bad_request(f'parsing time "{text}": {error}') from error


def whole_seconds(text: Any) -> str:
    """Return a Time in whole seconds, UTC. Raises 400."""
    return rfc3339(_read(text, _SECONDS, micro=False))


def microseconds(text: Any) -> str:
    """Return a MicroTime; it must have exactly six digits of a second. Raises 400."""
    return rfc3339_micro(_read(text, _MICROS, micro=True))
