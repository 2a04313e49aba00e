"""A build is followed where it was asked for, whatever the settings name by then; what comes next goes there."""

from typing import Any

import pytest

from reconciler.domain.errors import OutcomeUnknown, Unavailable
from reconciler.domain.keys import Key
from reconciler.domain.outside.builds import BuildState, JobPath
from reconciler.domain.resources import JenkinsSettings
from reconciler.domain.resources.common import api_object
from reconciler.domain.things import Where
from support.outside import BuildServer
from support.scene import SPACE, Killed, World, kill_at

SETTINGS = Key("JenkinsSettings", SPACE, "shop")
PROJECT = Key("DevOpsProject", SPACE, "shop")
OLD = JobPath("freeleaps", "shop")
NEW = JobPath("teams/shop", "build")
RENAMED = {"folder": "teams/shop", "job": "build"}
A, B = "https://a.example", "https://b.example"
MORE_THAN_ALL_POINTS = 24


async def building(world: World, **asked: Any) -> Key:
    """Ask for a deployment, and go on until its build runs."""
    key = world.ask(**asked)
    await world.go_on(key, seconds=20)
    assert world.outside.jenkins.running() == ["api"]
    return key


def paths(server: BuildServer) -> list[JobPath]:
    return [one.path for one in server.builds]


@pytest.mark.parametrize(
    "renamed", [{"folder": "teams/shop"}, {"job": "build"}, RENAMED], ids=["folder", "job", "folder and job"]
)
async def test_a_build_that_runs_is_followed_under_the_former_name(renamed: dict[str, str]) -> None:
    world = World()
    key = await building(world)
    world.store.edit(SETTINGS, **renamed)
    await world.until_ended(key)
    assert (world.phase(key), paths(world.outside.jenkins)) == ("Succeeded", [OLD])


async def test_the_deployment_after_it_is_built_under_the_new_name() -> None:
    world = World()
    key = await building(world)
    world.store.edit(SETTINGS, **RENAMED)
    await world.until_ended(key)
    await world.until_ended(world.ask("op-2"))
    assert paths(world.outside.jenkins) == [OLD, NEW]


async def test_the_next_attempt_goes_under_the_new_name() -> None:
    world = World()
    world.outside.jenkins.results["api"] = [BuildState.ABORTED, BuildState.PASSED]
    key = await building(world)
    world.store.edit(SETTINGS, **RENAMED)
    await world.until_ended(key)
    builds = world.outside.jenkins.builds
    assert world.phase(key) == "Succeeded"
    assert [(one.path, one.key.image_tag[-2:]) for one in builds] == [(OLD, "-1"), (NEW, "-2")]


@pytest.mark.parametrize("point", range(1, MORE_THAN_ALL_POINTS))
async def test_a_kill_anywhere_before_it_gets_another_name_builds_once(point: int) -> None:
    world = World()
    key = world.ask()
    kill_at(point, world.store, world.outside.all)
    try:
        await world.until_ended(key)
    except* Killed:
        world.begin_life()
    world.store.edit(SETTINGS, **RENAMED)
    await world.until_ended(key)
    assert (world.phase(key), world.outside.jenkins.count("api")) == ("Succeeded", 1)


@pytest.mark.parametrize("point", range(1, MORE_THAN_ALL_POINTS))
async def test_a_kill_anywhere_after_it_got_another_name_builds_once(point: int) -> None:
    world = World()
    key = await building(world)
    world.store.edit(SETTINGS, **RENAMED)
    kill_at(point, world.store, world.outside.all)
    try:
        await world.until_ended(key)
    except* Killed:
        world.begin_life()
        await world.until_ended(key)
    assert (world.phase(key), world.outside.jenkins.count("api")) == ("Succeeded", 1)


async def test_a_build_of_which_nobody_knows_whether_it_was_asked_for_is_found_under_the_former_name() -> None:
    world = World()
    key = world.ask()

    def lose_the_answer() -> None:
        raise OutcomeUnknown("the connection was lost", system="jenkins")

    world.outside.jenkins.after_act = lose_the_answer
    await world.look(key)
    world.store.edit(SETTINGS, **RENAMED)
    await world.until_ended(key)
    assert (world.phase(key), paths(world.outside.jenkins)) == ("Succeeded", [OLD])


async def test_a_build_that_is_proved_absent_there_is_asked_for_under_the_new_name() -> None:
    world = World()
    jenkins = world.outside.jenkins
    key = world.ask()
    jenkins.outage = OutcomeUnknown("the connection was lost", system="jenkins")
    await world.look(key)
    jenkins.outage = None
    claimed_at = world.clock.now()
    world.store.edit(SETTINGS, **RENAMED)
    await world.until_ended(key)
    assert (world.phase(key), paths(jenkins)) == ("Succeeded", [NEW])
    assert (jenkins.builds[0].at - claimed_at).total_seconds() >= 5 + 30 + 5 + 30
    assert "resolved op-1/api/1 Absent" in world.ledger.lines


async def test_a_build_whose_job_a_person_renamed_in_the_build_server_too_is_followed_there() -> None:
    world = World()
    key = await building(world)
    world.store.edit(SETTINGS, **RENAMED)
    world.outside.jenkins.builds[0].path = NEW
    await world.until_ended(key)
    assert (world.phase(key), world.outside.jenkins.count("api")) == ("Succeeded", 1)


async def test_a_cancel_stops_the_build_under_the_former_name() -> None:
    world = World()
    key = await building(world)
    world.store.edit(SETTINGS, **RENAMED)
    world.store.edit(key, cancel=True)
    await world.until_ended(key)
    assert (world.phase(key), world.outside.jenkins.running()) == ("Cancelled", [])
    assert world.outside.jenkins.stops == ["api"]


async def on_two_servers(world: World) -> Key:
    """Have a build run on the server at A, and let the settings name the one at B."""
    world.outside.built_at = {A: world.outside.jenkins, B: BuildServer(world.clock)}
    world.store.edit(SETTINGS, endpoint=A, credentialsRef={"name": "a"})
    key = await building(world)
    world.store.edit(SETTINGS, endpoint=B, credentialsRef={"name": "b"})
    return key


async def test_a_build_on_a_former_server_is_followed_there_with_the_credentials_of_that_server() -> None:
    world = World()
    key = await on_two_servers(world)
    world.outside.built_as.clear()
    await world.until_ended(key)
    assert (world.phase(key), len(world.outside.jenkins.builds)) == ("Succeeded", 1)
    assert world.outside.built_at[B].builds == []
    assert set(world.outside.built_as) == {Where(A, SPACE, "a")}


async def test_while_the_former_server_is_away_nothing_is_built_on_the_new_one() -> None:
    world = World()
    key = await on_two_servers(world)
    world.outside.jenkins.outage = Unavailable("timeout", system="jenkins")
    await world.go_on(key, seconds=600)
    assert world.outside.built_at[B].builds == []
    assert world.record(key).status.waiting_for
    world.outside.jenkins.outage = None
    await world.until_ended(key)
    assert (world.phase(key), world.outside.built_at[B].builds) == ("Succeeded", [])


async def test_a_server_that_stays_is_asked_with_the_credentials_that_the_settings_name_now() -> None:
    world = World()
    world.outside.built_at = {A: world.outside.jenkins}
    world.store.edit(SETTINGS, endpoint=A, credentialsRef={"name": "a"})
    key = await building(world)
    world.store.edit(SETTINGS, job="build", credentialsRef={"name": "b"})
    world.outside.built_as.clear()
    await world.until_ended(key)
    assert (world.phase(key), len(world.outside.jenkins.builds)) == ("Succeeded", 1)
    assert set(world.outside.built_as) == {Where(A, SPACE, "b")}


async def test_a_build_is_followed_when_the_project_names_other_settings() -> None:
    world = World()
    key = await building(world)
    world.store.put(api_object(JenkinsSettings, "other", SPACE, {"projectRef": "shop", **RENAMED}))
    world.store.edit(PROJECT, jenkinsRef={"name": "other"})
    await world.until_ended(key)
    assert (world.phase(key), paths(world.outside.jenkins)) == ("Succeeded", [OLD])


async def test_a_claim_that_an_earlier_version_stored_without_its_place_is_looked_for_where_the_settings_say() -> None:
    world = World()
    key = await building(world)
    body = world.store.read(key)
    assert body is not None
    for stage in body["status"]["stages"]:
        (stage.get("claim") or {}).pop("place", None)
    world.store.put(body)
    await world.until_ended(key)
    assert (world.phase(key), paths(world.outside.jenkins)) == ("Succeeded", [OLD])
