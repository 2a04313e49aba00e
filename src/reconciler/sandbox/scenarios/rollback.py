"""rollback: a deployment fails after it changed the environment; what was current comes back, and a hold is kept."""

from reconciler.domain.names import application_name
from reconciler.sandbox.samples import SHOP, Request
from reconciler.sandbox.scenarios.play import Play, Scenario

_STORY = 4
"""Deployments in one round: one that succeeds, one that fails, one that the hold keeps back, one that lifts it."""


async def play(play: Play) -> None:
    """In each round let a rollout fail, by its sync or by its health, and see the way back, the hold and its end."""
    await play.initialize(SHOP.wishing(rollback="Automatic"))
    for number in range(max(1, (play.operations - 1) // _STORY)):
        await _one_round(play, SHOP.sites[number % len(SHOP.sites)].name)


async def _one_round(play: Play, environment: str) -> None:
    play.expect_end(await play.deploy_and_wait(SHOP.name, environment), "Succeeded")
    before = play.live_images(SHOP, environment)
    early = play.requests.deploy(SHOP.name, environment, play.now())
    await _fail(play, environment)
    play.expect(play.live_images(SHOP, environment) == before, "after going back something else runs than before")
    await play.send(early)
    await play.sandbox.until(lambda: _waits_for(play, early, "on hold"))
    play.expect_end(await play.deploy_and_wait(SHOP.name, environment), "Succeeded")
    play.expect_end(await play.ended(early), "Superseded")


async def _fail(play: Play, environment: str) -> None:
    """Let the rollout of one component fail, whichever way the seed decides, and wait until it went back."""
    name = application_name(SHOP.name, environment, play.dice.choice(SHOP.parts).name)
    if play.dice.random() < 0.5:
        play.world.argocd.fail_syncs(name)
        play.expect_end(await play.deploy_and_wait(SHOP.name, environment), "RolledBack", "SyncFailed")
        return
    play.world.argocd.degrade(name)
    request = await play.deploy(SHOP.name, environment)
    await play.sandbox.until(lambda: (view := play.view(request)) and view.state == "RollingBack")
    play.world.argocd.heal(name)
    play.expect_end(await play.ended(request), "RolledBack", "Degraded")


def _waits_for(play: Play, request: Request, words: str) -> bool:
    view = play.view(request)
    return view is not None and words in view.waiting_for


ROLLBACK = Scenario(
    "rollback",
    "A rollout fails: what was current runs again, the environment is on hold, and a later request lifts the hold.",
    play,
    operations=5,
    variables={"RECONCILER_DEGRADED_FOR": "1s"},
)
