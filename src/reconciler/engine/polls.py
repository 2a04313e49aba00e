"""When what is ours is compared with the world again: each at its own moment within its interval, not in a crowd.

Between two polls a look that finds everything done for what is wanted now asks nothing: looks are cheap, requests not.
"""

from datetime import UTC, datetime, timedelta
from hashlib import blake2s

from reconciler.domain.keys import Key

TOLD_AGAIN = timedelta(hours=1)
"""`checkedAt` is written at least so often; a start that finds it older compares at once."""
_STEPS = 2**32


class Polls:
    """Remembers when each resource was compared last, by its key; a restart forgets it."""

    def __init__(self) -> None:
        self._last: dict[Key, datetime] = {}

    def is_due(self, key: Key, every: timedelta, now: datetime, checked_at: datetime | None) -> bool:
        """Tell whether a resource is to be compared now.

        One that this process never compared is due when nobody has for an hour; else its next moment is soon enough.
        """
        last = self._last.get(key)
        if last is None:
            self._last[key] = now
            return checked_at is None or now - checked_at >= TOLD_AGAIN
        return last < _slot(key, every, now)

    def took(self, key: Key, now: datetime) -> None:
        """Note that a resource was compared, and is as wanted."""
        self._last[key] = now

    def forget(self, key: Key) -> None:
        """Forget a resource that is gone."""
        self._last.pop(key, None)


def next_poll(key: Key, every: timedelta, now: datetime) -> datetime:
    """Return the resource's next moment: the same for everybody who asks, and spread over the interval by name."""
    return _slot(key, every, now) + every


def _slot(key: Key, every: timedelta, now: datetime) -> datetime:
    """Return the newest of the resource's moments that is not after now."""
    share = int.from_bytes(blake2s(str(key).encode(), digest_size=4).digest(), "big") / _STEPS
    phase = _EPOCH + every * share
    return now - (now - phase) % every


_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
