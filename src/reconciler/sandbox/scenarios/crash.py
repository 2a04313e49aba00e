"""crash: the operator is killed in the middle of its work, again and again; nothing is lost and nothing is doubled."""

import asyncio
from itertools import cycle, islice

from reconciler.sandbox.samples import SHOP
from reconciler.sandbox.scenarios.play import Play, Scenario

_BUILD = 0.6
_ONE_LIFE = 1.5
"""Seconds; the lives that a kill ends are shorter, by seed."""


async def play(play: Play) -> None:
    """Kill it while a project is set up, then once for each deployment, at a moment that the seed decides."""
    play.world.jenkins.pace.build = _BUILD
    first = await play.send(play.requests.initialize(SHOP, play.now()))
    await _live_and_die(play)
    await play.ended(first)
    for environment in islice(cycle(site.name for site in SHOP.sites), max(1, play.operations - 1)):
        await play.deploy(SHOP.name, environment)
        await _live_and_die(play)
    for request in play.sent:
        play.expect_end(await play.ended(request), "Succeeded")


async def _live_and_die(play: Play) -> None:
    await asyncio.sleep(play.dice.uniform(0.0, _ONE_LIFE))
    await play.sandbox.crash()


CRASH = Scenario(
    "crash",
    "The operator is killed again and again: every operation ends once, with one build and one sync per component.",
    play,
    operations=4,
    # What a killed life asked for is asked for again only when its absence is proved: T + 5 s + 30 s.
    variables={"RECONCILER_CLAIM_WINDOW": "1s"},
    apart=True,
)
