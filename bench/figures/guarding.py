"""What breaker, limiter and permit cost together, over a bare await."""

import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

from bench.rows import Row, Table
from reconciler.resilience.breaker import Breaker
from reconciler.resilience.limiter import Limiter
from reconciler.resilience.permits import Permits

_PATIENCE = 1.0


async def guarding(table: Table, *, quick: bool) -> None:
    """Measure in turns, bare and guarded; the best round counts: what else runs here makes a round only slower."""
    calls, rounds = (20_000, 5) if quick else (50_000, 15)
    breaker, permits = Breaker("bench"), Permits(32, name="bench")
    limiter = Limiter(2 * calls, timedelta(seconds=0.01), name="bench", starts_full=False)

    async def guarded() -> None:
        breaker.check()
        async with permits:
            await limiter.acquire(_PATIENCE)
            with breaker.admit():
                await _nothing()

    bare, dressed = [], []
    for _ in range(rounds):
        bare.append(await _seconds(_nothing, calls))
        dressed.append(await _seconds(guarded, calls))
    table.heading(f"breaker, limiter and permit, best of {rounds} rounds of {calls} calls")
    each = 1e6 / calls
    table.add(Row("a bare await", each * min(bare), "us"))
    table.add(Row("over it: all three together", each * (min(dressed) - min(bare)), "us", at_most=5))


async def _nothing() -> None:
    """Be awaited."""


async def _seconds(call: Callable[[], Awaitable[None]], count: int) -> float:
    began = time.perf_counter()
    for _ in range(count):
        await call()
    return time.perf_counter() - began
