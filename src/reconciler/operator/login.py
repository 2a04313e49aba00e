"""How Kopf gets at the API server: a session of ours, watched, and closed with the Kopf that used it.

The session authorizes each request as it is sent, so it needs no expiration: a rotated token is used at once and no
watch is cut for it. Kopf asks for another session after a 401, and whenever it found this one closed. It would ask
without a pause for as long as we are refused, and a login that fails it survives silently and uselessly: so then the
handler waits and `refused` ends this Kopf's life.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, Protocol

import aiohttp
import kopf

from reconciler.domain.clock import Clock

_TOO_SOON = timedelta(seconds=10)
_NOT_NOW = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS)
_WATCH = ("true", "1")


class OpensSessions(Protocol):
    """The credentials, as far as Kopf needs them."""

    @property
    def server(self) -> str:
        """The base URL of the API server."""
        ...

    def open_session(
        self, *, connections: int = 50, traces: Sequence[aiohttp.TraceConfig] = ()
    ) -> aiohttp.ClientSession:
        """Open a session that authorizes each of its requests."""
        ...


@dataclass(frozen=True, slots=True)
class KopfCall:
    """One request of Kopf's, as metrics and health see it: status 0 is no answer, `trouble` says why."""

    verb: str
    path: str
    is_watch: bool
    status: int
    seconds: float
    trouble: str = ""


@dataclass(slots=True)
class Login:
    """Kopf's sessions of one life."""

    credentials: OpensSessions
    connections: int
    clock: Clock
    heard: Callable[[KopfCall], None]
    refused: asyncio.Event = field(default_factory=asyncio.Event)
    _sessions: list[aiohttp.ClientSession] = field(default_factory=list)
    _last: float | None = None

    def register(self, registry: kopf.OperatorRegistry) -> None:
        """Put the login handler into Kopf's registry."""

        @kopf.on.login(registry=registry, id="login", retries=1)
        async def login(**_: Any) -> kopf.AiohttpSession:
            return await self.open()

    async def open(self) -> kopf.AiohttpSession:
        """Open a session for Kopf; wait for the end when the one before was refused at once."""
        now = self.clock.monotonic()
        if self._last is not None and now - self._last < _TOO_SOON.total_seconds():
            self.refused.set()
            await asyncio.get_running_loop().create_future()
        self._last = now
        await self.close()
        session = self.credentials.open_session(connections=self.connections, traces=[self._trace()])
        self._sessions.append(session)
        return kopf.AiohttpSession(server=self.credentials.server, aiohttp_session=session)

    async def close(self) -> None:
        """Close what Kopf left open: it closes only sessions that it used."""
        sessions, self._sessions[:] = list(self._sessions), []
        for session in sessions:
            await session.close()

    def _trace(self) -> aiohttp.TraceConfig:
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(self._started)
        trace.on_request_end.append(self._answered)
        trace.on_request_exception.append(self._failed)
        return trace

    async def _started(
        self, _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestStartParams
    ) -> None:
        context.started = self.clock.monotonic()

    async def _answered(
        self, _: aiohttp.ClientSession, context: SimpleNamespace, answered: aiohttp.TraceRequestEndParams
    ) -> None:
        status = answered.response.status
        is_trouble = status in _NOT_NOW or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        trouble = f"HTTP {status}" if is_trouble else ""
        self._hear(context, answered, status, trouble)

    async def _failed(
        self, _: aiohttp.ClientSession, context: SimpleNamespace, failed: aiohttp.TraceRequestExceptionParams
    ) -> None:
        self._hear(context, failed, 0, type(failed.exception).__name__)

    def _hear(
        self,
        context: SimpleNamespace,
        request: aiohttp.TraceRequestEndParams | aiohttp.TraceRequestExceptionParams,
        status: int,
        trouble: str,
    ) -> None:
        is_watch = request.url.query.get("watch") in _WATCH
        seconds = self.clock.monotonic() - context.started
        self.heard(KopfCall(request.method, request.url.path, is_watch, status, seconds, trouble))
