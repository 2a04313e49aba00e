"""Other processes: started as `python -m bench.X`, spoken to in lines of JSON, watched through /proc."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_PATIENCE = 300.0
_LONGEST_LINE = 16 * 1024 * 1024
Answers = Callable[[str, Mapping[str, Any]], Awaitable[Any]]


class Child:
    """A process of ours; `first` is what it said when it was ready."""

    def __init__(
        self, process: asyncio.subprocess.Process, stdin: asyncio.StreamWriter, stdout: asyncio.StreamReader
    ) -> None:
        self._process, self._stdin, self._stdout = process, stdin, stdout
        self.first: dict[str, Any] = {}

    async def ask(self, command: str, **arguments: Any) -> Any:
        """Have something done there; return what it answers."""
        self._stdin.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
        await self._stdin.drain()
        return await self.read()

    async def read(self) -> Any:
        """Return the next line that it says. Raises EOFError when it is gone."""
        async with asyncio.timeout(_PATIENCE):
            line = await self._stdout.readline()
        if not line:
            raise EOFError(f"the process ended with {await self._process.wait()}")
        return json.loads(line)

    def cpu(self) -> float:
        """Return the seconds of CPU it has used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def rss(self) -> float:
        """Return its resident memory in MB."""
        return int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]) * _PAGE / 1e6

    async def kill(self) -> None:
        """End it as a machine that loses its power does."""
        self._process.kill()
        await self._process.wait()

    async def end(self) -> None:
        """End it, in order if it can."""
        if self._process.returncode is not None:
            return
        self._stdin.close()
        try:
            async with asyncio.timeout(30):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def child(module: str, *arguments: str, environ: Mapping[str, str] | None = None) -> AsyncIterator[Child]:
    """Run `python -m module` until the end of the block; it has said its first line when the block begins."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(environ or {})},
        limit=_LONGEST_LINE,
    )
    if process.stdin is None or process.stdout is None:
        raise OSError(f"no pipes to {module}")
    it = Child(process, process.stdin, process.stdout)
    try:
        it.first = await it.read()
        yield it
    finally:
        await it.end()


def say(what: Any) -> None:
    """Tell the parent."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def serve(answer: Answers) -> None:
    """Answer the parent's commands until it closes the line."""
    reader = asyncio.StreamReader(limit=_LONGEST_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while line := await reader.readline():
            asked = json.loads(line)
            say(await answer(asked.pop("command"), asked))
    finally:
        transport.close()
