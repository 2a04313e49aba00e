"""How requests are authorized: by a token that is given, or by logging in with username and password.

A refused login is not repeated for a while: five of them within five minutes lock the account, and the answer is 401
either way (FACTS 1.2).
"""

from collections.abc import Mapping
from datetime import timedelta

from reconciler.clients.argocd.errors import SYSTEM
from reconciler.clients.asks import Asks
from reconciler.domain.clock import Clock, SystemClock
from reconciler.domain.errors import Refused, Unavailable
from reconciler.resilience.together import Together

_COOLDOWN = timedelta(minutes=5)


class ArgoSession:
    """An `Authorization` for an endpoint, and what the client asks for a new token after a 401.

    Args:
        token: a fixed token; nothing else is needed then.
        asks: an endpoint of the same server without authorization, to log in through.
        username, password: for the login.
        cooldown: how long a refused login is believed.
    """

    def __init__(
        self,
        *,
        token: str = "",
        asks: Asks | None = None,
        username: str = "",
        password: str = "",
        clock: Clock | None = None,
        cooldown: timedelta = _COOLDOWN,
    ) -> None:
        self._given = (token, username, password)
        self._is_fixed = bool(token)
        self._token = token
        self._asks, self._username, self._password = asks, username, password
        self._clock = clock or SystemClock()
        self._cooldown = cooldown
        self._together = Together()
        self._refusal: tuple[float, Refused] | None = None
        self.generation = 0

    async def __call__(self) -> Mapping[str, str]:
        """Return the header, after a login where there is no token yet. Raises Refused, Unavailable."""
        if not self._token:
            async with self._together.asking():
                if not self._token:
                    await self._log_in()
        return {"authorization": f"Bearer {self._token}"}

    def use(self, *, token: str, username: str, password: str) -> None:
        """Take these credentials from now on; the same ones again change nothing."""
        if (token, username, password) == self._given:
            return
        self._given = (token, username, password)
        self._is_fixed = bool(token)
        self._token = token
        self._username, self._password = username, password
        self._refusal = None
        self.generation += 1

    def renew(self, generation: int) -> bool:
        """Drop the token of that generation after a 401; tell whether another try can help."""
        if self._is_fixed:
            return False
        if generation == self.generation:
            self._token = ""
        return True

    async def _log_in(self) -> None:
        self._keep_cool()
        if self._asks is None:
            raise Refused("there is neither a token nor a way to log in", system=SYSTEM)
        credentials = {"username": self._username, "password": self._password}
        try:
            reply = await self._asks.ask(
                "POST", "/api/v1/session", json=credentials, is_change=False, operation="log_in"
            )
        except Refused as refused:
            self._refusal = (self._clock.monotonic(), refused)
            raise
        shown = reply.json()
        token = str(shown.get("token", "")) if isinstance(shown, Mapping) else ""
        if not token:
            raise Unavailable("argocd answered a login without a token", system=SYSTEM)
        self._token = token
        self._refusal = None
        self.generation += 1

    def _keep_cool(self) -> None:
        if self._refusal is None:
            return
        since, refused = self._refusal
        if self._clock.monotonic() - since < self._cooldown.total_seconds():
            raise Refused(refused.message, system=SYSTEM, status=refused.status)
