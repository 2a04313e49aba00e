"""broken-build: a build fails; nothing of the environment changes; the next one is good."""

from reconciler.sandbox.samples import SHOP
from reconciler.sandbox.scenarios.play import Play, Scenario
from reconciler.sandbox.world import World


async def play(play: Play) -> None:
    """Break the build of one component by seed, deploy, see that nothing moved; then deploy again, and so on."""
    await play.initialize(SHOP)
    rounds = max(1, (play.operations - 1) // 2)
    for number in range(rounds):
        site = SHOP.sites[number % len(SHOP.sites)]
        await _one_round(play, site.name)


async def _one_round(play: Play, environment: str) -> None:
    broken = play.dice.choice(SHOP.parts).name
    before = _outside(play.world)
    play.world.jenkins.fail_builds(component=broken)
    failed = await play.deploy_and_wait(SHOP.name, environment)
    play.expect_end(failed, "Failed", "BuildFailed")
    play.expect(broken in failed.message, f"{failed.id}: its message does not name {broken}: {failed.message}")
    play.expect(_outside(play.world) == before, f"{failed.id} failed at its build, and yet something changed outside")
    play.expect_end(await play.deploy_and_wait(SHOP.name, environment), "Succeeded")


def _outside(world: World) -> tuple[object, ...]:
    """Return what a deployment that never got past its build must not touch."""
    live = {name: world.argocd.live_images(name) for name in world.argocd.applications}
    return live, len(world.argocd.syncs), dict(world.argocd.writes), dict(world.godaddy.writes)


BROKEN_BUILD = Scenario(
    "broken-build",
    "A build fails: the deployment fails with the reason, nothing else changes, and the next one succeeds.",
    play,
    operations=3,
)
