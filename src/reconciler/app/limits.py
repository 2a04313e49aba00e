"""One limit per key of a provider, whoever brings the key: two zones, two Secrets, the operator's own settings."""

from collections.abc import Callable

from reconciler.resilience.limiter import Limiter, LimiterState


class Limits:
    """Limiters by account. Keys are told apart as they are, in memory: nothing is stored, and nothing hashed."""

    def __init__(self, make: Callable[[], Limiter]) -> None:
        """Make a limiter whenever a key is met for the first time."""
        self._make = make
        self._by_account: dict[tuple[str, str], Limiter] = {}

    def of(self, endpoint: str, key: str) -> Limiter:
        """Return the limiter of everything that uses this key there."""
        account = (endpoint, key)
        if (limiter := self._by_account.get(account)) is None:
            limiter = self._by_account[account] = self._make()
        return limiter

    def states(self) -> list[LimiterState]:
        """Return how all of them are."""
        return [limiter.state() for limiter in self._by_account.values()]


class KeyLimiter:
    """The limiter of the key that one connection uses now; a Secret may bring another one at any time."""

    def __init__(self, limits: Limits, endpoint: str) -> None:
        self._limits = limits
        self._endpoint = endpoint
        self._current: Limiter | None = None

    def use(self, key: str) -> None:
        """Go by the limit of this key from now on."""
        self._current = self._limits.of(self._endpoint, key)

    async def acquire(self, patience: float) -> None:
        """Take a place and wait for it, at most `patience` seconds. Raises RateLimited."""
        if self._current is not None:
            await self._current.acquire(patience)

    def leave_alone(self, seconds: float) -> None:
        """Give no places for so long, to whoever uses the key."""
        if self._current is not None:
            self._current.leave_alone(seconds)
