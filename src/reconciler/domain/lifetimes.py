"""How long an environment lives: its end, what moves it, when people are warned. Pure; by the API server's clock."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from reconciler.domain.resources.common import parse_duration

LONGEST = timedelta(days=36_500)
"""What is asked to live longer than that lives for ever."""


class NoDuration(ValueError):
    """An extension that does not say by how much."""


def end_of(begin: datetime, ttl: timedelta | None) -> datetime | None:
    """Return when a life ends that begins at a moment, None for never."""
    return begin + ttl if ttl and ttl <= LONGEST else None


def extension_of(token: str) -> timedelta:
    """Return by how much `24h` or `24h/any-token` extends a life. Raises NoDuration."""
    text = token.partition("/")[0].strip()
    try:
        by: timedelta = parse_duration(text)
    except (ValueError, OverflowError) as error:
        raise NoDuration(str(error)) from error
    if not timedelta(0) < by <= LONGEST:
        raise NoDuration("must be more than nothing and at most 100 years")
    return by


def extended(expires_at: datetime, by: timedelta, now: datetime) -> datetime:
    """Return the later end: counted from the end as it was, from now where that is over."""
    return max(expires_at, now) + by


def after_pause(expires_at: datetime | None, paused_since: datetime | None, now: datetime) -> datetime | None:
    """Return the end with the time of a pause added: on pause the clock of a life stands still."""
    if expires_at is None or paused_since is None:
        return expires_at
    return expires_at + max(now - paused_since, timedelta(0))


def after_pin(expires_at: datetime | None, now: datetime, warn_before: timedelta) -> datetime | None:
    """Return the end of what is pinned no more: not before people could be warned of it."""
    return None if expires_at is None else max(expires_at, now + warn_before)


def is_to_warn(expires_at: datetime, warned_for: datetime | None, now: datetime, warn_before: timedelta) -> bool:
    """Tell whether people are to be told of the end now: once for each end."""
    return warned_for != expires_at and now >= expires_at - warn_before


def moments(expires_at: datetime, warned_for: datetime | None, warn_before: timedelta) -> Iterator[datetime]:
    """Yield when something is to be done about the end: a warning where it was not given yet, and the end."""
    if warned_for != expires_at:
        yield expires_at - warn_before
    yield expires_at
