"""Projects: children made, kept and removed as the spec says; operations that each end once; removal in order."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from reconciler.domain.annotations import CONFIRM_REMOVAL
from reconciler.domain.clock import rfc3339
from reconciler.domain.errors import Conflict, Unavailable
from reconciler.domain.keys import Body, Key
from reconciler.domain.resources import ContainerRegistry, DevOpsProject, JenkinsSettings
from reconciler.projects.children import Changes, Defaults, plan
from support.moments import EIGHT
from support.projects import ARGO, JENKINS, PROJECT, REGISTRY, SetupWorld
from support.scene import SPACE, environment, project, record

OURS = [{"uid": "uid-1", "name": "shop", "kind": "DevOpsProject", "controller": True}]


def shop(*environments: str | Body, **spec: Any) -> DevOpsProject:
    declared = [{"name": one} if isinstance(one, str) else one for one in environments]
    annotations = spec.pop("annotations", {})
    body = project(environments=declared, **spec)
    body["metadata"] |= {"uid": "uid-1", "annotations": annotations}
    return DevOpsProject(body)


def children(one: DevOpsProject, defaults: Defaults | None = None) -> list[Body]:
    """Return the children as the API server would have them right after they were made."""
    return [{**body, "spec": dict(body["spec"])} for body in plan(one, [], defaults or Defaults()).create]


def names(bodies: Any) -> list[str]:
    return sorted(f"{body['kind']} {body['metadata']['name']}" for body in bodies)


def test_a_project_makes_settings_named_after_itself_and_its_environments() -> None:
    made = plan(shop("alpha"), [], Defaults())
    assert names(made.create) == [
        "ArgoSettings shop",
        "ContainerRegistry shop",
        "Environment shop--alpha",
        "JenkinsSettings shop",
    ]
    assert all(body["metadata"]["ownerReferences"][0]["uid"] == "uid-1" for body in made.create)


def test_settings_that_are_named_are_not_made() -> None:
    named = {"jenkinsRef": {"name": "j"}, "argoRef": {"name": "a"}, "registry": {"ref": {"name": "r"}}}
    assert plan(shop(**named), [], Defaults()).create == []


@pytest.mark.parametrize(("domain", "expected"), [("alpha.example.com", True), ("alpha.example.org", False)])
def test_a_zone_is_made_where_a_domain_is_below_the_operators_own(domain: str, *, expected: bool) -> None:
    made = plan(shop({"name": "alpha", "domain": domain}), [], Defaults(zone={"domain": "example.com"}))
    assert ("DNSZone shop" in names(made.create)) is expected


def test_children_as_they_should_be_are_left_alone() -> None:
    one = shop({"name": "alpha", "ttl": "72h", "verify": {"path": "/"}})
    assert plan(one, children(one), Defaults()) == Changes([], [], [])


def test_what_differs_is_patched_and_nothing_else() -> None:
    before = children(shop({"name": "alpha", "concurrency": "Queue"}))
    changes = plan(shop({"name": "alpha", "concurrency": "Reject"}), before, Defaults())
    assert [patch for _, patch in changes.patch] == [{"spec": {"concurrency": "Reject"}}]


def test_what_the_project_does_not_say_any_more_is_taken_away() -> None:
    before = children(shop({"name": "alpha", "domain": "a.example.com", "verify": {"path": "/", "timeout": "30s"}}))
    changes = plan(shop({"name": "alpha", "verify": {"path": "/"}}), before, Defaults())
    assert [patch for _, patch in changes.patch] == [
        {"spec": {"domain": None, "verify": {"timeout": None, "path": "/", "status": 200}}}
    ]


def test_what_people_set_on_settings_that_we_made_stays() -> None:
    one = shop()
    have = children(one)
    for body in have:
        if body["kind"] == "JenkinsSettings":
            body["spec"] |= {"pollInterval": "10m"}
    assert plan(one, have, Defaults()) == Changes([], [], [])


def test_settings_and_environments_of_others_are_not_touched() -> None:
    have = children(shop("alpha"))
    for body in have:
        body["metadata"]["ownerReferences"] = []
        body["spec"] = {"projectRef": "shop", "name": "alpha", "folder": "theirs"}
    assert plan(shop("alpha"), have, Defaults()) == Changes([], [], [])
    assert plan(shop(), have, Defaults()) == Changes([], [], [])


def test_an_environment_that_is_not_declared_any_more_is_deleted() -> None:
    have = children(shop("alpha", "beta", "gamma"))
    assert names(plan(shop("alpha", "beta"), have, Defaults()).delete) == ["Environment shop--gamma"]


def test_a_preview_is_left_alone() -> None:
    preview = environment("pr-7")
    preview["metadata"] |= {"ownerReferences": OURS, "labels": {"freeleaps.com/preview": "true"}}
    assert names(plan(shop(), [*children(shop()), preview], Defaults()).delete) == []


@pytest.mark.parametrize(
    ("left", "deleted"), [((), 0), (("a",), 0), (("a", "b"), 2), (("a", "b", "c"), 1)], ids=["4", "3", "2", "1"]
)
def test_more_than_half_of_several_at_once_wait_for_a_person(left: tuple[str, ...], deleted: int) -> None:
    changes = plan(shop(*left), children(shop("a", "b", "c", "d")), Defaults())
    assert len(changes.delete) == deleted
    assert len(changes.held_back) == (0 if deleted else 4 - len(left))


def test_a_confirmed_removal_goes_on() -> None:
    one = shop(annotations={CONFIRM_REMOVAL: "yes"})
    assert len(plan(one, children(shop("a", "b", "c")), Defaults()).delete) == 3


async def test_a_project_is_ready_when_its_settings_are() -> None:
    world = SetupWorld(environments=[{"name": "alpha"}])
    await world.projects.look(PROJECT)
    assert world.conditions(PROJECT)["Reconciling"][0] == "True"
    await world.look_at_all()
    assert world.conditions(PROJECT)["Ready"] == ("True", "Ready")
    assert world.store.status(PROJECT)["environments"] == 1


async def test_a_system_that_is_away_is_told_on_the_project_too() -> None:
    world = SetupWorld()
    world.jenkins.outage = Unavailable("refused", system="jenkins")
    await world.look_at_all()
    assert world.conditions(PROJECT)["Reconciling"] == ("True", "Unavailable")
    assert world.conditions(PROJECT)["JenkinsReachable"][0] == "False"


async def test_environments_of_a_newer_spec_than_is_known_here_stay_as_they_are() -> None:
    world = SetupWorld(environments=[{"name": "alpha", "domain": "a.example.com"}])
    await world.look_at_all()
    former = world.store.read(PROJECT)
    world.store.edit(PROJECT, environments=[{"name": "alpha", "domain": "b.example.com"}, {"name": "beta"}])
    await world.look_at_all()
    world.store.lag_behind(PROJECT, former)
    before = len(world.store.writes)
    with pytest.raises(Conflict):
        await world.projects.look(PROJECT)
    assert len(world.store.writes) == before
    await world.projects.look(PROJECT)
    names = {body["metadata"]["name"] for body in world.store.list_("Environment", SPACE)}
    assert names == {"shop--alpha", "shop--beta"}


async def test_a_look_at_a_project_goes_through_nothing_of_other_projects(monkeypatch: pytest.MonkeyPatch) -> None:
    world = SetupWorld(environments=[{"name": "alpha"}])
    list_, listed = world.store.list_, set[str | None]()

    def noting(kind: str, namespace: str | None = None, *, project: str | None = None, **rest: Any) -> Iterator[Body]:
        listed.add(project)
        return list_(kind, namespace, project=project, **rest)

    monkeypatch.setattr(world.store, "list_", noting)
    await world.projects.look(PROJECT)
    assert listed == {"shop"}


async def test_an_unchanged_project_is_not_written_again() -> None:
    world = SetupWorld(environments=[{"name": "alpha", "ttl": "72h", "verify": {"path": "/"}}])
    await world.look_at_all()
    await world.look_at_all()
    before = len(world.store.writes)
    for _ in range(3):
        world.clock.advance(30)
        await world.look_at_all()
    assert world.store.writes[before:] == []


async def test_mass_removal_waits_visibly_and_goes_on_when_confirmed() -> None:
    world = SetupWorld(environments=[{"name": "a"}, {"name": "b"}])
    await world.look_at_all()
    world.store.edit(PROJECT, environments=[])
    await world.look_at_all()
    assert world.conditions(PROJECT)["Stalled"] == ("True", "RemovalNotConfirmed")
    world.store.annotate(PROJECT, confirm_removal="1")
    await world.look_at_all()
    deleting = [body["metadata"].get("deletionTimestamp") for body in world.store.list_("Environment", SPACE)]
    assert all(deleting)
    assert world.store.status(PROJECT)["handled"] == {CONFIRM_REMOVAL: "1"}


async def test_settings_of_somebody_else_under_the_projects_name_are_used_and_not_changed() -> None:
    world = SetupWorld()
    world.add(JenkinsSettings, folder="theirs")
    await world.look_at_all()
    body = world.store.read(JENKINS)
    assert body is not None
    assert body["spec"]["folder"] == "theirs"
    assert world.conditions(PROJECT)["Ready"] == ("True", "Ready")


OP_1 = Key("DeploymentRecord", SPACE, "op-1")


async def test_removal_goes_in_an_order_that_strands_nothing() -> None:
    world = SetupWorld(environments=[{"name": "alpha"}])
    await world.look_at_all()
    alpha = Key("Environment", SPACE, "shop--alpha")
    world.store.put(record("op-1"))
    world.store.remove(PROJECT)
    await world.look_at_all()
    assert (world.store.read(alpha) or {})["metadata"]["deletionTimestamp"]
    assert "deletionTimestamp" not in (world.store.read(JENKINS) or {})["metadata"]
    assert (world.store.read(OP_1) or {})["metadata"]["deletionTimestamp"]
    world.store.vanish(alpha)
    await world.look_at_all()
    assert world.store.status(JENKINS)["waitingFor"] == "DeploymentRecord op-1 to be gone"
    assert world.jenkins.jobs != {}, "a deployment still runs"
    world.store.set_status(OP_1, phase="Cancelled")
    await world.look_at_all()
    assert [world.store.read(key) for key in (JENKINS, ARGO, REGISTRY)] == [None, None, None]
    assert (world.jenkins.jobs, world.jenkins.folders) == ({}, {})
    assert world.store.read(PROJECT) is not None, "its end is not announced yet"
    world.store.vanish(OP_1)
    await world.look_at_all()
    assert world.store.read(PROJECT) is None


async def test_settings_that_the_project_did_not_make_outlive_it() -> None:
    world = SetupWorld(registry={"ref": {"name": "shared"}})
    world.add(ContainerRegistry, "shared")
    await world.look_at_all()
    world.store.remove(PROJECT)
    for _ in range(3):
        await world.look_at_all()
    assert world.store.read(PROJECT) is None
    assert world.store.read(Key("ContainerRegistry", SPACE, "shared")) is not None


# Operations.


def ask(world: SetupWorld, operation: str, **spec: Any) -> None:
    world.store.edit(PROJECT, operation={"id": operation, "requestedAt": rfc3339(world.clock.now())}, **spec)


def operations(world: SetupWorld) -> dict[str, tuple[str, str]]:
    return {one["id"]: (one["state"], one["reason"]) for one in world.store.status(PROJECT)["operations"]}


async def test_an_operation_succeeds_when_the_project_is_ready() -> None:
    world = SetupWorld()
    ask(world, "init-1")
    await world.projects.look(PROJECT)
    assert operations(world) == {"init-1": ("Running", "")}
    await world.look_at_all()
    assert operations(world) == {"init-1": ("Succeeded", "Ready")}
    sequence = world.store.status(PROJECT)["operations"][0]["sequence"]
    await world.look_at_all()
    assert world.store.status(PROJECT)["operations"][0]["sequence"] == sequence


async def test_an_operation_is_superseded_by_a_newer_one() -> None:
    world = SetupWorld()
    world.jenkins.outage = Unavailable("refused", system="jenkins")
    ask(world, "init-1")
    await world.look_at_all()
    ask(world, "init-2")
    world.jenkins.outage = None
    world.clock.advance(120)
    await world.look_at_all()
    assert operations(world) == {"init-1": ("Superseded", "Superseded"), "init-2": ("Succeeded", "Ready")}


async def test_an_operation_fails_at_its_deadline_with_the_reason() -> None:
    world = SetupWorld()
    world.jenkins.outage = Unavailable("refused", system="jenkins")
    ask(world, "init-1")
    due = await world.projects.look(PROJECT)
    assert due is not None
    world.clock.advance(1799)
    await world.look_at_all()
    assert operations(world)["init-1"][0] == "Running"
    assert await world.projects.look(PROJECT) == EIGHT + timedelta(minutes=30)
    world.clock.advance(1)
    await world.projects.look(PROJECT)
    assert operations(world) == {"init-1": ("Failed", "Unavailable")}


async def test_the_last_twenty_operations_are_kept_and_the_others_counted() -> None:
    world = SetupWorld()
    for number in range(25):
        ask(world, f"init-{number}")
        await world.look_at_all()
        world.clock.advance(1)
    assert list(operations(world)) == [f"init-{number}" for number in range(5, 25)]
    assert world.store.status(PROJECT)["operationsCut"] == 5


async def test_what_may_not_be_made_is_told_and_the_operation_that_asked_ends() -> None:
    world = SetupWorld()
    world.store.refuses.add("JenkinsSettings")
    ask(world, "init-1")
    await world.projects.look(PROJECT)
    assert world.conditions(PROJECT)["Stalled"] == ("True", "Refused")
    assert operations(world) == {"init-1": ("Running", "")}
    world.clock.advance(1800)
    await world.projects.look(PROJECT)
    assert operations(world) == {"init-1": ("Failed", "Refused")}
    world.store.refuses.clear()
    await world.look_at_all()
    assert world.conditions(PROJECT)["Ready"] == ("True", "Ready")


async def test_an_operation_ends_only_when_what_it_changed_has_been_set_up() -> None:
    world = SetupWorld()
    ask(world, "init-1")
    await world.look_at_all()
    ask(world, "init-2", git={"url": "https://git.example.com/acme/other.git"})
    await world.projects.look(PROJECT)
    assert operations(world)["init-2"][0] == "Running"
    await world.look_at_all()
    assert operations(world)["init-2"] == ("Succeeded", "Ready")
    job = world.jenkins.jobs["freeleaps/shop"]
    assert job.shape is not None
    assert job.shape.git_url == "https://git.example.com/acme/other.git"


async def test_an_operation_under_way_ends_as_cancelled_and_is_told_before_a_deleted_project_goes() -> None:
    asked = {"id": "init-1", "requestedAt": rfc3339(EIGHT)}
    world = SetupWorld(operation=asked)
    world.store.remove(PROJECT)
    await world.look_at_all()
    (operation,) = world.store.status(PROJECT)["operations"]
    assert (operation["id"], operation["state"], operation["reason"]) == ("init-1", "Cancelled", "ProjectRemoved")
    await world.look_at_all()
    assert world.store.status(PROJECT)["operations"] == [operation], "an end never changes"
    world.store.set_status(PROJECT, operations=[{**operation, "announced": operation["sequence"]}])
    await world.look_at_all()
    assert world.store.read(PROJECT) is None


async def test_a_deleted_project_waits_for_a_broker_for_five_minutes_only() -> None:
    world = SetupWorld(operation={"id": "init-1", "requestedAt": rfc3339(EIGHT)})
    world.store.remove(PROJECT)
    await world.look_at_all()
    assert world.store.read(PROJECT) is not None
    world.clock.advance(301)
    await world.look_at_all()
    assert world.store.read(PROJECT) is None
