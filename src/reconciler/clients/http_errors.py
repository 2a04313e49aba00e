"""From what HTTP said, or did not say, to our errors. The only place that does so for every system."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import orjson

from reconciler.domain.errors import (
    Conflict,
    Invalid,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    ReconcilerError,
    Refused,
    Unavailable,
)
from reconciler.domain.words import CUT, cut

ABSOLUTE = 1e8
"""A Retry-After above this is a moment in unix time, not a number of seconds (FACTS 3.1)."""
LONGEST = timedelta(days=1)
"""No longer Retry-After is believed."""

_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?\"'<>]+)\?[^\s\"'<>]*", re.IGNORECASE)
_USER = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/\"'<>]+@", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_SPACE = re.compile(r"\s+")
_READ = 4096
_OUTCOME_UNKNOWN = frozenset({HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})
"""After these a change may have been made all the same: what failed may have come after it."""
_LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, as far as an error's message may tell.

    Attributes:
        system: which outside system.
        operation: the stable short name of the request.
        is_change: whether something may be different after it.
        mask: takes the secrets out of a provider's words.
    """

    system: str
    operation: str
    is_change: bool
    mask: Callable[[str], str] = str

    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, now: datetime) -> ReconcilerError:
        """Return the error for an answer that was not expected."""
        said = cut(words(headers, body, self.mask))
        message = f"{self.system} answered {self.operation} with {status}" + (f": {said}" if said else "")
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return RateLimited(message, retry_after=retry_after(headers, now, body), system=self.system, status=status)
        if self.is_change and status in _OUTCOME_UNKNOWN:
            return OutcomeUnknown(message, system=self.system, status=status)
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER:
            return Unavailable(message, retry_after=retry_after(headers, now), system=self.system, status=status)
        return _FINAL.get(status, Invalid)(message, system=self.system, status=status)

    def error_of_loss(self, why: str, *, was_sent: bool) -> Unavailable:
        """Return the error for an answer that never came; `why` is ours, not the provider's."""
        if self.is_change and was_sent:
            return OutcomeUnknown(
                f"{self.system} was sent {self.operation} and did not answer: {why}", system=self.system
            )
        return Unavailable(f"{self.system} cannot be reached for {self.operation}: {why}", system=self.system)


_FINAL: Mapping[int, type[Refused | NotFound | Conflict | Invalid]] = {
    HTTPStatus.UNAUTHORIZED: Refused,
    HTTPStatus.FORBIDDEN: Refused,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
}


def retry_after(headers: Mapping[str, str], now: datetime, body: bytes | None = None) -> timedelta | None:
    """Return how long a system wants to be left alone, in whichever of the known forms it says so, else None.

    Args:
        headers: names are lower case.
        now: by which moments are turned into waits.
        body: of a refusal for a limit (429); None for other answers, which may carry the limit's headers as well and
            do not speak of it.

    Forms (FACTS 3.1, 4.2, KUBE_API): `Retry-After` as seconds, as HTTP date, as unix time; `X-Retry-After` as unix
    time; `retryAfterSec` in GoDaddy's body; `X-RateLimit-Reset` as unix time or seconds.
    """
    said = [headers.get("retry-after"), headers.get("x-retry-after")]
    if body is not None:
        said += [_hint(body), headers.get("x-ratelimit-reset")]
    delays = (delay for value in said if value and (delay := _delay(value, now)) is not None)
    return next((min(delay, LONGEST) for delay in delays), None)


def _delay(value: str, now: datetime) -> timedelta | None:
    try:
        # A header that came twice is one list; who says two times is left alone for the longer one.
        number = max(float(part) for part in value.split(","))
    except ValueError:
        return _until_date(value, now)
    if not 0 <= number < 1e12:  # noqa: PLR2004 - beyond any unix time in seconds; also refuses nan
        return None
    seconds = number - now.timestamp() if number > ABSOLUTE else number
    return timedelta(seconds=max(0.0, seconds))


def _until_date(value: str, now: datetime) -> timedelta | None:
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=now.tzinfo)
    return max(timedelta(0), moment - now)


def _hint(body: bytes) -> str:
    said = _json(body)
    return str(said.get("retryAfterSec", "")) if isinstance(said, dict) else ""


def words(headers: Mapping[str, str], body: bytes, mask: Callable[[str], str] = str) -> str:
    """Return what a system says about an error: one line, no markup, no query strings, no user information.

    `mask` takes secrets out first: what the other steps have changed it would not find any more.
    """
    said = headers.get("x-error") or _from_json(_json(body)) or _from_text(headers, body)
    line = _SPACE.sub(" ", mask(said)).strip()
    return _USER.sub(r"\1", _QUERY.sub(r"\1", line))


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _from_json(said: Any) -> str:
    """Read `message`, `error`, `detail` or the first of `errors`, with a `code` before it where that is a word."""
    match said:
        case {"errors": [first, *_]}:
            return _from_json(first)
        case str():
            return said
        case dict():
            code = said.get("code")
            text = next((said[name] for name in ("message", "error", "detail", "errinfo") if said.get(name)), "")
            text = text if isinstance(text, str) else _from_json(text)
            return f"{code}: {text}" if isinstance(code, str) and code and code != text else text
        case _:
            return ""


def _from_text(headers: Mapping[str, str], body: bytes) -> str:
    kind = headers.get("content-type", "")
    text = body[:_READ].decode("utf-8", "replace") + (CUT if len(body) > _READ else "")
    if "html" in kind or text.lstrip()[:1] == "<":
        title = _TITLE.search(text)
        return title.group(1) if title else ""
    return text.partition("\n")[0] if kind.startswith("text/") else ""
