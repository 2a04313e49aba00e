"""The runs: every point of the matrix once, or kills at random times; then one last life that ends everything."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from kills.judging import Verdict, judge
from kills.lives import KILLED, Lives
from kills.points import Point
from kills.story import Story
from kills.town import a_town_to_kill_in, depths, left_over
from support.town import Town

_REACHED_WITHIN = 10.0
"""Seconds in which a life comes to a point where it is to be killed, or else another story begins."""
_PATIENCE = 15
"""After so many times in vain the points that are left count as never reached."""
_ENDS_WITHIN = 300.0
"""Seconds after the last kill in which all has to end: a killed claim waits for two searches, maybe several times."""
_AT_ONCE = 4
_AT_MOST = 8
_WITH_ADDRESS = 2
"""Every second story has an address: what a DNS provider allows in a minute is soon used up."""

Say = Callable[[str], None]


@dataclass
class Stories:
    """The stories under way; new ones begin so that there is always something to kill."""

    town: Town
    group: asyncio.TaskGroup
    told: list[Story] = field(default_factory=list)
    active: set[asyncio.Task[None]] = field(default_factory=set)

    def keep_going(self) -> None:
        """Begin stories until enough are under way."""
        while len(self.active) < _AT_ONCE:
            self.begin()

    def begin(self) -> asyncio.Task[None]:
        """Begin one more."""
        number = len(self.told)
        story = Story(self.town, f"p{number}", has_address=number % _WITH_ADDRESS == 0)
        self.told.append(story)
        task = self.group.create_task(story.live())
        self.active.add(task)
        task.add_done_callback(self.active.discard)
        return task

    async def over(self) -> None:
        """Wait until all are over; one that takes too long is ended where it stands, and the judge finds it there."""
        if self.active:
            _, late = await asyncio.wait(self.active, timeout=_ENDS_WITHIN)
            for task in late:
                task.cancel()


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to."""

    points: Sequence[Point]
    killed_at: Sequence[Point]
    reached: frozenset[Point]
    kills: int
    seconds: float
    verdict: Verdict
    said: Sequence[str]

    def __str__(self) -> str:
        found = self.verdict
        matrix = f"points {len(self.killed_at)}/{len(self.points)}, " if self.points else ""
        return (
            f"{matrix}kills {self.kills}, operations {found.operations}, doubles {len(found.doubles)}, "
            f"orphans {len(found.orphans)}, undelivered ends {len(found.undelivered)}, told again {found.told_again}, "
            f"builds {found.counts['builds']}, syncs {found.counts['syncs']}, {self.seconds:.0f} s"
        )


@dataclass
class Run:
    """A town, its lives and its stories."""

    town: Town
    born: Lives
    stories: Stories
    say: Say

    async def rehearse(self) -> list[Point]:
        """Live one story, with an address, without a kill; return all points that were reached, in order."""
        await self.born.start()
        await asyncio.wait({self.stories.begin()})
        await self.born.kill(signal.SIGTERM)
        return sorted(self.born.reached)

    async def kill_at(self, points: Iterable[Point]) -> list[Point]:
        """Kill one life at each point, in the order in which they come up; return those at which that happened."""
        left, killed = set(points), list[Point]()
        while left:
            await self.born.start(left)
            if not await self._is_killed():
                break
            assert self.born.last in left, f"killed at {self.born.last}"
            left.discard(self.born.last)
            killed.append(self.born.last)
            self.say(f"{len(killed)} killed {self.born.last}")
        return killed

    async def _is_killed(self) -> bool:
        """Wait until the life has ended, with new stories when those under way do not come to any point."""
        for _ in range(_PATIENCE):
            self.stories.keep_going()
            try:
                return await self.born.ended(_REACHED_WITHIN) == KILLED
            except TimeoutError:
                if len(self.stories.active) < _AT_MOST:
                    self.stories.begin()
        await self.born.kill()
        return False

    async def kill_sometime(self, count: int, random: Random) -> None:
        """Kill so many lives after a random time."""
        for _ in range(count):
            self.stories.keep_going()
            await self.born.start()
            await asyncio.sleep(random.uniform(0.05, 2.5))
            await self.born.kill()

    async def end(self) -> None:
        """Let one more life end everything, and end it in order."""
        await self.born.start()
        await self.stories.over()
        code = await self.born.kill(signal.SIGTERM)
        if code != 0:
            raise AssertionError(f"the last life ended with {code}: {self.born.log.read_text()[-2000:]}")


async def run_matrix(broker: str, folder: Path, *, only: str = "", say: Say = print) -> Result:
    """Kill once at every point that a rehearsal reached, or only at those whose name has these words in it."""
    began = time.monotonic()
    async with _a_run(broker, folder, say) as run:
        points = [point for point in await run.rehearse() if only in str(point)]
        say(f"{len(points)} points, {time.monotonic() - began:.0f} s")
        killed = await run.kill_at(points)
        say(f"{len(killed)} reached, {time.monotonic() - began:.0f} s")
        await run.end()
        return await _result(run, broker, began, points, killed)


async def run_random(broker: str, folder: Path, count: int, seed: int, *, say: Say = print) -> Result:
    """Kill so many times, whatever is going on."""
    began = time.monotonic()
    async with _a_run(broker, folder, say) as run:
        await run.kill_sometime(count, Random(seed))  # noqa: S311 - the seed decides
        await run.end()
        return await _result(run, broker, began, (), ())


@asynccontextmanager
async def _a_run(broker: str, folder: Path, say: Say) -> AsyncIterator[Run]:
    async with a_town_to_kill_in(broker, folder) as (town, born), asyncio.TaskGroup() as group:
        yield Run(town, born, Stories(town, group), say)


async def _result(run: Run, broker: str, began: float, points: Sequence[Point], killed: Sequence[Point]) -> Result:
    left, kept = await depths(run.town, broker), await left_over(run.town)
    return Result(
        points=points,
        killed_at=killed,
        reached=frozenset(run.born.reached),
        kills=run.born.kills,
        seconds=time.monotonic() - began,
        verdict=judge(run.town.world, run.town.office, run.stories.told, left, kept),
        said=run.born.bugs(),
    )
