"""The operator as a program: `reconciler run` with environment variables and nothing else, to be watched and killed."""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from support.clusters import until

COMMAND = Path(sys.executable).with_name("reconciler")
STARTS_WITHIN = 40.0
ENDS_WITHIN = 25.0
"""DESIGN 7: SIGTERM to exit."""


@dataclass
class OperatorProcess:
    """One life of an operator.

    Attributes:
        environ: all variables it gets, beside PATH.
        log: where its standard error goes; each life adds to it.
        url: of its HTTP server.
    """

    environ: Mapping[str, str]
    log: Path
    url: str = ""
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    async def start(self, *, wait: bool = True) -> None:
        """Start it, and wait until it serves HTTP."""
        port = int(self.environ.get("RECONCILER_HTTP_PORT", "0")) or free_port()
        self.url = f"http://127.0.0.1:{port}"
        variables = {"PATH": os.environ["PATH"], **self.environ, "RECONCILER_HTTP_PORT": str(port)}
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                COMMAND, "run", env=variables, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        if wait:
            await until(self._serves, STARTS_WITHIN)

    async def is_ready(self) -> bool:
        """Tell whether `/readyz` says so."""
        return (await self.ask("/readyz"))[0] == 200

    async def ready(self) -> None:
        """Wait until it is ready."""
        await until(self.is_ready, STARTS_WITHIN)

    async def ask(self, path: str) -> tuple[int, str]:
        """Return status and text of an answer; 0 where there is none."""
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            timeout = aiohttp.ClientTimeout(total=5)
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(self.url + path) as answer:
                return answer.status, await answer.text()
        return 0, ""

    async def part(self, name: str) -> dict[str, Any]:
        """Return how a part is, by `/readyz?verbose`."""
        shown: dict[str, Any] = orjson.loads((await self.ask("/readyz?verbose"))[1])["parts"][name]
        return shown

    async def metric(self, line: str) -> float:
        """Return the sum of all samples whose line begins so; 0 where there are none."""
        _, text = await self.ask("/metrics")
        return sum(float(found) for found in re.findall(rf"^{re.escape(line)}\S* (\S+)$", text, re.MULTILINE))

    @property
    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return self._process is not None and self._process.returncode is None

    def kill(self) -> None:
        """Kill it at once, as a node that dies does."""
        if self._process is not None and self.is_alive:
            self._process.kill()

    async def killed(self) -> None:
        """Kill it and wait until it is gone."""
        self.kill()
        await self.ended()

    async def ended(self) -> int:
        """Wait until it is gone and return its exit code; negative for a signal."""
        assert self._process is not None, "it was not started"
        async with asyncio.timeout(STARTS_WITHIN):
            return await self._process.wait()

    async def terminated(self) -> int:
        """Ask it to end and return its exit code. Raises TimeoutError when it takes longer than it may."""
        assert self._process is not None, "it was not started"
        self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(ENDS_WITHIN):
            return await self._process.wait()

    def lines(self) -> list[dict[str, Any]]:
        """Return what it logged."""
        found = self.log.read_bytes().splitlines()
        return [orjson.loads(line) for line in found if line.startswith(b"{")]

    def said(self, *levels: str) -> list[str]:
        """Return its events of these levels."""
        return [str(line.get("event", line)) for line in self.lines() if line.get("level") in levels]

    async def _serves(self) -> bool:
        if not self.is_alive:
            raise RuntimeError(f"the operator ended: {self.log.read_text(encoding='utf-8')[-2000:]}")
        return (await self.ask("/livez"))[0] != 0


@asynccontextmanager
async def an_operator(environ: Mapping[str, str], log: Path, *, wait: bool = True) -> AsyncIterator[OperatorProcess]:
    """Run an operator; whatever is left of it at the end is killed."""
    operator = OperatorProcess(environ, log)
    try:
        await operator.start(wait=wait)
        yield operator
    finally:
        if operator.is_alive:
            await operator.killed()


def free_port() -> int:
    """Return a port of loopback that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
