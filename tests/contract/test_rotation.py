"""Credentials are rotated while they are in use: no call fails, refused ones are not taken, and it is said so."""

from collections.abc import AsyncIterator
from functools import partial

import pytest

from reconciler.domain.errors import Refused
from support.rotation import SYSTEMS, Rotation


@pytest.fixture(params=SYSTEMS)
async def rotation(request: pytest.FixtureRequest) -> AsyncIterator[Rotation]:
    system = SYSTEMS[request.param]
    simulator = system.make()
    await simulator.start()
    rotation = Rotation(system, simulator)
    system.let_in(simulator, "old-credential")
    rotation.write("old-credential")
    yield rotation
    await rotation.connections.close()
    await simulator.stop()


async def test_no_call_fails_while_credentials_are_rotated(rotation: Rotation) -> None:
    system, simulator = rotation.system, rotation.simulator
    async with rotation.in_use():
        await rotation.more_calls()
        for number in range(3):
            before, after = (
                ("old-credential", f"new-{number}") if number == 0 else (f"new-{number - 1}", f"new-{number}")
            )
            system.let_in(simulator, after)
            rotation.write(after)
            await rotation.until(partial(rotation.uses, after))
            await rotation.more_calls()  # the overlap: what is under way ends with the credentials it began with
            system.shut_out(simulator, before)
            await rotation.more_calls()
    assert rotation.failures == []
    assert rotation.connections.refusal(rotation.settings) == ""


async def test_refused_credentials_are_not_taken_and_named(rotation: Rotation) -> None:
    async with rotation.in_use():
        await rotation.more_calls()
        rotation.write("wrong-credential")
        await rotation.until(lambda: bool(rotation.connections.refusal(rotation.settings)))
        await rotation.more_calls()
        said = rotation.connections.refusal(rotation.settings)
        rotation.system.let_in(rotation.simulator, "right-credential")
        rotation.write("right-credential")
        await rotation.until(lambda: rotation.uses("right-credential"))
    assert rotation.failures == []
    assert "Secret ci are refused" in said
    assert "wrong-credential" not in said
    assert rotation.connections.refusal(rotation.settings) == ""
    rotation.system.shut_out(rotation.simulator, "old-credential")
    await rotation.ask()


async def test_credentials_that_were_revoked_are_refused_until_the_secret_has_new_ones(rotation: Rotation) -> None:
    await rotation.ask()
    rotation.system.shut_out(rotation.simulator, "old-credential")
    with pytest.raises(Refused):
        await rotation.ask()
    rotation.system.let_in(rotation.simulator, "new-credential")
    rotation.cluster.write(**rotation.system.secret("new-credential"))  # the event is still on its way
    await rotation.ask()
