"""Endpoints: one per outside system and credential, with breaker, limiter and bounds; how each is, is known here."""

import logging
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from reconciler.app.limits import Limits
from reconciler.clients.asks import Authorization, Translate
from reconciler.clients.endpoint import Bounds, Endpoint
from reconciler.clients.endpoint import Limits as KeepsLimit
from reconciler.domain.clock import Clock, rfc3339
from reconciler.domain.health import Condition, PartState
from reconciler.resilience.breaker import Breaker, Rules, State
from reconciler.resilience.limiter import Limiter, LimiterState
from reconciler.settings.groups import Outside
from reconciler.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)
_BY_HEALTH = (State.CLOSED, State.HALF_OPEN, State.OPEN)


def _unheard(_: Breaker) -> None:
    """Hear nothing."""


class Busy(Protocol):
    """What every group of settings of an outside system says."""

    @property
    def timeout(self) -> timedelta:
        """For one request."""
        ...

    @property
    def concurrency(self) -> int:
        """Requests under way at once."""
        ...

    @property
    def limited_for(self) -> timedelta:
        """How long nothing is asked after a 429 that does not say for how long."""
        ...


@dataclass(frozen=True, slots=True)
class Strain:
    """How far the patience with one system is used up, over all endpoints and keys of it: the worst one counts.

    Attributes:
        breaker: the state.
        since: of that state; None if it never was another one.
        next_probe_at: when an open breaker asks again.
        left_alone_until: until when the system asked not to be asked; None when it did not.
        permits_taken: requests under way.
        permits: so many may be at once.
        permits_waiting: requests that wait for their turn.
        limit: the limiter with the fewest places left; None where there is no limit, or no key yet.
    """

    breaker: State
    since: datetime | None
    next_probe_at: datetime | None
    left_alone_until: datetime | None
    permits_taken: int
    permits: int
    permits_waiting: int
    limit: LimiterState | None


class Endpoints:
    """Makes endpoints, closes them at the end, and tells how they are."""

    def __init__(
        self,
        outside: Outside,
        clock: Clock,
        mask: Callable[[str], str],
        metrics: Metrics,
        turned: Callable[[Breaker], None] = _unheard,
    ) -> None:
        """Make none yet; `turned` is told each turn of a breaker."""
        self._outside = outside
        self._told = turned
        self._rules = Rules(
            failures=outside.breaker_failures,
            rate=outside.breaker_rate,
            calls=outside.breaker_calls,
            window=outside.breaker_window,
            open_for=outside.breaker_open,
        )
        self._clock = clock
        self._mask = mask
        self._metrics = metrics
        self._made: list[Endpoint] = []
        self._limits: dict[str, Limits] = {}
        self._ssl: ssl.SSLContext | bool = True
        if outside.ca_file is not None:
            self._ssl = ssl.create_default_context(cafile=str(outside.ca_file))

    def make(
        self,
        system: str,
        base_url: str,
        busy: Busy,
        *,
        authorization: Authorization | None = None,
        translate: Translate | None = None,
        limiter: KeepsLimit | None = None,
        allowed_origins: Collection[str] = (),
        keeps_cookies: bool = False,
    ) -> Endpoint:
        """Return a new endpoint under what all have in common."""
        outside = self._outside
        breaker = Breaker(system, rules=self._rules, clock=self._clock)
        breaker.listen(partial(self._turned, breaker))
        endpoint = Endpoint(
            system,
            base_url,
            authorization=authorization,
            translate=translate,
            bounds=Bounds(busy.timeout, busy.concurrency, outside.permit_timeout, busy.limited_for),
            breaker=breaker,
            limiter=limiter,
            turned_away=partial(self._turned_away, system),
            allowed_origins=allowed_origins,
            mask=self._mask,
            observe=self._metrics.requests_of(system),
            clock=self._clock,
            ssl=self._ssl,
            keeps_cookies=keeps_cookies,
        )
        self._made.append(endpoint)
        return endpoint

    def limits(self, system: str, limit: int, per: timedelta, *, starts_full: bool) -> Limits:
        """Return the limiters of a system's keys: each may send so many requests in any window."""

        def make() -> Limiter:
            return Limiter(
                limit,
                per,
                name=system,
                clock=self._clock,
                starts_full=starts_full,
                used_up=partial(self._used_up, system),
            )

        made = self._limits[system] = Limits(make)
        return made

    def strain_on(self, system: str) -> Strain | None:
        """Return how far the patience with a system is used up; None while it was not needed yet."""
        endpoints = [endpoint for endpoint in self._made if endpoint.system == system]
        if not endpoints:
            return None
        worst = max((endpoint.breaker for endpoint in endpoints), key=lambda one: _BY_HEALTH.index(one.state))
        fullest = max(endpoints, key=lambda one: one.permits.taken / one.permits.bound).permits
        states = self._limits[system].states() if system in self._limits else []
        return Strain(
            breaker=worst.state,
            since=worst.since,
            next_probe_at=worst.next_probe_at,
            left_alone_until=max((until for one in endpoints if (until := one.left_alone_until)), default=None),
            permits_taken=fullest.taken,
            permits=fullest.bound,
            permits_waiting=sum(endpoint.permits.waiting for endpoint in endpoints),
            limit=min(states, key=lambda one: (one.left, -one.waiting), default=None),
        )

    def state_of(self, system: str) -> PartState:
        """Return how a system is, in words."""
        strain = self.strain_on(system)
        if strain is None:
            return PartState(Condition.UNKNOWN, "not needed yet")
        if strain.breaker is State.CLOSED:
            return PartState(Condition.OK, "; ".join(["answers", *self._words(strain)]), strain.since)
        probe = f", next probe at {rfc3339(strain.next_probe_at)}" if strain.next_probe_at else ", a probe is under way"
        words = "; ".join([f"breaker {strain.breaker}{probe}", *self._words(strain)])
        return PartState(Condition.DEGRADED, words, strain.since)

    def _words(self, strain: Strain) -> list[str]:
        words = []
        if strain.left_alone_until is not None:
            words.append(f"asked to be left alone until {rfc3339(strain.left_alone_until)}")
        if (limit := strain.limit) is not None:
            until = rfc3339(self._clock.now() + timedelta(seconds=limit.free_in))
            left = f"{limit.left} places left" if limit.left else f"used up until {until}"
            words.append(f"own limit of {limit.limit}: {left}, {limit.waiting} wait")
        words.append(f"{strain.permits_taken} of {strain.permits} permits in use, {strain.permits_waiting} wait")
        return words

    async def end(self, endpoint: Endpoint) -> None:
        """Close one that nobody needs any more, and forget it."""
        self._made.remove(endpoint)
        await endpoint.close()

    async def close(self) -> None:
        """Close all sessions."""
        for endpoint in self._made:
            await endpoint.close()

    def _turned(self, breaker: Breaker, system: str, former: State, state: State) -> None:
        self._metrics.breaker_turned(system, state.value)
        level = logging.INFO if state is State.CLOSED else logging.WARNING
        _log.log(level, "%s: breaker %s, was %s", system, state, former)
        self._told(breaker)

    def _used_up(self, system: str, is_used_up: bool) -> None:  # noqa: FBT001 - fits the limiter
        if is_used_up:
            _log.info("%s: our own limit is used up: what is to be asked waits its turn", system)
        else:
            _log.info("%s: our own limit has places again for all that waited", system)

    def _turned_away(self, system: str, is_used_up: bool) -> None:  # noqa: FBT001 - fits the permits
        if is_used_up:
            _log.warning("%s: all permits are in use: requests are turned away", system)
        else:
            _log.info("%s: permits are free again", system)
