"""What every call passes first: content type, credentials, and errors worded as the gateway words them."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from reconciler.domain.clock import Clock
from reconciler.sandbox.argocd.errors import ApiError, Code, invalid, not_found, unknown

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Accounts:
    """Who may come in: one fixed token, sessions by password, and tokens made by `POST /account/{name}/token`.

    Attributes:
        sessions: login tokens and the monotonic moment each ends at.
        tokens: by (account, id).
        logins: how often somebody tried to log in.
        denied_projects: what the caller has no rights in.
    """

    clock: Clock
    token: str
    username: str
    password: str
    session_seconds: float
    sessions: dict[str, float] = field(default_factory=dict)
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)
    logins: int = 0
    denied_projects: set[str] = field(default_factory=set)

    def log_in(self, username: str, password: str) -> str:
        """Return a new session token."""
        self.logins += 1
        if not password or (username, password) != (self.username, self.password):
            raise ApiError(Code.UNAUTHENTICATED, "Invalid username or password")
        token = f"session-{secrets.token_hex(8)}"
        self.sessions[token] = self.clock.monotonic() + self.session_seconds
        return token

    def check(self, header: str) -> None:
        """Raise 401 unless the header has a token that is valid now."""
        scheme, _, token = header.partition(" ")
        if scheme != "Bearer" or not token:
            raise ApiError(Code.UNAUTHENTICATED, "no session information")
        if token in self.sessions and self.sessions[token] > self.clock.monotonic():
            return
        if token != self.token and token not in self.tokens.values():
            raise ApiError(Code.UNAUTHENTICATED, "invalid session: token has invalid claims: token is expired")

    def is_known(self, header: str) -> bool:
        """Tell whether the caller is somebody."""
        try:
            self.check(header)
        except ApiError:
            return False
        return True

    def add_token(self, account: str, wanted: str) -> str:
        """Make a token; an id that is taken is a plain error: 500 (FACTS 1.2)."""
        name = wanted or secrets.token_hex(4)
        if (account, name) in self.tokens:
            raise unknown(f"account already has token with id '{name}'")
        self.tokens[account, name] = f"{account}-{secrets.token_hex(8)}"
        return self.tokens[account, name]

    def remove_token(self, account: str, name: str) -> None:
        """Remove a token."""
        if self.tokens.pop((account, name), None) is None:
            raise not_found("tokens", name)


def guarded(accounts: Accounts, handler: Handler, *, is_open: bool = False) -> Handler:
    """Wrap a handler: 415 on a wrong content type, 401 without a valid token, errors as JSON."""

    async def guard(request: web.Request) -> web.StreamResponse:
        if request.method != "GET" and request.headers.get("Content-Type", "").lower() != "application/json":
            return web.Response(status=415, text="Invalid content type")
        try:
            if not is_open:
                accounts.check(request.headers.get("Authorization", ""))
            return await handler(request)
        except ApiError as error:
            return error.response()

    return guard


def answer(body: Any) -> web.Response:
    """Return 200 with JSON; bytes are JSON already."""
    encoded = body if isinstance(body, bytes) else orjson.dumps(body)
    return web.Response(body=encoded, content_type="application/json")


async def body_of(request: web.Request) -> dict[str, Any]:
    """Read the body of a call."""
    raw = await request.read()
    if not raw:
        return {}
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise invalid(str(error)) from error
    if not isinstance(body, dict):
        raise invalid("json: cannot unmarshal array into Go value")
    return body
