"""Stop asking a system that does not answer, and find out with exactly one request whether it does again.

CLOSED admits everything; it opens on so many failures in a row, or on a rate of failures in a sliding window.
OPEN admits nothing until its time is over; HALF_OPEN admits one probe, whose result closes it or opens it again.
A result that belongs to an earlier state is dropped: a slow call from before says nothing about now.

It remembers whose errands it `turned_away`, so that they can be called and need not come back to find out.
"""

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random
from types import TracebackType
from typing import Self

from reconciler.domain.clock import Clock, SystemClock, rfc3339
from reconciler.domain.errors import CircuitOpen, NotSent, RateLimited, ReconcilerError, Unavailable
from reconciler.resilience.errand import errand


class State(StrEnum):
    """What a breaker does with the next request."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


_CLOSED = State.CLOSED
"""Asked at every request: looking it up in the class costs more than the question."""

Listener = Callable[[str, State, State], None]
"""Called with the breaker's name, its former and its new state; must not raise."""

_PROBE_BUSY = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Rules:
    """When to open and for how long.

    Attributes:
        failures: so many in a row open it.
        rate: or this share of the calls in `window`, when there were at least `calls`.
        calls: the least number of calls that make a rate.
        window: how far back the rate looks, in whole seconds.
        open_for: how long nothing is asked; up to `jitter` of it is added, so that replicas do not probe in step.
        jitter: a share, 0 for none.
    """

    failures: int = 5
    rate: float = 0.5
    calls: int = 20
    window: timedelta = timedelta(seconds=30)
    open_for: timedelta = timedelta(seconds=60)
    jitter: float = 0.1


class Breaker:
    """One per outside system and credential.

    Attributes:
        name: the system.
        state: what it does with the next request.
        since: of the state, by the wall clock; None as long as it never turned.
        era: counts the turns.
    """

    def __init__(
        self,
        name: str,
        *,
        rules: Rules | None = None,
        clock: Clock | None = None,
        random: Random | None = None,
    ) -> None:
        self.name = name
        self.state = State.CLOSED
        self.since: datetime | None = None
        self.era = 0
        self._rules = rules or Rules()
        self._clock = clock or SystemClock()
        self._random = random or Random()  # noqa: S311 - spreads load, hides nothing
        self._listeners: list[Listener] = []
        self._in_a_row = 0
        self._recent = _Recent(self._rules.window)
        self._opens_until = 0.0
        self._is_probing = False
        self._turned_away: dict[Hashable, None] = {}

    @property
    def next_probe_at(self) -> datetime | None:
        """When the next probe may go; None while the breaker is not open."""
        if self.state is not State.OPEN:
            return None
        return self._clock.now() + timedelta(seconds=self._seconds_left())

    @property
    def may_be_probed(self) -> bool:
        """Whether the next request would be admitted as a probe."""
        return self.state is not _CLOSED and not self._is_probing and self._seconds_left() == 0

    def turned_away(self, most: int | None = None) -> list[Hashable]:
        """Return, once, the names of the errands that were turned away and not returned yet: who came first, first."""
        names = list(self._turned_away)[:most]
        for name in names:
            del self._turned_away[name]
        return names

    def listen(self, listener: Listener) -> None:
        """Tell `listener` about every change of state from now on."""
        self._listeners.append(listener)

    def check(self) -> None:
        """Raise CircuitOpen if a call would not be admitted now. Takes nothing."""
        if self.state is _CLOSED:
            return
        if self.state is State.OPEN and self._seconds_left() > 0:
            raise self._refusal(timedelta(seconds=self._seconds_left()))
        if self.state is State.HALF_OPEN and self._is_probing:
            raise self._refusal(_PROBE_BUSY)

    def admit(self) -> "Call":
        """Admit one call, which must be settled. Raises CircuitOpen."""
        if self.state is _CLOSED:
            return Call(self, self.era)
        self.check()
        if self.state is State.OPEN:
            self._turn(State.HALF_OPEN)
        self._is_probing = self.state is State.HALF_OPEN
        return Call(self, self.era)

    def settle(self, era: int, *, failed: bool | None) -> None:
        """Take the result of a call of `era`; None: it says nothing (cancelled, never sent)."""
        if era != self.era:
            return
        if self.state is not _CLOSED:
            self._settle_probe(failed=failed)
        elif failed is not None:
            self._count(failed=failed)

    def _settle_probe(self, *, failed: bool | None) -> None:
        if self.state is not State.HALF_OPEN:
            return
        self._is_probing = False
        if failed is not None:
            self._turn(State.OPEN if failed else State.CLOSED)

    def _count(self, *, failed: bool) -> None:
        self._in_a_row = self._in_a_row + 1 if failed else 0
        calls, failures = self._recent.add(self._clock.monotonic(), failed=failed)
        too_often = calls >= self._rules.calls and failures / calls >= self._rules.rate
        if self._in_a_row >= self._rules.failures or too_often:
            self._turn(State.OPEN)

    def _turn(self, state: State) -> None:
        former, self.state = self.state, state
        self.since = self._clock.now()
        self.era += 1
        self._is_probing = False
        if state is State.OPEN:
            seconds = self._rules.open_for.total_seconds()
            self._opens_until = self._clock.monotonic() + seconds * (1 + self._rules.jitter * self._random.random())
        if state is State.CLOSED:
            self._in_a_row = 0
            self._recent = _Recent(self._rules.window)
        for listener in self._listeners:
            listener(self.name, former, state)

    def _seconds_left(self) -> float:
        return max(0.0, self._opens_until - self._clock.monotonic())

    def _refusal(self, retry_after: timedelta) -> CircuitOpen:
        if (name := errand().name) is not None:
            self._turned_away[name] = None
        probe = rfc3339(self._clock.now() + retry_after)
        message = f"{self.name} is not asked, it failed before: breaker {self.state}, next probe at {probe}"
        return CircuitOpen(message, retry_after=retry_after, system=self.name)


class Call:
    """An admitted call. Settle it once, or use it as a context that judges by the error that leaves it."""

    __slots__ = ("_breaker", "_era", "_is_settled")

    def __init__(self, breaker: Breaker, era: int) -> None:
        self._breaker = breaker
        self._era = era
        self._is_settled = False

    def passed(self) -> None:
        """Say that the system answered."""
        self._settle(failed=False)

    def failed(self) -> None:
        """Say that the system did not answer, or not as one that works."""
        self._settle(failed=True)

    def give_back(self) -> None:
        """Say that nothing was learned: a cancelled probe leaves its place to the next one."""
        self._settle(failed=None)

    def _settle(self, *, failed: bool | None) -> None:
        if not self._is_settled:
            self._is_settled = True
            self._breaker.settle(self._era, failed=failed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.passed()
        elif counts_against(error):
            self.failed()
        elif isinstance(error, ReconcilerError) and not isinstance(error, NotSent):
            self.passed()
        else:
            self.give_back()


def counts_against(error: BaseException) -> bool:
    """Whether an error says that the system is unwell: no connection, no answer in time, 5xx. A 4xx never does."""
    if not isinstance(error, Unavailable) or isinstance(error, RateLimited | NotSent):
        return False
    return error.status is None or error.status >= 500  # noqa: PLR2004 - HTTP's server errors


class _Recent:
    """Counts of the last seconds, one bucket per second, and their sums."""

    def __init__(self, window: timedelta) -> None:
        self._seconds = max(1, round(window.total_seconds()))
        self._buckets: deque[list[int]] = deque()
        self._calls = 0
        self._failures = 0

    def add(self, now: float, *, failed: bool) -> tuple[int, int]:
        """Count a call, and return how many calls and failures there were in the window."""
        second, buckets = int(now), self._buckets
        if not buckets or buckets[-1][0] != second:
            buckets.append([second, 0, 0])
            while buckets[0][0] <= second - self._seconds:
                _, calls, failures = buckets.popleft()
                self._calls -= calls
                self._failures -= failures
        last = buckets[-1]
        last[1] += 1
        last[2] += failed
        self._calls += 1
        self._failures += failed
        return self._calls, self._failures
