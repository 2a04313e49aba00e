"""Who finds out whether a system is back, and who is called when it is.

A breaker that opens turns everybody away, and whoever it turned away has no reason to come back before it closes. So a
few of them look when it may be probed, the first request is the probe, and when it closes all the others look.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

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
    """Hears the breakers, and looks at them when they may be probed."""

    def __init__(self, *, add: Callable[[Key, datetime | None], None], clock: Clock) -> None:
        """Know no breaker yet; `add` puts a key on the agenda."""
        self._add = add
        self._clock = clock
        self._breakers: list[Breaker] = []

    def turned(self, breaker: Breaker) -> None:
        """Hear that a breaker has another state."""
        match breaker.state:
            case State.OPEN if breaker.next_probe_at is not None:
                self._add(self._key(breaker), breaker.next_probe_at + _SURELY)
            case State.HALF_OPEN:
                self._add(self._key(breaker), self._clock.now() + _NO_PROBE)
            case _:
                self._send(breaker)

    def look(self, key: Key) -> datetime | None:
        """Send a few if the breaker may be probed; return when to look again, None when nobody waits for it."""
        breaker, now = self._breakers[int(key.name)], self._clock.now()
        if breaker.state is State.CLOSED:
            return None
        if not breaker.may_be_probed and breaker.next_probe_at is not None:
            return breaker.next_probe_at + _SURELY
        was_sent = breaker.may_be_probed and self._send(breaker, _A_FEW)
        # Who asks next finds the breaker open and probes it: before that nobody is turned away.
        return now + _NO_PROBE if was_sent or breaker.state is State.HALF_OPEN else None

    def _send(self, breaker: Breaker, most: int | None = None) -> bool:
        """Have those look who were turned away; tell whether there was anybody."""
        names = breaker.turned_away(most)
        for name in names:
            if isinstance(name, Key):  # feeds come back by themselves
                self._add(name, None)
        return bool(names)

    def _key(self, breaker: Breaker) -> Key:
        if breaker not in self._breakers:
            self._breakers.append(breaker)
        return Key(KIND, breaker.name, str(self._breakers.index(breaker)))
