"""What settings made under a former folder, name or endpoint goes: after the new, ours only, used by nobody."""

from typing import Any

import pytest

from reconciler.domain.errors import Unavailable
from reconciler.domain.keys import Key
from reconciler.domain.outside.applications import ArgoProject, ProjectShape
from reconciler.domain.outside.builds import Job, JobPath, JobShape
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import ArgoSettings, DeploymentRecord, GitCredential, JenkinsSettings
from support.projects import ARGO, JENKINS, PROJECT, SetupWorld
from support.scene import SPACE, Killed, kill_at, record

THEIRS = Marker("cluster-2", "JenkinsSettings", "x", "y", "z")
GIT = "https://git.example.com/acme/shop.git"
CHARTS = "https://git.example.com/acme/charts.git"


async def with_job(**spec: Any) -> SetupWorld:
    world = SetupWorld()
    world.add(JenkinsSettings, folder="teams/old", job="one", **spec)
    await world.settings.look(JENKINS)
    assert set(world.jenkins.jobs) == {"teams/old/one"}
    return world


async def with_app_project() -> SetupWorld:
    world = SetupWorld()
    world.add(ArgoSettings, project="old")
    await world.settings.look(ARGO)
    assert set(world.argo.repositories) == {(GIT, "old")}
    return world


async def test_a_job_in_a_former_folder_goes_after_the_new_one_is_there_and_its_folder_after_it() -> None:
    world = await with_job()
    begun = len(world.jenkins.changes)
    world.store.edit(JENKINS, folder="teams/new")
    await world.settings.look(JENKINS)
    assert world.jenkins.changes[begun:] == [
        "folder teams/new",
        "job teams/new/one",
        "delete teams/old/one",
        "delete teams/old",
    ]
    assert set(world.made(JENKINS)) == {"Folder teams", "Folder teams/new", "Job teams/new/one"}
    assert world.conditions(JENKINS)["Ready"] == ("True", "Ready")


async def test_a_job_of_a_former_name_goes() -> None:
    world = await with_job()
    world.store.edit(JENKINS, job="two")
    await world.settings.look(JENKINS)
    assert (set(world.jenkins.jobs), set(world.jenkins.folders)) == ({"teams/old/two"}, {"teams", "teams/old"})
    assert "Job teams/old/one" not in world.made(JENKINS)


async def test_two_more_looks_change_nothing() -> None:
    world = await with_job()
    world.store.edit(JENKINS, folder="teams/new", job="two")
    for _ in range(2):
        await world.settings.look(JENKINS)
    done, written = list(world.jenkins.changes), list(world.store.writes)
    for _ in range(2):
        world.clock.advance(300)
        await world.settings.look(JENKINS)
    assert (world.jenkins.changes, world.store.writes) == (done, written)


async def test_a_job_in_which_a_build_runs_stays_until_it_has_ended_and_the_settings_are_ready_meanwhile() -> None:
    world = await with_job()
    world.jenkins.building.add("teams/old/one")
    world.store.edit(JENKINS, job="two")
    due = await world.settings.look(JENKINS)
    assert set(world.jenkins.jobs) == {"teams/old/one", "teams/old/two"}
    assert world.conditions(JENKINS)["Ready"] == ("True", "Ready")
    assert "is used by a build that runs there" in world.store.status(JENKINS)["waitingFor"]
    assert due is not None
    world.jenkins.building.clear()
    world.clock.advance((due - world.clock.now()).total_seconds())
    await world.settings.look(JENKINS)
    assert set(world.jenkins.jobs) == {"teams/old/two"}
    assert world.store.status(JENKINS)["waitingFor"] == ""


def building_in(world: SetupWorld, job: str, endpoint: str = "", **status: Any) -> Key:
    """Have a deployment that goes on and asked for its build in a job; whether that has ended nobody has seen."""
    claim = {"key": "op-1/api/1", "replica": "r", "incarnation": "i", "at": "2026-11-23T08:00:00Z"}
    claim |= {"place": {"endpoint": endpoint, "credentials": "", "name": job}}
    stage = {"name": "build", "component": "api", "state": "Waiting", "claim": claim}
    body = world.store.put({**record(), "status": {"phase": "Running", "stages": [stage], **status}})
    return Key(DeploymentRecord.kind, SPACE, body["metadata"]["name"])


async def test_a_job_stays_until_every_deployment_has_seen_the_end_of_the_build_that_it_asked_for_there() -> None:
    world = await with_job()
    deployment = building_in(world, "teams/old/one", "https://jenkins.own/")
    world.store.edit(JENKINS, job="two")
    await world.settings.look(JENKINS)
    assert set(world.jenkins.jobs) == {"teams/old/one", "teams/old/two"}
    assert world.conditions(JENKINS)["Ready"] == ("True", "Ready")
    assert "is used by a deployment whose build was asked for there" in world.store.status(JENKINS)["waitingFor"]
    world.store.vanish(deployment)
    world.clock.advance(60)
    await world.settings.look(JENKINS)
    assert set(world.jenkins.jobs) == {"teams/old/two"}


@pytest.mark.parametrize(
    ("job", "endpoint", "status"),
    [
        ("teams/old/two", "", {}),
        ("teams/old/one", "https://other.example", {}),
        ("teams/old/one", "", {"phase": "Succeeded"}),
    ],
    ids=["in another job", "on another server", "ended"],
)
async def test_a_deployment_that_expects_nothing_there_keeps_no_job(
    job: str, endpoint: str, status: dict[str, str]
) -> None:
    world = await with_job()
    building_in(world, job, endpoint, **status)
    world.store.edit(JENKINS, job="two")
    await world.settings.look(JENKINS)
    assert set(world.jenkins.jobs) == {"teams/old/two"}


async def test_a_deployment_whose_build_has_ended_keeps_no_job() -> None:
    world = await with_job()
    deployment = building_in(world, "teams/old/one")
    body = world.store.read(deployment)
    assert body is not None
    body["status"]["stages"][0]["state"] = "Done"
    world.store.put(body)
    world.store.edit(JENKINS, job="two")
    await world.settings.look(JENKINS)
    assert set(world.jenkins.jobs) == {"teams/old/two"}


async def test_a_project_is_ready_while_a_former_job_of_it_is_still_used() -> None:
    world = await with_job()
    await world.look_at_all()
    await world.look_at_all()
    world.jenkins.building.add("teams/old/one")
    world.store.edit(JENKINS, job="two")
    world.store.edit(PROJECT, displayName="The shop")
    await world.look_at_all()
    assert {one["name"]: one["state"] for one in world.store.status(PROJECT)["steps"]}["jenkins"] == "Done"


async def test_a_job_that_somebody_made_theirs_meanwhile_stays_and_is_forgotten() -> None:
    world = await with_job()
    path = JobPath("teams/old", "one")
    world.jenkins.jobs["teams/old/one"] = Job(path, THEIRS, JobShape("", ""), "http://jenkins/job")
    world.store.edit(JENKINS, job="two")
    await world.settings.look(JENKINS)
    assert set(world.jenkins.jobs) == {"teams/old/one", "teams/old/two"}
    assert "Job teams/old/one" not in world.made(JENKINS)


async def test_a_folder_in_which_other_settings_build_stays_and_is_remembered() -> None:
    world = await with_job()
    world.add(JenkinsSettings, "other", projectRef="other", folder="teams/old")
    world.store.edit(JENKINS, folder="teams/new")
    await world.settings.look(JENKINS)
    assert set(world.jenkins.folders) == {"teams", "teams/new", "teams/old"}
    assert "Folder teams/old" in world.made(JENKINS)
    world.store.vanish(Key("JenkinsSettings", SPACE, "other"))
    world.clock.advance(300)
    await world.settings.look(JENKINS)
    assert set(world.jenkins.folders) == {"teams", "teams/new"}


async def test_what_is_not_the_default_endpoint_any_more_but_the_same_is_no_former_one() -> None:
    world = await with_job()
    begun = len(world.jenkins.changes)
    world.store.edit(JENKINS, endpoint="https://jenkins.own/", credentialsRef={"name": "ci"})
    await world.settings.look(JENKINS)
    assert world.jenkins.changes[begun:] == []
    inventory = world.store.status(JENKINS)["inventory"]
    assert {(item["endpoint"], item["credentials"]) for item in inventory} == {("https://jenkins.own/", "ci")}


async def test_what_is_at_a_former_endpoint_is_kept_on_record_with_its_credentials() -> None:
    world = await with_job(endpoint="https://a.example", credentialsRef={"name": "a"})
    world.jenkins.building.add("teams/old/one")
    world.store.edit(JENKINS, endpoint="https://b.example", credentialsRef={"name": "b"})
    await world.settings.look(JENKINS)
    inventory = world.store.status(JENKINS)["inventory"]
    jobs = [(item["endpoint"], item["credentials"]) for item in inventory if item["kind"] == "Job"]
    assert jobs == [("https://a.example", "a"), ("https://b.example", "b")]
    world.jenkins.outage = Unavailable("away", system="jenkins")
    world.store.remove(JENKINS)
    await world.settings.look(JENKINS)
    names = [step["name"] for step in world.store.status(JENKINS)["steps"]]
    assert (len(names), len(set(names))) == (6, 6)


async def test_an_outage_of_a_former_system_keeps_the_settings_ready() -> None:
    world = await with_app_project()
    world.store.edit(ARGO, project="new")
    world.argo.users[GIT, "old"] = ("shop--alpha--api",)
    await world.settings.look(ARGO)
    world.argo.outage = Unavailable("away", system="argocd")
    assert world.conditions(ARGO)["Ready"] == ("True", "Ready")
    assert "ArgoReachable" not in world.conditions(ARGO)


async def test_nothing_of_it_goes_where_deletions_leave_everything() -> None:
    world = SetupWorld(deletionPolicy="Orphan")
    world.add(JenkinsSettings, job="one")
    await world.settings.look(JENKINS)
    world.store.edit(JENKINS, job="two")
    await world.settings.look(JENKINS)
    assert set(world.jenkins.jobs) == {"freeleaps/one", "freeleaps/two"}
    assert "Job freeleaps/one" in world.made(JENKINS)


async def test_nothing_goes_while_it_is_unknown_what_is_wanted() -> None:
    world = await with_job()
    world.store.vanish(PROJECT)
    world.clock.advance(300)
    await world.settings.look(JENKINS)
    assert set(world.jenkins.jobs) == {"teams/old/one"}
    assert "Job teams/old/one" in world.made(JENKINS)


async def test_the_credential_of_a_login_that_is_gone_goes_after_the_job_does_without_it() -> None:
    world = SetupWorld()
    world.add(GitCredential, "git", urlPrefix="https://git.example.com", secretRef={"name": "git"})
    world.add(JenkinsSettings)
    await world.settings.look(JENKINS)
    begun = len(world.jenkins.changes)
    world.store.vanish(Key("GitCredential", SPACE, "git"))
    world.clock.advance(300)
    await world.settings.look(JENKINS)
    assert world.jenkins.changes[begun:] == ["update freeleaps/shop", "delete credential freeleaps/shop-git"]


async def test_a_former_app_project_and_its_repository_go_when_no_application_is_in_them() -> None:
    world = await with_app_project()
    world.argo.in_use, world.argo.users = True, {(GIT, "old"): ("shop--alpha--api",)}
    world.store.edit(ARGO, project="new")
    await world.settings.look(ARGO)
    assert set(world.argo.projects) == {"old", "new"}
    assert set(world.argo.repositories) == {(GIT, "old"), (GIT, "new")}
    assert world.conditions(ARGO)["Ready"] == ("True", "Ready")
    world.argo.users.clear()
    for _ in range(2):
        world.clock.advance(120)
        await world.settings.look(ARGO)
    assert (set(world.argo.projects), set(world.argo.repositories)) == ({"old", "new"}, {(GIT, "new")})
    world.argo.in_use = False
    for _ in range(3):
        world.clock.advance(300)
        await world.settings.look(ARGO)
    assert set(world.argo.projects) == {"new"}
    assert set(world.made(ARGO)) == {"AppProject new", f"Repository {GIT}"}


async def test_a_former_repository_goes_when_the_git_address_changed() -> None:
    world = await with_app_project()
    world.store.edit(ARGO, source={"repoURL": CHARTS})
    await world.settings.look(ARGO)
    assert set(world.argo.repositories) == {(CHARTS, "old")}
    assert world.argo.changes[-2:] == ["repository", "delete repository"]


async def test_a_former_app_project_that_became_foreign_stays() -> None:
    world = await with_app_project()
    world.argo.projects["old"] = ArgoProject(ProjectShape("old", "", (), ()), THEIRS)
    world.store.edit(ARGO, project="new")
    await world.settings.look(ARGO)
    assert set(world.argo.projects) == {"old", "new"}
    assert "AppProject old" not in world.made(ARGO)


@pytest.mark.parametrize("point", range(1, 14))
async def test_a_kill_anywhere_leaves_one_job(point: int) -> None:
    world = await with_job()
    world.store.edit(JENKINS, folder="teams/new", job="two")
    kill_at(point, world.store, world.all)
    try:
        await world.settings.look(JENKINS)
    except* Killed:
        pass
    world.store.after_write = lambda: None
    for system in world.all:
        system.after_act = lambda: None
    world.begin_life()
    for _ in range(6):
        world.clock.advance(120)
        await world.settings.look(JENKINS)
    assert set(world.jenkins.jobs) == {"teams/new/two"}
    assert set(world.jenkins.folders) == {"teams", "teams/new"}
    assert set(world.made(JENKINS)) == {"Folder teams", "Folder teams/new", "Job teams/new/two"}
