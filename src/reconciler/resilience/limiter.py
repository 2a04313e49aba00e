"""A provider's limit, kept from our side: so many requests in any window of time, never one more, and in fair order.

A token bucket lets burst and leak through together (119 calls in a window of 60); a list of send times does not.

Nobody stands in a queue: a look that must wait longer than a moment is turned away with the time of its place, and
comes back. The line remembers it by its errand, so that those who come later, and ask sooner, do not overtake it.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import timedelta

from reconciler.domain.clock import Clock, SystemClock, rfc3339
from reconciler.domain.errors import RateLimited
from reconciler.resilience.errand import Errand, errand

_GRACE = 10.0
"""Who does not come back so many seconds after its place was free has lost its turn."""
_TURN = 10.0
"""Whose turn it is may ask on for so many seconds: a look needs more than one request."""
_SWEEP_PATIENCE = 5
"""After so many windows a sweep is let in before others, one sweep a window."""
_SHARE = 4
"""One part in so many of the window is left free by sweeps, and is all that one errand gets in one turn."""


@dataclass(frozen=True, slots=True)
class LimiterState:
    """A limiter at one moment.

    Attributes:
        limit: places in a window.
        left: places that are free now.
        free_in: seconds until one is free for who comes now.
        waiting: errands that were turned away and are expected back.
        sweeps: so many of them are sweeps.
    """

    limit: int
    left: int
    free_in: float
    waiting: int
    sweeps: int


@dataclass(slots=True)
class _Waiter:
    errand: Errand
    number: int
    """Who has the lower one asked first."""
    since: float
    expected_until: float = -math.inf
    taken: int = 0


def _unheard(_: bool) -> None:  # noqa: FBT001 - a row
    """Hear nothing."""


class Limiter:
    """A sliding window, shared by everything that uses one key.

    Places are given in the order in which errands first asked. A sweep comes after everybody else and leaves a quarter
    of the window free, but is let in when it has waited for five windows.
    The window is kept a little longer (`slack`) than promised, because the provider counts on arrival.
    """

    def __init__(
        self,
        limit: int,
        per: timedelta,
        *,
        name: str = "",
        clock: Clock | None = None,
        starts_full: bool = True,
        slack: float = 0.02,
        used_up: Callable[[bool], None] = _unheard,
    ) -> None:
        """Allow `limit` sends per `per`.

        Args:
            limit: at least 1.
            per: the window.
            name: the system, for messages.
            clock: monotonic time; its wall clock is for messages only.
            starts_full: count the window as used up at the start: a process before this one may just have used it.
            slack: the share by which the window is lengthened.
            used_up: told True when somebody is turned away, False when everybody who was has had a turn.
        """
        self._limit = limit
        self._seconds = per.total_seconds() * (1 + slack)
        self._share = max(1, limit // _SHARE)
        self._name = name
        self._clock = clock or SystemClock()
        self._used_up = used_up
        now = self._clock.monotonic()
        self._sends: deque[float] = deque([now] * limit if starts_full else (), maxlen=limit)
        self._not_before = -math.inf
        self._line: dict[Hashable, _Waiter] = {}
        self._numbers = 0
        self._favourite: Hashable | None = None
        self._next_favour = -math.inf
        self._is_used_up = False

    def state(self) -> LimiterState:
        """Return how it is now."""
        now = self._clock.monotonic()
        self._forget_the_late(now)
        free = self._limit - sum(sent + self._seconds > now for sent in self._sends)
        sweeps = sum(waiter.errand.is_sweep for waiter in self._line.values())
        left = free if now >= self._not_before else 0
        free_in = max(0.0, self._place(self._ahead_of(_Waiter(Errand(), self._numbers, now)), now) - now)
        return LimiterState(self._limit, left, free_in, len(self._line), sweeps)

    def leave_alone(self, seconds: float) -> None:
        """Give no places for so long: the provider said so, to whoever uses the key."""
        self._not_before = max(self._not_before, self._clock.monotonic() + seconds)

    def reserve(self, patience: float = 0.0) -> float:
        """Take the next place and return the seconds to wait for it; a place not used is lost, not lent.

        Raises:
            RateLimited: the wait would be longer than `patience` seconds; nothing is taken.
        """
        now, asker = self._clock.monotonic(), errand()
        if not self._line and not asker.is_sweep and (place := self._place(0, now)) <= now + patience:
            self._sends.append(place)
            if self._is_used_up:
                self._tell(is_used_up=False)
            return place - now
        self._forget_the_late(now)
        waiter = self._line.get(asker.name) or _Waiter(asker, self._numbers, now)
        waiter.errand = asker  # it may have become urgent, or cease to be
        self._favour(waiter, now)
        ahead = self._ahead_of(waiter)
        wait = max(0.0, self._place(ahead, now) - now)
        # Only the next place of all may be taken before it is free: the sends stay in order.
        if wait > (patience if ahead == 0 else 0.0):
            self._turn_away(waiter, now, wait)
            raise self._refusal(wait)
        self._sends.append(now + wait)
        self._note_turn(waiter, now)
        return wait

    async def acquire(self, patience: float = 0.0) -> None:
        """Take a place and wait for it, at most `patience` seconds. Raises RateLimited."""
        if wait := self.reserve(patience):
            await asyncio.sleep(wait)

    # The window

    def _place(self, ahead: int, now: float) -> float:
        """Return when there is a place for who has so many before it."""
        rounds, index = divmod(ahead, self._limit)
        free = self._limit - len(self._sends)
        used = self._sends[index - free] + self._seconds if index >= free else -math.inf
        return max(now, used, self._not_before) + rounds * self._seconds

    # The line

    def _ahead_of(self, waiter: _Waiter) -> int:
        """Count the places that are not for this one: one for each who comes before, and what a sweep leaves free."""
        if not self._line and not waiter.errand.is_sweep:
            return 0
        mine = self._rank(waiter)
        before = sum(self._rank(other) < mine for other in self._line.values() if other is not waiter)
        return before + (self._limit // _SHARE if mine[0] else 0)

    def _rank(self, waiter: _Waiter) -> tuple[bool, int]:
        makes_way = waiter.errand.is_sweep and waiter.errand.name != self._favourite
        return makes_way, waiter.number

    def _favour(self, waiter: _Waiter, now: float) -> None:
        """Let a sweep that has waited for long come before others, now and then."""
        if not waiter.errand.is_sweep or self._favourite is not None or now < self._next_favour:
            return
        if waiter.errand.name in self._line and now - waiter.since >= _SWEEP_PATIENCE * self._seconds:
            self._favourite = waiter.errand.name
            self._next_favour = now + self._seconds

    def _turn_away(self, waiter: _Waiter, now: float, wait: float) -> None:
        if waiter.errand.name is not None:
            waiter.expected_until = now + wait + _GRACE
            self._numbers += waiter.errand.name not in self._line
            self._line[waiter.errand.name] = waiter
        self._tell(is_used_up=True)

    def _note_turn(self, waiter: _Waiter, now: float) -> None:
        if waiter.errand.name in self._line:
            waiter.taken += 1
            waiter.expected_until = now + _TURN
            if waiter.taken >= self._share:
                self._forget(waiter.errand.name)
        if not self._line:
            self._tell(is_used_up=False)

    def _forget_the_late(self, now: float) -> None:
        for name in [name for name, waiter in self._line.items() if waiter.expected_until <= now]:
            self._forget(name)

    def _forget(self, name: Hashable) -> None:
        del self._line[name]
        if name == self._favourite:
            self._favourite = None

    def _tell(self, *, is_used_up: bool) -> None:
        if is_used_up is not self._is_used_up:
            self._is_used_up = is_used_up
            self._used_up(is_used_up)

    def _refusal(self, wait: float) -> RateLimited:
        until = rfc3339(self._clock.now() + timedelta(seconds=wait))
        limit = f"our own limit of {self._limit} requests in {self._seconds:.0f} s to {self._name}"
        return RateLimited(f"{limit} is used up until {until}", retry_after=timedelta(seconds=wait), system=self._name)
