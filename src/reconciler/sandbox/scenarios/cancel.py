"""cancel: somebody changes their mind, while it is built and after it was synced; what was current comes back."""

from reconciler.domain.names import application_name
from reconciler.sandbox.samples import SHOP
from reconciler.sandbox.scenarios.play import Play, Scenario

_ENDLESS = 600.0
_STORY = 3
"""Deployments in one round: one that succeeds, one cancelled while it is built, one while it rolls out."""


async def play(play: Play) -> None:
    """In each round make something current, then cancel a deployment early, and another one late."""
    await play.initialize(SHOP)
    for number in range(max(1, (play.operations - 1) // _STORY)):
        environment = SHOP.sites[number % len(SHOP.sites)].name
        play.expect_end(await play.deploy_and_wait(SHOP.name, environment), "Succeeded")
        before = play.live_images(SHOP, environment)
        await _while_built(play, environment)
        play.expect(
            play.live_images(SHOP, environment) == before, "a deployment cancelled at its build changed what runs"
        )
        await _while_rolled_out(play, environment)
        play.expect(play.live_images(SHOP, environment) == before, "after a cancel something else runs than before")


async def _while_built(play: Play, environment: str) -> None:
    pace = play.world.jenkins.pace
    pace.build = _ENDLESS
    request = await play.deploy(SHOP.name, environment)
    await play.sandbox.until(lambda: play.builds_of(request) == ["building"] * len(SHOP.parts))
    pace.build = 0.0
    await play.cancel(request)
    play.expect_end(await play.ended(request), "Cancelled")
    found = play.builds_of(request)
    play.expect(set(found) == {"ABORTED"}, f"{request.operation_id} was cancelled, its builds are {found}")


async def _while_rolled_out(play: Play, environment: str) -> None:
    names = [application_name(SHOP.name, environment, part.name) for part in SHOP.parts]
    for name in names:
        play.world.argocd.hang(name)
    request = await play.deploy(SHOP.name, environment)
    await play.sandbox.until(lambda: all(_is_synced(play, request.operation_id, name) for name in names))
    for name in names:
        play.world.argocd.heal(name)
    await play.cancel(request)
    play.expect_end(await play.ended(request), "Cancelled")


def _is_synced(play: Play, operation: str, application: str) -> bool:
    syncs = play.world.argocd.syncs
    return any(run.application == application and run.request_id.startswith(f"{operation}/") for run in syncs)


CANCEL = Scenario(
    "cancel",
    "Deployments are cancelled, early and late: builds are stopped, and what was current runs again.",
    play,
    operations=4,
)
