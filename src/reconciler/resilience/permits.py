"""How many requests may be under way to one system; who comes first goes first, and nobody waits long."""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from types import TracebackType

from reconciler.domain.errors import Unavailable
from reconciler.resilience.errand import errand

_SHARE = 4
"""Sweeps leave one place in so many to what somebody waits for."""
_SWEEP_EVERY = 8
"""Of so many places that become free while others wait, one goes to a sweep that waits."""

_Line = deque[asyncio.Future[None]]


def _unheard(_: bool) -> None:  # noqa: FBT001 - a row
    """Hear nothing."""


class Permits:
    """A concurrency bound with a short, fair wait: who holds a permit is inside of it (`async with permits`).

    Attributes:
        bound: so many at once.
        taken: so many are under way.
    """

    def __init__(
        self,
        bound: int,
        *,
        patience: timedelta = timedelta(seconds=1),
        name: str = "",
        used_up: Callable[[bool], None] = _unheard,
    ) -> None:
        """Let `bound` through at once; another one waits at most `patience` (0: not at all).

        Args:
            bound: at least 1.
            patience: of who waits.
            name: the system, for messages.
            used_up: told True when somebody is turned away, False when half of the places are free again.
        """
        self.bound = bound
        self.taken = 0
        self._kept = bound // _SHARE
        self._patience = patience
        self._name = name
        self._used_up = used_up
        self._is_used_up = False
        self._urgent: _Line = deque()
        self._sweeps: _Line = deque()
        self._given = 0

    @property
    def waiting(self) -> int:
        """How many wait for a place now."""
        return len(self._urgent) + len(self._sweeps)

    async def __aenter__(self) -> None:
        """Take a place. Raises Unavailable when none is free in time; nothing was asked then."""
        is_sweep = errand().is_sweep
        if self._is_free_for(is_sweep=is_sweep):
            self.taken += 1
        else:
            await self._wait_for_place(is_sweep=is_sweep)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the place back, and on to whoever is next."""
        self._give_back()

    def _give_back(self) -> None:
        self.taken -= 1
        if self._is_used_up or self._urgent or self._sweeps:
            self._give_on()

    def _give_on(self) -> None:
        while (line := self._next_line()) is not None:
            place = line.popleft()
            if not place.done():  # else it gives up just now
                self._given += 1
                self.taken += 1
                place.set_result(None)
        if self.taken <= self.bound // 2:
            self._tell(is_used_up=False)

    async def _wait_for_place(self, *, is_sweep: bool) -> None:
        line = self._sweeps if is_sweep else self._urgent
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.append(place)
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                await place
        except (TimeoutError, asyncio.CancelledError) as error:
            if place.done() and not place.cancelled():
                self._give_back()  # it was given in the same turn of the loop
            elif place in line:
                line.remove(place)
            if isinstance(error, asyncio.CancelledError):
                raise
            self._tell(is_used_up=True)
            raise Unavailable(
                f"{self._name}: {self.bound} requests are under way and none ended in time",
                retry_after=max(self._patience, timedelta(seconds=1)),
                system=self._name,
            ) from error

    def _is_free_for(self, *, is_sweep: bool) -> bool:
        if is_sweep:
            return self.taken < self.bound - self._kept and not self._urgent and not self._sweeps
        return self.taken < self.bound and not self._urgent

    def _next_line(self) -> _Line | None:
        """Return who goes next: those whom somebody waits for, and now and then a sweep."""
        if self.taken >= self.bound:
            return None
        if self._sweeps and (self._given % _SWEEP_EVERY == _SWEEP_EVERY - 1 or not self._urgent):
            is_their_turn = bool(self._urgent) or self.taken < self.bound - self._kept
            return self._sweeps if is_their_turn else None
        return self._urgent or None

    def _tell(self, *, is_used_up: bool) -> None:
        if is_used_up is not self._is_used_up:
            self._is_used_up = is_used_up
            self._used_up(is_used_up)
