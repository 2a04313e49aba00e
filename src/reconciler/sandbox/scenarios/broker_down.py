"""broker-down: the broker goes away while deployments run; they go on, and their ends are told when it is back."""

from functools import partial

from reconciler.sandbox.samples import SHOP, Request
from reconciler.sandbox.scenarios.play import Play, Scenario

_BUILD = 0.5


async def play(play: Play) -> None:
    """Take the broker away, by seed cut off or frozen, once all builds run; bring it back when everything has ended."""
    if not play.world.has_own_broker:
        play.expect(is_so=False, otherwise="a real broker cannot be taken away from here")
        return
    await play.initialize(SHOP)
    faults = play.world.broker.faults
    for _ in range(max(1, (play.operations - 1) // len(SHOP.sites))):
        play.world.jenkins.pace.build = _BUILD
        requests = [await play.deploy(SHOP.name, site.name) for site in SHOP.sites]
        for request in requests:
            await play.until_at(request, "build")
        is_frozen = play.dice.random() < 0.5
        if is_frozen:
            faults.freeze()
        else:
            await faults.down()
        await play.sandbox.until(partial(_all_over, play, requests))
        told = [one.operation_id for one in requests if play.office.operations[one.operation_id].last_words]
        play.expect(not told, f"{told} were told of while the broker was away")
        if is_frozen:
            faults.thaw()
        else:
            await faults.up()
        for request in requests:
            play.expect_end(await play.ended(request), "Succeeded")


def _all_over(play: Play, requests: list[Request]) -> bool:
    views = [play.view(request) for request in requests]
    return all(view is not None and view.is_over for view in views)


BROKER_DOWN = Scenario(
    "broker-down",
    "RabbitMQ is away, or frozen: deployments go on, and their ends are told when it is back.",
    play,
    operations=5,
    variables={"RABBITMQ_CONNECTION_HEARTBEAT": "1s"},
)
