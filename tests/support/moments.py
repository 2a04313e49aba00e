"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta

EIGHT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


class ManualClock:
    """Time as a test says."""

    def __init__(self, start: datetime = EIGHT) -> None:
        self._now = start
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> datetime:
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        return self._now
