"""The only HTTP client: one pooled session per outside system and credential.

The order of a request: breaker and Retry-After are asked (nothing is taken), authorization, a permit, a place in the
limiter's window, the breaker's admission, and then one attempt within its time. No redirect is followed. No
change is sent twice: the next look is the retry. (A read is sent again, once, by aiohttp when its pooled connection
turns out to be closed.)

Permits: DESIGN rule 11 says that a look gets its permit without waiting. A wait of at most `permit_timeout` (default
1 s, first come first served) is allowed all the same: with instant systems and 100 deployments in flight a bound of 32
is touched for milliseconds, and a look that turned away there would only come back. A system that hangs costs a look
no more than that second, and its breaker opens soon.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from ssl import SSLContext
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from reconciler.clients.asks import Asks, Authorization, Headers, Observe, Reply, Translate
from reconciler.clients.http_errors import Asked
from reconciler.clients.http_wire import changes, lower, payload_of, without
from reconciler.domain.clock import Clock, SystemClock, rfc3339
from reconciler.domain.errors import Invalid, RateLimited, ReconcilerError, Unavailable
from reconciler.resilience.breaker import Breaker
from reconciler.resilience.leave import ask_leave
from reconciler.resilience.permits import Permits

__all__ = ["Asks", "Authorization", "Bounds", "Endpoint", "Headers", "Observe", "Reply", "Translate"]

_USER_AGENT = "freeleaps-devops-reconciler"
_CONNECT_SECONDS = 10.0
_MEGABYTE = 1024**2


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one endpoint may use.

    Attributes:
        timeout: for a whole request, authorization not included.
        concurrency: requests under way at once; streams are not counted.
        permit_timeout: the longest wait for one of them, and for a place in the limiter's window.
        limited_for: how long nothing is asked after a 429 that does not say for how long.
        body: the largest answer, in bytes.
        line: the longest line of a stream, in bytes.
    """

    timeout: timedelta = timedelta(seconds=30)
    concurrency: int = 32
    permit_timeout: timedelta = timedelta(seconds=1)
    limited_for: timedelta = timedelta(seconds=60)
    body: int = 64 * _MEGABYTE
    line: int = 8 * _MEGABYTE


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: URL
    headers: Headers
    payload: bytes | None


def _unheard(_: bool) -> None:  # noqa: FBT001 - a row
    """Hear nothing."""


class Limits(Protocol):
    """A provider's limit, as an endpoint keeps it; `resilience.limiter.Limiter` is one."""

    async def acquire(self, patience: float) -> None:
        """Take a place in the window and wait for it, at most `patience` seconds. Raises RateLimited."""
        ...

    def leave_alone(self, seconds: float) -> None:
        """Give no places for so long: the provider said so."""
        ...


class Endpoint:
    """One outside system under one credential. `close()` it at the end."""

    def __init__(
        self,
        system: str,
        base_url: str,
        *,
        authorization: Authorization | None = None,
        translate: Translate | None = None,
        bounds: Bounds | None = None,
        breaker: Breaker | None = None,
        limiter: Limits | None = None,
        turned_away: Callable[[bool], None] = _unheard,
        allowed_origins: Collection[str] = (),
        mask: Callable[[str], str] = str,
        observe: Observe | None = None,
        clock: Clock | None = None,
        ssl: SSLContext | bool = True,
        keeps_cookies: bool = False,
    ) -> None:
        """Open nothing yet.

        Args:
            system: its name in messages and metrics.
            base_url: scheme, host and maybe a path; paths are appended to it. No user information.
            authorization: asked before every request to the base URL's own origin, and for no other.
            translate: asked first about answers that were not expected.
            bounds: timeouts and sizes.
            breaker: shared by endpoints of the same system and credential; default one of its own.
            limiter: shared by all that use one key; default none.
            turned_away: told when the permits begin to turn requests away, and when they cease to.
            allowed_origins: other origins (`https://auth.docker.io`) that absolute URLs may name; never authorized.
            mask: takes secrets out of a provider's words; see `telemetry.masking`.
            observe: told about every request.
            clock: for Retry-After.
            ssl: a context for a private authority; False turns verification off.
            keeps_cookies: whether the session has a cookie jar (Jenkins' crumbs under a password).
        """
        self.system = system
        self.bounds = bounds or Bounds()
        self.clock = clock or SystemClock()
        self.breaker = breaker or Breaker(system, clock=self.clock)
        self.permits = Permits(
            self.bounds.concurrency, patience=self.bounds.permit_timeout, name=system, used_up=turned_away
        )
        self._base = base_url.rstrip("/")
        self._origin = URL(self._base, encoded=True).origin()
        self._origins = {self._origin, *(URL(origin).origin() for origin in allowed_origins)}
        self._authorization = authorization
        self._translate = translate
        self._limiter = limiter
        self._mask = mask
        self._observe = observe
        self._ssl = ssl
        self._keeps_cookies = keeps_cookies
        self._session: _Session | None = None
        self._draining: set[_Session] = set()
        self._blocked_until = 0.0
        self._is_closed = False

    async def ask(
        self,
        method: str,
        path: str,
        *,
        expect: tuple[int, ...] = (200,),
        params: Mapping[str, str] | None = None,
        headers: Headers | None = None,
        json: Any = None,
        body: bytes | str | None = None,
        form: Mapping[str, str] | None = None,
        is_change: bool | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a part of a request, not a scope
        operation: str = "",
    ) -> Reply:
        """Send one request; see `Asks.ask`."""
        url = self._url(path, params)
        payload, content_type = payload_of(method, json=json, body=body, form=form)
        asked = Asked(self.system, operation or method, changes(method, is_change), self._mask)
        seconds = timeout or self.bounds.timeout.total_seconds()
        with self._watched(asked.operation):
            self._check()
            merged = content_type | await self._authorized(url) | lower(headers)
            async with self.permits:
                await self._take_place()
                if asked.is_change:
                    ask_leave()
                with self.breaker.admit():
                    reply = await self._attempt(asked, _Request(method, url, merged, payload), seconds)
                    if reply.status not in expect:
                        raise self._error(asked, reply, merged)
            return reply

    @property
    def left_alone_until(self) -> datetime | None:
        """Until when nothing is asked because the system said so; None while it may be asked."""
        left = self._blocked_until - self.clock.monotonic()
        return self.clock.now() + timedelta(seconds=left) if left > 0 else None

    async def close(self) -> None:
        """Close the session for good; requests under way end with Unavailable or OutcomeUnknown."""
        self._is_closed = True
        left = {*self._draining, *([self._session] if self._session else [])}
        self._session = None
        for session in left:
            await session.opened.close()
        self._draining.clear()

    async def retire_session(self) -> None:
        """Ask through a new session from now on (other credentials); requests under way end with the old one."""
        session, self._session = self._session, None
        if session is not None:
            self._draining.add(session)
            await self._close_when_drained(session)

    async def _close_when_drained(self, session: "_Session") -> None:
        if session in self._draining and not session.users:
            self._draining.discard(session)
            await session.opened.close()

    @contextlib.asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Lend the session; one that was retired meanwhile is closed by the last who gives it back."""
        session = self._open()
        session.users += 1
        try:
            yield session.opened
        finally:
            session.users -= 1
            await self._close_when_drained(session)

    async def _attempt(self, asked: Asked, request: "_Request", seconds: float) -> Reply:
        sending = _Sending(asked.is_change)
        try:
            async with (
                asyncio.timeout(seconds),
                self._borrowed() as session,
                session.request(
                    request.method,
                    request.url,
                    headers=request.headers,
                    data=request.payload,
                    allow_redirects=False,
                    trace_request_ctx=sending,
                ) as answer,
            ):
                read = await self._read(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise asked.error_of_loss(_why(error, seconds), was_sent=sending.was_sent) from error
        return Reply(answer.status, _lower_joined(answer), read, self.system)

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        chunks, size = [], 0
        async for chunk in answer.content.iter_any():
            size += len(chunk)
            if size > self.bounds.body:
                raise aiohttp.ClientPayloadError(f"the answer is larger than {self.bounds.body} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    @contextlib.asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Headers | None = None,
        read_timeout: float = 45.0,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a long answer line by line; see `Asks.stream`. The lines always end with Unavailable."""
        url = self._url(path, params)
        asked = Asked(self.system, "stream", is_change=False, mask=self._mask)
        self._check()
        merged = await self._authorized(url) | lower(headers)
        await self._take_place()
        async with contextlib.AsyncExitStack() as stack:
            with self._watched("stream"), self.breaker.admit():
                answer = await self._open_stream(stack, asked, url, merged, read_timeout)
            lines = await stack.enter_async_context(contextlib.aclosing(self._lines(asked, answer, read_timeout)))
            yield lines

    async def _open_stream(
        self, stack: contextlib.AsyncExitStack, asked: Asked, url: URL, headers: Headers, read_timeout: float
    ) -> aiohttp.ClientResponse:
        patience = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=read_timeout)
        session = await stack.enter_async_context(self._borrowed())
        request = session.get(
            url, headers=headers, allow_redirects=False, timeout=patience, trace_request_ctx=_Sending(is_change=False)
        )
        try:
            answer = await stack.enter_async_context(request)
            if answer.status == HTTPStatus.OK:
                return answer
            async with asyncio.timeout(read_timeout):
                read = await self._read(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise asked.error_of_loss(_why(error, read_timeout), was_sent=True) from error
        raise self._error(asked, Reply(answer.status, _lower_joined(answer), read, self.system), headers)

    async def _lines(
        self, asked: Asked, answer: aiohttp.ClientResponse, read_timeout: float
    ) -> AsyncGenerator[bytes, None]:
        rest = b""
        try:
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n") if b"\n" in chunk else (rest + chunk,)
                for line in lines:
                    yield line.removesuffix(b"\r")
                if len(rest) > self.bounds.line:
                    break
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise asked.error_of_loss(_why(error, read_timeout), was_sent=True) from error
        why = f"a line is longer than {self.bounds.line} bytes" if len(rest) > self.bounds.line else "the stream ended"
        raise asked.error_of_loss(why, was_sent=True)

    def _error(self, asked: Asked, reply: Reply, headers: Headers) -> ReconcilerError:
        """Read an unexpected answer, the vendor's way first; a 429 closes the endpoint until its time is over."""
        sent = {word for word in headers.get("authorization", "").split() if len(word) > 7}  # noqa: PLR2004 - not "Bearer"
        asked = Asked(asked.system, asked.operation, asked.is_change, lambda said: without(self._mask(said), sent))
        error = self._translate(reply, asked.operation) if self._translate else None
        error = error or asked.error_for(reply.status, reply.headers, reply.body, self.clock.now())
        error.system = error.system or self.system
        error.status = error.status or reply.status
        if isinstance(error, RateLimited):
            error.retry_after = self.bounds.limited_for if error.retry_after is None else error.retry_after
            seconds = error.retry_after.total_seconds()
            self._blocked_until = max(self._blocked_until, self.clock.monotonic() + seconds)
            if self._limiter is not None:
                self._limiter.leave_alone(seconds)
        return error

    def _check(self) -> None:
        if self._is_closed:
            raise Unavailable(f"{self.system} is not asked any more: we are ending", system=self.system)
        self.breaker.check()
        left = self._blocked_until - self.clock.monotonic()
        if left > 0:
            until = rfc3339(self.clock.now() + timedelta(seconds=left))
            message = f"{self.system} asked to be left alone until {until}"
            raise RateLimited(message, retry_after=timedelta(seconds=left), system=self.system)

    async def _take_place(self) -> None:
        """Take a place in the limiter's window; whoever waited asks once more: a 429 may have come meanwhile."""
        if self._limiter is not None:
            await self._limiter.acquire(self.bounds.permit_timeout.total_seconds())
        self._check()

    async def _authorized(self, url: URL) -> dict[str, str]:
        if self._authorization is None or url.origin() != self._origin:
            return {}
        return lower(await self._authorization())

    def _url(self, path: str, params: Mapping[str, str] | None) -> URL:
        try:
            url = URL(path if "://" in path.partition("?")[0] else self._base + path, encoded=True)
            host, is_allowed = url.host, url.origin() in self._origins and url.user is None
        except ValueError as error:
            raise Invalid(f"{self.system} points to what is no URL", system=self.system) from error
        if not is_allowed:
            raise Invalid(f"{self.system} points to {host}, which is not allowed", system=self.system)
        if not params:
            return url
        query = urlencode(params, quote_via=quote)
        return URL(f"{url}{'&' if url.raw_query_string else '?'}{query}", encoded=True)

    def _open(self) -> "_Session":
        if self._session is None or self._session.opened.closed:
            tracing = aiohttp.TraceConfig()
            tracing.on_request_headers_sent.append(_mark_sent)
            self._session = _Session(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0, ssl=self._ssl),
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                    cookie_jar=aiohttp.CookieJar(unsafe=True) if self._keeps_cookies else aiohttp.DummyCookieJar(),
                    headers={"User-Agent": _USER_AGENT},
                    trace_configs=[tracing],
                )
            )
        return self._session

    @contextlib.contextmanager
    def _watched(self, operation: str) -> Iterator[None]:
        started, outcome = self.clock.monotonic(), "Bug"
        try:
            yield
            outcome = "ok"
        except (ReconcilerError, asyncio.CancelledError) as error:
            outcome = type(error).__name__
            raise
        finally:
            if self._observe is not None:
                self._observe(operation, outcome, self.clock.monotonic() - started)


@dataclass(slots=True, eq=False)
class _Session:
    """A session, and how many requests are under way in it."""

    opened: aiohttp.ClientSession
    users: int = 0


@dataclass(slots=True)
class _Sending:
    """How far a request came."""

    is_change: bool
    was_sent: bool = False


async def _mark_sent(_: aiohttp.ClientSession, context: Any, __: aiohttp.TraceRequestHeadersSentParams) -> None:
    """Note that a request is about to be written; keep aiohttp from sending a PUT or DELETE again.

    This is the last moment before a change leaves, so leave is asked again: the connection may have taken long.
    """
    sending: _Sending = context.trace_request_ctx
    if sending.is_change:
        ask_leave()
    if sending.was_sent and sending.is_change:
        raise aiohttp.ClientConnectionError("a change is not sent twice")
    sending.was_sent = True


def _lower_joined(answer: aiohttp.ClientResponse) -> dict[str, str]:
    """Lower the names; a header that came several times becomes one list."""
    joined: dict[str, str] = {}
    for name, value in answer.headers.items():
        lower = name.lower()
        joined[lower] = f"{joined[lower]}, {value}" if lower in joined else value
    return joined


def _why(error: Exception, seconds: float) -> str:
    """Say in our own words what aiohttp met; its messages may hold whole URLs."""
    for kinds, why in _REASONS:
        if isinstance(error, kinds):
            return why
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"no connection within {min(seconds, _CONNECT_SECONDS):g} s"
    return f"no answer within {seconds:g} s" if isinstance(error, TimeoutError) else "the connection was lost"


_REASONS: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "its name cannot be resolved"),
    (aiohttp.ClientSSLError, "its certificate is not trusted or TLS failed"),
    (aiohttp.ClientConnectorError, "connection refused"),
    (aiohttp.ClientPayloadError, "the answer broke off or is too large"),
)
