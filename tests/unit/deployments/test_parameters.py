"""A job that lost parameters is repaired once; when a run has taken them away again, a person must change the file."""

from dataclasses import replace

import pytest

from reconciler.domain.keys import Key
from reconciler.domain.outside.builds import BuildState
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import JenkinsSettings, StageName, StepState
from reconciler.domain.wanted import BUILD_PARAMETERS
from support.scene import OWNER, SPACE, Killed, World, kill_at

JENKINS = Key(JenkinsSettings.kind, SPACE, "shop")


def world_with_job_of_ours(*components: str) -> World:
    world = World(components or ("api",))
    body = world.store.read(JENKINS)
    assert body is not None
    marker = Marker(OWNER, "JenkinsSettings", SPACE, "shop", body["metadata"]["uid"])
    world.outside.jenkins.job = replace(world.outside.jenkins.job, marker=marker)
    return world


def declared(world: World) -> tuple[str, ...]:
    shape = world.outside.jenkins.job.shape
    return shape.parameters if shape else ()


@pytest.mark.parametrize("left", [(), ("BRANCH",), BUILD_PARAMETERS[:-1]], ids=["none", "others", "all but one"])
async def test_a_job_that_lost_parameters_is_repaired_before_anything_is_built(left: tuple[str, ...]) -> None:
    world = world_with_job_of_ours()
    world.outside.jenkins.declare(left)
    key = world.ask()
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"
    assert (declared(world), world.outside.jenkins.repairs) == (BUILD_PARAMETERS, 1)
    assert world.outside.jenkins.count("api") == 1
    assert "intended op-1/api/1/parameters" in world.ledger.lines


async def test_the_users_own_parameters_are_repaired_too() -> None:
    world = world_with_job_of_ours()
    world.store.edit(JENKINS, parameters={"FLAVOUR": "vanilla"})
    key = world.ask()
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"
    assert declared(world) == (*BUILD_PARAMETERS, "FLAVOUR")


async def test_parameters_gone_again_after_a_run_fail_and_name_the_remedy() -> None:
    world = world_with_job_of_ours()
    jenkins = world.outside.jenkins
    jenkins.keeps = ("BRANCH",)
    ends = []
    for number in (1, 2, 3, 4):
        key = world.ask(f"op-{number}")
        await world.until_ended(key)
        ends.append(world.end_of(key))
        world.clock.advance(10)
    assert ends == [("Succeeded", "Deployed")] * 2 + [("Failed", "PipelineDropsParameters")] * 2
    assert (jenkins.repairs, jenkins.count("api")) == (1, 2)
    message = world.record(key).status.message
    assert "OPERATION_ID" in message
    assert "Jenkinsfile" in message


async def test_when_the_file_is_right_again_deployments_go_on() -> None:
    world = world_with_job_of_ours()
    world.outside.jenkins.keeps = ()
    for number in (1, 2, 3):
        await world.until_ended(world.ask(f"op-{number}"))
        world.clock.advance(10)
    world.outside.jenkins.keeps = None
    world.outside.jenkins.declare(BUILD_PARAMETERS)
    key = world.ask("op-4")
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"


async def test_another_parameter_than_was_repaired_is_repaired_once_too() -> None:
    world = world_with_job_of_ours()
    world.outside.jenkins.declare(BUILD_PARAMETERS[1:])
    await world.until_ended(world.ask("op-1"))
    world.clock.advance(10)
    world.outside.jenkins.declare(BUILD_PARAMETERS[:-1])
    key = world.ask("op-2")
    await world.until_ended(key)
    assert (world.phase(key), world.outside.jenkins.repairs) == ("Succeeded", 2)


@pytest.mark.parametrize("uid", ["", "uid-of-another"])
async def test_a_job_of_somebody_else_is_not_repaired(uid: str) -> None:
    world = World()
    jenkins = world.outside.jenkins
    if uid:
        jenkins.job = replace(jenkins.job, marker=Marker(OWNER, "JenkinsSettings", SPACE, "other", uid))
    jenkins.declare(())
    key = world.ask()
    await world.go_on(key, seconds=60)
    status = world.record(key).status
    assert (status.reason, jenkins.repairs, jenkins.builds) == ("ParametersMissing", 0, [])
    assert status.stages[1].remedy


async def test_a_lost_parameter_takes_no_open_claim_away() -> None:
    world = world_with_job_of_ours()
    jenkins = world.outside.jenkins
    key = world.ask()
    kill_at(4, world.store, (jenkins,))
    with pytest.raises(BaseExceptionGroup):
        await world.until_ended(key)
    assert jenkins.count("api") == 1
    world.begin_life()
    late = jenkins.builds
    jenkins.builds = []
    jenkins.declare(())
    await world.go_on(key, seconds=20)
    assert jenkins.repairs == 0
    jenkins.builds = late
    await world.until_ended(key)
    assert (world.phase(key), jenkins.count("api")) == ("Succeeded", 1)


async def test_cancelled_while_parameters_are_repaired_nothing_is_built() -> None:
    world = world_with_job_of_ours()
    world.outside.jenkins.declare(())
    key = world.ask()
    kill_at(4, world.store, world.outside.all)
    with pytest.raises(BaseExceptionGroup):
        await world.until_ended(key)
    assert world.outside.jenkins.repairs == 1
    world.begin_life()
    world.store.after_write = world.outside.jenkins.after_act = lambda: None
    world.store.edit(key, cancel=True)
    await world.until_ended(key)
    assert (world.phase(key), world.outside.jenkins.builds) == ("Cancelled", [])


async def test_a_failed_run_counts_as_a_run() -> None:
    world = world_with_job_of_ours()
    jenkins = world.outside.jenkins
    jenkins.keeps = ()
    jenkins.declare(())
    jenkins.results = {"api": [BuildState.FAILED]}
    await world.until_ended(world.ask("op-1"))
    world.clock.advance(10)
    key = world.ask("op-2")
    await world.until_ended(key)
    assert world.end_of(key) == ("Failed", "PipelineDropsParameters")


@pytest.mark.parametrize("point", range(1, 30))
@pytest.mark.parametrize("seconds_down", [1, 600])
async def test_a_kill_anywhere_while_repairing_doubles_nothing(point: int, seconds_down: int) -> None:
    world = world_with_job_of_ours("api", "web")
    world.outside.jenkins.declare(())
    kill_at(point, world.store, world.outside.all)
    key = world.ask()
    try:
        await world.until_ended(key, world.environment)
    except* Killed:
        world.begin_life()
        world.clock.advance(seconds_down)
        await world.until_ended(key, world.environment)
    assert world.phase(key) == "Succeeded"
    assert (world.outside.jenkins.count("api"), world.outside.jenkins.count("web")) == (1, 1)
    builds = [stage for stage in world.record(key).status.stages if stage.name is StageName.BUILD]
    assert {stage.state for stage in builds} == {StepState.DONE}
