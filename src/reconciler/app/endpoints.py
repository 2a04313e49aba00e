"""Endpoints: one per outside system and credential, with breaker, limiter and bounds; how each is, is known here."""

import ssl
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Protocol

from reconciler.clients.asks import Authorization, Translate
from reconciler.clients.endpoint import Bounds, Endpoint
from reconciler.domain.clock import Clock
from reconciler.domain.health import Condition, PartState
from reconciler.resilience.breaker import Breaker, Rules, State
from reconciler.resilience.limiter import Limiter
from reconciler.settings.groups import Outside
from reconciler.telemetry.metrics import Metrics


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


class Endpoints:
    """Makes endpoints, closes them at the end, and tells how they are."""

    def __init__(self, outside: Outside, clock: Clock, mask: Callable[[str], str], metrics: Metrics) -> None:
        self._outside = outside
        self._clock = clock
        self._mask = mask
        self._metrics = metrics
        self._made: list[Endpoint] = []
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
        limiter: Limiter | None = None,
        allowed_origins: Collection[str] = (),
        keeps_cookies: bool = False,
    ) -> Endpoint:
        """Return a new endpoint under what all have in common."""
        outside = self._outside
        rules = Rules(
            failures=outside.breaker_failures,
            rate=outside.breaker_rate,
            calls=outside.breaker_calls,
            window=outside.breaker_window,
            open_for=outside.breaker_open,
        )
        endpoint = Endpoint(
            system,
            base_url,
            authorization=authorization,
            translate=translate,
            bounds=Bounds(busy.timeout, busy.concurrency, outside.permit_timeout),
            breaker=Breaker(system, rules=rules, clock=self._clock, listeners=(self._turned,)),
            limiter=limiter,
            allowed_origins=allowed_origins,
            mask=self._mask,
            observe=self._metrics.requests_of(system),
            clock=self._clock,
            ssl=self._ssl,
            keeps_cookies=keeps_cookies,
        )
        self._made.append(endpoint)
        return endpoint

    def state_of(self, system: str) -> PartState:
        """Return how a system is, over all endpoints of it: the worst one counts."""
        breakers = [endpoint.breaker for endpoint in self._made if endpoint.system == system]
        if not breakers:
            return PartState(Condition.UNKNOWN, "not needed yet")
        shut = [breaker for breaker in breakers if breaker.state is not State.CLOSED]
        if not shut:
            return PartState(Condition.OK, "answers")
        return PartState(Condition.DEGRADED, f"breaker {shut[0].state}; next probe at {shut[0].next_probe_at}")

    async def close(self) -> None:
        """Close all sessions."""
        for endpoint in self._made:
            await endpoint.close()

    def _turned(self, system: str, former: State, state: State) -> None:
        self._metrics.breaker_turned(system, former.value, state.value)
