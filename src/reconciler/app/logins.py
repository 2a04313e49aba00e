"""Credentials behind a reference, as they are in use at one endpoint: newer ones only after they were tried there.

A Secret that changed is tried by the next look that needs the system: one cheap authorized read, made by the very same
client. Meanwhile everybody else goes on with the credentials in use, and requests under way end with those they began
with. Credentials that are refused are not taken: the ones in use stay, and it is said so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

from reconciler.app.secrets import Reading, SecretReader
from reconciler.domain.clock import Clock
from reconciler.domain.errors import Missing, ReconcilerError, Refused

TRIED_AGAIN = timedelta(minutes=5)
"""After this long refused credentials are tried once more: somebody may have let them in meanwhile."""

Values = Mapping[str, str]
_tried: ContextVar[tuple["Login", Reading] | None] = ContextVar("tried", default=None)
"""Inside of a trial: whose it is, and the credentials that are tried."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which version was refused, when (monotonic seconds), and what people are to know of it."""

    version: str
    at: float
    words: str


class Login:
    """The credentials in one Secret, as one endpoint knows them."""

    def __init__(
        self,
        secrets: SecretReader,
        clock: Clock,
        namespace: str,
        name: str,
        *,
        absent: Callable[[Values], str],
        probe: Callable[[], Awaitable[object]],
        swapped: Callable[[], Awaitable[None]],
    ) -> None:
        """Read nothing yet.

        Args:
            secrets: reads the Secret.
            clock: for the pause after a refusal.
            namespace: of the Secret.
            name: of the Secret.
            absent: says which key is missing in what was read; nothing where none is.
            probe: asks the endpoint for something cheap that needs credentials; those it is made with are the new ones.
            swapped: lets go of what the former ones have opened.
        """
        self._secrets = secrets
        self._clock = clock
        self._namespace, self._name = namespace, name
        self._absent = absent
        self._probe, self._swapped = probe, swapped
        self._used: Reading | None = None
        self._refusal: Refusal | None = None
        self._trial = asyncio.Lock()

    @property
    def refusal(self) -> str:
        """Say that newer credentials are refused; empty when none are."""
        return self._refusal.words if self._refusal else ""

    @property
    def is_on_trial(self) -> bool:
        """Whether who asks now does so to try newer credentials."""
        return (tried := _tried.get()) is not None and tried[0] is self

    async def reading(self) -> Reading:
        """Return the credentials to ask with now: those in use, or inside of a trial those that are tried."""
        if (tried := _tried.get()) is not None and tried[0] is self:
            return tried[1]
        if self._used is None:
            self._used = await self._read()
        return self._used

    async def renew(self) -> None:
        """Take newer credentials, if there are any and they are let in.

        Raises:
            Missing: the Secret, or a key in it, is not there.
        """
        used = await self.reading()
        try:
            newest = await self._read()
        except Missing:
            raise
        except ReconcilerError:
            return  # what is in use is as good as before
        if newest.values == used.values:
            self._used, self._refusal = newest, None
        elif not self._trial.locked() and not self._was_refused(newest):
            async with self._trial:
                await self._try(newest)

    def doubt(self) -> None:
        """Read the Secret again before the next trial: what is in use was refused, and an event may be on its way."""
        if _tried.get() is None:
            self._secrets.forget(self._namespace, self._name)

    async def _try(self, newest: Reading) -> None:
        token = _tried.set((self, newest))
        try:
            await self._probe()
        except Refused as refused:
            words = (
                f"the new credentials in Secret {self._name} are refused ({refused.message}); the former stay in use"
            )
            self._refusal = Refusal(newest.version, self._clock.monotonic(), words)
            return
        except ReconcilerError:
            return  # it cannot be told now; the next look tries again
        finally:
            _tried.reset(token)
        self._used, self._refusal = newest, None
        await self._swapped()

    def _was_refused(self, newest: Reading) -> bool:
        refusal = self._refusal
        if refusal is None or refusal.version != newest.version:
            return False
        return self._clock.monotonic() - refusal.at < TRIED_AGAIN.total_seconds()

    async def _read(self) -> Reading:
        reading = await self._secrets.read(self._namespace, self._name)
        if absent := self._absent(reading.values):
            self._secrets.forget(self._namespace, self._name)
            raise Missing(f"{absent} in Secret {self._name}")
        return reading


def keyed(*keys: str) -> Callable[[Values], str]:
    """Return what says which of these keys is absent first."""

    def absent(values: Values) -> str:
        return next((f"key {key}" for key in keys if not values.get(key)), "")

    return absent


def token_or_password(values: Values) -> str:
    """Say that there is neither a token nor user name and password; nothing where there is."""
    is_enough = values.get("token") or (values.get("username") and values.get("password"))
    return "" if is_enough else "key token, or username and password,"
