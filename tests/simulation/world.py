"""What all models share: the loop, the seed's dice, the weather, the story so far, and what was found wrong."""

# ruff: noqa: S311 - dice, not secrets

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any, Generic, TypeVar

from tests.simulation.loop import BEGINNING, Process, SimulatedLoop
from tests.simulation.weather import Fate, Weather

T = TypeVar("T")
SPACE = "freeleaps-devops-system"
_SHOWN = 40


class Lost(Exception):
    """The connection is gone."""

    def __init__(self, *, was_sent: bool) -> None:
        super().__init__("lost")
        self.was_sent = was_sent


class Answered(Generic[T]):
    """What a system sent back: what the request came to, or a status that says no."""

    def __init__(self, value: T | None, fate: Fate, at: float) -> None:
        self.value = value
        self.status = fate.status
        self.retry_after = fate.retry_after
        self.at = at


class World:
    """One run."""

    def __init__(self, seed: int, *, minutes: float = 25, badness: float | None = None) -> None:
        self.seed = seed
        self.loop = SimulatedLoop(Random(f"order {seed}"))
        self.dice = Random(f"world {seed}")
        calm = badness == 0
        self.calm_at = 60 * minutes
        self.weather = Weather(
            Random(f"weather {seed}"),
            self.calm_at,
            0 if calm else Random(f"badness {seed}").choice((0, 0.005, 0.02, 0.06)),
        )
        self.story: deque[tuple[float, str]] = deque(maxlen=4000)
        self.digest = hashlib.sha256()
        self.violation = ""
        self.counts: dict[str, int] = {}
        self.is_verbose = False
        self.loop.call_in_world(0, lambda: None)

    @property
    def is_calm(self) -> bool:
        return self.loop.time() >= self.calm_at

    def now(self) -> datetime:
        """The true time, by which all outside systems go."""
        return BEGINNING + timedelta(seconds=self.loop.time())

    def note(self, text: str, *, count: str = "") -> None:
        """Remember what happened."""
        self.story.append((self.loop.time(), text))
        self.digest.update(f"{self.loop.time():.6f} {text}\n".encode())
        if count:
            self.counts[count] = self.counts.get(count, 0) + 1
        if self.is_verbose:
            print(f"{self.loop.time():10.3f}  {text}")

    def fail(self, rule: str, what: str) -> None:
        """Say that something which must always hold does not."""
        if not self.violation:
            self.violation = f"{rule}: {what}"
            self.note(f"VIOLATION {self.violation}")

    def later(self, low: float, high: float, callback: Callable[..., object], *arguments: Any) -> None:
        """Have something happen outside in a while."""
        self.loop.call_in_world(self.dice.uniform(low, high), callback, *arguments)

    def tale(self, most: int = _SHOWN) -> str:
        """Tell the end of the story."""
        return "\n".join(f"{at:10.3f}  {text}" for at, text in list(self.story)[-most:])


async def send(
    world: World, process: Process, system: str, what: str, effect: Callable[[], T], seconds: float
) -> Answered[T]:
    """Send a request to a system, as the process sees it. Raises Lost, TimeoutError, or what `effect` raises.

    `effect` happens in the world: a process that is frozen or dead by then changes nothing about it.
    """
    if process.is_dead:
        raise asyncio.CancelledError
    fate = world.weather.fate(system, world.loop.time())
    answer: asyncio.Future[Answered[T]] = world.loop.create_future()

    def come_back(value: T | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(Answered(value, fate, world.loop.time()))

    def arrive() -> None:
        value, error = None, None
        if fate.arrives:
            try:
                value = effect()
            except Exception as raised:  # noqa: BLE001 - what the system says; it travels back
                error = raised
        if fate.refused or not fate.answers or fate.status:
            words = "refused" if fate.refused else f"status {fate.status}" if fate.status else "answer lost"
            world.note(f"{process.name} {system} {what}: {words}{', done' if fate.arrives and not error else ''}")
            error = None if fate.status else Lost(was_sent=not fate.refused)
        if not fate.hangs:
            world.loop.call_in_world(fate.back, come_back, value, error)

    world.loop.call_in_world(fate.out, arrive)
    async with asyncio.timeout(seconds):
        return await answer
