"""The operator in a process of its own: it can be ended as a machine that loses its power ends it."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp

_PROGRAM = str(Path(sys.executable).with_name("reconciler"))
_HOST = "127.0.0.1"
_ASK_AGAIN = 0.05
_READY_WITHIN = 60.0


class NotReady(Exception):
    """The operator did not become ready in time, or ended before."""


class OperatorProcess:
    """`reconciler run` with given settings; its lives have one replica's name, as those of a container have."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Prepare; `start` begins a life."""
        self._port = _free_port()
        web = {"RECONCILER_HTTP_HOST": _HOST, "RECONCILER_HTTP_PORT": str(self._port)}
        self._variables = {"PATH": os.environ.get("PATH", ""), "RECONCILER_LOG_LEVEL": "error", **variables, **web}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def is_up(self) -> bool:
        """Whether it lives."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Begin a life, and wait until it is ready. Raises NotReady."""
        self._process = await asyncio.create_subprocess_exec(_PROGRAM, "run", env=self._variables)
        try:
            async with asyncio.timeout(_READY_WITHIN):
                await self._answers()
        except TimeoutError as error:
            raise NotReady(f"the operator's process is not ready after {_READY_WITHIN:.0f} s") from error

    async def kill(self) -> None:
        """End it at once, whatever it is doing."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Ask for its end and wait for it."""
        await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            await self._process.wait()

    async def _answers(self) -> None:
        """Ask until it says that it is ready. Raises NotReady when it ended instead."""
        async with aiohttp.ClientSession() as session:
            while not await _says_ok(session, f"http://{_HOST}:{self._port}/readyz"):
                if not self.is_up:
                    raise NotReady("the operator's process ended before it was ready")
                await asyncio.sleep(_ASK_AGAIN)


async def _says_ok(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.ok
    except aiohttp.ClientError:
        return False


def _free_port() -> int:
    with socket.create_server((_HOST, 0)) as server:
        port: int = server.getsockname()[1]
        return port
