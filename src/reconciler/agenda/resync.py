"""The periodic list that finds what a watch missed.

A watch that breaks and begins again from a list never tells of deletions in between, and Kopf has no resync of its own.
Each pass lists every kind page by page, gives the cache what is newer there, and drops what is gone; the cache tells
its listeners, and so the agenda. The first pass fills the cache: before it nobody may conclude that something is not
there.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Container, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Protocol

from reconciler.domain.clock import Clock, SystemClock
from reconciler.domain.errors import NotFound, ReconcilerError, Unavailable
from reconciler.domain.keys import Body, Key, Kind, key_of
from reconciler.resilience.backoff import Backoff

_log = logging.getLogger(__name__)
_INTERVAL = timedelta(minutes=10)
_PAGE = 100
"""Bodies that are read at once: 500 take 26 MB for a moment, and more than half of that is never given back."""


class Lists(Protocol):
    """Where the truth is."""

    def pages(
        self, kind: Kind, namespace: str | None = None, *, label_selector: str = "", limit: int
    ) -> AsyncGenerator[tuple[list[Body], str], None]:
        """Yield pages of `limit` bodies, each with the version of the whole list. Raises Unavailable, NotFound."""
        ...


class Remembers(Protocol):
    """What knows the latest bodies and tells of changes."""

    def renew(self, body: Body) -> bool:
        """Keep a body that a list showed; return whether it was news."""
        ...

    def drop_absent(self, kind: str, namespace: str | None, present: Container[Key], revision: int) -> list[Key]:
        """Drop what a list as of `revision` did not show; return it."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """What a pass found: listed, different from what was known, gone."""

    listed: int = 0
    different: int = 0
    gone: int = 0

    def __add__(self, other: "Found") -> "Found":
        return Found(self.listed + other.listed, self.different + other.different, self.gone + other.gone)


def _nobody(_: Found) -> None:
    """Hear nothing."""


class Resync:
    """The passes: one at once, then one each interval, or sooner when somebody asks."""

    def __init__(
        self,
        lists: Lists,
        memory: Remembers,
        kinds: Sequence[Kind],
        *,
        namespaces: Sequence[str | None] = (None,),
        interval: timedelta = _INTERVAL,
        clock: Clock | None = None,
        backoff: Backoff | None = None,
        finished: Callable[[Found], None] = _nobody,
        random: Random | None = None,
    ) -> None:
        """Prepare.

        Args:
            lists: asked for everything.
            memory: compared and corrected.
            kinds: which kinds; one that the server does not serve is an error of the pass.
            namespaces: which namespaces; None is all at once.
            interval: between passes, a tenth of it shorter or longer.
            clock: for `last`.
            backoff: after a pass that failed.
            finished: called after each pass, before anybody who waits for `complete`.
            random: for the jitter.
        """
        self._lists = lists
        self._memory = memory
        self._kinds = tuple(kinds)
        self._namespaces = tuple(namespaces)
        self._interval = interval
        self._clock = clock or SystemClock()
        self._backoff = backoff or Backoff(longest=timedelta(seconds=30), floor=timedelta(seconds=1))
        self._finished = finished
        self._random = random or Random()  # noqa: S311 - jitter is no secret
        self._asked = asyncio.Event()
        self.complete = asyncio.Event()
        """Set once everything was listed: the cache knows all there is."""
        self.last: datetime | None = None
        self.failures = 0
        self.problem = ""
        """Why the last pass failed; empty when it did not."""

    def soon(self) -> None:
        """Ask for a pass now: a watch began anew."""
        self._asked.set()

    async def run(self) -> None:
        """Pass after pass, until cancelled."""
        while True:
            self._asked.clear()
            try:
                found = await self.once()
            except Unavailable as exc:
                delay = self._after_failure(exc)
                if exc.retry_after is not None:
                    delay = max(delay, exc.retry_after)
            except ReconcilerError as exc:
                delay = self._after_failure(exc)
            except Exception as exc:  # noqa: BLE001 - one pass' bug must not end all passes
                _log.exception("the resync failed unexpectedly")
                delay = self._after_failure(exc)
            else:
                self.failures, self.problem = 0, ""
                self._report(found)
                delay = self._interval * (0.9 + 0.2 * self._random.random())
            await self._rest(delay)

    async def once(self) -> Found:
        """List everything once. Raises Unavailable, Refused, NotFound (a kind is not served)."""
        found = Found()
        for kind in self._kinds:
            for namespace in self._namespaces:
                found += await self._compare(kind, namespace)
        self.last = self._clock.now()
        self._finished(found)
        self.complete.set()
        return found

    async def _compare(self, kind: Kind, namespace: str | None) -> Found:
        present: set[Key] = set()
        different, version = 0, ""
        async with aclosing(self._lists.pages(kind, namespace, limit=_PAGE)) as pages:
            async for page, version in pages:  # noqa: B007 - the last one counts after the loop
                present.update(key_of(body) for body in page)
                different += sum(self._memory.renew(body) for body in page)
        gone = self._memory.drop_absent(kind.kind, namespace, present, int(version or 0))
        return Found(len(present), different, len(gone))

    def _after_failure(self, exc: Exception) -> timedelta:
        self.failures += 1
        hint = " (are the resource definitions installed?)" if isinstance(exc, NotFound) else ""
        self.problem = f"{exc}{hint}"
        _log.warning("resync failed, %d in a row: %s", self.failures, self.problem)
        return self._backoff.delay(self.failures, self._random)

    def _report(self, found: Found) -> None:
        if found.different or found.gone:
            _log.info("resync: %d listed, %d new or changed, %d gone", found.listed, found.different, found.gone)

    async def _rest(self, delay: timedelta) -> None:
        try:
            async with asyncio.timeout(delay.total_seconds()):
                await self._asked.wait()
        except TimeoutError:
            return
