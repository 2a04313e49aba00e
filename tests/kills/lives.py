"""Lives of an operator, one after the other: real processes of `reconciler run`, each to be killed somewhere."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kills.points import Point

TESTS = Path(__file__).parents[1]
KILLED = -signal.SIGKILL


@dataclass
class Lives:
    """Bears lives; only one is there at a time.

    Attributes:
        environ: the operator's variables.
        folder: its log (of all lives), and what each life noted.
        kills: how many lives ended by SIGKILL.
        reached: the points that any life came to.
        last: the newest of those of the life that ended last.
    """

    environ: Mapping[str, str]
    folder: Path
    zygote: asyncio.subprocess.Process
    kills: int = 0
    reached: set[Point] = field(default_factory=set)
    last: Point | None = None
    pid: int = 0

    @property
    def log(self) -> Path:
        """What the operators said."""
        return self.folder / "log"

    def bugs(self) -> list[str]:
        """Return what all lives logged as an error."""
        lines = [json.loads(line) for line in self.log.read_bytes().splitlines() if line.startswith(b"{")]
        return [str(line.get("event", line)) for line in lines if line.get("level") in ("error", "critical")]

    async def start(self, kill_at: Iterable[Point] = ()) -> None:
        """Begin a life, which ends at the first of these points that it comes to, or by other hands."""
        wanted = {
            "environ": {"PATH": os.environ["PATH"], **self.environ},
            "log": str(self.log),
            "notes": str(self.folder / "notes"),
            "kill_at": [str(point) for point in kill_at],
        }
        assert self.zygote.stdin is not None
        self.zygote.stdin.write(json.dumps(wanted).encode() + b"\n")
        self.pid = (await self._heard())["pid"]

    async def ended(self, within: float) -> int:
        """Wait for the end of this life and return its exit code. Raises TimeoutError."""
        async with asyncio.timeout(within):
            code: int = (await self._heard())["ended"]
        self.pid = 0
        self.kills += code == KILLED
        noted = self._noted()
        self.reached.update(noted)
        self.last = noted[-1] if noted else None
        return code

    async def kill(self, how: signal.Signals = signal.SIGKILL, within: float = 30.0) -> int:
        """End this life by a signal, and return its exit code."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, how)
        return await self.ended(within)

    def _noted(self) -> list[Point]:
        notes = self.folder / "notes"
        found = [Point.read(line) for line in notes.read_text(encoding="utf-8").splitlines()] if notes.exists() else []
        notes.unlink(missing_ok=True)
        return found

    async def _heard(self) -> dict[str, Any]:
        assert self.zygote.stdout is not None
        line = await self.zygote.stdout.readline()
        if not line:
            raise RuntimeError("the process that bears the operators is gone")
        heard: dict[str, Any] = json.loads(line)
        return heard


@asynccontextmanager
async def lives(environ: Mapping[str, str], folder: Path) -> AsyncIterator[Lives]:
    """Be ready to bear operators with these variables."""
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "kills.zygote")
    zygote = await asyncio.create_subprocess_exec(*command, env=variables, stdin=pipe, stdout=pipe)
    found = Lives(environ, folder, zygote)
    try:
        yield found
    finally:
        if found.pid:
            with suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGKILL)
        zygote.kill()
        await zygote.wait()
