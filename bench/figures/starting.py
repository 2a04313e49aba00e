"""How long a person waits: for the sandbox, and for the demonstration."""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from bench.rows import Row, Table

_LONGEST = 90.0


async def starting(table: Table, *, quick: bool) -> None:
    """Start the commands as a person does."""
    table.heading("the first minute")
    times = [await _sandbox_ready() for _ in range(1 if quick else 3)]
    known = [seconds for seconds in times if seconds is not None]
    note = "" if known else "`reconciler sandbox run --write-kubeconfig` does not get ready"
    table.add(Row("sandbox ready", min(known, default=None), "s", at_most=3, note=note))
    seconds, code = await _demo()
    note = "" if code == 0 else f"`reconciler demo` exited with {code}"
    table.add(Row("make demo, once installed", seconds if code == 0 else None, "s", at_most=30, note=note))


async def _sandbox_ready() -> float | None:
    with tempfile.TemporaryDirectory() as folder:
        kubeconfig, began = Path(folder) / "kubeconfig", time.monotonic()
        process = await _start("sandbox", "run", "--write-kubeconfig", str(kubeconfig))
        try:
            while time.monotonic() - began < _LONGEST and process.returncode is None:
                if kubeconfig.exists():
                    return time.monotonic() - began
                await asyncio.sleep(0.02)
            return None
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _demo() -> tuple[float, int | None]:
    began = time.monotonic()
    process = await _start("demo")
    try:
        async with asyncio.timeout(_LONGEST):
            code = await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        return _LONGEST, None
    return time.monotonic() - began, code


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    quiet = asyncio.subprocess.DEVNULL
    program = Path(sys.executable).with_name("reconciler")
    return await asyncio.create_subprocess_exec(str(program), *arguments, stdout=quiet, stderr=quiet, stdin=quiet)
