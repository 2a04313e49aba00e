"""Ownership: markers say whose an object is; a reborn owner renews them; what is foreign is taken only on request."""

from dataclasses import replace
from typing import Any

import pytest

from reconciler.domain.errors import Refused
from reconciler.domain.outside.applications import ArgoProject, ProjectShape
from reconciler.domain.outside.builds import Credential, Job, JobPath, JobShape
from reconciler.domain.outside.images import ImageRepository
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import ArgoSettings, ContainerRegistry, GitCredential, JenkinsSettings
from support.projects import ARGO, JENKINS, REGISTRY, SetupWorld
from support.scene import OWNER

THEIRS = Marker("cluster-2", "JenkinsSettings", "other", "books", "uid-9")
JOB = "freeleaps/shop"
THEIR_JOB = Job(JobPath("freeleaps", "shop"), THEIRS, JobShape("x", "y"))


def with_git(world: SetupWorld) -> SetupWorld:
    world.add(GitCredential, "git", urlPrefix="https://git.example.com", secretRef={"name": "git"})
    return world


def waits(world: SetupWorld, key: Any) -> str:
    return str(world.store.status(key)["waitingFor"])


async def test_a_taken_name_tells_whose_it_is_and_how_to_take_it_over() -> None:
    world = SetupWorld()
    world.jenkins.jobs[JOB] = THEIR_JOB
    world.add(JenkinsSettings)
    await world.settings.look(JENKINS)
    assert waits(world, JENKINS) == f"Job {JOB}, owned by JenkinsSettings other/books of owner cluster-2"
    remedy = world.store.status(JENKINS)["steps"][-1]["remedy"]
    assert f"annotate JenkinsSettings shop with freeleaps.com/adopt=Job/{JOB}" in remedy


async def test_a_job_that_is_named_is_taken_over_once_and_that_is_echoed() -> None:
    world = SetupWorld()
    world.jenkins.jobs[JOB] = THEIR_JOB
    world.add(JenkinsSettings)
    await world.settings.look(JENKINS)
    world.store.annotate(JENKINS, adopt=f"Job/{JOB}")
    await world.settings.look(JENKINS)
    marker = world.jenkins.jobs[JOB].marker
    assert marker is not None
    assert (marker.owner, marker.name) == (OWNER, "shop")
    assert world.conditions(JENKINS)["Ready"] == ("True", "Ready")
    assert world.store.status(JENKINS)["handled"] == {"freeleaps.com/adopt": f"Job/{JOB}"}
    world.jenkins.jobs[JOB] = THEIR_JOB
    world.clock.advance(300)
    await world.settings.look(JENKINS)
    assert world.jenkins.jobs[JOB] == THEIR_JOB, "what was asked for once is not done twice"
    world.store.annotate(JENKINS, adopt=f"Job/{JOB},again")
    await world.settings.look(JENKINS)
    assert world.jenkins.jobs[JOB] != THEIR_JOB


async def test_an_app_project_that_is_named_is_taken_over() -> None:
    world = SetupWorld()
    world.argo.projects["shop"] = ArgoProject(ProjectShape("shop", "", (), ()), None)
    world.add(ArgoSettings)
    world.store.annotate(ARGO, adopt="AppProject/shop")
    await world.settings.look(ARGO)
    assert world.argo.changes[0] == "update shop"
    assert world.conditions(ARGO)["Ready"] == ("True", "Ready")


@pytest.mark.parametrize("named", ["Job/freeleaps/other", "shop", "AppProject/shop"])
async def test_what_is_not_named_is_not_taken_over(named: str) -> None:
    world = SetupWorld()
    world.jenkins.jobs[JOB] = THEIR_JOB
    world.add(JenkinsSettings)
    world.store.annotate(JENKINS, adopt=named)
    await world.settings.look(JENKINS)
    assert world.jenkins.jobs[JOB] == THEIR_JOB
    assert world.conditions(JENKINS)["Stalled"] == ("True", "NameTaken")


@pytest.mark.parametrize("marker", [None, THEIRS])
async def test_a_credential_of_somebody_else_is_not_overwritten(marker: Marker | None) -> None:
    world = with_git(SetupWorld())
    theirs = Credential("shop-git", marker)
    world.jenkins.credentials["freeleaps/shop-git"] = theirs
    world.add(JenkinsSettings)
    await world.settings.look(JENKINS)
    assert world.jenkins.credentials == {"freeleaps/shop-git": theirs}
    assert world.conditions(JENKINS)["Stalled"] == ("True", "NameTaken")


async def test_a_repository_with_the_marker_of_another_owner_is_not_used() -> None:
    world = SetupWorld()
    theirs = Marker("cluster-2", "ContainerRegistry", "devops", "shop", "uid-9")
    world.repositories.names["acme/shop-api"] = ImageRepository("acme/shop-api", f"Made by {theirs.text()}")
    world.add(ContainerRegistry, namespace="acme")
    await world.settings.look(REGISTRY)
    assert world.conditions(REGISTRY)["Stalled"] == ("True", "NameTaken")


async def test_a_repository_that_somebody_made_by_hand_is_used_as_it_is() -> None:
    world = SetupWorld()
    world.repositories.names["acme/shop-api"] = ImageRepository("acme/shop-api", "our shop")
    world.add(ContainerRegistry, namespace="acme")
    await world.settings.look(REGISTRY)
    assert world.conditions(REGISTRY)["Ready"] == ("True", "Ready")
    assert world.repositories.names["acme/shop-api"].description == "our shop"


async def test_a_reborn_owner_renews_its_markers_before_it_is_ready() -> None:
    world = with_git(SetupWorld())
    for kind in (JenkinsSettings, ArgoSettings):
        world.add(kind)
    for key in (JENKINS, ARGO):
        await world.settings.look(key)
        world.store.vanish(key)
    for kind in (JenkinsSettings, ArgoSettings):
        world.add(kind)
    for key in (JENKINS, ARGO):
        await world.settings.look(key)
    uids = {key: (world.store.read(key) or {})["metadata"]["uid"] for key in (JENKINS, ARGO)}
    job, credential = world.jenkins.jobs[JOB], world.jenkins.credentials["freeleaps/shop-git"]
    project = world.argo.projects["shop"]
    assert {one.marker.uid for one in (job, credential) if one.marker} == {uids[JENKINS]}
    assert project.marker == replace(project.marker or THEIRS, uid=uids[ARGO])
    assert world.jenkins.changes[-2:] == [f"credential {JOB}-git", f"update {JOB}"]
    assert world.store.status(JENKINS)["drift"] == [], "a new life is no drift"


# A set-up that fails.


async def test_what_a_failed_set_up_may_have_made_stands_in_the_inventory() -> None:
    world = with_git(SetupWorld())
    world.add(JenkinsSettings)

    def refuse() -> None:
        if world.jenkins.changes[-1].startswith("job"):
            raise Refused("403 Forbidden", system="jenkins")

    world.jenkins.after_act = refuse
    await world.settings.look(JENKINS)
    assert world.conditions(JENKINS)["Stalled"] == ("True", "Refused")
    assert world.made(JENKINS) == {
        "Folder freeleaps": "Made",
        "Credential freeleaps/shop-git": "Made",
        "Job freeleaps/shop": "Intended",
    }
