"""Proof of life: something that we send ourselves at an interval comes back the whole way, or the way is dead.

A connection can be up and dead: a watch that says nothing any more, a consumer that is given nothing. No error tells of
it. What is sent and does not come back does, provided that the other side works: that is tried through a fresh
connection, and as long as it fails there too, nothing here is at fault and nothing is restarted.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from reconciler.domain.clock import Clock

_PATIENCE = 3
"""So many intervals without a proof are too long."""
_FROZEN = 3
"""Nobody asked for so many intervals: sending and trying afresh take one each at most."""
_RESTARTS = 2
"""So many restarts are tried before this process is called dead."""


class Verdict(StrEnum):
    """What to do about a part."""

    ALIVE = "alive"
    OTHER_SIDE_AWAY = "other side away"
    RESTART = "restart"
    DEAD = "dead"


class ProofOfLife:
    """The bookkeeping of one part. Decides; others send, try and restart.

    Attributes:
        last: when the last proof came, by the wall clock; None before the first.
        restarts: of the part, since the last proof.
        verdict: the last one.
    """

    def __init__(self, interval: timedelta, clock: Clock) -> None:
        """Begin now: the first proof is late after three intervals."""
        self._interval = interval.total_seconds()
        self._clock = clock
        now = clock.monotonic()
        self._proved = now
        self._since = now
        self._looked = now
        self.last: datetime | None = None
        self.restarts = 0
        self.verdict = Verdict.ALIVE

    @property
    def age(self) -> float:
        """Seconds since the last proof, or since the begin."""
        return self._clock.monotonic() - self._proved

    def arrived(self) -> None:
        """Note a proof."""
        self._proved = self._since = self._clock.monotonic()
        self.last = self._clock.now()
        self.restarts = 0
        self.verdict = Verdict.ALIVE

    def is_late(self) -> bool:
        """Tell whether a proof is overdue, or was when it was judged last; ask at every interval.

        Time in which nobody asked does not count: this process was frozen then, and what was sent before may still be
        on its way.
        """
        now = self._clock.monotonic()
        if now - self._looked > _FROZEN * self._interval:
            self._since = now
        self._looked = now
        is_open = self.verdict in (Verdict.DEAD, Verdict.OTHER_SIDE_AWAY)
        return is_open or now - self._since > _PATIENCE * self._interval

    def judge(self, *, works_afresh: bool) -> Verdict:
        """Decide about a part that is late.

        Args:
            works_afresh: whether the other side did what it should through a fresh connection, just now.
        """
        if not works_afresh:
            self.restarts = 0
            self.verdict = Verdict.OTHER_SIDE_AWAY
        elif self.verdict is Verdict.OTHER_SIDE_AWAY:
            # From the end of an outage on there is as much time as from a start.
            self._since = self._clock.monotonic()
            self.verdict = Verdict.ALIVE
        elif self.restarts < _RESTARTS:
            self._since = self._clock.monotonic()
            self.restarts += 1
            self.verdict = Verdict.RESTART
        else:
            self.verdict = Verdict.DEAD
        return self.verdict
