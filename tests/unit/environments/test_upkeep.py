"""Upkeep: Applications and DNS records of what is current stay as they are wanted, by whoever holds the slot."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.domain.annotations import ADOPT, CONFIRM_REMOVAL
from reconciler.domain.errors import OutcomeUnknown
from reconciler.domain.keys import Key
from reconciler.domain.outside.applications import Application, Operation, OperationPhase
from reconciler.domain.outside.dns import RecordSet
from reconciler.domain.ownership import Marker
from reconciler.domain.plans import Plan
from reconciler.domain.resources import DevOpsProject, DriftState, StepState
from reconciler.environments.keeping import Keeping
from reconciler.environments.planning import EnvironmentsPlanner
from support.outside import application
from support.scene import OWNER, SPACE, Killed, World, kill_at

PROJECT = Key("DevOpsProject", SPACE, "shop")
APPLICATION = "shop--alpha--api"
OTHER = Marker("cluster-2", "Environment", SPACE, "shop--alpha", "uid-9")


async def settled(components: tuple[str, ...] = ("api",), **environment: Any) -> World:
    """Return a world in which something runs, and the first comparison found it as wanted."""
    world = World(components, **environment)
    await world.until_ended(world.ask())
    await until_at_rest(world)
    return world


async def until_at_rest(world: World, seconds: int = 700) -> None:
    """Look at the environment whenever it asks for it, for longer than two intervals."""
    ends = world.clock.now() + timedelta(seconds=seconds)
    while world.clock.now() < ends:
        due = await world.look(world.environment)
        wait = (due - world.clock.now()).total_seconds() if due else 60.0
        world.clock.advance(max(wait, 1.0))


def policy(world: World, word: str) -> None:
    world.store.edit(PROJECT, driftPolicy=word)


def app(world: World, name: str = APPLICATION) -> Application:
    return world.outside.argo.applications[name]


def edit(world: World, **changes: Any) -> None:
    world.outside.argo.applications[APPLICATION] = replace(app(world), **changes)


def record(world: World, kind: str, name: str) -> RecordSet | None:
    return next((one for one in world.outside.dns.records if (one.type, one.name) == (kind, name)), None)


def drop(world: World, *names: str) -> None:
    world.outside.dns.records = [one for one in world.outside.dns.records if one.name not in names]


def condition(world: World, name: str) -> tuple[str, str, str]:
    found = next((one for one in world.slot().status.conditions if one.type == name), None)
    return (found.status, found.reason, found.message) if found else ("", "", "")


async def test_an_unchanged_world_is_neither_written_nor_changed() -> None:
    world = await settled(("api", "web"))
    before, writes, acts = world.slot().body, world.outside.argo.image_writes[:], world.outside.dns.changes[:]
    await until_at_rest(world)
    assert world.slot().body == before
    assert (world.outside.argo.image_writes, world.outside.dns.changes) == (writes, acts)
    assert world.outside.argo.shape_writes == []


async def test_right_after_a_deployment_nothing_is_compared_but_when_a_person_asks() -> None:
    world = World()
    await world.until_ended(world.ask())
    await world.go_on(world.environment, seconds=25)
    assert world.slot().status.steps == []
    world.store.annotate(world.environment, reconcile_at="now")
    await world.look(world.environment)
    assert {step.state for step in world.slot().status.steps} == {StepState.DONE}


async def test_a_changed_image_is_put_back_and_synced_once() -> None:
    world = await settled()
    wanted, syncs = app(world).image, len(world.outside.argo.syncs)
    edit(world, image=replace(wanted, parameters={**wanted.parameters, "image.tag": "theirs"}))
    await until_at_rest(world)
    assert app(world).image == wanted
    assert len(world.outside.argo.syncs) == syncs + 1
    drift = world.slot().status.drift[0]
    assert (drift.state, drift.times) == (DriftState.REPAIRED, 1)
    assert "image.tag: theirs ->" in drift.change
    assert (world.holder(), condition(world, "Ready")[0]) == ("", "True")


async def test_a_shape_edited_by_hand_is_put_back_under_an_epoch_of_its_own() -> None:
    world = await settled()
    wanted, epoch = app(world).shape, world.slot().status.epoch
    edit(world, shape=replace(wanted, path="elsewhere"))
    await until_at_rest(world)
    assert app(world).shape == wanted
    assert world.slot().status.epoch == epoch + 1
    assert app(world).epoch == f"{world.slot().metadata.uid}/{epoch + 1}/repair"


async def test_an_application_moves_to_the_app_project_that_the_settings_name_now() -> None:
    world = await settled()
    world.store.edit(Key("ArgoSettings", SPACE, "shop"), project="renamed")
    await until_at_rest(world)
    assert (app(world).shape.project, world.outside.argo.shape_writes) == ("renamed", [APPLICATION])
    assert world.slot().status.drift == []


async def test_a_deployment_moves_the_application_to_the_app_project_that_the_settings_name_now() -> None:
    world = await settled()
    world.store.edit(Key("ArgoSettings", SPACE, "shop"), project="renamed")
    second = world.ask("op-2")
    await world.until_ended(second)
    assert (world.phase(second), app(world).shape.project) == ("Succeeded", "renamed")


async def test_a_deleted_application_is_made_again_with_the_current_image_and_synced() -> None:
    world = await settled()
    before, syncs = app(world), len(world.outside.argo.syncs)
    del world.outside.argo.applications[APPLICATION]
    await until_at_rest(world)
    assert (app(world).shape, app(world).image, app(world).marker) == (before.shape, before.image, before.marker)
    assert len(world.outside.argo.syncs) == syncs + 1


async def test_what_a_lost_request_of_a_repair_makes_goes_with_the_environment() -> None:
    world = await settled()
    lost, create = list[Any](), world.outside.argo.create_application

    async def lose(*what: Any) -> None:
        lost[:] = what
        raise OutcomeUnknown("the connection was lost", system="argocd")

    world.outside.argo.create_application = lose  # type: ignore[method-assign]
    del world.outside.argo.applications[APPLICATION]
    while not lost:
        await until_at_rest(world, 1)
    world.store.remove(world.environment)
    await world.go_on(world.environment, seconds=20)
    await create(*lost)
    await world.go_on(world.environment, seconds=120)
    assert (world.store.read(world.environment), world.outside.argo.applications) == (None, {})


async def test_a_repair_waits_for_the_operation_that_somebody_runs() -> None:
    world = await settled()
    running = Operation("", OperationPhase.RUNNING)
    wanted = app(world).shape
    edit(world, shape=replace(wanted, path="elsewhere"), is_operation_requested=True, operation=running)
    await until_at_rest(world)
    assert app(world).shape.path == "elsewhere"
    assert world.holder() == ""
    edit(world, is_operation_requested=False)
    await until_at_rest(world)
    assert app(world).shape == wanted


async def test_a_record_of_a_component_that_is_not_known_here_yet_stays() -> None:
    world = World(("api",))
    former = world.store.read(PROJECT)
    world.store.edit(PROJECT, components=[{"name": "api", "port": 8080}, {"name": "web", "port": 8080}])
    await world.until_ended(world.ask())
    world.store.lag_behind(PROJECT, former)
    world.outside.dns.changes.clear()
    await until_at_rest(world)
    assert not [change for change in world.outside.dns.changes if change.startswith("delete")]


async def test_a_deleted_record_is_made_again() -> None:
    world = await settled()
    drop(world, "api.alpha")
    await until_at_rest(world)
    assert record(world, "A", "api.alpha") == RecordSet("api.alpha", "A", ("192.0.2.1",), 600)
    assert world.outside.dns.changes[-1] == "replace A api.alpha"


async def test_a_deleted_record_is_made_again_with_its_mark_first() -> None:
    world = await settled()
    drop(world, "api.alpha", "_freeleaps-a.api.alpha")
    await until_at_rest(world)
    assert world.outside.dns.changes[-2:] == ["replace TXT _freeleaps-a.api.alpha", "replace A api.alpha"]
    assert [one.times for one in world.slot().status.drift] == [1]


async def test_values_that_a_foreign_hand_changed_are_told_and_not_overwritten() -> None:
    world = await settled(("api", "web"))
    theirs = RecordSet("api.alpha", "A", ("198.51.100.9",), 600)
    drop(world, "api.alpha", "web.alpha")
    world.outside.dns.records.append(theirs)
    await until_at_rest(world)
    assert record(world, "A", "api.alpha") == theirs
    assert record(world, "A", "web.alpha") is not None, "one bad record blocks another"
    assert condition(world, "Stalled")[:2] == ("True", "ValuesChanged")
    assert "adopt A/api.alpha" in condition(world, "Stalled")[2]


async def test_a_record_that_is_named_is_taken_over_once_and_that_is_echoed() -> None:
    world = await settled()
    drop(world, "api.alpha")
    world.outside.dns.records.append(RecordSet("api.alpha", "A", ("198.51.100.9",), 600))
    world.store.annotate(world.environment, adopt="A/api.alpha.example.com")
    await until_at_rest(world)
    made = record(world, "A", "api.alpha")
    assert made is not None
    assert made.values == ("192.0.2.1",)
    assert world.slot().status.handled[ADOPT] == "A/api.alpha.example.com"
    assert condition(world, "Ready")[0] == "True"


@pytest.mark.parametrize("named", [True, False])
async def test_a_foreign_application_is_taken_over_only_by_its_name(*, named: bool) -> None:
    world = await settled()
    wanted = app(world)
    world.outside.argo.applications[APPLICATION] = application(APPLICATION, marker=OTHER)
    if named:
        world.store.annotate(world.environment, adopt=f"Application/{APPLICATION}")
    await until_at_rest(world)
    if named:
        assert (app(world).shape, app(world).image, app(world).marker) == (wanted.shape, wanted.image, wanted.marker)
        assert world.slot().status.handled[ADOPT] == f"Application/{APPLICATION}"
    else:
        assert app(world) == application(APPLICATION, marker=OTHER)
        assert condition(world, "Stalled")[1] == "NameTaken"


async def test_a_deployment_takes_over_what_a_person_named() -> None:
    world = World()
    world.outside.argo.applications[APPLICATION] = application(APPLICATION, marker=OTHER)
    world.outside.dns.records = [RecordSet("api.alpha", "A", ("198.51.100.9",), 600)]
    world.store.annotate(world.environment, adopt=f"Application/{APPLICATION}, A/api.alpha")
    key = world.ask()
    await world.until_ended(key)
    await until_at_rest(world)
    assert world.end_of(key) == ("Succeeded", "Deployed")
    marker, made = app(world).marker, record(world, "A", "api.alpha")
    assert marker is not None
    assert marker.uid == world.slot().metadata.uid
    assert made is not None
    assert made.values == ("192.0.2.1",)
    assert ADOPT in world.slot().status.handled


async def test_a_component_removed_from_the_project_loses_its_record() -> None:
    world = await settled(("api", "web", "docs"))
    world.store.edit(PROJECT, components=[{"name": "api", "port": 8080}, {"name": "web", "port": 8080}])
    await until_at_rest(world)
    assert world.outside.dns.names() == {
        "A api.alpha",
        "TXT _freeleaps-a.api.alpha",
        "A web.alpha",
        "TXT _freeleaps-a.web.alpha",
    }
    assert "docs.alpha.example.com" not in {item.name for item in world.slot().status.inventory}


async def test_the_mark_of_a_component_removed_right_after_its_deployment_outlives_its_record() -> None:
    world = World(("api", "web", "docs"))
    await world.until_ended(world.ask())
    world.store.edit(PROJECT, components=[{"name": "api", "port": 8080}, {"name": "web", "port": 8080}])
    unseen = tuple(one for one in world.outside.dns.records if (one.type, one.name) != ("A", "docs.alpha"))
    world.outside.dns.stale = (world.clock.now() + timedelta(seconds=50), unseen)
    world.store.annotate(world.environment, reconcile_at="now")
    await until_at_rest(world)
    assert world.outside.dns.changes[-2:] == ["delete A docs.alpha", "delete TXT _freeleaps-a.docs.alpha"]


async def test_more_than_half_of_several_records_wait_for_a_person() -> None:
    world = await settled(("api", "web", "docs"))
    world.store.edit(PROJECT, components=[{"name": "api", "port": 8080}])
    await until_at_rest(world)
    assert record(world, "A", "web.alpha") is not None
    assert condition(world, "Stalled")[1] == "RemovalHeldBack"
    world.store.annotate(world.environment, confirm_removal="yes")
    await until_at_rest(world)
    assert world.outside.dns.names() == {"A api.alpha", "TXT _freeleaps-a.api.alpha"}
    assert world.slot().status.handled[CONFIRM_REMOVAL] == "yes"


async def test_a_zone_that_is_upsert_only_loses_nothing() -> None:
    world = await settled(("api", "web", "docs"))
    world.store.edit(Key("DNSZone", SPACE, "example.com"), policy="UpsertOnly")
    world.store.edit(PROJECT, components=[{"name": "api", "port": 8080}, {"name": "web", "port": 8080}])
    await until_at_rest(world)
    assert record(world, "A", "docs.alpha") is not None


async def test_another_target_is_carried_out_even_where_drift_is_only_reported() -> None:
    world = await settled()
    policy(world, "Report")
    world.store.edit(world.environment, dnsTarget="192.0.2.7")
    await until_at_rest(world)
    made = record(world, "A", "api.alpha")
    assert made is not None
    assert made.values == ("192.0.2.7",)
    assert world.slot().status.drift == []


@pytest.mark.parametrize("word", ["Report", "Ignore"])
async def test_drift_is_left_alone_where_the_project_says_so(word: str) -> None:
    world = await settled()
    policy(world, word)
    edit(world, shape=replace(app(world).shape, path="elsewhere"))
    drop(world, "api.alpha")
    epoch = world.slot().status.epoch
    await until_at_rest(world)
    assert (app(world).shape.path, record(world, "A", "api.alpha")) == ("elsewhere", None)
    assert world.slot().status.epoch == epoch
    told = {one.state for one in world.slot().status.drift}
    assert told == ({DriftState.REPORTED} if word == "Report" else set())
    assert condition(world, "Drifted")[0] == ("True" if word == "Report" else "")
    assert condition(world, "Ready")[0] == "True"


async def test_a_repair_that_somebody_undoes_again_and_again_backs_off() -> None:
    world = await settled()
    wanted = app(world).shape
    for number in range(5):
        edit(world, shape=replace(wanted, path="elsewhere"))
        world.store.annotate(world.environment, reconcile_at=str(number))
        await world.look(world.environment)
        world.clock.advance(61)
    assert app(world).shape.path == "elsewhere"
    assert condition(world, "Stalled")[1] == "DriftFought"
    assert len(world.outside.argo.shape_writes) == 3


@pytest.mark.parametrize("state", ["paused", "project paused", "held", "expired"])
async def test_nothing_is_put_right_while_it_is_not_its_time(state: str) -> None:
    world = await settled(ttl="1h")
    holder = {"record": "op-9", "uid": "uid-op-9", "epoch": 9}
    match state:
        case "paused":
            world.store.annotate(world.environment, paused="true")
        case "project paused":
            world.store.annotate(PROJECT, paused="true")
        case "held":
            other = world.ask("op-9")
            world.store.annotate(other, paused="true")
            uid = world.record(other).metadata.uid
            world.store.set_status(world.environment, holder={**holder, "uid": uid}, phase="Deploying")
        case "expired":
            world.clock.advance(3600)
    edit(world, shape=replace(app(world).shape, path="elsewhere"))
    await until_at_rest(world)
    assert world.outside.argo.shape_writes == []


async def test_reconcile_at_compares_at_once() -> None:
    world = await settled()
    wanted = app(world).shape
    edit(world, shape=replace(wanted, path="elsewhere"))
    await world.look(world.environment)
    world.store.annotate(world.environment, reconcile_at="now")
    await world.look(world.environment)
    assert app(world).shape == wanted


async def test_a_deployment_that_comes_meanwhile_waits_for_the_repair_by_name() -> None:
    world = await settled()
    wanted = app(world).shape
    edit(world, shape=replace(wanted, path="elsewhere"))
    world.store.annotate(world.environment, reconcile_at="now")
    key, waits = world.ask("op-2"), list[str]()

    def look_on() -> None:
        waits.append(world.slot().status.phase.value)

    world.outside.argo.after_act = look_on
    await world.look(world.environment)
    world.outside.argo.after_act = lambda: None
    assert waits[0] == "Repairing"
    world.store.set_status(
        world.environment,
        holder={"record": "shop--alpha", "uid": world.slot().metadata.uid, "epoch": 9},
        phase="Repairing",
    )
    await world.look(key)
    assert world.record(key).status.waiting_for == "Environment shop--alpha to put right what drifted"
    await world.look(world.environment)
    assert world.holder() == "", "a repair that was cut short keeps the slot"
    await world.until_ended(key)
    assert world.end_of(key) == ("Succeeded", "Deployed")


@pytest.mark.parametrize("point", range(1, 12))
async def test_a_kill_at_any_await_of_a_repair_loses_nothing_and_doubles_nothing(point: int) -> None:
    world = await settled()
    wanted, syncs = app(world), len(world.outside.argo.syncs)
    edit(world, shape=replace(wanted.shape, path="elsewhere"), image=replace(wanted.image, parameters={}))
    drop(world, "api.alpha", "_freeleaps-a.api.alpha")
    world.store.annotate(world.environment, reconcile_at="now")
    kill_at(point, world.store, world.outside.all)
    try:
        await until_at_rest(world)
    except* Killed:
        kill_at(-1, world.store, world.outside.all)
        world.begin_life()
        await until_at_rest(world)
    assert (app(world).shape, app(world).image) == (wanted.shape, wanted.image)
    assert record(world, "A", "api.alpha") is not None
    assert world.holder() == ""
    assert len(world.outside.argo.syncs) == syncs + 1


@pytest.mark.parametrize("point", range(1, 8))
@pytest.mark.parametrize("gone", ["component", "environment"])
async def test_what_a_killed_life_intended_has_an_end_in_the_audit_when_nobody_wants_it(point: int, gone: str) -> None:
    world = await settled(("api", "web", "docs"))
    drop(world, "web.alpha", "_freeleaps-a.web.alpha")
    world.store.annotate(world.environment, reconcile_at="now")
    kill_at(point, world.store, world.outside.all)
    try:
        await until_at_rest(world)
    except* Killed:
        world.begin_life()
    kill_at(-1, world.store, world.outside.all)
    if gone == "component":
        world.store.edit(PROJECT, components=[{"name": "api", "port": 8080}, {"name": "docs", "port": 8080}])
    else:
        world.store.edit(PROJECT, deletionPolicy="Orphan")
        world.store.remove(world.environment)
    await until_at_rest(world)
    lines = world.ledger.lines
    intended = [line.split(" ", 1)[1] for line in lines if line.startswith("intended")]
    ended = [line.split(" ", 1)[1] for line in lines if not line.startswith("intended")]
    assert all(any(end.startswith(what) for end in ended) for what in intended)


async def test_a_plan_shows_what_the_next_comparison_would_change_and_changes_nothing() -> None:
    world = await settled(("api", "web"))
    keeping = Keeping(store=world.store, systems=world.outside, owner=OWNER)
    planner = EnvironmentsPlanner(keeping, world.clock, world.patience)
    body = world.store.read(PROJECT)
    assert body is not None
    assert await planner.plan(DevOpsProject(body)) == Plan()
    edit(world, shape=replace(app(world).shape, path="elsewhere"))
    drop(world, "web.alpha")
    planned = await planner.plan(DevOpsProject(body))
    assert [one.title for one in planned.changes] == [
        f"~ Application {APPLICATION}",
        "+ Record A web.alpha.example.com",
    ]
    assert (app(world).shape.path, record(world, "A", "web.alpha")) == ("elsewhere", None)
