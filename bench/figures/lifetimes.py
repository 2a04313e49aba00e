"""What lives cost: memory with thousands of idle environments that will end, and the work they make while they wait."""

import asyncio
from datetime import UTC, datetime, timedelta

from bench.children import Child, child
from bench.figures.memory import settled
from bench.rows import Row, Table
from reconciler.domain.clock import rfc3339

_FEW = 50
_MEMORY = 20
_RESYNC = "5s"


async def lifetimes(table: Table, *, quick: bool) -> None:
    """Start operators among a few, among environments that never end, and among as many that will."""
    count, seconds = (500, 15.0) if quick else (5000, 30.0)
    table.heading(f"{count} idle environments (resync every {_RESYNC}, over {seconds:.0f} s)")
    # A few, so that what is made once at the first look is in the figure that the others are compared with.
    few = await _with(table, _FEW, "", seconds)
    unending = await _with(table, count, "", seconds)
    living = await _with(table, count, rfc3339(datetime.now(UTC) + timedelta(days=3)), seconds)
    table.add(Row(f"memory of {count} environments that never end", unending - few, "MB"))
    table.add(Row(f"memory of {count} environments that will end", living - few, "MB"))
    table.add(Row(f"memory of {count} lifetimes, the difference", living - unending, "MB", at_most=_MEMORY))


async def _with(table: Table, count: int, expires: str, seconds: float) -> float:
    """Return the memory of an operator among so many environments that end then, in MB."""
    what = f"{count} that {'will' if expires else 'never'} end"
    async with child("bench.world") as world:
        await world.ask("environments", count=count, expires=expires)
        async with child("bench.operator", environ=world.first | {"RECONCILER_RESYNC_INTERVAL": _RESYNC}) as operator:
            # The statuses as they were stored lack what a first look writes: that is over before anything is measured.
            await _first_looks(world, operator)
            await operator.ask("collect")
            rss = operator.rss()
            looks, writes, cpu = await operator.ask("looks"), await _writes(world), operator.cpu()
            await asyncio.sleep(seconds)
            minute = 60 / seconds
            looks_then, writes_then = await operator.ask("looks"), await _writes(world)
            table.add(Row(f"looks per minute, {what}", (looks_then - looks) * minute, at_most=0))
            table.add(Row(f"status writes per minute, {what}", (writes_then - writes) * minute, at_most=0))
            table.add(Row(f"CPU, {what}", 100 * (operator.cpu() - cpu) / seconds, "%"))
            return rss


async def _first_looks(world: Child, operator: Child) -> None:
    before = -1
    while (writes := await _writes(world)) != before:
        before = writes
        await asyncio.sleep(3)
    await settled(operator.cpu)


async def _writes(world: Child) -> int:
    requests: dict[str, int] = (await world.ask("requests"))["kubernetes"]
    return sum(count for name, count in requests.items() if "environments" in name and "PATCH" in name.upper())
