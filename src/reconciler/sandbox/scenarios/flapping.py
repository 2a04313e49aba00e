"""flapping: Jenkins, Argo CD, the registry and DNS come and go in turns; everything goes on by itself."""

import asyncio
from itertools import cycle, islice

from reconciler.sandbox.samples import SHOP
from reconciler.sandbox.scenarios.play import Play, Scenario
from reconciler.sandbox.weather import Weather

_SYSTEMS = ("jenkins", "argocd", "registry", "dns")
_SHORTEST, _LONGEST = 0.3, 1.2


async def play(play: Play) -> None:
    """Let one system after the other, by seed, be down or strike every third request while deployments run."""
    await play.initialize(SHOP)
    play.world.jenkins.pace.build = _SHORTEST
    async with asyncio.TaskGroup() as group:
        storm = group.create_task(_storm(play))
        for environment in islice(cycle(site.name for site in SHOP.sites), max(1, play.operations - 1)):
            await play.deploy(SHOP.name, environment)
        for request in play.sent:
            play.expect_end(await play.ended(request), "Succeeded")
        storm.cancel()


async def _storm(play: Play) -> None:
    try:
        while True:
            system = play.dice.choice(_SYSTEMS)
            play.world.set_weather(play.dice.choice([Weather.DOWN, Weather.FLAPPING]), system)
            await asyncio.sleep(play.dice.uniform(_SHORTEST, _LONGEST))
            play.world.set_weather(play.weather, system)
            await asyncio.sleep(play.dice.uniform(_SHORTEST, _LONGEST))
    finally:
        play.world.set_weather(play.weather)


FLAPPING = Scenario(
    "flapping",
    "Systems come and go in turns: deployments wait for what is away, and go on by themselves.",
    play,
    operations=7,
)
