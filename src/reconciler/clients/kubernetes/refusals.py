"""What the API server answers when it does not do as asked, in our words. The facts: KUBE_API, sections 1 to 9."""

from datetime import timedelta
from http import HTTPStatus
from typing import Any

import orjson

from reconciler.domain.errors import (
    AlreadyExists,
    Conflict,
    Invalid,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    ReconcilerError,
    Refused,
    Unavailable,
)
from reconciler.domain.words import cut

SYSTEM = "kubernetes"
_TOO_LARGE = "request is too large"
_MAYBE_DONE = (500, 502, 504)
"""After these a change may have been stored all the same: etcd answered too late, or a proxy lost the answer."""


def refusal(status: int, body: bytes, *, what: str, is_change: bool, retry_after: str | None = None) -> ReconcilerError:
    """Return the error that an answer means.

    Args:
        status: of HTTP.
        body: a `Status`, or plain text from a proxy or an unknown path.
        what: what was asked, for the message (`patch DeploymentRecord a/b`).
        is_change: whether a lost answer leaves the outcome unknown.
        retry_after: the header, if any.
    """
    told = _status_of(body)
    message = f"{what}: {cut(str(told.get('message') or f'HTTP {status}'))}"
    details = told.get("details") or {}
    if status in _PLAIN:
        return _PLAIN[status](message, system=SYSTEM, status=status)
    if status == HTTPStatus.CONFLICT:
        kind = AlreadyExists if told.get("reason") == "AlreadyExists" else Conflict
        return kind(message, system=SYSTEM, status=status)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY and "details" in told and not details:
        # A JSON patch whose `test` failed says no more than this.
        return Conflict(f"{what}: the resource is not as the patch expects", system=SYSTEM, status=status)
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _not_now(status, message, is_change=is_change, wait=_seconds(retry_after, details))
    if status == HTTPStatus.GONE:
        return Unavailable(message, system=SYSTEM, status=status)
    return Invalid(message, field=_field_of(details), system=SYSTEM, status=status)


_PLAIN: dict[int, type[ReconcilerError]] = {401: Refused, 403: Refused, 404: NotFound}


def _not_now(status: int, message: str, *, is_change: bool, wait: timedelta | None) -> ReconcilerError:
    if _TOO_LARGE in message:
        return Invalid(message, field="metadata", system=SYSTEM, status=status)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return RateLimited(message, retry_after=wait, system=SYSTEM, status=status)
    if is_change and status in _MAYBE_DONE:
        return OutcomeUnknown(message, retry_after=wait, system=SYSTEM, status=status)
    return Unavailable(message, retry_after=wait, system=SYSTEM, status=status)


def _status_of(body: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return told if isinstance(told, dict) and told.get("kind") == "Status" else {}


def _field_of(details: dict[str, Any]) -> str:
    fields = [str(cause.get("field") or "") for cause in details.get("causes") or []]
    return next((field for field in fields if field and field != "<nil>"), "")


def _seconds(header: str | None, details: dict[str, Any]) -> timedelta | None:
    try:
        return timedelta(seconds=float(header or details.get("retryAfterSeconds") or ""))
    except (ValueError, OverflowError):
        return None
