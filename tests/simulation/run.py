"""One run from a seed, and many of them."""

# ruff: noqa: S311 - dice, not secrets

import asyncio
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from random import Random

from tests.simulation.audit import check_audit
from tests.simulation.loop import Endless
from tests.simulation.replica import Outside, models_for_clients
from tests.simulation.scenario import Scenario
from tests.simulation.world import World

_EVERY = 20.0
_LONGEST = 4.0 * 3600
_LIMBO_STEPS = 20_000


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended."""

    seed: int
    violation: str
    tale: str
    digest: str
    steps: int
    seconds: float
    counts: Counter[str] = field(default_factory=Counter)


def run_seed(seed: int, *, defect: AbstractContextManager[None] | None = None, is_verbose: bool = False) -> Result:
    """Run one seed to its end, or to the first violation."""
    with defect or nullcontext(), models_for_clients(), _seeded_randomness(seed), _told_bugs() as bugs:
        world = World(seed)
        world.is_verbose = is_verbose
        try:
            scenario = Scenario(world, Outside(world))
            world.loop.call_in_world(0.01, scenario.begin)
            _run(world, scenario, bugs)
        finally:
            _bury(world, scenario)
    return Result(
        seed,
        world.violation,
        world.tale(),
        world.digest.hexdigest(),
        world.loop.steps,
        world.loop.time(),
        Counter(world.counts),
    )


def _run(world: World, scenario: Scenario, bugs: list[str]) -> None:
    task = world.loop.create_task(_watch(world, scenario), name="the judge")
    step = world.loop.at_step

    def at_step(process: object) -> None:
        step(process)  # type: ignore[arg-type]
        if world.violation:
            task.cancel()

    world.loop.at_step = at_step
    try:
        world.loop.run_until_complete(task)
    except asyncio.CancelledError:
        pass
    except Endless as error:
        world.fail("endless", str(error))
    if bugs:
        world.fail("bug", bugs[0])
        world.violation += f"\n{bugs[0]}" if bugs[0] not in world.violation else ""
    if world.loop.bugs:
        world.fail("bug", world.loop.bugs[0])


async def _watch(world: World, scenario: Scenario) -> None:
    """Let time go by, and judge from time to time, until everything has ended."""
    oracles = scenario.outside.oracles
    has_calmed = False
    while world.loop.time() < _LONGEST:
        await asyncio.sleep(_EVERY)
        if world.is_calm and not has_calmed:
            has_calmed = True
            scenario.end_overlaps()
        if has_calmed:
            scenario.release_holds()
            scenario.own_servers.correct_leftovers()
        oracles.check_waiting(scenario.working_for())
        oracles.check_ends_of_life(scenario.working_for())
        if has_calmed and next(scenario.unfinished(), None) is None:
            await asyncio.sleep(60)
            if next(scenario.unfinished(), None) is None:
                oracles.check_ends()
                oracles.check_orphans(scenario.outside.dns.unmarked())
                lines = [line for replica in scenario.replicas for line in replica.process.audit]
                check_audit(world, lines, scenario.outside.kube.all_of("Lease"))
                return
    for what in scenario.unfinished():
        world.fail("rule 5", f"after {_LONGEST / 3600:.0f} h: {what}")


def _bury(world: World, scenario: Scenario) -> None:
    """End everything that is left, so that nothing is destroyed while it waits."""
    world.loop.at_step = lambda _: None
    world.loop.most_steps = world.loop.steps + _LIMBO_STEPS
    for replica in scenario.replicas:
        replica.process.kill()
    loop = world.loop
    while any(replica.process.tasks for replica in scenario.replicas) and loop.steps < loop.most_steps - 100:
        loop.run_until_complete(loop.create_task(asyncio.sleep(0.5)))
        for replica in scenario.replicas:
            replica.process.cancel()
    loop.run_until_complete(loop.create_task(loop.shutdown_asyncgens()))
    loop.close()


@contextmanager
def _seeded_randomness(seed: int) -> Iterator[None]:
    """Have every dice that the operator makes for itself follow from the seed."""
    source = Random(f"operator {seed}")

    def seeded(x: object = None) -> Random:
        return Random(source.random() if x is None else x)  # type: ignore[arg-type]

    places = [
        one for name, one in sys.modules.items() if name.startswith("reconciler.") and vars(one).get("Random") is Random
    ]
    for place in places:
        place.Random = seeded  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for place in places:
            place.Random = Random  # type: ignore[attr-defined]


class _Bugs(logging.Handler):
    """Keeps what the operator logs as errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(logging.Formatter("%(name)s: %(message)s").format(record))


@contextmanager
def _told_bugs() -> Iterator[list[str]]:
    """Collect errors that the operator logs; the rest of its log is not even written."""
    logger, bugs = logging.getLogger("reconciler"), _Bugs()
    level, propagates = logger.level, logger.propagate
    logger.addHandler(bugs)
    logger.setLevel(logging.ERROR)
    logger.propagate = False
    try:
        yield bugs.told
    finally:
        logger.removeHandler(bugs)
        logger.setLevel(level)
        logger.propagate = propagates
