"""One part under proof of life: a canary sent at an interval, and what is done when it does not come back."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from reconciler.domain.clock import Clock, rfc3339
from reconciler.domain.errors import ReconcilerError
from reconciler.domain.health import Condition, PartState
from reconciler.resilience.proof import ProofOfLife, Verdict

_log = logging.getLogger(__name__)


class Canary(Protocol):
    """What is sent, how the other side is tried, and what is restarted."""

    async def send(self) -> None:
        """Send one; it comes back elsewhere. Raises ReconcilerError."""
        ...

    async def works_afresh(self) -> None:
        """Send one and get it back, all through fresh connections. Raises ReconcilerError when it does not come."""
        ...

    def restart(self, why: str) -> None:
        """Begin the part anew."""
        ...


def _unheard(_: str) -> None:
    """Hear nothing."""


class Lifeline:
    """`run` it; tell it of each canary that `arrived`; ask it for the `state` and whether the part is `dead`."""

    def __init__(
        self,
        name: str,
        canary: Canary,
        *,
        interval: timedelta,
        clock: Clock,
        restarted: Callable[[str], None] = _unheard,
    ) -> None:
        """Prepare.

        Args:
            name: of the part, for people and metrics.
            canary: of the part.
            interval: between two canaries; also how long sending one, and trying the other side, may take.
            clock: tells how late one is.
            restarted: told the name at each restart.
        """
        self.name = name
        self.proof = ProofOfLife(interval, clock)
        self._canary = canary
        self._interval = interval.total_seconds()
        self._clock = clock
        self._restarted = restarted
        self._problem = ""

    @property
    def is_alive(self) -> bool:
        """Whether restarts are not known to be in vain."""
        return self.proof.verdict is not Verdict.DEAD

    def arrived(self) -> None:
        """Note a canary that came back."""
        if self.proof.restarts:
            _log.info("%s come through again after %d restarts", self.name, self.proof.restarts)
        self._problem = ""
        self.proof.arrived()

    def state(self) -> PartState:
        """Return how the part is, for `/readyz`."""
        last = f"last proof at {rfc3339(self.proof.last)}" if self.proof.last else "no proof yet"
        words = "; ".join(part for part in (last, self._tried(), self._problem) if part)
        if not self.is_alive:
            return PartState(Condition.FAILED, words, self.proof.last)
        is_young = self.proof.age <= 2 * self._interval
        return PartState(Condition.OK if is_young else Condition.DEGRADED, words, self.proof.last)

    async def run(self) -> None:
        """Send a canary at each interval, until cancelled."""
        while True:
            began = self._clock.monotonic()
            await self.once()
            await asyncio.sleep(max(0.0, self._interval - (self._clock.monotonic() - began)))

    async def once(self) -> None:
        """Send one, and look whether the ones before came back."""
        try:
            async with asyncio.timeout(self._interval):
                await self._canary.send()
        except TimeoutError:
            self._problem = f"sending took longer than {self._interval:g} s"
        except ReconcilerError as error:
            self._problem = error.message
        except Exception as error:  # noqa: BLE001 - a bug here is no proof, and ends nothing else
            _log.exception("a canary of %s failed unexpectedly", self.name)
            self._problem = type(error).__name__
        if self.proof.is_late():
            await self._look_into_it()

    async def _look_into_it(self) -> None:
        former, age = self.proof.verdict, self.proof.age
        verdict = self.proof.judge(works_afresh=await self._works_afresh())
        if verdict is Verdict.RESTART:
            why = f"no canary of {self.name} came back for {age:.0f} s, and a fresh connection works"
            _log.warning("%s: restarted (%d)", why, self.proof.restarts)
            self._restarted(self.name)
            self._canary.restart(why)
        elif verdict is not former:
            _log.warning("%s: no canary for %.0f s, %s %s", self.name, age, verdict, self._problem)

    async def _works_afresh(self) -> bool:
        try:
            async with asyncio.timeout(self._interval):
                await self._canary.works_afresh()
        except TimeoutError:
            self._problem = f"a fresh connection does not work within {self._interval:g} s"
        except ReconcilerError as error:
            self._problem = f"nor through a fresh connection: {error.message}"
        except Exception as error:  # noqa: BLE001 - a bug here proves nothing against the part
            _log.exception("trying %s afresh failed unexpectedly", self.name)
            self._problem = type(error).__name__
        else:
            return True
        return False

    def _tried(self) -> str:
        return f"restarted {self.proof.restarts} times since" if self.proof.restarts else ""
