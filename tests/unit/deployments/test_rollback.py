"""What a failed deployment changed is put back from what is current, once, whatever dies on the way."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.domain.errors import Unavailable
from reconciler.domain.keys import Key
from reconciler.domain.outside.applications import Application, Health, Operation, OperationPhase
from reconciler.domain.resources import StageName, StepState
from support.scene import SPACE, Killed, World, kill_at

API, WEB = "shop--alpha--api", "shop--alpha--web"
OLD_REVISION, NEW_REVISION = "1" * 40, "2" * 40
MORE_THAN_ALL_POINTS = 45


def sick(tag_of: str) -> Callable[[Application], Application]:
    """Return what shows applications as degraded that run an image of a revision."""

    def alter(there: Application) -> Application:
        is_sick = any(f":{tag_of[:12]}" in image for image in there.images)
        return replace(there, health=Health.DEGRADED, health_message="crash loop") if is_sick else there

    return alter


async def with_current(*components: str, **environment: object) -> World:
    """Return a world in which a first deployment is current and the next one will be sick."""
    world = World(components or ("api",), **{"rollback": "Automatic", **environment})
    await world.until_ended(world.ask("op-1", revision=OLD_REVISION))
    world.outside.argo.alter = sick(NEW_REVISION)
    world.clock.advance(60)
    return world


def image_of(world: World, name: str = API) -> str:
    image = world.outside.argo.applications[name].image
    return f"{image.parameters['image.repository']}:{image.parameters['image.tag']}"


async def test_a_failed_deployment_goes_back_to_what_is_current_and_the_environment_is_on_hold() -> None:
    world = await with_current()
    was = world.slot().status.current
    key = world.ask("op-2", revision=NEW_REVISION)
    await world.until_ended(key, world.environment)
    assert world.end_of(key) == ("RolledBack", "Degraded")
    assert "crash loop" in world.record(key).status.message
    status = world.slot().status
    assert (status.holder, status.phase, status.current) == (None, "OnHold", was)
    assert status.hold is not None
    assert (status.hold.operation, status.hold.since) == ("op-2", world.record(key).status.finished_at)
    assert "crash loop" in status.hold.reason
    assert image_of(world) == was["api"].image
    assert world.outside.argo.syncs == [API, API, API]
    conditions = {one.type: one.status for one in world.record(key).status.conditions}
    assert (conditions["Ready"], conditions["Stalled"]) == ("False", "True")


async def test_going_back_is_a_phase_that_says_why_and_is_claimed_under_its_own_names() -> None:
    world = await with_current()
    key = world.ask("op-2", revision=NEW_REVISION)
    await world.until_waiting_in(StageName.ROLLBACK, key)
    status = world.record(key).status
    assert (status.phase, status.reason) == ("RollingBack", "Degraded")
    assert status.progress < 100
    assert status.waiting_for
    await world.until_ended(key)
    claims = [line for line in world.ledger.lines if line.startswith("intended op-2/api/rollback")]
    assert claims == ["intended op-2/api/rollback/image", "intended op-2/api/rollback/sync"]
    operation = world.outside.argo.applications[API].operation
    assert operation is not None
    assert operation.request_id == "op-2/api/rollback"


async def test_only_what_was_touched_goes_back() -> None:
    world = await with_current("api", "web")
    key = world.ask("op-2", revision=NEW_REVISION, components=["web"])
    await world.until_ended(key)
    assert world.phase(key) == "RolledBack"
    assert world.outside.argo.syncs == [API, WEB, WEB, WEB]


async def test_the_other_components_sync_is_waited_for_and_goes_back_too() -> None:
    world = await with_current("api", "web")
    was = world.slot().status.current

    def only_api(there: Application) -> Application:
        return sick(NEW_REVISION)(there) if there.shape.name == API else there

    world.outside.argo.alter = only_api
    key = world.ask("op-2", revision=NEW_REVISION)
    await world.until_ended(key)
    assert world.end_of(key) == ("RolledBack", "Degraded")
    assert (image_of(world, API), image_of(world, WEB)) == (was["api"].image, was["web"].image)


async def test_without_automatic_rollback_it_has_just_failed() -> None:
    world = await with_current(rollback="None")
    key = world.ask("op-2", revision=NEW_REVISION)
    await world.until_ended(key)
    assert world.end_of(key) == ("Failed", "Degraded")
    assert (world.slot().status.hold, world.outside.argo.syncs) == (None, [API, API])


async def test_a_failed_build_changes_nothing_and_goes_nowhere() -> None:
    world = await with_current()
    world.outside.registry.pushes = False
    key = world.ask("op-2", revision=NEW_REVISION)
    await world.until_ended(key, every=30)
    assert world.end_of(key) == ("Failed", "DeadlineExceeded")
    assert (world.slot().status.hold, world.outside.argo.image_writes) == (None, [API])


async def test_with_nothing_to_go_back_to_it_fails_with_both_reasons() -> None:
    world = World(rollback="Automatic")
    world.outside.argo.alter = sick(NEW_REVISION)
    key = world.ask("op-1", revision=NEW_REVISION)
    await world.until_ended(key)
    assert world.end_of(key) == ("Failed", "NothingToGoBackTo")
    assert "Degraded" in world.record(key).status.message
    assert (world.holder(), world.slot().status.hold) == ("", None)


async def test_what_can_go_back_does_even_when_another_component_cannot() -> None:
    world = World(("api", "web"), rollback="Automatic")
    await world.until_ended(world.ask("op-1", revision=OLD_REVISION, components=["api"]))
    was = world.slot().status.current["api"].image
    world.outside.argo.alter = sick(NEW_REVISION)
    world.clock.advance(60)
    key = world.ask("op-2", revision=NEW_REVISION)
    await world.until_ended(key)
    assert world.end_of(key) == ("Failed", "NothingToGoBackTo")
    assert image_of(world) == was


async def test_going_back_that_fails_too_says_both() -> None:
    world = await with_current()

    def no_sync_succeeds(there: Application) -> Application:
        operation = there.operation
        if operation is None or not operation.request_id.startswith("op-2"):
            return there
        words = "quota exceeded" if operation.request_id.endswith("rollback") else "hook failed"
        return replace(there, operation=replace(operation, phase=OperationPhase.FAILED, message=words))

    world.outside.argo.alter = no_sync_succeeds
    key = world.ask("op-2", revision=NEW_REVISION)
    await world.until_ended(key)
    assert world.end_of(key) == ("Failed", "SyncFailed")
    message = world.record(key).status.message
    assert "quota exceeded" in message
    assert "hook failed" in message
    assert world.holder() == ""


async def test_going_back_has_the_deadline_of_a_sync() -> None:
    world = await with_current()
    key = world.ask("op-2", revision=NEW_REVISION)
    await world.until_waiting_in(StageName.ROLLBACK, key)
    began = world.clock.now()
    world.outside.argo.outage = Unavailable("refused", system="argocd")
    await world.until_ended(key, every=30)
    assert world.end_of(key) == ("Failed", "DeadlineExceeded")
    assert timedelta(minutes=29) < world.clock.now() - began < timedelta(minutes=32)
    assert world.holder() == ""


async def test_a_deployment_that_goes_back_at_its_own_deadline_still_goes_back() -> None:
    world = await with_current()
    world.outside.argo.alter = lambda there: replace(there, health=Health.PROGRESSING)
    key = world.ask("op-2", revision=NEW_REVISION)
    await world.until_waiting_in(StageName.SYNC, key)
    world.clock.advance(2 * 3600)
    world.outside.argo.alter = lambda there: there
    await world.until_ended(key)
    assert world.end_of(key) == ("RolledBack", "DeadlineExceeded")


async def test_a_running_sync_is_waited_for_and_never_overwritten() -> None:
    world = await with_current()
    key = world.ask("op-2", revision=NEW_REVISION)
    await world.until_waiting_in(StageName.SYNC, key)
    world.outside.argo.takes = timedelta(minutes=40)
    await world.until_waiting_in(StageName.ROLLBACK, key)
    there = world.outside.argo.applications[API]
    assert NEW_REVISION[:12] in image_of(world)
    assert there.is_operation_requested
    assert "to end" in world.record(key).status.waiting_for
    world.outside.argo.takes = timedelta(seconds=10)
    await world.until_ended(key)
    assert world.phase(key) == "RolledBack"


async def test_with_auto_sync_the_image_is_put_back_and_no_sync_is_started() -> None:
    world = await with_current()
    was = world.slot().status.current["api"].image
    world.store.edit(Key("ArgoSettings", SPACE, "shop"), syncPolicy={"automated": True})
    there = world.outside.argo.applications[API]
    shape = replace(there.shape, auto_sync=True)
    world.outside.argo.applications[API] = replace(there, shape=shape)
    before = list(world.outside.argo.syncs)
    key = world.ask("op-2", revision=NEW_REVISION)
    for _ in range(200):
        await world.look(key)
        if world.record(key).status.phase.is_end:
            break
        let_the_tool_sync(world)
        world.clock.advance(5)
    assert world.end_of(key) == ("RolledBack", "Degraded")
    assert (image_of(world), world.outside.argo.syncs) == (was, before)


def let_the_tool_sync(world: World) -> None:
    """Sync as the tool does by itself: when another image is wanted than was synced."""
    there = world.outside.argo.applications[API]
    wanted = there.image.parameters["image.tag"]
    synced = there.operation.revision if there.operation else ""
    if wanted != synced and not there.is_operation_requested:
        own = Operation("", OperationPhase.RUNNING, started_at=world.clock.now(), revision=wanted)
        world.outside.argo.applications[API] = replace(there, operation=own, is_operation_requested=True)


async def test_with_the_revision_strategy_the_revision_goes_back() -> None:
    world = World(rollback="Automatic")
    world.store.edit(Key("ArgoSettings", SPACE, "shop"), imageStrategy={"type": "Revision"})
    bad = {NEW_REVISION: Health.DEGRADED}

    def alter(there: Application) -> Application:
        revision = there.image.target_revision or ""
        return replace(
            there,
            revision=revision,
            health=bad.get(revision, there.health),
            shape=replace(there.shape, target_revision=revision),
        )

    world.outside.argo.alter = alter
    await world.until_ended(world.ask("op-1", revision=OLD_REVISION))
    world.clock.advance(60)
    key = world.ask("op-2", revision=NEW_REVISION)
    await world.until_ended(key)
    assert world.end_of(key) == ("RolledBack", "Degraded")
    assert world.outside.argo.applications[API].image.target_revision == OLD_REVISION


async def test_a_hold_keeps_back_what_was_asked_before_and_a_later_request_lifts_it() -> None:
    world = await with_current()
    second = world.ask("op-2", revision=NEW_REVISION)
    await world.look(second)
    third = world.ask("op-3", revision=NEW_REVISION)
    await world.until_ended(second)
    await world.go_on(third, world.environment, seconds=60)
    assert world.record(third).status.reason == "OnHold"
    world.outside.argo.alter = lambda there: there
    fourth = world.ask("op-4", revision=NEW_REVISION)
    await world.until_ended(fourth, third)
    assert world.phase(fourth) == "Succeeded"
    assert world.slot().status.hold is None


async def test_a_newer_request_waits_for_the_end_of_going_back() -> None:
    world = await with_current(concurrency="Supersede")
    second = world.ask("op-2", revision=NEW_REVISION)
    await world.until_waiting_in(StageName.ROLLBACK, second)
    third = world.ask("op-3", revision="3" * 40)
    await world.look(third)
    await world.until_ended(second)
    assert world.phase(second) == "RolledBack"


async def calm_run() -> int:
    """Return in how many places a deployment that goes back could be killed."""
    world = await with_current("api", "web")
    points = 0

    def count() -> None:
        nonlocal points
        points += 1

    world.store.after_write = count
    for system in world.outside.all:
        system.after_act = count
    await world.until_ended(world.ask("op-2", revision=NEW_REVISION))
    return points


async def test_all_places_where_a_kill_could_come_are_tried() -> None:
    assert 20 < await calm_run() < MORE_THAN_ALL_POINTS


@pytest.mark.parametrize("point", range(1, MORE_THAN_ALL_POINTS))
@pytest.mark.parametrize("seconds_down", [1, 600])
async def test_a_kill_anywhere_ends_rolled_back_once(point: int, seconds_down: int) -> None:
    world = await with_current("api", "web")
    was = world.slot().status.current
    kill_at(point, world.store, world.outside.all)
    key = world.ask("op-2", revision=NEW_REVISION)
    try:
        await world.until_ended(key, world.environment)
    except* Killed:
        world.begin_life()
        world.clock.advance(seconds_down)
        await world.until_ended(key, world.environment)
    assert world.end_of(key) == ("RolledBack", "Degraded")
    assert (image_of(world, API), image_of(world, WEB)) == (was["api"].image, was["web"].image)
    assert sorted(world.outside.argo.syncs) == [API] * 3 + [WEB] * 3
    status = world.slot().status
    assert (status.holder, status.current) == (None, was)
    assert status.hold is not None


async def test_a_late_write_of_the_failed_image_is_refused_after_going_back() -> None:
    world = await with_current()
    key = world.ask("op-2", revision=NEW_REVISION)
    await world.until_waiting_in(StageName.SYNC, key)
    epoch = world.outside.argo.applications[API].epoch
    await world.until_ended(key)
    assert world.outside.argo.applications[API].epoch not in ("", epoch)


async def test_stages_that_were_not_reached_are_skipped() -> None:
    world = await with_current()
    key = world.ask("op-2", revision=NEW_REVISION)
    await world.until_ended(key)
    states = {stage.name: stage.state for stage in world.record(key).status.stages}
    assert states[StageName.SYNC] is StepState.FAILED
    assert (states[StageName.EXPOSE], states[StageName.VERIFY]) == (StepState.SKIPPED, StepState.SKIPPED)
    assert states[StageName.ROLLBACK] is StepState.DONE
