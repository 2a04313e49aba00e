"""While a deployment or its environment is on pause, its clocks stand still."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.deployments.pauses import noted, paused_since
from reconciler.domain.resources import Pause, StageName
from reconciler.domain.resources.deployment_record import MOST_PAUSES
from support.moments import EIGHT
from support.scene import World

MINUTE = timedelta(minutes=1)


def at(minute: float) -> datetime:
    return EIGHT + minute * MINUTE


@pytest.mark.parametrize("whose", ["record", "environment"])
@pytest.mark.parametrize("system", ["registry", "argo"])
async def test_time_on_pause_does_not_count_for_the_deadline_of_a_stage(whose: str, system: str) -> None:
    world = World()
    if system == "registry":
        world.outside.registry.pushes = False
    else:
        world.outside.argo.reconciles = False
        world.outside.argo.takes = timedelta(hours=9)
    stage, limit = {"registry": (StageName.IMAGE, 10), "argo": (StageName.SYNC, 30)}[system]
    key = world.ask()
    await world.until_waiting_in(stage, key)
    paused = key if whose == "record" else world.environment
    world.store.annotate(paused, paused="true")
    await world.go_on(key, seconds=3600, every=60)
    world.store.annotate(paused, paused="false")
    resumed = world.clock.now()
    await world.until_ended(key, every=10)
    assert world.end_of(key) == ("Failed", "DeadlineExceeded")
    assert (limit - 2) * MINUTE < world.clock.now() - resumed <= (limit + 1) * MINUTE


async def test_time_on_pause_does_not_count_for_the_deadline_of_the_deployment() -> None:
    world = World()
    key = world.ask()
    await world.until_waiting_in(StageName.BUILD, key)
    world.store.annotate(world.environment, paused="true")
    await world.go_on(key, seconds=3 * 3600, every=60)
    assert world.phase(key) == "Running"
    world.store.annotate(world.environment, paused="false")
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"
    pauses = world.record(key).status.pauses
    assert [(pause.until is not None) for pause in pauses] == [True]


async def test_a_pause_is_kept_across_a_restart() -> None:
    world = World()
    world.outside.registry.pushes = False
    key = world.ask()
    await world.until_waiting_in(StageName.IMAGE, key)
    world.store.annotate(key, paused="true")
    await world.look(key)
    world.begin_life()
    world.clock.advance(3600)
    world.store.annotate(key, paused="false")
    await world.look(key)
    assert world.phase(key) == "Running"


async def test_a_pause_is_told_once() -> None:
    world = World()
    key = world.ask()
    await world.until_waiting_in(StageName.BUILD, key)
    before = world.record(key).status.sequence
    world.store.annotate(key, paused="true")
    await world.look(key)
    status = world.record(key).status
    assert (status.sequence > before, status.pauses) == (True, [Pause(since=world.clock.now())])
    await world.go_on(key, seconds=30, every=1)
    assert world.record(key).status.pauses == status.pauses


async def test_the_time_for_an_address_to_answer_stands_still_too() -> None:
    world = World(verify={"path": "/", "timeout": "30s"})
    world.outside.probe.answers = 503
    key = world.ask()
    await world.until_waiting_in(StageName.VERIFY, key)
    world.store.annotate(key, paused="true")
    await world.go_on(key, seconds=300)
    assert world.phase(key) == "Running"
    world.store.annotate(key, paused="false")
    await world.until_ended(key)
    assert world.end_of(key) == ("Failed", "VerifyFailed")


def test_only_the_part_after_a_moment_counts() -> None:
    pauses = [Pause(since=at(0), until=at(10)), Pause(since=at(20))]
    assert paused_since(pauses, at(5), at(25)) == 10 * MINUTE
    assert paused_since(pauses, at(15), at(18)) == timedelta()


@given(st.lists(st.integers(min_value=1, max_value=90), min_size=1, max_size=80))
def test_the_oldest_pauses_are_merged_and_none_of_their_time_is_lost(minutes: list[int]) -> None:
    pauses, now, total, is_paused = list[Pause](), 0, 0, False
    for length in minutes:
        is_paused = not is_paused
        pauses = noted(pauses, at(now), is_paused=is_paused)
        assert noted(pauses, at(now), is_paused=is_paused) is pauses
        now += length
        total += length if is_paused else 0
    assert paused_since(pauses, EIGHT, at(now)) == total * MINUTE
    assert len(pauses) <= MOST_PAUSES


@pytest.mark.parametrize("deadline", [timedelta(hours=2), timedelta(hours=1)], ids=["of a stage", "of all"])
async def test_right_before_a_deadline_a_pause_is_not_looked_at_all_the_time(deadline: timedelta) -> None:
    world = World()
    world.deployments = replace(world.deployments, deadline=deadline)
    world.outside.jenkins.runs = timedelta(hours=9)
    key = world.ask()
    await world.until_waiting_in(StageName.BUILD, key)
    world.clock.advance(3599 - (world.clock.now() - EIGHT).total_seconds())
    world.store.annotate(key, paused="true")
    await world.look(key)
    due = await world.look(key)
    assert due is not None
    assert due - world.clock.now() > timedelta(seconds=60)
    world.clock.advance(600)
    world.store.annotate(key, paused="false")
    due = await world.look(key)
    assert due is not None
    assert due - world.clock.now() <= timedelta(seconds=1)
