"""A man in the middle of HTTP: passes requests on to a server, and answers some of them itself."""

from collections.abc import Awaitable, Callable
from typing import Any, Self

import aiohttp
from aiohttp import web
from yarl import URL

Meddle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse | None]]
_NOT_PASSED = {"transfer-encoding", "content-length", "content-encoding", "connection", "host", "date", "server"}


async def _nothing(_: web.BaseRequest) -> None:
    """Leave every request to the server."""


class Meddler:
    """Stands before a server on loopback. What `meddle` returns is the answer; None leaves it to the server."""

    def __init__(self, target: str) -> None:
        self._target = target.rstrip("/")
        self.meddle: Meddle = _nothing
        self.url = ""

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None))
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if (answer := await self.meddle(request)) is not None:
            return answer
        sent = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED}
        sent["Accept-Encoding"] = "identity"
        url = self._target + request.raw_path
        async with self._session.request(
            request.method, URL(url, encoded=True), headers=sent, data=await request.read()
        ) as there:
            kept = {name: value for name, value in there.headers.items() if name.lower() not in _NOT_PASSED}
            answer = web.StreamResponse(status=there.status, headers=kept)
            await answer.prepare(request)
            async for chunk in there.content.iter_any():
                await answer.write(chunk)
            return answer


def status(code: int, reason: str, message: str = "as the test wants it") -> dict[str, Any]:
    """Make a `Status` as the API server answers it."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


class Once:
    """Meddles with the first request that `concerns` says yes to, and leaves all others alone."""

    def __init__(self, concerns: Callable[[web.BaseRequest], bool], answer: Meddle) -> None:
        self._concerns = concerns
        self._answer = answer
        self.happened = False

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse | None:
        if self.happened or not self._concerns(request):
            return None
        self.happened = True
        return await self._answer(request)
