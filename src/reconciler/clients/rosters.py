"""Rosters: one list for all who ask whether something is as it should be, taken at most once a minute.

Only "as wanted" is believed of a roster. It says nothing of what is missing in it (a list may be cut, or lag behind),
and nothing of what we wrote ourselves since it was begun: then it answers None, and who asks reads for itself.
"""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from reconciler.domain.clock import Clock
from reconciler.domain.errors import Refused
from reconciler.resilience.together import Together

FRESH = timedelta(seconds=60)
T = TypeVar("T")


class Roster(Generic[T]):
    """The things of one place, by name."""

    def __init__(
        self, listing: Callable[[], Awaitable[Mapping[str, T]]], *, clock: Clock, fresh: timedelta = FRESH
    ) -> None:
        """Ask nothing yet; `listing` is called when somebody asks and the last list is older than `fresh`."""
        self._listing = listing
        self._clock = clock
        self._fresh = fresh
        self._known: Mapping[str, T] = {}
        self._begun: datetime | None = None
        self._written: dict[str, datetime] = {}
        self._together = Together()

    async def latest(self, name: str) -> T | None:
        """Return what the list says of a name; None: read for yourself. Raises what the listing raises but Refused."""
        if self._is_old():
            async with self._together.asking():
                if self._is_old():
                    await self._take()
        written, begun = self._written.get(name), self._begun
        return None if written is not None and begun is not None and written >= begun else self._known.get(name)

    def _is_old(self) -> bool:
        return self._begun is None or self._clock.now() - self._begun >= self._fresh

    def wrote(self, name: str) -> None:
        """Note that we are about to change, or have changed, what has this name."""
        self._written[name] = self._clock.now()

    async def _take(self) -> None:
        begun = self._clock.now()
        try:
            self._known = await self._listing()
        except Refused:
            # Whoever may not list may still read one by one.
            self._known = {}
        self._begun = begun
        self._written = {name: at for name, at in self._written.items() if at >= begun}
