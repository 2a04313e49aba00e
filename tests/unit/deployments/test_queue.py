"""Who may change an environment, and in which order."""

from datetime import timedelta

import pytest

from reconciler.domain.keys import Key
from reconciler.domain.outside.builds import BuildState
from reconciler.domain.resources import JenkinsSettings, StageName
from support.moments import EIGHT
from support.scene import SPACE, Killed, World, kill_at

BEFORE = EIGHT - timedelta(minutes=10)


async def test_deployments_of_a_queue_go_in_the_order_they_were_asked_for() -> None:
    world = World()
    world.clock.advance(3600)
    third, second = world.ask("a-3", at=EIGHT), world.ask("op-2", at=EIGHT - timedelta(seconds=1))
    first = world.ask("op-1", at=BEFORE)
    holders: list[str] = []
    for _ in range(200):
        for key in (third, second, first):
            await world.look(key)
        if world.holder() not in (*holders, ""):
            holders.append(world.holder())
        world.clock.advance(5)
    assert holders == ["op-1", "op-2", "a-3"]
    assert {world.phase(key) for key in (first, second, third)} == {"Succeeded"}


async def test_the_name_decides_between_requests_of_one_moment() -> None:
    world = World()
    later, earlier = world.ask("op-b", at=BEFORE), world.ask("op-a", at=BEFORE)
    await world.look(later)
    assert world.record(later).status.waiting_for == "DeploymentRecord op-a, which comes first"
    await world.look(earlier)
    assert world.holder() == "op-a"


async def test_a_request_from_the_future_counts_from_its_creation() -> None:
    world = World()
    future = world.ask("op-1", at=EIGHT + timedelta(days=1))
    world.clock.advance(5)
    world.ask("op-2")
    await world.look(future)
    assert world.holder() == "op-1"


async def test_who_waits_says_for_whom() -> None:
    world = World()
    first, second = world.ask("op-1"), world.ask("op-2")
    await world.look(first)
    await world.look(second)
    status = world.record(second).status
    assert (status.phase, status.reason, status.waiting_for) == ("Queued", "Queued", "DeploymentRecord op-1 to end")
    assert status.next_look_at is not None


async def test_reject_refuses_while_another_is_deployed() -> None:
    world = World(concurrency="Reject")
    first, second = world.ask("op-1"), world.ask("op-2")
    await world.look(first)
    await world.look(second)
    assert world.end_of(second) == ("Failed", "EnvironmentBusy")
    await world.until_ended(first)
    assert world.end_of(first)[0] == "Succeeded"


async def test_a_newer_request_supersedes_what_is_built_and_what_waits() -> None:
    world = World(concurrency="Supersede")
    keys = []
    for number in (1, 2, 3):
        keys.append(world.ask(f"op-{number}"))
        await world.look(keys[-1])
        world.clock.advance(10)
    await world.until_ended(*keys)
    assert [world.phase(key) for key in keys] == ["Superseded", "Superseded", "Succeeded"]
    assert world.outside.jenkins.count("api") == 2
    assert world.outside.jenkins.stops == ["api"]
    assert world.outside.argo.syncs == ["shop--alpha--api"]


async def test_a_superseded_deployment_leaves_no_build_running() -> None:
    world = World(("api", "web"), concurrency="Supersede")
    first = world.ask("op-1")
    await world.go_on(first, seconds=30)
    second = world.ask("op-2")
    await world.look(second)
    for _ in range(20):
        await world.look(first)
        if world.record(first).status.phase.is_end:
            break
        world.clock.advance(2)
    assert world.phase(first) == "Superseded"
    assert world.outside.jenkins.running() == []
    assert sorted(world.outside.jenkins.stops) == ["api", "web"]


async def test_after_too_many_supersedes_in_a_row_the_running_one_is_let_finish() -> None:
    world = World(concurrency="Supersede")
    world.store.set_status(world.environment, supersededInRow=5)
    first = world.ask("op-1")
    await world.go_on(first, seconds=20)
    second = world.ask("op-2")
    await world.until_ended(first, second)
    assert (world.phase(first), world.phase(second)) == ("Succeeded", "Succeeded")
    assert world.slot().status.superseded_in_row == 0


async def test_a_failure_ends_the_row_of_supersedes() -> None:
    world = World(concurrency="Supersede")
    world.store.set_status(world.environment, supersededInRow=5)
    world.outside.jenkins.results["api"] = [BuildState.FAILED]
    first = world.ask("op-1")
    await world.until_ended(first)
    assert (world.phase(first), world.slot().status.superseded_in_row) == ("Failed", 0)


async def test_a_deployment_that_has_set_an_image_is_not_superseded() -> None:
    world = World(concurrency="Supersede")
    first = world.ask("op-1")
    await world.until_waiting_in(StageName.SYNC, first)
    assert world.outside.argo.image_writes
    second = world.ask("op-2")
    await world.until_ended(second, first)
    assert (world.phase(first), world.phase(second)) == ("Succeeded", "Succeeded")


async def test_under_supersede_a_message_older_than_the_holder_is_superseded() -> None:
    world = World(concurrency="Supersede")
    world.clock.advance(60)
    newer = world.ask("op-2")
    await world.look(newer)
    older = world.ask("op-1", at=EIGHT)
    await world.look(older)
    assert world.end_of(older) == ("Superseded", "Superseded")
    await world.until_ended(newer)
    assert world.phase(newer) == "Succeeded"


@pytest.mark.parametrize(("force", "phase"), [(False, "Superseded"), (True, "Succeeded")])
async def test_a_late_message_does_not_take_an_environment_back_unless_forced(*, force: bool, phase: str) -> None:
    world = World()
    world.clock.advance(600)
    newer = world.ask("op-2")
    await world.until_ended(newer)
    older = world.ask("op-1", at=EIGHT, force=force)
    await world.until_ended(older)
    assert world.phase(older) == phase


async def test_a_late_message_for_another_component_takes_nothing_back() -> None:
    world = World(("api", "web"))
    world.clock.advance(600)
    newer = world.ask("op-2", components=["web"])
    await world.until_ended(newer)
    older = world.ask("op-1", at=EIGHT, components=["api"])
    await world.until_ended(older)
    assert world.phase(older) == "Succeeded"
    assert set(world.slot().status.current) == {"api", "web"}


async def test_a_hold_keeps_back_what_was_asked_for_before_it_and_a_newer_request_lifts_it() -> None:
    world = World()
    hold = {"since": (EIGHT + timedelta(seconds=30)).isoformat(), "operation": "op-0", "reason": "rolled back"}
    world.store.set_status(world.environment, hold=hold)
    older = world.ask("op-1")
    await world.look(older)
    assert world.record(older).status.reason == "OnHold"
    assert "release" in world.record(older).status.stages[0].remedy
    world.clock.advance(60)
    newer = world.ask("op-2")
    await world.until_ended(newer, older)
    assert world.phase(newer) == "Succeeded"
    assert world.slot().status.hold is None


@pytest.mark.parametrize("is_seen", [False, True])
async def test_in_the_very_second_of_a_hold_what_was_seen_before_it_is_kept_back_and_what_came_after_lifts_it(
    *, is_seen: bool
) -> None:
    """A record made by hand says when by its creation only, in whole seconds."""
    world = World()
    world.store.annotate(world.environment, paused="true")
    world.clock.advance(0.2)
    key = world.ask()
    if is_seen:
        await world.look(key)
    world.clock.advance(0.2)
    world.store.set_status(world.environment, hold={"since": world.clock.now().isoformat(), "operation": "op-0"})
    world.clock.advance(0.2)
    world.store.annotate(world.environment, paused="false")
    await world.look(world.environment)
    await world.look(key)
    assert (world.record(key).status.reason == "OnHold", world.holder() == "op-1") == (is_seen, not is_seen)


async def test_the_release_annotation_lifts_a_hold_once() -> None:
    world = World()
    world.store.set_status(
        world.environment, hold={"since": (EIGHT + timedelta(seconds=1)).isoformat(), "operation": "op-0"}
    )
    key = world.ask()
    await world.look(key)
    assert world.holder() == ""
    world.store.annotate(world.environment, release="now")
    await world.look(world.environment)
    assert world.store.status(world.environment)["handled"] == {"freeleaps.com/release": "now"}
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"


async def test_a_paused_record_lets_others_pass() -> None:
    world = World()
    paused = world.ask("op-1")
    world.store.annotate(paused, paused="true")
    await world.look(paused)
    second = world.ask("op-2")
    await world.until_ended(second)
    assert world.phase(second) == "Succeeded"
    assert (world.phase(paused), world.record(paused).status.reason) == ("Queued", "Paused")


async def test_a_paused_environment_is_not_changed_and_goes_on_when_it_is_not_paused_any_more() -> None:
    world = World()
    key = world.ask()
    await world.until_waiting_in(StageName.BUILD, key)
    world.store.annotate(world.environment, paused="true")
    await world.go_on(key, seconds=200)
    assert world.outside.argo.image_writes == []
    assert world.record(key).status.reason == "Paused"
    world.store.annotate(world.environment, paused="false")
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"


@pytest.mark.parametrize("point", range(1, 25))
async def test_a_kill_while_giving_way_ends_as_superseded_and_writes_nothing_without_the_slot(point: int) -> None:
    world = World(concurrency="Supersede")
    first = world.ask("op-1")
    await world.go_on(first, seconds=30)
    second = world.ask("op-2")
    kill_at(point, world.store, world.outside.all)
    try:
        await world.until_ended(second, first)
    except* Killed:
        world.begin_life()
        world.clock.advance(1)
        await world.until_ended(second, first)
    assert (world.phase(first), world.phase(second)) == ("Superseded", "Succeeded")
    assert world.outside.jenkins.count("api") == 2
    assert world.outside.argo.syncs == ["shop--alpha--api"]


async def test_who_waits_for_what_is_not_there_yet_looks_again_when_it_says_so() -> None:
    world = World()
    world.store.vanish(Key(JenkinsSettings.kind, SPACE, "shop"))
    key = world.ask()
    for _ in range(3):
        due = await world.look(key)
        status = world.record(key).status
        assert status.waiting_for == "JenkinsSettings shop"
        assert due == status.next_look_at == world.clock.now() + timedelta(minutes=5)
        world.clock.advance(300)
