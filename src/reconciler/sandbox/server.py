"""One simulated HTTP system: a web application on loopback under its own weather, that counts what is asked of it."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

from aiohttp import web

from reconciler.domain.clock import Clock, SystemClock
from reconciler.sandbox.weather import Faults, Strike

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Simulator:
    """Base of the simulated systems. A subclass adds its routes in `routes()` and words its own 429 and 503.

    Attributes:
        requests: how often each thing was asked, as `METHOD route-pattern`.
        faults: the weather and the planned strikes.
        url: where it listens once started, without a trailing slash.
    """

    name = "simulator"

    def __init__(self, *, clock: Clock | None = None, seed: int = 0) -> None:
        self.clock = clock or SystemClock()
        self.requests: Counter[str] = Counter()
        self.faults = Faults(seed=seed)
        self.url = ""
        self._runner: web.AppRunner | None = None

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of this system."""
        raise NotImplementedError

    def limited(self) -> web.Response:
        """Word a 429 as the real system does."""
        return web.Response(status=429, text="Too Many Requests")

    def unavailable(self) -> web.Response:
        """Word a 503 as the real system does."""
        return web.Response(status=503, text="Service Unavailable")

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; `port` 0 takes a free one."""
        application = web.Application(middlewares=[self._under_weather], client_max_size=8 * 1024**2)
        application.add_routes(self.routes())
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        bound_host, bound_port = self._runner.addresses[0][:2]
        self.url = f"http://{bound_host}:{bound_port}"

    async def stop(self) -> None:
        """Stop listening and cut what is open."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _too_many(self) -> web.Response:
        answer = self.limited()
        if (seconds := self.faults.retry_after) is not None:
            answer.headers["Retry-After"] = str(seconds)
        return answer

    @web.middleware
    async def _under_weather(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        route = request.match_info.route.resource
        self.requests[f"{request.method} {route.canonical if route else 'unknown'}"] += 1
        strike = self.faults.strike(request.method, request.path)
        if delay := self.faults.delay():
            await asyncio.sleep(delay)
        match strike:
            case Strike.REFUSE:
                return _cut(request)
            case Strike.UNAVAILABLE:
                return self.unavailable()
            case Strike.LIMIT:
                return self._too_many()
            case Strike.LOSE_ANSWER:
                await handler(request)
                return _cut(request)
            case Strike.NONE:
                return await handler(request)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
