"""The life of an environment: how people move its end, when they are warned of it, when it is looked at next. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from reconciler.domain import annotations
from reconciler.domain.clock import rfc3339
from reconciler.domain.lifetimes import (
    LONGEST,
    NoDuration,
    after_pause,
    after_pin,
    end_of,
    extended,
    extension_of,
    is_to_warn,
    moments,
)
from reconciler.domain.resources import Environment, EnvironmentPhase, EnvironmentStatus
from reconciler.domain.resources.environment import Warned
from reconciler.environments.slot import is_held_by_itself

_SHORTEST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """The operator's rules.

    Attributes:
        warn_before: how long before its end people are told that an environment expires.
        cleanup_timeout: how long one pass over an expired environment may take.
        between_passes: how long what is not gone then is left alone.
        skip: kinds of the inventory that an expiry leaves where they are.
    """

    warn_before: timedelta = timedelta(hours=1)
    cleanup_timeout: timedelta = timedelta(seconds=300)
    between_passes: timedelta = timedelta(minutes=5)
    skip: frozenset[str] = frozenset()


def expiry_of(environment: Environment) -> datetime | None:
    """Return when the environment ends; None while it does not."""
    return None if environment.is_pinned or environment.is_paused else environment.status.expires_at


def steered(
    environment: Environment, server_now: datetime, rules: Lifetimes, *, is_awaited: bool = False
) -> EnvironmentStatus:
    """Return the status with everything done that annotations, pins and pauses ask for; refusals are said in words.

    What is asked before the removal began wins: whoever takes the slot to remove writes guarded by the version that
    carries no such request. After that a request is refused.

    Args:
        environment: as it is.
        server_now: the API server's time.
        rules: the operator's.
        is_awaited: whether a deployment to it has not ended yet.
    """
    steering = _Steering(environment, server_now, rules)
    if not is_awaited:
        steering.begin()
    steering.pause()
    steering.pin()
    steering.release()
    steering.extend()
    steering.expire()
    return environment.status.model_copy(update=steering.changes)


def warned(environment: Environment, server_now: datetime, rules: Lifetimes) -> Warned | None:
    """Return the last warning: a new one where the end is near, and nobody was told of it."""
    old, expires_at = environment.status.warned, expiry_of(environment)
    if expires_at is None or environment.status.holder is not None or server_now >= expires_at:
        return old
    if not is_to_warn(expires_at, old.expires_at if old else None, server_now, rules.warn_before):
        return old
    sequence, announced = (old.sequence + 1, old.announced) if old else (1, 0)
    return Warned(expires_at=expires_at, sequence=sequence, announced=announced)


def next_look(environment: Environment, now: datetime, server_now: datetime, rules: Lifetimes) -> datetime | None:
    """Return by our own clock what is due next by the API server's: the two may differ."""
    expires_at = expiry_of(environment)
    if expires_at is None:
        return None
    last = environment.status.warned
    is_quiet = environment.status.holder is not None  # whoever deploys moves the end: nobody is warned of it meanwhile
    warned_for = expires_at if is_quiet else last.expires_at if last else None
    moment = min(moments(expires_at, warned_for, rules.warn_before))
    return now + max(moment - server_now, _SHORTEST)


class _Steering:
    """Collects what becomes of the requests on one environment."""

    def __init__(self, environment: Environment, now: datetime, rules: Lifetimes) -> None:
        self._environment = environment
        self._status = environment.status
        self._annotations = environment.metadata.annotations
        self._now = now
        self._rules = rules
        self._expires_at = environment.status.expires_at
        self._handled = dict(environment.status.handled)
        self._refusals = dict(environment.status.refusals)
        self._hold = environment.status.hold
        self._extension = environment.status.extension
        self._paused_since = environment.status.paused_since

    @property
    def changes(self) -> dict[str, Any]:
        """What is new in the status."""
        return {
            "expires_at": self._expires_at,
            "handled": self._handled,
            "refusals": self._refusals,
            "hold": self._hold,
            "extension": self._extension,
            "paused_since": self._paused_since,
            "pinned": self._environment.is_pinned,
        }

    def begin(self) -> None:
        """Give a preview that nothing became current in an end, too: from when nobody deploys to it any more."""
        status, environment = self._status, self._environment
        is_left = status.holder is None and not status.current and status.phase is not EnvironmentPhase.EXPIRED
        if environment.is_preview and is_left and self._expires_at is None:
            self._expires_at = end_of(self._now, environment.spec.ttl)

    def pause(self) -> None:
        if self._environment.is_paused:
            self._paused_since = self._paused_since or self._now
        elif self._paused_since is not None:
            self._expires_at = after_pause(self._expires_at, self._paused_since, self._now)
            self._paused_since = None

    def pin(self) -> None:
        if self._status.pinned and not self._environment.is_pinned and not self._is_expiring:
            self._expires_at = after_pin(self._expires_at, self._now, self._rules.warn_before)
        is_asked = annotations.is_set(self._annotations, annotations.PINNED)
        is_news = is_asked and annotations.PINNED not in self._handled
        self._handled = annotations.with_state(self._handled, self._annotations, annotations.PINNED)
        if not is_asked:
            self._refusals.pop(annotations.PINNED, None)
        elif is_news and self._is_expiring:
            self._refusals[annotations.PINNED] = self._too_late

    def release(self) -> None:
        if self._take(annotations.RELEASE) is not None:
            self._hold = None

    def extend(self) -> None:
        token = self._take(annotations.EXTEND)
        if token is None:
            return
        try:
            by = extension_of(token)
        except NoDuration as error:
            self._refuse(annotations.EXTEND, f"{token.partition('/')[0][:32]!r} {error}; say 24h or 24h/any-token")
            return
        self._extend(by)

    def _extend(self, by: timedelta) -> None:
        is_deploying = self._status.holder is not None and not self._is_expiring
        if self._is_expiring:
            self._refuse(annotations.EXTEND, self._too_late)
        elif self._expires_at is None and is_deploying:
            self._extension = min((self._extension or timedelta(0)) + by, LONGEST)
        elif self._expires_at is None:
            self._refuse(annotations.EXTEND, "it has no end that could be moved: nothing with a ttl is current there")
        elif (later := extended(self._expires_at, by, self._now)) - self._now > LONGEST:
            self._refuse(annotations.EXTEND, "it would live longer than 100 years; pin it")
        else:
            self._expires_at = later
            if is_deploying:
                self._extension = min((self._extension or timedelta(0)) + by, LONGEST)

    def expire(self) -> None:
        if self._take(annotations.EXPIRE) is None or self._is_expiring:
            return
        holder = self._status.holder
        if holder is not None:
            self._refuse(annotations.EXPIRE, f"DeploymentRecord {holder.record} is being deployed; ask when it ended")
        elif self._environment.is_pinned:
            self._refuse(annotations.EXPIRE, "it is pinned; unpin it first")
        elif self._environment.is_paused:
            self._refuse(annotations.EXPIRE, f"it is on pause; take the annotation {annotations.PAUSED} off first")
        elif not (self._status.current or self._status.inventory or self._environment.is_preview):
            self._refuse(annotations.EXPIRE, "nothing runs there")
        else:
            self._expires_at = self._now

    @property
    def _is_expiring(self) -> bool:
        return is_held_by_itself(self._environment)

    @property
    def _too_late(self) -> str:
        holder = self._status.holder
        since = f" at {rfc3339(holder.since)}" if holder and holder.since else ""
        return f"too late: its removal began{since}; deploy again when it has expired"

    def _take(self, request: str) -> str | None:
        """Return the token of a request that is handled now; what was said of the one before is over."""
        token = annotations.asked(self._annotations, self._handled, request)
        if token is not None:
            self._handled = annotations.with_request(self._handled, self._annotations, request)
            self._refusals.pop(request, None)
        return token

    def _refuse(self, request: str, why: str) -> None:
        self._refusals[request] = why[:256]
