"""What waiting costs: requests per minute while many deployments wait for a build, or for a sync."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

from bench.children import Child, child
from bench.load import Load, Place, Told, loading
from bench.rows import Row, Table

_SYSTEMS = ("jenkins", "argocd", "registry", "dns", "kubernetes")
_AGES = 100_000
_PATIENCE = 300
_CALM = 3.0
_BY_CHANCE = 16.0
"""Requests a minute: the settings of all projects are compared every five minutes, up to four of them in one window."""
_FEW = 100.0
"""So many requests a minute are the Lease's, and one or two beside them."""


async def waiting(table: Table, *, quick: bool) -> None:
    """Measure both waits."""
    levels, seconds = ((10, 50, 100), 10.0) if quick else ((10, 100, 500), 15.0)
    for stage in ("build", "sync"):
        table.heading(f"requests per minute while deployments wait in {stage} (over {seconds:.0f} s each)")
        await _stage(table, stage, levels, seconds)


async def _stage(table: Table, stage: str, levels: tuple[int, ...], seconds: float) -> None:
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(child("bench.world"))
        operator = await stack.enter_async_context(child("bench.operator", environ=world.first))
        load = await stack.enter_async_context(loading(world.first))
        places = await load.set_up(levels[-1])
        await world.ask("pace", build=_AGES if stage == "build" else 0, sync=_AGES if stage == "sync" else 0)
        found: dict[int, dict[str, float]] = {}
        told: list[Told] = []
        for level in levels:
            told += await _send(load, places[len(told) : level])
            await _all_in(told, stage)
            await _until_calm(world)
            cpu = operator.cpu()
            found[level] = await _per_minute(world, seconds)
            share = 100 * (operator.cpu() - cpu) / seconds
            table.add(Row(f"CPU of the operator, {level} waiting in {stage}", share, "%"))
        for system in _SYSTEMS:
            _report(table, stage, system, {level: counts[system] for level, counts in found.items()})


def _report(table: Table, stage: str, system: str, counts: dict[int, float]) -> None:
    least, *_, most = counts
    for level, count in counts.items():
        bound = counts[least] * 1.1 + _BY_CHANCE if level == most else None
        table.add(Row(f"requests to {system} per minute, {level} waiting in {stage}", count, at_most=bound))


async def _send(load: Load, places: list[Place]) -> list[Told]:
    return [await load.deploy(place) for place in places]


async def _all_in(told: list[Told], stage: str) -> None:
    async with asyncio.timeout(_PATIENCE):
        while not all(one.stage == stage for one in told):  # noqa: ASYNC110 - a hundred heartbeats change it
            await asyncio.sleep(0.1)


async def _until_calm(world: Child) -> None:
    """Let what is still on its way into the wait settle: on slow cores hundreds of records take a while."""
    async with asyncio.timeout(_PATIENCE):
        while (await _per_minute(world, _CALM))["kubernetes"] > _FEW:
            pass


async def _per_minute(world: Child, seconds: float) -> dict[str, float]:
    before = await world.ask("requests")
    await asyncio.sleep(seconds)
    after = await world.ask("requests")
    return {name: sum((Counter(after[name]) - Counter(before[name])).values()) * 60 / seconds for name in after}
