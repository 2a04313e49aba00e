"""Settings: what they name outside is made in order, told, repaired at the next poll, and taken away again."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.domain.errors import OutcomeUnknown, RateLimited, Refused, Unavailable
from reconciler.domain.keys import Body, Key
from reconciler.domain.leftovers import leftover_of
from reconciler.domain.names import FINALIZER
from reconciler.domain.outside.applications import ArgoProject, ProjectShape
from reconciler.domain.outside.builds import Folder, Job, JobPath, JobShape
from reconciler.domain.outside.dns import Zone
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import ArgoSettings, ContainerRegistry, DNSZone, GitCredential, JenkinsSettings
from reconciler.domain.resources.common import api_object
from reconciler.engine.echo import echo
from reconciler.reporting.happenings import Happening, happenings
from reconciler.resilience.errand import errand
from support.moments import EIGHT
from support.projects import ARGO, JENKINS, PROJECT, REGISTRY, ZONE, SetupWorld
from support.scene import OPERATOR, OWNER, SPACE, Killed, environment, kill_at, project

THEIRS = Marker("cluster-2", "JenkinsSettings", "x", "y", "z")


async def set_up(**spec: object) -> SetupWorld:
    world = SetupWorld()
    world.add(JenkinsSettings, **spec)
    await world.settings.look(JENKINS)
    return world


def made_by(uid: str, body: Body) -> Body:
    maker = {"apiVersion": "freeleaps.com/v1alpha1", "kind": "DevOpsProject", "name": "shop", "uid": uid}
    metadata = {**body["metadata"], "finalizers": [FINALIZER], "ownerReferences": [maker]}
    return {**body, "metadata": metadata}


async def test_folders_come_before_the_credential_and_the_job() -> None:
    world = SetupWorld()
    world.add(GitCredential, "git", urlPrefix="https://git.example.com", secretRef={"name": "git"})
    world.add(JenkinsSettings, folder="teams/acme")
    await world.settings.look(JENKINS)
    assert world.jenkins.changes == [
        "folder teams",
        "folder teams/acme",
        "credential teams/acme/shop-git",
        "job teams/acme/shop",
    ]
    assert world.conditions(JENKINS)["Ready"] == ("True", "Ready")
    assert set(world.made(JENKINS).values()) == {"Made"}
    assert world.jenkins.jobs["teams/acme/shop"].shape.credentials_id == "shop-git"  # type: ignore[union-attr]


async def test_what_is_to_be_made_stands_in_the_inventory_before_it_is_made() -> None:
    world = SetupWorld()
    world.add(JenkinsSettings)
    seen: list[dict[str, str]] = []
    world.jenkins.after_act = lambda: seen.append(world.made(JENKINS))
    await world.settings.look(JENKINS)
    assert seen[0] == {"Folder freeleaps": "Intended"}
    assert seen[1] == {"Folder freeleaps": "Made", "Job freeleaps/shop": "Intended"}


@pytest.mark.parametrize("point", range(1, 9))
async def test_a_kill_anywhere_makes_nothing_twice_that_is_there(point: int) -> None:
    world = SetupWorld()
    world.add(JenkinsSettings)
    kill_at(point, world.store, world.all)
    try:
        await world.settings.look(JENKINS)
    except* Killed:
        world.begin_life()
        await world.settings.look(JENKINS)
    assert world.jenkins.changes == ["folder freeleaps", "job freeleaps/shop"]
    assert world.conditions(JENKINS)["Ready"] == ("True", "Ready")


async def test_an_unchanged_world_is_asked_once_per_poll_and_not_written() -> None:
    world = await set_up()
    writes, questions = len(world.store.writes), world.jenkins.questions
    polls = set()
    for _ in range(24):
        world.clock.advance(50)
        polls.add(await world.settings.look(JENKINS))
    assert len(world.store.writes) == writes
    assert world.jenkins.questions == questions + 4 * 2, "four polls of 300 s, two objects"
    assert len(polls) == 5
    assert world.jenkins.changes == ["folder freeleaps", "job freeleaps/shop"]


async def test_that_it_was_checked_is_written_once_an_hour() -> None:
    world = await set_up()
    before = world.store.status(JENKINS)["checkedAt"]
    writes = len(world.store.writes)
    for _ in range(24):
        world.clock.advance(300)
        await world.settings.look(JENKINS)
    assert len(world.store.writes) == writes + 2
    assert world.store.status(JENKINS)["checkedAt"] > before


async def test_who_asks_for_a_look_gets_one_and_is_told_that_it_was_done() -> None:
    world = await set_up()
    questions = world.jenkins.questions
    world.store.annotate(JENKINS, reconcile_at="now")
    for _ in range(3):
        await world.settings.look(JENKINS)
        await echo(world.store, JENKINS)
    assert world.jenkins.questions == questions + 2
    assert world.store.status(JENKINS)["handled"] == {"freeleaps.com/reconcile-at": "now"}


async def test_drift_is_repaired_at_the_next_poll() -> None:
    world = await set_up()
    job = world.jenkins.jobs["freeleaps/shop"]
    assert job.shape is not None
    world.jenkins.jobs["freeleaps/shop"] = replace(job, shape=replace(job.shape, branch="other"))
    world.clock.advance(300)
    await world.settings.look(JENKINS)
    assert world.jenkins.changes[-1] == "update freeleaps/shop"
    assert world.jenkins.jobs["freeleaps/shop"] == job
    assert world.conditions(JENKINS)["Ready"] == ("True", "Ready")


async def test_a_job_that_never_becomes_what_is_wanted_is_not_written_again_and_again() -> None:
    world = SetupWorld()
    world.jenkins.forgets = True
    world.add(JenkinsSettings)
    for _ in range(6):
        await world.settings.look(JENKINS)
        world.clock.advance(10)
    assert len([one for one in world.jenkins.changes if "shop" in one]) == 1
    assert world.conditions(JENKINS)["Reconciling"] == ("True", "ReadLag")


@pytest.mark.parametrize("marker", [None, THEIRS])
async def test_a_job_of_somebody_else_is_not_touched(marker: Marker | None) -> None:
    world = SetupWorld()
    job = Job(JobPath("freeleaps", "shop"), marker, JobShape("x", "y"))
    world.jenkins.jobs["freeleaps/shop"] = job
    world.add(JenkinsSettings)
    await world.settings.look(JENKINS)
    assert world.jenkins.jobs == {"freeleaps/shop": job}
    assert world.conditions(JENKINS)["Stalled"] == ("True", "NameTaken")
    assert "Job freeleaps/shop" not in world.made(JENKINS)


async def test_an_app_project_of_somebody_else_is_not_touched() -> None:
    world = SetupWorld()
    theirs = ArgoProject(ProjectShape("shop", "", (), ()), THEIRS)
    world.argo.projects["shop"] = theirs
    world.add(ArgoSettings)
    await world.settings.look(ARGO)
    assert (world.argo.projects, world.argo.changes) == ({"shop": theirs}, [])
    assert world.conditions(ARGO)["Stalled"] == ("True", "NameTaken")


async def test_an_app_project_allows_the_namespaces_of_the_environments_and_no_other() -> None:
    world = SetupWorld()
    world.add(ArgoSettings)
    world.store.put(environment("alpha"))
    await world.settings.look(ARGO)
    world.store.put(environment("beta", namespace="elsewhere"))
    await world.settings.look(ARGO)
    assert world.argo.projects["shop"].shape.destinations == (("in-cluster", "elsewhere"), ("in-cluster", "shop-alpha"))
    assert world.argo.changes == ["project shop", "repository", "update shop"]


async def test_an_outage_is_told_and_work_goes_on_after_it() -> None:
    world = SetupWorld()
    world.jenkins.outage = Unavailable("connection refused", system="jenkins")
    world.add(JenkinsSettings)
    due = await world.settings.look(JENKINS)
    assert due is not None
    assert world.conditions(JENKINS)["JenkinsReachable"] == ("False", "Unavailable")
    assert "jenkins to answer" in world.store.status(JENKINS)["waitingFor"]
    world.jenkins.outage = None
    world.clock.advance(10)
    await world.settings.look(JENKINS)
    assert world.conditions(JENKINS)["JenkinsReachable"] == ("True", "Answers")
    assert world.conditions(JENKINS)["Ready"] == ("True", "Ready")


async def test_a_refusal_waits_for_a_person() -> None:
    world = SetupWorld()
    world.jenkins.outage = Refused("403 Forbidden", system="jenkins")
    world.add(JenkinsSettings)
    assert await world.settings.look(JENKINS) == EIGHT + timedelta(seconds=2), "the Secret is read again once"
    now = world.clock.advance(2)
    assert await world.settings.look(JENKINS) == now + timedelta(minutes=5)
    assert world.conditions(JENKINS)["Stalled"] == ("True", "Refused")


async def test_a_missing_project_is_waited_for() -> None:
    world = SetupWorld()
    world.add(JenkinsSettings, "other", projectRef="nowhere")
    await world.settings.look(Key("JenkinsSettings", SPACE, "other"))
    assert world.jenkins.changes == []


async def test_a_git_credential_that_is_named_and_missing_is_waited_for() -> None:
    world = SetupWorld(git={"url": "https://git.example.com/a/b.git", "credentialRef": {"name": "nope"}})
    world.add(JenkinsSettings)
    await world.settings.look(JENKINS)
    assert world.jenkins.changes == []
    assert "GitCredential nope" in world.store.status(JENKINS)["waitingFor"]


async def test_a_missing_secret_is_named_and_work_goes_on_when_it_appears() -> None:
    world = SetupWorld()
    world.accounts.secrets.clear()
    world.add(GitCredential, "git", urlPrefix="https://git.example.com", secretRef={"name": "git"})
    world.add(JenkinsSettings)
    await world.settings.look(JENKINS)
    assert "Secret git" in world.store.status(JENKINS)["waitingFor"]
    world.accounts.secrets.add("git")
    await world.settings.look(JENKINS)
    assert world.conditions(JENKINS)["Ready"] == ("True", "Ready")


async def test_a_registry_makes_a_repository_for_each_component_of_its_projects() -> None:
    world = SetupWorld(("api", "web"))
    world.add(ContainerRegistry, namespace="acme")
    await world.settings.look(REGISTRY)
    assert set(world.repositories.names) == {"acme/shop-api", "acme/shop-web"}
    assert "freeleaps.com/owner=cluster-1" in world.repositories.names["acme/shop-api"].description


async def test_names_that_begin_alike_are_steps_of_their_own() -> None:
    world = SetupWorld(("api", "web"), registry={"repository": "x" * 100})
    world.add(ContainerRegistry)
    await world.settings.look(REGISTRY)
    assert len(world.repositories.names) == 2


async def test_deep_folders_are_all_made() -> None:
    folder = "/".join(["team-of-the-very-long-name"] * 6)
    world = await set_up(folder=folder)
    assert set(world.jenkins.folders) == {"/".join(folder.split("/")[: depth + 1]) for depth in range(6)}


@pytest.mark.parametrize(("zone", "reason"), [(None, "ZoneNotFound"), (Zone("example.com", "locked"), "ZoneLocked")])
async def test_a_zone_that_cannot_be_used_says_why(zone: Zone | None, reason: str) -> None:
    world = SetupWorld()
    world.accounts.zone = zone
    world.add(DNSZone, "example.com", domain="example.com")
    await world.settings.look(ZONE)
    assert world.conditions(ZONE)["Stalled"] == ("True", reason)


async def test_a_poll_is_a_sweep_and_what_somebody_waits_for_is_not() -> None:
    world = SetupWorld()
    seen: list[bool] = []
    find_zone = world.accounts.find_zone

    async def noting(domain: str) -> Zone | None:
        seen.append(errand().is_sweep)
        return await find_zone(domain)

    world.accounts.find_zone = noting  # type: ignore[method-assign]
    world.add(DNSZone, "example.com", domain="example.com")
    await world.settings.look(ZONE)
    world.clock.advance(600)
    await world.settings.look(ZONE)
    body = world.store.read(ZONE) or {}
    asked_for = {**body["metadata"], "annotations": {"freeleaps.com/reconcile-at": "now"}}
    world.store.put({**body, "metadata": asked_for})
    await world.settings.look(ZONE)
    assert seen == [False, True, False]


async def test_a_poll_that_is_not_let_in_leaves_what_is_known_as_it_is() -> None:
    world = SetupWorld()
    world.add(DNSZone, "example.com", domain="example.com")
    await world.settings.look(ZONE)
    before = world.store.status(ZONE)
    world.clock.advance(600)
    world.accounts.outage = RateLimited("429", retry_after=timedelta(seconds=40), system="dns")
    with pytest.raises(RateLimited) as caught:
        await world.settings.look(ZONE)
    assert caught.value.retry_after == timedelta(seconds=40)
    assert world.store.status(ZONE) == before


async def test_removal_takes_the_job_before_the_credential_and_lets_go() -> None:
    world = SetupWorld()
    world.add(GitCredential, "git", urlPrefix="https://git.example.com", secretRef={"name": "git"})
    world.add(JenkinsSettings)
    await world.settings.look(JENKINS)
    world.store.remove(JENKINS)
    await world.settings.look(JENKINS)
    assert world.jenkins.changes[-3:] == [
        "delete freeleaps/shop",
        "delete credential freeleaps/shop-git",
        "delete freeleaps",
    ]
    assert world.store.read(JENKINS) is None


async def test_removal_takes_nested_folders_of_ours_the_deepest_first() -> None:
    world = await set_up(folder="teams/acme")
    world.store.remove(JENKINS)
    await world.settings.look(JENKINS)
    assert world.jenkins.changes[-3:] == ["delete teams/acme/shop", "delete teams/acme", "delete teams"]


async def test_removal_leaves_a_folder_in_which_somebody_builds() -> None:
    world = await set_up()
    other = JobPath("freeleaps", "other")
    await world.jenkins.create_job(other, JobShape("", ""), THEIRS)
    world.store.remove(JENKINS)
    await world.settings.look(JENKINS)
    assert world.store.read(JENKINS) is None
    assert (set(world.jenkins.folders), set(world.jenkins.jobs)) == ({"freeleaps"}, {"freeleaps/other"})


@pytest.mark.parametrize("marker", [None, THEIRS])
async def test_removal_leaves_a_folder_that_was_there_before(marker: Marker | None) -> None:
    world = SetupWorld()
    world.jenkins.folders["freeleaps"] = Folder("freeleaps", marker)
    world.add(JenkinsSettings)
    await world.settings.look(JENKINS)
    world.store.remove(JENKINS)
    await world.settings.look(JENKINS)
    assert (world.store.read(JENKINS), set(world.jenkins.folders)) == (None, {"freeleaps"})


async def test_the_last_who_uses_a_folder_takes_it_away_whoever_made_it() -> None:
    world = await set_up()
    other = Key("JenkinsSettings", SPACE, "other")
    world.store.put(project(name="other"))
    world.add(JenkinsSettings, "other", projectRef="other")
    await world.settings.look(other)
    world.store.remove(JENKINS)
    await world.settings.look(JENKINS)
    assert set(world.jenkins.folders) == {"freeleaps"}, "the other one builds there"
    world.store.remove(other)
    await world.settings.look(other)
    assert (world.store.read(other), world.jenkins.folders) == (None, {})


async def test_removal_takes_the_repository_before_the_app_project_and_waits_while_it_is_used() -> None:
    world = SetupWorld()
    world.add(ArgoSettings)
    await world.settings.look(ARGO)
    world.store.remove(ARGO)
    world.argo.in_use = True
    await world.settings.look(ARGO)
    assert world.argo.changes[-1] == "delete repository"
    assert world.store.read(ARGO) is not None
    world.argo.in_use = False
    world.clock.advance(60)
    await world.settings.look(ARGO)
    assert world.argo.changes[-1] == "delete project shop"
    assert world.store.read(ARGO) is None


async def test_removal_leaves_what_somebody_else_has_taken_over() -> None:
    world = await set_up()
    world.jenkins.jobs["freeleaps/shop"] = replace(world.jenkins.jobs["freeleaps/shop"], marker=THEIRS)
    world.store.remove(JENKINS)
    await world.settings.look(JENKINS)
    assert "freeleaps/shop" in world.jenkins.jobs
    assert world.store.read(JENKINS) is None


async def test_orphaned_things_stay() -> None:
    world = await set_up()
    world.store.edit(PROJECT, deletionPolicy="Orphan")
    world.store.remove(JENKINS)
    await world.settings.look(JENKINS)
    assert world.store.read(JENKINS) is None
    assert "freeleaps/shop" in world.jenkins.jobs


async def test_settings_in_use_stay_until_their_users_are_gone() -> None:
    world = await set_up()
    world.store.put(environment("alpha"))
    world.store.remove(JENKINS)
    assert await world.settings.look(JENKINS) == EIGHT + timedelta(seconds=300)
    assert world.store.status(JENKINS)["waitingFor"] == "Environment shop--alpha to be gone"
    world.store.vanish(Key("Environment", SPACE, "shop--alpha"))
    await world.settings.look(JENKINS)
    assert world.store.read(JENKINS) is None


async def test_settings_of_a_project_that_is_gone_do_not_wait_for_what_its_namesake_has_made() -> None:
    world = SetupWorld()
    world.store.put(made_by("the-former", api_object(JenkinsSettings, "shop", SPACE, {"projectRef": "shop"})))
    await world.settings.look(JENKINS)
    world.store.put(made_by("the-former", environment("alpha")))
    world.store.put(made_by(world.store.read(PROJECT)["metadata"]["uid"], environment("beta")))
    world.store.remove(JENKINS)
    await world.settings.look(JENKINS)
    assert world.store.status(JENKINS)["waitingFor"] == "Environment shop--alpha to be gone"
    world.store.vanish(Key("Environment", SPACE, "shop--alpha"))
    await world.settings.look(JENKINS)
    assert world.store.read(JENKINS) is None


@pytest.mark.parametrize("point", range(1, 9))
async def test_a_kill_while_removing_leaves_nothing_behind(point: int) -> None:
    world = await set_up()
    kill_at(point, world.store, world.all)
    world.store.remove(JENKINS)
    try:
        await world.settings.look(JENKINS)
    except* Killed:
        world.begin_life()
        await world.settings.look(JENKINS)
    assert (world.store.read(JENKINS), world.jenkins.jobs) == (None, {})


async def test_paused_settings_change_nothing_outside() -> None:
    world = SetupWorld()
    world.add(JenkinsSettings)
    world.store.annotate(JENKINS, paused="true")
    await world.settings.look(JENKINS)
    assert (world.jenkins.changes, world.jenkins.questions) == ([], 0)


async def test_invalid_settings_say_which_field() -> None:
    world = SetupWorld()
    world.add(JenkinsSettings, folder="")
    await world.settings.look(JENKINS)
    assert world.conditions(JENKINS)["Stalled"] == ("True", "InvalidSpec")
    assert world.jenkins.changes == []
    assert OWNER


async def test_an_app_project_for_two_hundred_previews_keeps_its_status_small() -> None:
    world = SetupWorld()
    world.add(ArgoSettings)
    await world.settings.look(ARGO)
    for number in range(200):
        world.store.put(environment(f"pr-{number}"))
    await world.settings.look(ARGO)
    assert len(world.argo.projects["shop"].shape.destinations) == 200
    assert len(json.dumps(world.store.status(ARGO))) < 8 * 1024
    assert world.conditions(ARGO)["Ready"] == ("True", "Ready")


async def test_what_a_lost_request_makes_goes_with_the_settings() -> None:
    world = SetupWorld()
    world.add(ArgoSettings)
    lost, create = list[Any](), world.argo.create_project

    async def lose(*what: Any) -> None:
        lost[:] = what
        raise OutcomeUnknown("the connection was lost", system="argocd")

    world.argo.create_project = lose  # type: ignore[method-assign]
    await world.settings.look(ARGO)
    world.store.remove(ARGO)
    await world.settings.look(ARGO)
    await create(*lost)
    while world.store.read(ARGO) is not None:
        world.clock.advance(10)
        await world.settings.look(ARGO)
    assert world.argo.projects == {}


async def test_invalid_settings_that_are_deleted_go_and_what_they_have_is_on_record() -> None:
    world = await set_up()
    world.store.edit(JENKINS, pollInterval="soon")
    world.store.remove(JENKINS)
    await world.settings.look(JENKINS)
    assert world.store.read(JENKINS) is None
    leftovers = [leftover_of(body) for body in world.store.list_("ConfigMap", OPERATOR)]
    assert {str(one.thing) for one in leftovers if one} == {"Folder freeleaps", "Job freeleaps/shop"}
    written = [write.rpartition("/")[2] for write in world.store.writes if write.startswith("create ConfigMap")]
    things = {one.name: str(one.thing) for one in leftovers if one}
    assert [things[name] for name in written] == ["Job freeleaps/shop", "Folder freeleaps"]
    assert set(world.jenkins.jobs) == {"freeleaps/shop"}


async def test_invalid_settings_that_are_deleted_wait_for_their_users_and_say_what_is_invalid() -> None:
    world = await set_up()
    alpha = Key("Environment", SPACE, "shop--alpha")
    world.store.put(environment("alpha"))
    world.store.edit(JENKINS, pollInterval="soon")
    world.store.remove(JENKINS)
    assert await world.settings.look(JENKINS) is not None
    assert world.store.status(JENKINS)["waitingFor"] == "Environment shop--alpha to be gone"
    assert world.conditions(JENKINS)["Stalled"] == ("True", "InvalidSpec")
    world.store.vanish(alpha)
    await world.settings.look(JENKINS)
    assert world.store.read(JENKINS) is None


async def test_a_registry_that_is_deleted_tells_which_repositories_it_keeps() -> None:
    world = SetupWorld()
    world.add(ContainerRegistry, namespace="acme")
    await world.settings.look(REGISTRY)
    told: list[Happening] = []
    bodies = [world.store.read(REGISTRY)]

    def note() -> None:
        bodies.append(world.store.read(REGISTRY))
        if bodies[-1] is not None:
            told.extend(happenings(bodies[-2], bodies[-1]))

    world.store.after_write = note
    world.store.remove(REGISTRY)
    await world.settings.look(REGISTRY)
    why = "images may still be used, and the registry lets nobody delete repositories through its API"
    assert told == [Happening("Kept", f"Repository acme/shop-api stays: {why}", is_warning=False)]
    assert (world.store.read(REGISTRY), list(world.repositories.names)) == (None, ["acme/shop-api"])
