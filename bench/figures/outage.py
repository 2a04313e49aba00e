"""What an outage costs: one system away for long with hundreds in flight; memory, the work beside it, the recovery."""

import asyncio
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack

from bench.children import Child, child
from bench.load import Load, Place, Told, loading
from bench.rows import Row, Table

_SYSTEM = "argocd"
_BREAKER = {"RECONCILER_BREAKER_OPEN": "30s"}
"""The operator's own default; the sandbox is less patient."""


async def outage(table: Table, *, quick: bool) -> None:
    """Take Argo CD away; builds and images of other deployments are the work beside it."""
    waiting, beside, seconds = (50, 40, 60.0) if quick else (500, 200, 600.0)
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(child("bench.world"))
        operator = await stack.enter_async_context(child("bench.operator", environ={**world.first, **_BREAKER}))
        load = await stack.enter_async_context(loading(world.first))
        places = await load.set_up(waiting + 2 * beside)
        calm, away, held = places[:beside], places[beside : 2 * beside], places[2 * beside :]
        await load.deploy_all(places, in_flight=100)  # so that only what an update takes is measured
        table.heading(f"{_SYSTEM} away for {seconds:.0f} s, {waiting} in flight")
        before = await _built_per_minute(load, calm)
        await world.ask("weather", system=_SYSTEM, weather="down")
        began = time.monotonic()
        told = [await load.deploy(place) for place in held]
        await _all_wait(told)
        waiting_alone = await _memory(operator)
        during = await _built_per_minute(load, away)
        memory = await _memory(operator)  # with what they take: flat is what time adds nothing to
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))
        later = await _memory(operator)
        await world.ask("weather", system=_SYSTEM, weather="calm")
        back = time.monotonic()
        await _all_ended(load.operations.values())
        table.add(Row(f"memory when {waiting} wait", waiting_alone, "MB"))
        table.add(Row(f"memory when {beside} more wait", memory, "MB"))
        table.add(Row("memory at the end of the outage", later, "MB", at_most=memory * 1.05 + 5))
        table.add(Row("built and pushed per minute, calm", before, "/min"))
        table.add(Row("built and pushed per minute, during the outage", during, "/min", at_least=0.9 * before))
        table.add(Row("all ended after it was back", time.monotonic() - back, "s", at_most=60))
        succeeded = sum(one.phase == "Succeeded" for one in told)
        table.add(Row("of those in flight, ended as Succeeded", succeeded, at_least=len(told)))


async def _built_per_minute(load: Load, places: list[Place]) -> float:
    """Deploy to each place, and return how many a minute have their image and begin to sync."""
    began = time.monotonic()
    told = [await load.deploy(place) for place in places]
    await _all_wait(told)
    return 60 * len(told) / (time.monotonic() - began)


async def _all_wait(told: list[Told]) -> None:
    """Wait until all have come to the sync, or beyond it."""
    async with asyncio.timeout(300):
        while not all(one.stage in ("sync", "expose", "verify") or one.ended_at for one in told):  # noqa: ASYNC110 - heartbeats change it
            await asyncio.sleep(0.05)


async def _all_ended(told: Iterable[Told]) -> None:
    async with asyncio.timeout(300):
        for one in told:
            await one.ended.wait()


async def _memory(operator: Child) -> float:
    await operator.ask("collect")
    return operator.rss()
