"""How a request is written: bodies, header names."""

from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlencode

import orjson

from reconciler.clients.asks import Headers


def payload_of(
    method: str, *, json: Any, body: bytes | str | None, form: Mapping[str, str] | None
) -> tuple[bytes | None, dict[str, str]]:
    """Return body and Content-Type; Argo CD wants `application/json` exactly on all but GET, even without a body."""
    if form is not None:
        return urlencode(form).encode(), {"content-type": "application/x-www-form-urlencoded"}
    if json is not None:
        return orjson.dumps(json), {"content-type": "application/json"}
    content = body.encode() if isinstance(body, str) else body
    return content, {} if method in {"GET", "HEAD"} else {"content-type": "application/json"}


def changes(method: str, is_change: bool | None) -> bool:  # noqa: FBT001 - the caller's own answer, if any
    """Whether a request may change something, by its method unless the caller says so."""
    return method not in {"GET", "HEAD"} if is_change is None else is_change


def lower(headers: Headers | None) -> dict[str, str]:
    """Lower the names of headers."""
    return {name.lower(): value for name, value in (headers or {}).items()}


def without(said: str, secrets: Collection[str]) -> str:
    """Take given values out of a text."""
    for secret in secrets:
        said = said.replace(secret, "***")
    return said
