"""How late the event loop turns: what everything else in the process feels when somebody computes too long."""

import asyncio
from collections.abc import Callable

from reconciler.domain.clock import Clock, SystemClock


async def measure_lag(observe: Callable[[float], None], *, every: float = 0.5, clock: Clock | None = None) -> None:
    """Tell `observe` how many seconds late each of our wake-ups came; runs until it is cancelled by its owner."""
    clock = clock or SystemClock()
    while True:
        due = clock.monotonic() + every
        await asyncio.sleep(every)
        observe(max(0.0, clock.monotonic() - due))
