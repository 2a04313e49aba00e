"""A bug of ours: told, tried again, waited on for a person, ended by the deadline; nothing beside it is taken down."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from reconciler.domain.keys import Key
from reconciler.domain.resources import DeploymentRecord, StageName, StageStatus
from reconciler.reporting.happenings import happenings
from support.scene import World

SYSTEMS = ["jenkins", "registry", "argo", "dns", "probe"]


def stage(world: World, key: Key, name: StageName, component: str = "api") -> StageStatus:
    found = (one for one in world.record(key).status.stages if (one.name, one.component) == (name, component))
    return next(found)


@pytest.mark.parametrize("system", SYSTEMS)
async def test_a_bug_in_a_stage_waits_for_a_person_and_work_goes_on_when_it_is_mended(system: str) -> None:
    world = World(verify={"path": "/"})
    fake = getattr(world.outside, system)
    fake.outage = KeyError("secret-word")
    key = world.ask()
    before = world.store.read(key)
    await world.go_on(key, seconds=240)
    status = world.record(key).status
    assert (status.phase, status.reason) == ("Running", "InternalError")
    assert "failed unexpectedly (KeyError)" in status.waiting_for
    assert status.next_look_at is not None
    told = [one for one in happenings(before, world.store.read(key) or {}) if one.reason == "InternalError"]
    assert [("report the log lines of op-1" in one.message, one.is_warning) for one in told] == [(True, True)]
    assert "secret-word" not in str(world.store.read(key))
    fake.outage = None
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"


@pytest.mark.parametrize("system", SYSTEMS)
async def test_a_bug_that_nobody_mends_is_ended_by_the_deadline(system: str) -> None:
    world = World(verify={"path": "/"})
    getattr(world.outside, system).outage = ZeroDivisionError()
    key = world.ask()
    await world.until_ended(key, every=60)
    status = world.record(key).status
    assert (status.phase, status.reason) == ("Failed", "DeadlineExceeded")
    assert "failed unexpectedly (ZeroDivisionError)" in status.message
    assert world.holder() == ""


async def test_a_person_is_asked_for_only_after_five_in_a_row() -> None:
    world = World()
    world.outside.jenkins.outage = KeyError()
    key, remedies = world.ask(), []
    for _ in range(6):
        due = await world.look(key)
        remedies.append(bool(stage(world, key, StageName.BUILD).remedy))
        assert due is not None
        world.clock.advance((due - world.clock.now()).total_seconds())
    assert remedies == [False] * 4 + [True] * 2


async def test_a_bug_with_one_component_leaves_the_others_going() -> None:
    world = World(("api", "web"))
    argo = world.outside.argo
    find: Callable[..., Awaitable[Any]] = argo.find_application

    async def find_application(project: str, name: str) -> Any:
        if name.endswith("web"):
            raise KeyError(name)
        return await find(project, name)

    argo.find_application = find_application  # type: ignore[method-assign]
    key = world.ask()
    await world.go_on(key, seconds=300)
    assert stage(world, key, StageName.SYNC, "api").state == "Done"
    assert stage(world, key, StageName.SYNC, "web").reason == "InternalError"


async def test_a_bug_in_one_act_leaves_the_acts_beside_it_and_is_never_done_twice() -> None:
    world = World(("api", "web"))
    jenkins = world.outside.jenkins
    start: Callable[..., Awaitable[Any]] = jenkins.start_build
    bugs = 2

    async def start_build(path: Any, key: Any, parameters: Any) -> Any:
        nonlocal bugs
        started = await start(path, key, parameters)
        if key.component == "web" and bugs:
            bugs -= 1
            raise KeyError("read the answer wrongly")
        return started

    jenkins.start_build = start_build  # type: ignore[method-assign]
    key = world.ask()
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"
    assert (jenkins.count("api"), jenkins.count("web"), bugs) == (1, 1, 1)


class NoScenes:
    """Every look fails before any stage is asked."""

    def read(self, record: DeploymentRecord, now: datetime) -> Any:
        raise ZeroDivisionError


async def broken_from(world: World, key: Key, stage_name: StageName | None) -> None:
    if stage_name is not None:
        await world.until_waiting_in(stage_name, key)
    broken: Any = NoScenes()
    world.deployments = replace(world.deployments, scenes=broken)


@pytest.mark.parametrize("begun", [None, StageName.BUILD])
async def test_a_bug_that_is_no_stages_own_is_told_and_ended_by_the_deadline(begun: StageName | None) -> None:
    world = World()
    key = world.ask()
    await broken_from(world, key, begun)
    began = world.clock.now()
    await world.go_on(key, seconds=120)
    status = world.record(key).status
    assert not status.phase.is_end
    assert status.reason == "InternalError"
    assert "a look at the deployment failed unexpectedly (ZeroDivisionError)" in status.message
    await world.until_ended(key, every=60)
    assert world.end_of(key) == ("Failed", "DeadlineExceeded")
    assert world.clock.now() - began < timedelta(hours=2, minutes=10)
    assert world.holder() == ""


async def test_what_fails_at_every_look_can_be_cancelled() -> None:
    world = World()
    key = world.ask()
    await broken_from(world, key, StageName.BUILD)
    await world.go_on(key, seconds=60)
    body = world.store.read(key) or {}
    world.store.put({**body, "spec": {**body["spec"], "cancel": True}})
    await world.until_ended(key)
    assert world.phase(key) == "Cancelled"


async def test_one_deployments_bug_leaves_another_environment_alone() -> None:
    world = World()
    other = world.add_environment("beta")
    broken, fine = world.ask("op-1"), world.ask("op-2", environment="beta")
    argo = world.outside.argo
    find: Callable[..., Awaitable[Any]] = argo.find_application

    async def find_application(project: str, name: str) -> Any:
        if "alpha" in name:
            raise KeyError(name)
        return await find(project, name)

    argo.find_application = find_application  # type: ignore[method-assign]
    for _ in range(100):
        for key in (broken, fine, other):
            await world.look(key)
        world.clock.advance(5)
    assert (world.phase(broken), world.phase(fine)) == ("Running", "Succeeded")
