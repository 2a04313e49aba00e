"""Deletion while a system is away: it ends, what is left is listed, and swept when the system is back."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.sandbox.jenkins.items import Folder
from reconciler.sandbox.weather import Weather
from reconciler.sandbox.world import DOMAIN, NAMESPACE
from support.clusters import until
from support.town import SHOP, Engineer, Town, a_town, status_of

PROGRAM = str(Path(sys.executable).with_name("reconciler"))


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town(RECONCILER_DEADLINE_DELETION="6s") as town:
        yield town


async def leftovers(town: Town, *arguments: str) -> tuple[int, str]:
    """Run the command and return its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        "leftovers",
        *arguments,
        env={"KUBECONFIG": town.environ["KUBECONFIG"], "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def outside(town: Town) -> set[str]:
    """Return all that the simulated systems hold; image repositories stay on purpose."""
    world = town.world
    items = {f"job {job.path}" for job in world.jenkins.root.jobs_below()}
    items |= {f"item {name}" for name in world.jenkins.root.children}
    items |= {f"application {name}" for name in world.argocd.applications}
    items |= {f"project {name}" for name in world.argocd.projects}
    items |= {f"repository {url} {project}" for url, project in world.argocd.repositories}
    return items | {f"record {record}" for record in world.godaddy.zone(DOMAIN).records}


def somebody_else_builds(town: Town) -> None:
    """Have a folder in Jenkins that is not ours."""
    root = town.world.jenkins.root
    root.children["theirs"] = Folder("theirs", root, None)


async def has_none(town: Town) -> bool:
    """Tell whether no leftover is listed."""
    bodies, _ = await town.engineer.api.list_("ConfigMap", NAMESPACE, label_selector="freeleaps.com/leftover")
    return not bodies


async def deployed(town: Town) -> None:
    await town.office.initialize(spec=SHOP)
    await town.engineer.ready()
    await town.office.deploy("op-1")
    assert await town.office.end_of("op-1") == "Succeeded"


async def test_a_project_deleted_while_jenkins_is_away_goes_and_what_it_left_is_swept_later(town: Town) -> None:
    somebody_else_builds(town)
    before = outside(town)
    async with town.operator():
        await deployed(town)
        assert outside(town) != before
        town.world.set_weather(Weather.DOWN, "jenkins")
        await town.engineer.delete("DevOpsProject", "shop")
        await town.engineer.gone("DevOpsProject", "shop")
        for kind, name in (("Environment", "shop--alpha"), ("JenkinsSettings", "shop"), ("ArgoSettings", "shop")):
            await town.engineer.gone(kind, name)
        code, said = await leftovers(town, "list")
        assert code == 0
        assert "Job" in said
        assert "freeleaps/shop" in said
        assert "JenkinsSettings/freeleaps-devops-system/shop" in said
        code, said = await leftovers(town, "sweep", "--within", "20s")
        assert (code, "still there: Job freeleaps/shop" in said) == (1, True)
        town.world.set_weather(Weather.CALM, "jenkins")
        await until(lambda: has_none(town), 40)
        assert outside(town) == before
        assert (await leftovers(town, "list"))[1] == "nothing is left\n"


async def test_a_deleted_namespace_goes_though_its_secrets_go_first(town: Town) -> None:
    there = Engineer(town.engineer.api, "teams")
    await there.api.create("Namespace", "", {"metadata": {"name": "teams"}})
    world, watched = town.world, f"{NAMESPACE},teams"
    await there.secret("jenkins", username=town.environ["JENKINS_USERNAME"], token=town.environ["JENKINS_TOKEN"])
    await there.secret("argo", token=town.environ["ARGOCD_TOKEN"])
    for kind, endpoint, secret in (
        ("JenkinsSettings", world.jenkins.url, "jenkins"),
        ("ArgoSettings", world.argocd.url, "argo"),
    ):
        spec = {"projectRef": "shop", "endpoint": endpoint, "credentialsRef": {"name": secret}}
        await there.apply(kind, "shop", spec)
    await there.apply("DevOpsProject", "shop", SHOP)
    async with town.operator(RECONCILER_NAMESPACES=watched, RECONCILER_DEADLINE_DELETION="30m"):
        await there.ready()
        await there.deploy("op-1")
        assert status_of(await there.ended("op-1"))["phase"] == "Succeeded"
    await there.api.delete("Namespace", "", "teams")
    await until(lambda: is_gone(there, "Secret", "argo"))
    # Another life: nothing of the Secrets is in its memory.
    async with town.operator(RECONCILER_NAMESPACES=watched, RECONCILER_DEADLINE_DELETION="30m"):
        await until(lambda: is_gone(there, "Namespace", "teams"), 40)
        code, said = await leftovers(town, "list")
    assert code == 0
    assert all(f" {kind} " in said for kind in ("Application", "Job", "Folder", "AppProject", "Repository"))
    assert "Secret argo" in said


async def is_gone(engineer: Engineer, kind: str, name: str) -> bool:
    """Tell whether a resource is not there any more."""
    return await engineer.api.find(kind, "" if kind == "Namespace" else engineer.namespace, name) is None
