"""supersede: a newer request takes the place of one that is still being built, and of those that wait."""

from datetime import timedelta

from reconciler.sandbox.samples import SHOP, Request
from reconciler.sandbox.scenarios.play import Play, Scenario

_ENDLESS = 600.0
_EARLIER = timedelta(milliseconds=50)
_STORY = 3
"""Deployments in one round: one that is built, one that comes late, and the newest."""


async def play(play: Play) -> None:
    """Ask for a newer revision while the first is built: it and all between them give way, the newest is deployed."""
    await play.initialize(SHOP.wishing(concurrency="Supersede"))
    for number in range(max(1, (play.operations - 1) // _STORY)):
        await _one_round(play, SHOP.sites[number % len(SHOP.sites)].name)


async def _one_round(play: Play, environment: str) -> None:
    pace = play.world.jenkins.pace
    pace.build = _ENDLESS
    older = await play.deploy(SHOP.name, environment)
    await play.sandbox.until(lambda: play.builds_of(older) == ["building"] * len(SHOP.parts))
    pace.build = 0.0
    newest = await play.send(play.requests.deploy(SHOP.name, environment, play.now()))
    between = await play.send(play.requests.deploy(SHOP.name, environment, newest.sent_at - _EARLIER))
    for request in (older, between):
        play.expect_end(await play.ended(request), "Superseded")
    play.expect_end(await play.ended(newest), "Succeeded")
    _expect_builds(play, older, ["ABORTED"] * len(SHOP.parts))
    _expect_builds(play, between, [])


def _expect_builds(play: Play, request: Request, ends: list[str]) -> None:
    found = play.builds_of(request)
    play.expect(found == ends, f"{request.operation_id} gave way, and its builds are {found}, not {ends}")


SUPERSEDE = Scenario(
    "supersede",
    "A newer request takes the place of one that is still built, and of one that waits; their builds are stopped.",
    play,
    operations=4,
)
