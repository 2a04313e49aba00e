"""The registry API version 2, as Docker Hub and every other OCI registry speak it: challenge, token, digest.

Called by `dockerhub` and `oci`. Everything about its behaviour: FACTS 3.3.
"""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from weakref import WeakValueDictionary

from reconciler.clients.asks import Asks, Reply
from reconciler.domain.clock import Clock, SystemClock
from reconciler.domain.errors import Refused, Unavailable
from reconciler.resilience.together import Together

ACCEPT = (
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.oci.image.index.v1+json"
)
"""All four kinds of manifest: without the right one a manifest that is there answers 400 or 404."""

_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-f]{32,}")
_PARAMETER = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,]+))')
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
_DEFAULT_LIFE = 60
"""Seconds that a token lives when `expires_in` is absent."""
_MARGIN = 0.1
"""The share of a token's life that is not used, because it ends by the other's clock."""
_REFUSED_FOR = timedelta(minutes=5)
"""How long credentials that were refused are not tried again: Docker Hub locks a name after failed logins."""
_OK, _UNAUTHORIZED, _NOT_FOUND = 200, 401, 404


@dataclass(frozen=True, slots=True)
class Credentials:
    """User and password (or access token). The password shows in no repr."""

    username: str
    password: str = field(repr=False)

    def basic(self) -> str:
        """Write them as the value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


CredentialsSource = Callable[[], Awaitable[Credentials | None]]
"""Asked whenever a token is needed, so a rotated secret is used at once; None: anonymous."""


async def anonymous() -> Credentials | None:
    """Give no credentials."""
    return None


@dataclass(frozen=True, slots=True)
class Token:
    """A token and the seconds that it lives from now."""

    value: str = field(repr=False)
    seconds: float


class TokenCache:
    """Tokens until shortly before they end: one request per token, and none with credentials that were just refused."""

    def __init__(self, system: str, clock: Clock | None = None) -> None:
        self._system = system
        self._clock = clock or SystemClock()
        self._kept: dict[object, tuple[Token, float]] = {}
        self._refused: dict[Credentials, tuple[float, str]] = {}
        self._proven: set[Credentials | None] = {None}
        self._first = Together()
        self._locks: WeakValueDictionary[object, Together] = WeakValueDictionary()

    async def get(self, what: object, credentials: Credentials | None, ask: Callable[[], Awaitable[Token]]) -> str:
        """Return the token for `what` under these credentials, asking for it when there is none.

        Raises:
            Refused: the credentials were refused now or within the last five minutes.
        """
        key = (what, credentials)
        if (kept := self._find(key)) is not None:
            return kept
        async with self._door(key, credentials).asking():
            if (kept := self._find(key)) is not None:
                return kept
            self._refuse_again(credentials)
            try:
                token = await ask()
            except Refused as refused:
                self._remember_refusal(credentials, refused)
                raise
            self._proven.add(credentials)
            self._keep(key, token)
            return token.value

    def drop(self, what: object, credentials: Credentials | None, value: str) -> None:
        """Forget a token that was not accepted, unless another has come meanwhile."""
        kept = self._kept.get((what, credentials))
        if kept is not None and kept[0].value == value:
            del self._kept[what, credentials]

    def _door(self, key: object, credentials: Credentials | None) -> Together:
        """Let one ask at a time: per token, or over all while nobody knows whether the credentials are right."""
        return self._locks.setdefault(key, Together()) if credentials in self._proven else self._first

    def _find(self, key: object) -> str | None:
        kept = self._kept.get(key)
        return kept[0].value if kept is not None and self._clock.monotonic() < kept[1] else None

    def _keep(self, key: object, token: Token) -> None:
        now = self._clock.monotonic()
        self._kept = {each: kept for each, kept in self._kept.items() if now < kept[1]}
        self._kept[key] = (token, now + token.seconds * (1 - _MARGIN))

    def _remember_refusal(self, credentials: Credentials | None, refused: Refused) -> None:
        if credentials is not None and refused.status == _UNAUTHORIZED:
            until = self._clock.monotonic() + _REFUSED_FOR.total_seconds()
            self._refused = {credentials: (until, refused.message)}
            self._proven.discard(credentials)

    def _refuse_again(self, credentials: Credentials | None) -> None:
        if credentials is None or credentials not in self._refused:
            return
        until, message = self._refused[credentials]
        if self._clock.monotonic() < until:
            message = f"{message} (not tried again with the same credentials for now)"
            raise Refused(message, system=self._system, status=_UNAUTHORIZED)


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a 401 asks for. `scheme` is lower case; `realm` is a URL when it is `bearer`."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


def read_object(reply: Reply) -> Mapping[str, Any]:
    """Read the body as a JSON object. Raises Unavailable when it is something else: some proxy answered."""
    body = reply.json()
    if not isinstance(body, dict):
        raise Unavailable(
            f"{reply.system} answered with something unexpected", system=reply.system, status=reply.status
        )
    return body


def read_challenge(header: str) -> Challenge | None:
    """Read a `WWW-Authenticate` header; of several challenges Bearer is taken first."""
    for scheme in ("Bearer", "Basic"):
        found = re.search(rf"(?:^|[\s,]){scheme}(?:\s+|$)", header, re.IGNORECASE)
        if found:
            named = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(header[found.end() :])}
            return Challenge(scheme.lower(), *(named.get(name, "") for name in ("realm", "service", "scope")))
    return None


class RegistryApi:
    """One registry, asked with a token, with a password or without anything, as it demands.

    The endpoint beneath carries no authorization of its own.
    """

    def __init__(
        self,
        registry: Asks,
        *,
        origin: str,
        system: str,
        credentials: CredentialsSource = anonymous,
        token_origins: Collection[str] = (),
        clock: Clock | None = None,
    ) -> None:
        """Take an endpoint of the registry.

        Args:
            registry: the endpoint; it must allow the origins of `token_origins`.
            origin: the registry's own URL, whose host may always ask for the credentials.
            system: its name in messages.
            credentials: for the token realm, or for the registry where that wants a password.
            token_origins: other hosts (`https://auth.docker.io`) that the credentials may be given to.
            clock: for the lives of tokens.
        """
        self._registry = registry
        self._system = system
        self._credentials = credentials
        self._origins = {_origin(url) for url in (origin, *token_origins)}
        self._tokens = TokenCache(system, clock)
        self._challenge: Challenge | None = None

    async def ping(self) -> str:
        """Return the version that the registry says it speaks. Raises Refused when it does not let us in."""
        reply = await self._ask("GET", "/v2/", scope="", operation="ping")
        if reply.status != _OK:
            raise self._refusal(reply, "the registry")
        return reply.headers.get("docker-distribution-api-version", "registry/2.0")

    async def ask_manifest(self, method: str, repository: str, reference: str) -> Reply:
        """Ask for a manifest by tag or digest: 200, 404, or 401 when even a fresh token does not suffice."""
        path = f"/v2/{quote(repository, safe='/')}/manifests/{quote(reference, safe=':')}"
        headers = {"accept": ACCEPT}
        operation = f"{method.lower()}_manifest"
        return await self._ask(method, path, scope=_pull(repository), headers=headers, operation=operation)

    async def digest_of(self, repository: str, tag: str, head: Reply) -> str:
        """Return the digest that a successful HEAD told, else that of the exact bytes of a GET."""
        told = head.headers.get("docker-content-digest", "")
        if _DIGEST.fullmatch(told):
            return told
        reply = await self.ask_manifest("GET", repository, tag)
        if reply.status != _OK:
            raise Unavailable(f"{self._system} showed {repository}:{tag} and then did not give it", system=self._system)
        return f"sha256:{hashlib.sha256(reply.body).hexdigest()}"

    async def find_tags(self, repository: str) -> tuple[str, ...] | None:
        """Return all tags, sorted, following the pages; None when the repository is unknown. Raises Refused."""
        path: str | None = f"/v2/{quote(repository, safe='/')}/tags/list"
        tags: set[str] = set()
        seen: set[str] = set()
        while path is not None and path not in seen:
            seen.add(path)
            reply = await self._ask("GET", path, scope=_pull(repository), operation="list_tags")
            if reply.status == _NOT_FOUND:
                return None
            if reply.status != _OK:
                raise self._refusal(reply, repository)
            tags.update(read_object(reply).get("tags") or ())
            path = _next_page(reply, path)
        return tuple(sorted(tags))

    def _refusal(self, reply: Reply, what: str) -> Refused:
        message = f"{self._system} does not let these credentials read {what}: check user, password and their scopes"
        return Refused(message, system=self._system, status=reply.status)

    async def _ask(
        self, method: str, path: str, *, scope: str, operation: str, headers: dict[str, str] | None = None
    ) -> Reply:
        credentials = await self._credentials()
        known = self._challenge
        sent = await self._authorize(known, scope, credentials)
        reply = await self._send(method, path, operation, {**(headers or {}), **sent})
        challenge = read_challenge(reply.headers.get("www-authenticate", ""))
        if reply.status != _UNAUTHORIZED or challenge is None:
            return reply
        self._challenge = challenge
        if sent:
            self._forget(known, scope, credentials, sent)
        sent = await self._authorize(challenge, scope, credentials)
        return await self._send(method, path, operation, {**(headers or {}), **sent}) if sent else reply

    async def _send(self, method: str, path: str, operation: str, headers: dict[str, str]) -> Reply:
        expect = (_OK, _UNAUTHORIZED, _NOT_FOUND)
        return await self._registry.ask(method, path, expect=expect, headers=headers, operation=operation)

    async def _authorize(
        self, challenge: Challenge | None, scope: str, credentials: Credentials | None
    ) -> dict[str, str]:
        """Return the header that answers a challenge; nothing where there is none or nothing to answer with."""
        if challenge is None:
            return {}
        if challenge.scheme == "basic":
            return {"authorization": credentials.basic()} if credentials else {}

        async def ask() -> Token:
            return await self._ask_token(challenge, scope, credentials)

        token = await self._tokens.get(_key(challenge, scope), credentials, ask)
        return {"authorization": f"Bearer {token}"}

    def _forget(
        self, challenge: Challenge | None, scope: str, credentials: Credentials | None, sent: dict[str, str]
    ) -> None:
        if challenge is not None:
            self._tokens.drop(_key(challenge, scope), credentials, sent["authorization"].removeprefix("Bearer "))

    async def _ask_token(self, challenge: Challenge, scope: str, credentials: Credentials | None) -> Token:
        self._check_realm(challenge.realm)
        query = {"service": challenge.service, "scope": scope}
        separator = "&" if "?" in challenge.realm else "?"
        url = f"{challenge.realm}{separator}{urlencode({k: v for k, v in query.items() if v}, quote_via=quote)}"
        headers = {"authorization": credentials.basic()} if credentials else {}
        reply = await self._registry.ask("GET", url, headers=headers, operation="get_token")
        body = read_object(reply)
        value = body.get("token") or body.get("access_token")
        if not isinstance(value, str) or not value:
            raise Unavailable(f"{self._system}'s token realm gave no token", system=self._system)
        seconds = body.get("expires_in")
        return Token(value, float(seconds) if isinstance(seconds, int | float) and seconds > 0 else _DEFAULT_LIFE)

    def _check_realm(self, realm: str) -> None:
        if _origin(realm) not in self._origins:
            host = urlsplit(realm).hostname or "nowhere"
            message = f"{self._system} sends its users to {host} for a token, a host that may not see the credentials"
            raise Refused(f"{message}; allow it as a token host if it is to be trusted", system=self._system)


def _pull(repository: str) -> str:
    return f"repository:{repository}:pull"


def _key(challenge: Challenge, scope: str) -> tuple[str, str, str]:
    return challenge.realm, challenge.service, scope


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, parts.hostname or "", parts.port or default


def _next_page(reply: Reply, path: str) -> str | None:
    """Return the path of the next page as `Link` names it, relative to the page before it."""
    found = _NEXT.search(reply.headers.get("link", ""))
    if found is None:
        return None
    target = found.group(1)
    if target.startswith("?"):
        return path.partition("?")[0] + target
    parts = urlsplit(target)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
