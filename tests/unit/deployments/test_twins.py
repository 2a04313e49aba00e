"""Should a server run a build twice for one request, the first counts, the other is stopped, and it is said."""

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.domain.errors import ReconcilerError, Refused, Unavailable
from reconciler.domain.keys import Key
from reconciler.domain.outside.builds import BuildState
from reconciler.domain.resources import StageName
from support.scene import Killed, World, kill_at


async def with_twin(world: World) -> Key:
    """Ask for a deployment whose build is there twice, the twin a bit later."""
    key = world.ask()
    await world.go_on(key, seconds=20)
    jenkins = world.outside.jenkins
    jenkins.builds.append(replace(jenkins.builds[0], at=world.clock.now()))
    return key


def alive(world: World) -> list[int | None]:
    jenkins = world.outside.jenkins
    seen = [jenkins._as_seen(one) for one in jenkins.builds]
    return [one.number for one in seen if one.state in (BuildState.QUEUED, BuildState.RUNNING)]


async def test_the_lowest_number_counts_and_the_other_is_stopped() -> None:
    world = World()
    key = await with_twin(world)
    await world.go_on(key, seconds=20)
    assert alive(world) == [1]
    assert "intended op-1/api/1/twin/2" in world.ledger.lines
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"
    build = next(one for one in world.record(key).status.stages if one.name is StageName.BUILD)
    assert build.url.endswith("/1/")
    assert build.message == "the server ran it more than once; stopped: 2"
    assert world.outside.jenkins.count("api") == 2


async def test_several_twins_are_stopped_each_once() -> None:
    world = World()
    world.outside.jenkins.dies_slowly = timedelta(minutes=5)
    key = await with_twin(world)
    world.outside.jenkins.builds.append(replace(world.outside.jenkins.builds[0], at=world.clock.now()))
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"
    assert [line for line in world.ledger.lines if "intended" in line and "twin" in line] == [
        "intended op-1/api/1/twin/2",
        "intended op-1/api/1/twin/3",
    ]


async def test_a_cancel_stops_the_build_and_its_twin() -> None:
    world = World()
    key = await with_twin(world)
    world.store.edit(key, cancel=True)
    await world.until_ended(key)
    assert (world.phase(key), alive(world)) == ("Cancelled", [])


async def test_a_build_that_vanishes_after_its_twin_was_stopped_is_tried_again_under_another_tag() -> None:
    world = World()
    key = await with_twin(world)
    await world.go_on(key, seconds=20)
    world.outside.jenkins.builds.clear()
    await world.go_on(key, seconds=60)
    assert world.outside.jenkins.builds == []
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"
    assert [one.key.image_tag[-2:] for one in world.outside.jenkins.builds] == ["-2"]


_NOT_STOPPED = [Refused("403 for stop", system="jenkins"), Unavailable("connection refused", system="jenkins")]


async def never_stopped(world: World, error: ReconcilerError) -> Key:
    """Have a build with a twin, and a server that stops nothing."""

    async def stop(*_: object, **__: object) -> None:
        raise error

    key = await with_twin(world)
    world.outside.jenkins.stop = stop  # type: ignore[method-assign]
    return key


@pytest.mark.parametrize("error", _NOT_STOPPED)
async def test_a_twin_that_cannot_be_stopped_starts_no_other_build(error: ReconcilerError) -> None:
    world = World()
    key = await never_stopped(world, error)
    await world.go_on(key, seconds=50)
    assert world.outside.jenkins.count("api") == 2
    await world.until_ended(key)
    assert (world.phase(key), world.outside.jenkins.count("api")) == ("Succeeded", 2)


@pytest.mark.parametrize("error", _NOT_STOPPED)
async def test_a_cancel_after_a_twin_could_not_be_stopped_stops_both(error: ReconcilerError) -> None:
    world = World()
    key = await never_stopped(world, error)
    await world.go_on(key, seconds=10)
    del world.outside.jenkins.stop  # type: ignore[attr-defined]
    world.store.edit(key, cancel=True)
    await world.until_ended(key)
    assert (world.phase(key), alive(world)) == ("Cancelled", [])


@pytest.mark.parametrize("point", range(1, 20))
async def test_a_kill_while_a_twin_is_stopped_starts_no_other(point: int) -> None:
    world = World()
    key = await with_twin(world)
    kill_at(point, world.store, world.outside.all)
    try:
        await world.until_ended(key)
    except* Killed:
        world.begin_life()
        world.clock.advance(1)
        await world.until_ended(key)
    assert (world.phase(key), world.outside.jenkins.count("api")) == ("Succeeded", 2)
    assert world.outside.argo.syncs == ["shop--alpha--api"]
