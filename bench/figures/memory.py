"""What finished records cost: the operator's memory after a start among so many of them."""

import asyncio
from collections.abc import Callable

from bench.children import child
from bench.load import loading
from bench.rows import Row, Table
from reconciler.sandbox.world import NAMESPACE

_TARGET = 250
_QUIET_TURNS = 3
_TURN = 0.5
_NOTHING = 0.05
"""Seconds of CPU in a turn."""


async def memory(table: Table, *, quick: bool) -> None:
    """Make one real record, copy it, and start operators among the copies."""
    levels = (0, 200, 1000) if quick else (0, 1000, 5000)
    table.heading("resident memory of the operator")
    async with child("bench.world") as world:
        record, there = await _a_record(world.first), 0
        for level in levels:
            if level > there:
                await world.ask("preload", record=record, first=there, count=level - there)
                there = level
            async with child("bench.operator", environ=world.first) as operator:
                await settled(operator.cpu)
                bound = _TARGET if level == levels[-1] else None
                table.add(Row(f"RSS with {level} finished records", operator.rss(), "MB", at_most=bound))


async def _a_record(environ: dict[str, str]) -> object:
    async with child("bench.operator", environ=environ) as operator, loading(environ) as load:
        place, *_ = await load.set_up(1)
        await (await load.deploy(place)).ended.wait()
        name = next(name for name in load.operations if name.startswith("op-"))
        while True:
            record = await operator.ask("record", namespace=NAMESPACE, name=name)
            if record["status"].get("announced", 0) >= record["status"]["sequence"]:
                return record
            await asyncio.sleep(0.1)


async def settled(cpu: Callable[[], float]) -> None:
    """Wait until the operator has had nothing to do for a while."""
    last, quiet = cpu(), 0
    while quiet < _QUIET_TURNS:
        await asyncio.sleep(_TURN)
        now = cpu()
        quiet = quiet + 1 if now - last < _NOTHING else 0
        last = now
