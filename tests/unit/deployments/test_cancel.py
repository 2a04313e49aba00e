"""Cancelled after an image was set: the running sync is let end, what was current comes back, the slot is free."""

from datetime import timedelta
from typing import Any

import pytest

from reconciler.domain.errors import OutcomeUnknown, RateLimited, Unavailable
from reconciler.domain.keys import Key
from reconciler.domain.resources import StageName, StageStatus
from support.scene import DEADLINES, SPACE, Killed, World, kill_at

API, WEB = "shop--alpha--api", "shop--alpha--web"
OLD_REVISION, NEW_REVISION = "1" * 40, "2" * 40
MORE_THAN_ALL_POINTS = 30


async def syncing(*components: str, **environment: object) -> tuple[World, Key]:
    """Return a world with something current and a second deployment that syncs."""
    world = World(components or ("api",), **environment)
    await world.until_ended(world.ask("op-1", revision=OLD_REVISION))
    world.clock.advance(60)
    key = world.ask("op-2", revision=NEW_REVISION)
    await world.until_waiting_in(StageName.SYNC, key)
    await world.look(key)
    return world, key


def image_of(world: World, name: str = API) -> str:
    image = world.outside.argo.applications[name].image
    return f"{image.parameters['image.repository']}:{image.parameters['image.tag']}"


@pytest.mark.parametrize("rollback", ["None", "Automatic"])
async def test_what_was_current_comes_back_and_the_environment_is_not_on_hold(rollback: str) -> None:
    world, key = await syncing(rollback=rollback)
    was = world.slot().status.current
    world.store.edit(key, cancel=True)
    await world.until_ended(key, world.environment)
    assert world.end_of(key) == ("Cancelled", "Cancelled")
    status = world.slot().status
    assert (status.holder, status.hold, status.current) == (None, None, was)
    assert image_of(world) == was["api"].image
    assert world.outside.argo.syncs == [API, API, API]


async def test_the_running_sync_is_waited_for() -> None:
    world, key = await syncing()
    world.outside.argo.takes = timedelta(minutes=10)
    world.store.edit(key, cancel=True)
    await world.go_on(key, seconds=60)
    assert NEW_REVISION[:12] in image_of(world)
    assert world.phase(key) == "RollingBack"
    assert "to end" in world.record(key).status.waiting_for
    await world.until_ended(key, every=30)
    assert world.phase(key) == "Cancelled"


async def test_a_cancel_that_is_taken_back_is_carried_out_all_the_same() -> None:
    world, key = await syncing()
    world.store.edit(key, cancel=True)
    await world.look(key)
    world.store.edit(key, cancel=False)
    await world.until_ended(key)
    assert world.phase(key) == "Cancelled"


async def test_a_first_deployment_has_nothing_to_come_back_and_says_so() -> None:
    world = World()
    key = world.ask("op-1")
    await world.until_waiting_in(StageName.SYNC, key)
    await world.look(key)
    world.store.edit(key, cancel=True)
    await world.look(key)
    assert world.record(key).status.waiting_for == "the running sync of api to end"
    await world.until_ended(key)
    assert world.end_of(key) == ("Cancelled", "Cancelled")
    assert "nothing was current before" in world.record(key).status.message
    assert (world.holder(), world.outside.argo.syncs) == ("", [API])


async def test_coming_back_that_fails_says_so() -> None:
    world, key = await syncing()
    world.store.edit(key, cancel=True)
    await world.look(key)
    world.outside.argo.outage = Unavailable("refused", system="argocd")
    await world.until_ended(key, every=30)
    assert world.end_of(key) == ("Failed", "DeadlineExceeded")
    assert "Cancelled" in world.record(key).status.message
    assert world.holder() == ""


async def test_a_cancel_works_on_pause() -> None:
    world, key = await syncing()
    was = world.slot().status.current
    world.store.annotate(world.environment, paused="true")
    await world.look(key)
    world.store.edit(key, cancel=True)
    await world.until_ended(key)
    assert (world.phase(key), image_of(world)) == ("Cancelled", was["api"].image)


async def test_a_deleted_record_is_put_back_and_let_go_within_half_an_hour() -> None:
    world, key = await syncing()
    was = world.slot().status.current
    world.store.remove(key)
    for _ in range(20):
        await world.look(key)
        world.clock.advance(5)
    assert (world.phase(key), image_of(world)) == ("Cancelled", was["api"].image)
    world.clock.advance(300)
    await world.look(key)
    assert world.store.read(key) is None


async def test_a_deleted_record_is_let_go_within_half_an_hour_even_when_nothing_answers() -> None:
    world, key = await syncing()
    world.outside.argo.outage = Unavailable("refused", system="argocd")
    world.store.remove(key)
    began = world.clock.now()
    while world.store.read(key) is not None:
        await world.look(key)
        world.clock.advance(30)
        assert world.clock.now() - began < timedelta(minutes=30)
    assert world.holder() == ""


async def test_a_deleted_record_whose_build_cannot_be_stopped_is_let_go_within_half_an_hour() -> None:
    world = World()
    key = world.ask()
    await world.until_waiting_in(StageName.BUILD, key)
    world.outside.jenkins.outage = Unavailable("refused", system="jenkins")
    world.store.remove(key)
    began = world.clock.now()
    while world.store.read(key) is not None:
        due = await world.look(key)
        world.clock.advance(max(1.0, (due - world.clock.now()).total_seconds()) if due else 0)
        assert world.clock.now() - began < timedelta(minutes=30)
    assert world.holder() == ""


async def test_in_an_environment_that_is_removed_nothing_is_put_back() -> None:
    world, key = await syncing()
    world.store.remove(world.environment)
    await world.until_ended(key)
    assert world.end_of(key) == ("Cancelled", "EnvironmentRemoved")
    assert world.outside.argo.syncs == [API, API]
    for _ in range(100):
        if world.store.read(world.environment) is None:
            break
        await world.look(world.environment)
        world.clock.advance(5)
    assert world.outside.argo.applications == {}


async def test_the_time_of_a_stage_is_not_over_before_its_lost_request_has_ended() -> None:
    world = World()
    world.outside.argo.outage = Unavailable("connection refused", system="argocd")
    key = world.ask()
    await world.until_waiting_in(StageName.SYNC, key)

    def sync() -> StageStatus:
        return next(one for one in world.record(key).status.stages if one.name is StageName.SYNC)

    began = sync().started_at
    assert began is not None
    await world.go_on(key, seconds=29 * 60, every=30)

    async def lose(*_: Any) -> None:
        raise OutcomeUnknown("the connection was lost", system="argocd")

    world.outside.argo.outage = None
    world.outside.argo.create_application = lose  # type: ignore[method-assign]
    await world.until_ended(key, every=1)
    claim, ended = sync().claim, sync().finished_at
    assert world.end_of(key) == ("Failed", "DeadlineExceeded")
    assert claim is not None
    assert ended is not None
    assert (ended >= began + DEADLINES[StageName.SYNC], ended >= claim.at + timedelta(seconds=35)) == (True, True)


async def test_what_a_lost_request_makes_in_an_environment_that_is_removed_goes_with_it() -> None:
    world = World()
    key, lost = world.ask(), list[Any]()
    create = world.outside.argo.create_application

    async def lose(*what: Any) -> None:
        lost[:] = what
        raise OutcomeUnknown("the connection was lost", system="argocd")

    world.outside.argo.create_application = lose  # type: ignore[method-assign]
    await world.until_waiting_in(StageName.SYNC, key)
    world.store.remove(world.environment)
    await world.go_on(key, world.environment, seconds=20)
    await create(*lost)
    await world.go_on(key, world.environment, seconds=120)
    assert world.store.read(world.environment) is None
    assert (world.phase(key), world.outside.argo.applications) == ("Cancelled", {})


async def test_a_cancel_after_the_last_stage_comes_too_late() -> None:
    world = World()
    key = world.ask("op-1")
    fired = False

    def kill() -> None:
        nonlocal fired
        if world.slot().status.current and not fired:
            fired = True
            raise Killed

    world.store.after_write = kill
    with pytest.raises(Killed):
        await world.until_ended(key)
    world.begin_life()
    world.store.edit(key, cancel=True)
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"


async def without_settings(world: World, key: Key) -> None:
    world.store.vanish(Key("ArgoSettings", SPACE, "shop"))
    await world.look(key)


async def test_a_deployment_whose_settings_vanish_says_so_and_ends_at_its_deadline() -> None:
    world, key = await syncing()
    await without_settings(world, key)
    status = world.record(key).status
    assert (status.reason, status.message) == (
        "SettingsNotFound",
        "waiting for ArgoSettings shop; create ArgoSettings shop",
    )
    world.clock.advance(2 * 3600)
    await world.look(key)
    assert world.end_of(key) == ("Failed", "DeadlineExceeded")
    assert world.holder() == ""


async def test_a_cancel_without_settings_says_what_stays() -> None:
    world, key = await syncing()
    await without_settings(world, key)
    world.store.edit(key, cancel=True)
    await world.look(key)
    assert world.phase(key) == "Cancelled"
    assert world.record(key).status.message == "what was set for api stays, without ArgoSettings shop"


@pytest.mark.parametrize("point", range(1, MORE_THAN_ALL_POINTS))
@pytest.mark.parametrize("seconds_down", [1, 600])
async def test_a_kill_anywhere_ends_cancelled_once(point: int, seconds_down: int) -> None:
    world, key = await syncing("api", "web")
    was = world.slot().status.current
    world.store.edit(key, cancel=True)
    kill_at(point, world.store, world.outside.all)
    try:
        await world.until_ended(key, world.environment)
    except* Killed:
        world.begin_life()
        world.clock.advance(seconds_down)
        await world.until_ended(key, world.environment)
    assert world.end_of(key) == ("Cancelled", "Cancelled")
    assert (image_of(world, API), image_of(world, WEB)) == (was["api"].image, was["web"].image)
    assert sorted(world.outside.argo.syncs) == [API] * 3 + [WEB] * 3
    assert (world.holder(), world.slot().status.hold) == ("", None)


async def test_while_builds_cannot_be_stopped_nothing_else_is_due_in_a_tight_loop() -> None:
    world = World(("api", "web"))
    key = world.ask("op-1")
    world.outside.registry.outage = Unavailable("timeout", system="registry")
    await world.look(key)
    world.outside.jenkins.builds[1].at += timedelta(hours=1)  # it stands in the queue; the other one gets through
    await world.go_on(key, seconds=90)
    assert "registry" in world.record(key).status.waiting_for
    world.store.edit(key, cancel=True)
    world.outside.jenkins.outage = RateLimited("429", retry_after=timedelta(minutes=10), system="jenkins")
    for _ in range(5):
        due = await world.look(key)
        assert due is not None
        assert due > world.clock.now()
        world.clock.advance((due - world.clock.now()).total_seconds())
    assert "to be stopped" in world.record(key).status.waiting_for
    world.outside.jenkins.outage = None
    await world.until_ended(key)
    assert world.end_of(key) == ("Cancelled", "Cancelled")


@pytest.mark.parametrize("point", range(1, 6))
async def test_what_a_killed_life_intended_has_an_end_in_the_audit_once_its_deployment_ended(point: int) -> None:
    world = World()
    key = world.ask()
    kill_at(point, world.store, world.outside.all)
    try:
        await world.look(key)
    except* Killed:
        world.begin_life()
    world.store.edit(key, cancel=True)
    await world.until_ended(key, world.environment)
    intended = {line.split()[1] for line in world.ledger.lines if line.startswith("intended")}
    assert intended <= {line.split()[1] for line in world.ledger.lines if not line.startswith("intended")}
