"""How deployments end that do not succeed, and what is left of them: nothing running, the slot free."""

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.domain.errors import CircuitOpen, Unavailable
from reconciler.domain.keys import Key
from reconciler.domain.outside.builds import BuildState
from reconciler.domain.resources import DNSZone, Environment, StageName, StepState
from support.moments import EIGHT
from support.scene import SPACE, World


def state_of(world: World, key: Key, stage: StageName, component: str = "api") -> StepState:
    stages = world.record(key).status.stages
    return next(one.state for one in stages if (one.name, one.component) == (stage, component))


async def test_cancelled_while_queued_nothing_is_done() -> None:
    world = World()
    first, second = world.ask("op-1"), world.ask("op-2")
    await world.look(first)
    await world.look(second)
    world.store.edit(second, cancel=True)
    await world.look(second)
    assert world.end_of(second) == ("Cancelled", "Cancelled")
    assert world.holder() == "op-1"
    await world.until_ended(first)
    assert world.outside.jenkins.count("api") == 1


async def test_cancelled_while_building_the_builds_are_stopped_and_the_slot_is_free() -> None:
    world = World(("api", "web"))
    key = world.ask()
    await world.go_on(key, seconds=30)
    world.store.edit(key, cancel=True)
    await world.until_ended(key, every=1)
    assert world.end_of(key) == ("Cancelled", "Cancelled")
    assert world.outside.jenkins.running() == []
    assert sorted(world.outside.jenkins.stops) == ["api", "web"]
    assert (world.holder(), world.outside.argo.image_writes) == ("", [])
    assert state_of(world, key, StageName.BUILD) is StepState.SKIPPED


async def test_a_build_that_dies_slowly_is_not_stopped_again_and_again() -> None:
    world = World()
    world.outside.jenkins.dies_slowly = timedelta(seconds=25)
    key = world.ask()
    await world.go_on(key, seconds=30)
    world.store.edit(key, cancel=True)
    await world.until_ended(key, every=1)
    assert world.outside.jenkins.running() == []
    assert len(world.outside.jenkins.stops) <= 3


async def test_a_build_that_resists_is_terminated_after_a_minute() -> None:
    world = World()
    world.outside.jenkins.resists, world.outside.jenkins.runs = True, timedelta(hours=2)
    key = world.ask()
    await world.go_on(key, seconds=30)
    world.store.edit(key, cancel=True)
    await world.go_on(key, seconds=50, every=1)
    assert (len(world.outside.jenkins.running()), world.outside.jenkins.terminated) == (1, 0)
    await world.go_on(key, seconds=40, every=1)
    assert world.end_of(key) == ("Cancelled", "Cancelled")
    assert (world.outside.jenkins.running(), world.outside.jenkins.terminated) == ([], 1)


async def test_a_stopped_build_is_not_begun_anew_when_the_cancel_is_taken_back() -> None:
    world = World()
    key = world.ask()
    await world.go_on(key, seconds=30)
    world.store.edit(key, cancel=True)
    await world.look(key)
    world.store.edit(key, cancel=False)
    await world.until_ended(key, every=1)
    assert world.phase(key) == "Cancelled"
    assert world.outside.jenkins.count("api") == 1


async def test_a_cancel_ends_even_when_the_build_server_never_answers_again() -> None:
    world = World()
    key = world.ask()
    await world.go_on(key, seconds=30)
    world.outside.jenkins.outage = Unavailable("refused", system="jenkins")
    world.store.edit(key, cancel=True)
    await world.until_ended(key, every=60)
    assert world.phase(key) == "Cancelled"
    assert world.clock.now() < EIGHT + timedelta(minutes=75)


async def test_a_record_deleted_by_hand_is_cancelled_and_let_go_when_its_end_is_announced() -> None:
    world = World()
    key = world.ask()
    await world.go_on(key, seconds=30)
    world.store.remove(key)
    await world.go_on(key, seconds=30, every=1)
    assert world.end_of(key) == ("Cancelled", "Cancelled")
    assert world.outside.jenkins.running() == []
    world.store.set_status(key, announced=world.record(key).status.sequence)
    await world.look(key)
    assert world.store.read(key) is None


async def test_a_deleted_record_is_let_go_after_five_minutes_without_a_broker() -> None:
    world = World()
    key = world.ask()
    await world.look(key)
    world.store.remove(key)
    await world.go_on(key, seconds=60, every=1)
    assert await world.look(key) == EIGHT + timedelta(minutes=5)
    world.clock.advance(240)
    await world.look(key)
    assert world.store.read(key) is None


async def test_a_deleted_record_of_a_finished_deployment_takes_nothing_away() -> None:
    world = World()
    key = world.ask()
    await world.until_ended(key)
    world.store.remove(key)
    world.clock.advance(301)
    await world.look(key)
    assert world.store.read(key) is None
    assert "shop--alpha--api" in world.outside.argo.applications


async def test_a_failed_build_stops_the_other_and_changes_nothing_of_the_environment() -> None:
    world = World(("api", "web"))
    world.outside.jenkins.results = {"web": [BuildState.FAILED]}
    key = world.ask()
    world.outside.jenkins.runs = timedelta(seconds=30)
    await world.until_waiting_in(StageName.BUILD, key)
    world.outside.jenkins.builds[0].at += timedelta(minutes=10)
    await world.until_ended(key)
    assert world.end_of(key) == ("Failed", "BuildFailed")
    assert world.record(key).status.message.startswith("build of web")
    assert world.outside.jenkins.stops == ["api"]
    assert world.outside.jenkins.running() == []
    assert world.outside.argo.applications == {}
    assert (world.holder(), world.slot().status.current) == ("", {})


async def test_an_aborted_build_is_tried_again_under_another_tag() -> None:
    world = World()
    world.outside.jenkins.results = {"api": [BuildState.ABORTED, BuildState.ABORTED, BuildState.PASSED]}
    key = world.ask()
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"
    tags = [one.key.image_tag for one in world.outside.jenkins.builds]
    assert [tag.rpartition("-")[2] for tag in tags] == ["1", "2", "3"]
    assert world.slot().status.current["api"].image.split("@")[0].endswith(tags[2])


async def test_five_attempts_are_enough() -> None:
    world = World()
    world.outside.jenkins.results = {"api": [BuildState.ABORTED]}
    key = world.ask()
    await world.until_ended(key)
    assert world.end_of(key) == ("Failed", "BuildAborted")
    assert world.outside.jenkins.count("api") == 5


async def test_a_build_beyond_its_deadline_fails_with_the_last_reason_and_is_stopped() -> None:
    world = World()
    world.outside.jenkins.runs = timedelta(hours=9)
    key = world.ask()
    await world.until_ended(key, every=30)
    assert world.end_of(key) == ("Failed", "DeadlineExceeded")
    assert "last: the build of api, running at http://jenkins/job/1/" in world.record(key).status.message
    assert world.outside.jenkins.running() == []
    assert timedelta(minutes=60) <= world.clock.now() - EIGHT < timedelta(minutes=62)


async def test_an_image_that_never_comes_fails_at_the_deadline_of_its_stage() -> None:
    world = World()
    world.outside.registry.pushes = False
    key = world.ask()
    await world.until_ended(key, every=10)
    assert world.end_of(key) == ("Failed", "DeadlineExceeded")
    assert "last: acme/shop-api:" in world.record(key).status.message
    assert world.clock.now() - EIGHT < timedelta(minutes=12)


async def test_the_deployment_has_a_deadline_too_from_taking_the_slot() -> None:
    world = World()
    key = world.ask(at=EIGHT - timedelta(hours=5))
    await world.until_waiting_in(StageName.BUILD, key)
    world.clock.advance(2 * 3600)
    await world.until_ended(key)
    assert world.end_of(key) == ("Failed", "DeadlineExceeded")
    assert "2:00:00" in world.record(key).status.message


async def test_a_stage_is_looked_at_no_later_than_at_its_deadline() -> None:
    world = World()
    world.outside.registry.pushes = False
    key = world.ask()
    await world.until_waiting_in(StageName.IMAGE, key)
    stage = next(one for one in world.record(key).status.stages if one.name is StageName.IMAGE)
    assert stage.started_at is not None
    world.clock.advance(595)
    due = await world.look(key)
    assert due is not None
    assert due <= stage.started_at + timedelta(minutes=10)


async def test_a_stage_whose_act_is_turned_away_is_looked_at_no_later_than_at_its_deadline() -> None:
    world = World()
    world.outside.jenkins.outage = Unavailable("refused", system="jenkins")
    key = world.ask()
    await world.until_waiting_in(StageName.BUILD, key)
    world.clock.advance(3500)
    world.outside.jenkins.outage = None

    async def start_build(*_: object) -> None:
        raise CircuitOpen("not asked", retry_after=timedelta(seconds=30), system="jenkins")

    world.outside.jenkins.start_build = start_build  # type: ignore[method-assign,assignment]
    assert await world.look(key) == EIGHT + timedelta(minutes=60)


async def test_a_deployment_is_looked_at_no_later_than_at_its_own_deadline() -> None:
    world = World()
    world.deployments = replace(world.deployments, deadline=timedelta(minutes=3))
    world.outside.jenkins.runs = timedelta(hours=9)
    key = world.ask()
    await world.until_waiting_in(StageName.BUILD, key)
    world.clock.advance(60)
    assert await world.look(key) == EIGHT + timedelta(minutes=3)


async def test_an_unknown_project_is_waited_for_ten_minutes() -> None:
    world = World()
    key = world.ask(projectRef="nowhere")
    due = await world.look(key)
    assert (world.phase(key), due) == ("Queued", EIGHT + timedelta(minutes=10))
    assert world.record(key).status.waiting_for == "DevOpsProject nowhere"
    world.clock.advance(600)
    await world.look(key)
    assert world.end_of(key) == ("Failed", "ProjectNotFound")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [({"components": ["nope"]}, "ComponentNotFound"), ({"environment": "nope"}, "EnvironmentNotFound")],
)
async def test_what_the_project_does_not_have_fails_at_once(spec: dict[str, object], reason: str) -> None:
    world = World()
    key = world.ask(**spec)
    await world.look(key)
    assert world.end_of(key) == ("Failed", reason)
    assert "nope" in world.record(key).status.message


@pytest.mark.parametrize("behind", ["the project", "the environment"])
async def test_nothing_fails_for_what_is_there_and_not_known_yet(behind: str) -> None:
    world = World()
    project = Key("DevOpsProject", SPACE, "shop")
    key = world.ask(components=["web"]) if behind == "the project" else world.ask()
    known = world.store.read(project)
    if behind == "the project":
        world.store.edit(project, components=[{"name": "api"}, {"name": "web"}])
        world.store.lag_behind(project, known)
    else:
        world.store.lag_behind(world.environment, None)
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"


async def test_an_undeclared_environment_is_made_from_the_preview_template() -> None:
    world = World()
    preview = {"ttl": "72h", "domain": "preview.example.com", "dnsTarget": "192.0.2.1"}
    world.store.edit(Key("DevOpsProject", SPACE, "shop"), preview=preview)
    key = world.ask(environment="pr-7")
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"
    made = world.store.read(Key("Environment", SPACE, "shop--pr-7"))
    assert made is not None
    assert made["metadata"]["labels"]["freeleaps.com/preview"] == "true"
    assert made["metadata"]["ownerReferences"][0]["name"] == "shop"
    finished = world.record(key).status.finished_at
    assert finished is not None
    assert Environment(made).status.expires_at == finished + timedelta(hours=72)


async def test_a_cancelled_record_makes_no_preview() -> None:
    world = World()
    world.store.edit(Key("DevOpsProject", SPACE, "shop"), preview={"ttl": "72h"})
    key = world.ask(environment="pr-7", cancel=True)
    await world.look(key)
    assert world.phase(key) == "Cancelled"
    assert world.store.read(Key("Environment", SPACE, "shop--pr-7")) is None


async def test_settings_that_are_missing_are_waited_for_and_named() -> None:
    world = World()
    jenkins = Key("JenkinsSettings", SPACE, "shop")
    body = world.store.read(jenkins)
    assert body is not None
    world.store.vanish(jenkins)
    key = world.ask()
    await world.look(key)
    assert world.record(key).status.waiting_for == "JenkinsSettings shop"
    del body["metadata"]["resourceVersion"]
    world.store.put(body)
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"


@pytest.mark.parametrize(
    ("key", "change"),
    [
        (Key("DevOpsProject", SPACE, "shop"), {"components": []}),
        (Key("Environment", SPACE, "shop--alpha"), {"concurrency": "Maybe"}),
        (Key("JenkinsSettings", SPACE, "shop"), {"folder": ""}),
        (Key("DNSZone", SPACE, "example.com"), {"defaultTTL": 1}),
    ],
    ids=lambda value: value.kind if isinstance(value, Key) else "",
)
async def test_an_invalid_resource_of_somebody_else_is_waited_for(key: Key, change: dict[str, object]) -> None:
    world = World()
    world.store.edit(key, **change)
    record = world.ask()
    await world.go_on(record, seconds=200)
    assert not world.record(record).status.phase.is_end
    assert world.record(record).status.waiting_for


async def test_an_invalid_record_says_which_field() -> None:
    world = World()
    key = world.ask(revision="main")
    assert await world.look(key) is None
    conditions = {one["type"]: one for one in world.store.status(key)["conditions"]}
    assert (conditions["Stalled"]["status"], conditions["Stalled"]["reason"]) == ("True", "InvalidSpec")
    assert "spec.revision" in conditions["Stalled"]["message"]


async def test_a_record_under_another_name_than_its_operations_is_invalid() -> None:
    world = World()
    key = world.ask("op-1")
    world.store.edit(key, operationId="op-2")
    await world.look(key)
    assert world.end_of(key) == ("Failed", "InvalidSpec")


async def test_a_component_that_is_taken_out_of_the_project_meanwhile_is_named() -> None:
    world = World(("api", "web"))
    key = world.ask()
    await world.look(key)
    world.store.edit(Key("DevOpsProject", SPACE, "shop"), components=[{"name": "api"}])
    await world.look(key)
    assert world.end_of(key) == ("Failed", "ComponentNotFound")
    assert world.holder() == ""


async def test_a_zone_that_does_not_exist_is_waited_for_with_a_remedy() -> None:
    world = World()
    world.store.vanish(Key(DNSZone.kind, SPACE, "example.com"))
    key = world.ask()
    await world.until_waiting_in(StageName.EXPOSE, key)
    status = world.record(key).status
    assert (status.reason, status.waiting_for) == ("ZoneNotFound", "a DNSZone that holds api.alpha.example.com")
