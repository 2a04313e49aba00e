"""What keeping a thousand unchanged projects costs: requests by system, CPU and time of one pass over all of them."""

import asyncio
import time
from collections import Counter

from bench.children import Child, child
from bench.rows import Row, Table

_SYSTEMS = ("jenkins", "argocd", "registry", "dns", "kubernetes")
_PER_PROJECT = 4
_LONGEST = 300
_PER_MINUTE = 60
_READY_WITHIN = 1800.0
_INTERVAL = 120
"""Seconds of a pass here: in them each project comes once."""


async def drift(table: Table, *, quick: bool) -> None:
    """Set projects up, then let each be compared once, under the DNS provider's limit of 60 a minute."""
    count = 100 if quick else 1000
    table.heading(f"a drift pass over {count} unchanged projects")
    environ = {"RECONCILER_DRIFT_INTERVAL": f"{_INTERVAL}s", "RECONCILER_RESYNC_INTERVAL": "24h"}
    async with child("bench.world") as world:
        began = time.monotonic()
        await world.ask("projects", count=count, poll=f"{_INTERVAL}s")
        async with child("bench.operator", environ={**world.first, **environ}) as operator:
            await _ready(world, count)
            table.add(Row("all of them set up after", time.monotonic() - began, "s"))
            await _quiet(world)
            await world.ask("limit", per_minute=_PER_MINUTE)
            await _measure(table, world, operator, count)


async def _measure(table: Table, world: Child, operator: Child, count: int) -> None:
    before, cpu, began = await _requests(world), operator.cpu(), time.monotonic()
    compared = await _compared(world, before, count)
    took = time.monotonic() - began
    after, cpu = await _requests(world), operator.cpu() - cpu
    counts = {system: sum((after[system] - before[system]).values()) for system in _SYSTEMS}
    for system, asked in counts.items():
        most = ", ".join(f"{path} {n}" for path, n in (after[system] - before[system]).most_common(3))
        table.add(Row(f"requests to {system} per project", asked / count, note=most))
    table.add(Row("requests per project in all", sum(counts.values()) / count, at_most=_PER_PROJECT))
    table.add(Row("jobs compared", compared, at_least=count))
    table.add(Row("duration of the pass", took, "s", at_most=_LONGEST, note=f"spread over {_INTERVAL} s on purpose"))
    table.add(Row("CPU of the operator per project", 1000 * cpu / count, "ms"))


async def _compared(world: Child, before: dict[str, Counter[str]], count: int) -> int:
    """Wait until as many jobs were read as there are projects; return how many were."""
    ends = time.monotonic() + 2 * _LONGEST
    while True:
        now = (await _requests(world))["jenkins"] - before["jenkins"]
        jobs = sum(number for path, number in now.items() if path.startswith("GET") and path.endswith("config.xml"))
        if jobs >= count or time.monotonic() >= ends:
            return jobs
        await asyncio.sleep(0.5)


async def _ready(world: Child, count: int) -> None:
    async with asyncio.timeout(_READY_WITHIN):
        while (await world.ask("ready")) < count:  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(1)


async def _quiet(world: Child) -> None:
    """Wait until the Events of the set-ups are posted: they are no part of a pass."""
    posted = -1
    while (now := sum(n for path, n in (await _requests(world))["kubernetes"].items() if "event" in path)) != posted:
        posted = now
        await asyncio.sleep(5)


async def _requests(world: Child) -> dict[str, Counter[str]]:
    return {name: Counter(counts) for name, counts in (await world.ask("requests")).items()}
