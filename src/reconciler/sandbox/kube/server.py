"""The Kubernetes API as one asyncio HTTP server on loopback."""

import asyncio
import collections
import uuid
from http import HTTPStatus
from typing import Final

import yaml
from aiohttp import web

from reconciler.domain.clock import Clock, SystemClock
from reconciler.sandbox.kube.builtin import builtin_resources
from reconciler.sandbox.kube.controllers import Controllers
from reconciler.sandbox.kube.crd import crd_resource
from reconciler.sandbox.kube.errors import ApiError, internal
from reconciler.sandbox.kube.faults import Faults
from reconciler.sandbox.kube.negotiation import JSON_TYPE, encode
from reconciler.sandbox.kube.reads import Reader
from reconciler.sandbox.kube.registry import Registry
from reconciler.sandbox.kube.requests import Reply, Request, wants_pretty
from reconciler.sandbox.kube.routes import Routes
from reconciler.sandbox.kube.store import Store
from reconciler.sandbox.kube.watch import Watches, abort
from reconciler.sandbox.kube.writes import WriteOptions, Writer

_MAX_BODY: Final = 3_145_728
_MAX_STORED: Final = 1_572_864
_FIRST_NAMESPACES: Final = ("default", "kube-system", "kube-public", "kube-node-lease")
_OPEN_PATHS: Final = frozenset({"/version", "/healthz", "/livez", "/readyz"})


class KubeApi:
    """An API server with the semantics of a real one, for one user who may do everything.

    It speaks plain HTTP. kubectl sends no credentials there, so requests without any are the admin's as long as
    `anonymous` is on; a wrong token is 401 in any case.
    """

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        token: str = "sandbox",
        compact_after: int = 10_000,
        anonymous: bool = True,
    ) -> None:
        """`compact_after`: how many events per resource are remembered for resumed watches and pages."""
        self.token = token
        self.url = ""
        self.requests: collections.Counter[str] = collections.Counter()
        self.faults = Faults()
        self._anonymous = anonymous
        self._clock = clock or SystemClock()
        self.store = Store(compact_after)
        self._registry = Registry()
        self._writer = Writer(self.store, self._registry, self._clock)
        self._watches = Watches(self._writer, self._clock, self.faults)
        self._reader = Reader(self._writer, self._clock.now)
        self._controllers = Controllers(self._writer, self._registry, self._watches)
        self._routes = Routes(self._registry, self._writer, self._reader, self._watches, self.faults, token)
        self._runner: web.ServerRunner | None = None
        for resource in (*builtin_resources(), crd_resource()):
            self._registry.add(resource)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; `url` is known afterwards (port 0 takes a free one)."""
        self._seed()
        server = web.Server(self._handle, access_log=None, handler_cancellation=True)
        self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        bound = self._runner.addresses[0][1]
        self.url = f"http://{host}:{bound}"

    async def stop(self) -> None:
        """End all watches and close everything."""
        self._controllers.stop()
        self._watches.end()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def kubeconfig(self) -> str:
        """Return a kubeconfig for this server, as YAML."""
        name = "sandbox"
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": name, "cluster": {"server": self.url}}],
                "users": [{"name": name, "user": {"token": self.token}}],
                "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
                "current-context": name,
            },
            sort_keys=False,
        )

    def _seed(self) -> None:
        namespaces = self._registry.find("", "v1", "namespaces")
        if namespaces is None or self.store.bucket("namespaces").objects:
            return
        for name in _FIRST_NAMESPACES:
            self._writer.create(namespaces, "", {"metadata": {"name": name}}, WriteOptions(manager="kube-apiserver"))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.faults.down:
            abort(request)
            return web.Response()
        if self.faults.latency > 0:
            await asyncio.sleep(self.faults.latency)
        parsed = Request.read(request)
        try:
            self._admit(request, parsed)
            raw = await _body(request)
            if len(raw) > _MAX_STORED:
                raise internal("etcdserver: request is too large")
            reply = await self._routes.answer(parsed, raw, self._headers())
        except ApiError as error:
            reply = _refusal(error)
        if isinstance(reply, web.StreamResponse):
            return reply
        return self._response(request, parsed, reply)

    def _admit(self, request: web.BaseRequest, parsed: Request) -> None:
        self.requests[parsed.label] += 1
        if parsed.path in _OPEN_PATHS:
            return
        failure = self.faults.take_failure()
        if failure is not None:
            raise failure
        given = request.headers.get("Authorization")
        if given is None:
            if not self._anonymous:
                message = f'forbidden: User "system:anonymous" cannot {parsed.method.lower()} path "{parsed.path}"'
                raise ApiError(403, "Forbidden", message, {})
            return
        if given != f"Bearer {self.token}":
            raise ApiError(401, "Unauthorized", "Unauthorized")

    def _headers(self) -> dict[str, str]:
        return {
            "Audit-Id": str(uuid.uuid4()),
            "Cache-Control": "no-cache, private",
            "Date": self._clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT"),
        }

    def _response(self, request: web.BaseRequest, parsed: Request, reply: Reply) -> web.Response:
        headers = self._headers()
        headers.update(reply.headers)
        headers["Content-Type"] = reply.content_type
        body = reply.body
        if not isinstance(body, bytes):
            body = encode(body, reply.content_type, pretty=wants_pretty(request, parsed.query))
        response = web.Response(status=reply.status, headers=headers, body=body)
        for warning in reply.warnings:
            escaped = warning.replace("\\", "\\\\").replace('"', '\\"')
            response.headers.add("Warning", f'299 - "{escaped}"')
        return response


def _refusal(error: ApiError) -> Reply:
    headers = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    if error.plain:
        return Reply(error.message.encode(), error.code, "text/plain; charset=utf-8", headers)
    return Reply(error.body(), error.code, JSON_TYPE, headers)


async def _body(request: web.BaseRequest) -> bytes:
    if not request.body_exists:
        return b""
    too_large = ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "RequestEntityTooLarge",
        f"Request entity too large: limit is {_MAX_BODY}",
    )
    if (request.content_length or 0) > _MAX_BODY:
        raise too_large
    raw = await request.content.read()
    if len(raw) > _MAX_BODY:
        raise too_large
    return raw
