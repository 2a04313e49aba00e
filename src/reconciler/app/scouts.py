"""Who finds out whether a system is back, and who is called when it is.

A breaker that opens turns everybody away, and whoever it turned away has no reason to come back before it closes. So a
few of them look when it may be probed, the first request is the probe, and when it closes all the others look.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count

from reconciler.domain.clock import Clock
from reconciler.domain.keys import Key
from reconciler.resilience.breaker import Breaker, State

KIND = "Scouts"
"""Of the keys under which scouts are sent: one for each breaker."""
_A_FEW = 3
"""One of those who were turned away may have ended, or have nothing to ask any more."""
_SURELY = timedelta(milliseconds=50)
"""After the moment itself: the breaker goes by another clock than the agenda, and who is early is turned away."""
_NO_PROBE = timedelta(seconds=10)
"""None of the scouts asked, or whoever did was stopped: others go after that."""


class Scouts:
    """Hears the breakers, and looks at those that are not closed when they may be probed."""

    def __init__(self, *, add: Callable[[Key, datetime | None], None], clock: Clock) -> None:
        """Know no breaker yet; `add` puts a key on the agenda."""
        self._add = add
        self._clock = clock
        self._away: dict[Key, Breaker] = {}
        self._numbers = count()

    def turned(self, breaker: Breaker) -> None:
        """Hear that a breaker has another state."""
        if breaker.state is State.CLOSED:
            self._away = {key: other for key, other in self._away.items() if other is not breaker}
            self._send(breaker)
        else:
            self._add(self._key(breaker), self._next_look(breaker))

    def look(self, key: Key) -> datetime | None:
        """Send a few if the breaker may be probed; return when to look again, None when nobody waits for it."""
        breaker = self._away.get(key)
        if breaker is None:
            return None
        if breaker.may_be_probed and not self._send(breaker, _A_FEW) and breaker.state is State.OPEN:
            # Who asks next finds the breaker open and probes it: before that nobody is turned away.
            del self._away[key]
            return None
        return self._next_look(breaker)

    def _next_look(self, breaker: Breaker) -> datetime:
        probe_at = breaker.next_probe_at
        if probe_at is None or breaker.may_be_probed:
            return self._clock.now() + _NO_PROBE
        return probe_at + _SURELY

    def _send(self, breaker: Breaker, most: int | None = None) -> bool:
        """Have those look who were turned away; tell whether there was anybody."""
        names = breaker.turned_away(most)
        for name in names:
            if isinstance(name, Key):  # feeds come back by themselves
                self._add(name, None)
        return bool(names)

    def _key(self, breaker: Breaker) -> Key:
        known = next((key for key, other in self._away.items() if other is breaker), None)
        key = known or Key(KIND, breaker.name, str(next(self._numbers)))
        self._away[key] = breaker
        return key
