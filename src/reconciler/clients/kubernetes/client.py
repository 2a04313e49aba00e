"""Our own calls to Kubernetes' API, one method per request; bodies are JSON as they are."""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import aiohttp
import orjson

from reconciler.clients.kubernetes.credentials import USER_AGENT, Credentials
from reconciler.clients.kubernetes.refusals import SYSTEM, refusal
from reconciler.domain.clock import Clock, SystemClock
from reconciler.domain.errors import NotFound, OutcomeUnknown, Refused, Unavailable
from reconciler.domain.health import Condition, PartState
from reconciler.domain.keys import EVENT, Body, Kind, named

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
_JSON = "application/json"
_READS = ("GET", "HEAD")
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Call:
    """One request as metrics see it; `status` 0 means that no answer came."""

    verb: str
    kind: str
    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Request:
    verb: str
    kind: str
    path: str
    what: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    content_type: str = _JSON

    @property
    def is_change(self) -> bool:
        return self.verb not in _READS


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes


def _unobserved(_: Call) -> None:
    """See nothing."""


class Kubernetes:
    """One API server. Every method may raise Unavailable (or RateLimited), Refused and, for changes, OutcomeUnknown.

    A kind is given as it is, or by its name. A request ends within `timeout`. There are no retries here: the next look
    is the retry.
    """

    def __init__(
        self,
        credentials: Credentials,
        *,
        clock: Clock | None = None,
        timeout: timedelta = timedelta(seconds=30),
        connections: int = 50,
        observe: Callable[[Call], None] = _unobserved,
    ) -> None:
        """Open nothing yet: the session opens with the first request and ends with `close()`."""
        self.credentials = credentials
        self._clock = clock or SystemClock()
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds(), connect=timeout.total_seconds() / 3)
        self._connections = connections
        self._observe = observe
        self._session: aiohttp.ClientSession | None = None
        self._told_time: tuple[datetime, float] | None = None
        self._state = PartState(Condition.UNKNOWN, "not asked yet")

    async def close(self) -> None:
        """Close the connections; a later request would open new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def state(self) -> PartState:
        """Return how the API server answered last, for `/readyz`."""
        return self._state

    # Questions

    async def get(self, kind: Kind | str, namespace: str, name: str) -> Body:
        """Return one resource as it is now. Raises NotFound."""
        kind = named(kind)
        return await self._ask(kind, kind.path(namespace, name), f"get {kind.kind} {namespace}/{name}")

    async def find(self, kind: Kind | str, namespace: str, name: str) -> Body | None:
        """Return one resource as it is now, None if it is not there."""
        try:
            return await self.get(kind, namespace, name)
        except NotFound:
            return None

    async def list_(
        self, kind: Kind | str, namespace: str | None = None, *, label_selector: str = "", limit: int = 500
    ) -> tuple[list[Body], str]:
        """Return all resources of a kind (in one namespace, or all) and the resource version of the whole answer.

        Raises:
            NotFound: the server does not serve this kind.
        """
        items: list[Body] = []
        async with aclosing(self.pages(kind, namespace, label_selector=label_selector, limit=limit)) as pages:
            version = ""
            async for page, version in pages:  # noqa: B007 - the last one is what is returned
                items.extend(page)
        return items, version

    async def pages(
        self, kind: Kind | str, namespace: str | None = None, *, label_selector: str = "", limit: int = 500
    ) -> AsyncGenerator[tuple[list[Body], str]]:
        """Yield a kind's resources page by page, all pages as of the same resource version, which comes with each.

        Raises:
            Unavailable: the pages took so long that the server forgot their version: begin again.
        """
        kind = named(kind)
        parameters = {"limit": str(limit)} | ({"labelSelector": label_selector} if label_selector else {})
        while True:
            answer = await self._ask(kind, kind.path(namespace), f"list {kind.plural}", parameters)
            metadata = answer.get("metadata") or {}
            yield [_complete(item, kind) for item in answer.get("items") or []], metadata.get("resourceVersion", "")
            if not metadata.get("continue"):
                return
            parameters["continue"] = metadata["continue"]

    # Changes

    async def create(self, kind: Kind | str, namespace: str, body: Body) -> Body:
        """Create a resource and return it as stored. Raises AlreadyExists, NotFound (namespace), Invalid."""
        kind = named(kind)
        name = body.get("metadata", {}).get("name", "")
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **body}
        return await self._change("POST", kind, kind.path(namespace), f"create {kind.kind} {namespace}/{name}", body)

    async def replace(self, kind: Kind | str, namespace: str, name: str, body: Body) -> Body:
        """Put a resource, guarded by the resource version in `body`. Raises Conflict, NotFound, Invalid."""
        kind = named(kind)
        return await self._change(
            "PUT", kind, kind.path(namespace, name), f"replace {kind.kind} {namespace}/{name}", body
        )

    async def patch(
        self, kind: Kind | str, namespace: str, name: str, patch: Body, resource_version: str | None = None
    ) -> Body:
        """Merge `patch` into a resource, guarded if a version is given. Raises Conflict, NotFound, Invalid."""
        kind = named(kind)
        what = f"patch {kind.kind} {namespace}/{name}"
        body = _guarded(patch, resource_version)
        return await self._change("PATCH", kind, kind.path(namespace, name), what, body, content_type=MERGE_PATCH)

    async def patch_status(
        self, kind: Kind | str, namespace: str, name: str, patch: Body, resource_version: str | None
    ) -> Body:
        """Merge `patch` (`{"status": …}`) into a status, guarded by the version. Raises Conflict, NotFound, Invalid."""
        kind = named(kind)
        what = f"patch status of {kind.kind} {namespace}/{name}"
        body = _guarded(patch, resource_version)
        return await self._change(
            "PATCH", kind, kind.path(namespace, name, "status"), what, body, content_type=MERGE_PATCH
        )

    async def json_patch(
        self, kind: Kind | str, namespace: str, name: str, operations: Sequence[Body], *, subresource: str = ""
    ) -> Body:
        """Apply a JSON patch. Raises Conflict when a `test` in it fails or a path is not there, NotFound, Invalid."""
        kind = named(kind)
        what = f"patch {kind.kind} {namespace}/{name}"
        path = kind.path(namespace, name, subresource)
        return await self._change("PATCH", kind, path, what, list(operations), content_type=JSON_PATCH)

    async def delete(
        self,
        kind: Kind | str,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Body | None:
        """Delete a resource, if it is still the one with `uid` and at that version.

        Returns:
            The resource while its finalizers keep it, None when it is gone.

        Raises:
            NotFound, Conflict (another uid or version).
        """
        kind = named(kind)
        asked = {"uid": uid, "resourceVersion": resource_version}
        preconditions = {field: value for field, value in asked.items() if value}
        options: Body = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if preconditions:
            options["preconditions"] = preconditions
        what = f"delete {kind.kind} {namespace}/{name}"
        answer = await self._change("DELETE", kind, kind.path(namespace, name), what, options)
        return None if answer.get("kind") == "Status" else answer

    async def create_event(self, namespace: str, body: Body) -> Body:
        """Post an Event (core/v1); `metadata.generateName` names it. Raises Invalid, NotFound."""
        return await self.create(EVENT, namespace, body)

    # The server's clock

    def server_time(self) -> datetime:
        """Return the API server's time: its last `Date` header (whole seconds) and what went by since, else our own."""
        if self._told_time is None:
            return self._clock.now()
        told, at = self._told_time
        return told + timedelta(seconds=self._clock.monotonic() - at)

    async def ask_time(self) -> datetime:
        """Ask the server now, and return its time. It is also the cheapest way to see that it answers."""
        await self._read(_Request("GET", "", "/version", "ask for the version"))
        return self.server_time()

    # The one way to the wire

    async def _ask(self, kind: Kind, path: str, what: str, parameters: Mapping[str, str] = _NOTHING) -> Body:
        return await self._read(_Request("GET", kind.kind, path, what, parameters))

    async def _change(
        self, verb: str, kind: Kind, path: str, what: str, body: Any, *, content_type: str = _JSON
    ) -> Body:
        parameters = _NOTHING if verb == "DELETE" else {"fieldManager": USER_AGENT}
        return await self._read(_Request(verb, kind.kind, path, what, parameters, orjson.dumps(body), content_type))

    async def _read(self, request: _Request) -> Body:
        reply = await self._send(request)
        if reply.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise refusal(
                reply.status,
                reply.body,
                what=request.what,
                is_change=request.is_change,
                retry_after=reply.headers.get("Retry-After"),
            )
        try:
            return dict(orjson.loads(reply.body))
        except orjson.JSONDecodeError as exc:
            lost = OutcomeUnknown if request.is_change else Unavailable
            raise lost(f"{request.what}: the answer is not JSON", system=SYSTEM, status=reply.status) from exc

    async def _send(self, request: _Request) -> _Reply:
        started = self._clock.monotonic()
        status = 0
        try:
            async with self._opened().request(
                request.verb,
                f"{self.credentials.server}{request.path}",
                params=request.parameters,
                data=request.content,
                headers={"Accept": _JSON} | ({"Content-Type": request.content_type} if request.content else {}),
                timeout=self._timeout,
                allow_redirects=False,
            ) as response:
                body = await response.read()
                status = response.status
                self._hear_time(response.headers.get("Date"))
                self._show(status, f"HTTP {status}")
                return _Reply(status, response.headers, body)
        except (aiohttp.ClientError, OSError) as exc:
            self._show(0, type(exc).__name__)
            raise _no_answer(exc, request) from exc
        finally:
            self._observe(Call(request.verb, request.kind, status, self._clock.monotonic() - started))

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = self.credentials.open_session(connections=self._connections)
        return self._session

    def _show(self, status: int, words: str) -> None:
        condition, detail = Condition.OK, ""
        if status == HTTPStatus.UNAUTHORIZED:
            condition, detail = Condition.FAILED, "our credentials are refused"
        elif status == HTTPStatus.TOO_MANY_REQUESTS or not 0 < status < HTTPStatus.INTERNAL_SERVER_ERROR:
            condition, detail = Condition.DEGRADED, words
        if condition is not self._state.state:
            self._state = PartState(condition, detail, self._clock.now())

    def _hear_time(self, date: str | None) -> None:
        if date is None:
            return
        try:
            told = parsedate_to_datetime(date)
        except ValueError:
            return
        self._told_time = (told if told.tzinfo else told.replace(tzinfo=UTC), self._clock.monotonic())


def _no_answer(exc: BaseException, request: _Request) -> Unavailable | Refused:
    if isinstance(exc, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return Refused("the API server's certificate is not accepted", system=SYSTEM)
    never_sent = isinstance(exc, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    words = "no answer in time" if isinstance(exc, TimeoutError) else type(exc).__name__
    if never_sent or not request.is_change:
        return Unavailable(f"{request.what}: {words}", system=SYSTEM)
    return OutcomeUnknown(f"{request.what}: {words} after it was sent", system=SYSTEM)


def _guarded(patch: Body, resource_version: str | None) -> Body:
    if not resource_version:
        return patch
    return {**patch, "metadata": {**patch.get("metadata", {}), "resourceVersion": resource_version}}


def _complete(item: Body, kind: Kind) -> Body:
    """Items of built-in kinds come without their kind."""
    item.setdefault("kind", kind.kind)
    item.setdefault("apiVersion", kind.api_version)
    return item
