"""The HTTP server: probes, metrics and the API; it stays up whatever happens to the rest."""

from collections.abc import Sequence

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from reconciler.web.deployments import Deployments, DeploymentsApi, Mask
from reconciler.web.health import Health

_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def _unmasked(text: str) -> str:
    return text


class WebServer:
    """One listener.

    Attributes:
        url: where it listens once started.
    """

    def __init__(
        self,
        health: Health,
        metrics: CollectorRegistry,
        deployments: Deployments,
        *,
        host: str = "0.0.0.0",  # noqa: S104 - the kubelet asks from outside the pod
        port: int = 8080,
        mask: Mask = _unmasked,
        routes: Sequence[web.AbstractRouteDef] = (),
    ) -> None:
        """Prepare.

        Args:
            health: what `/livez` and `/readyz` ask.
            metrics: what `/metrics` shows.
            deployments: what `/api/v1/deployments` shows.
            host: address to listen on.
            port: port to listen on; 0 takes a free one.
            mask: takes secrets out of everything that leaves.
            routes: more of them, for the page.
        """
        self._health = health
        self._metrics = metrics
        self._api = DeploymentsApi(deployments, mask)
        self._mask = mask
        self._host, self._port = host, port
        self._routes = routes
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=2, handle_signals=False)
        await runner.setup()
        self._runner = runner
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError:
            await self.stop()
            raise
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Stop listening and end what is open."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def application(self) -> web.Application:
        """Return the application with all its routes."""
        application = web.Application(client_max_size=64 * 1024)
        application.add_routes(
            [
                web.get("/livez", self._livez),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._show_metrics),
                *self._api.routes(),
                *self._routes,
            ]
        )
        application.on_response_prepare.append(_add_headers)
        return application

    async def _livez(self, _: web.Request) -> web.Response:
        """Answering at all shows that the loop turns."""
        if dead := self._health.dead():
            return web.Response(status=503, text=f"dead: {', '.join(dead)}\n")
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        report = self._health.report()
        status = 503 if report["unready"] else 200
        if "verbose" in request.query:
            text = self._mask(orjson.dumps(report, option=orjson.OPT_INDENT_2).decode())
            return web.json_response(text=text, status=status)
        return web.Response(status=status, text=f"{report['status']}\n")

    async def _show_metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._metrics), headers={"Content-Type": content_type})


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
