"""Resources that contradict each other or the world: who came first keeps what is claimed, the other is told whose."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from reconciler.domain.keys import named
from reconciler.sandbox.remains import remains, standing
from support.town import SHOP, Town, a_town, condition_of, stage_of, status_of

BOOKS: dict[str, Any] = {**SHOP, "git": {"url": "https://git.acme.example/books.git"}}
"""A project that wants the very host of the shop."""


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town() as town:
        yield town


async def edit(town: Town, kind: str, name: str, spec: dict[str, Any]) -> None:
    """Change a spec as a person does."""
    await town.engineer.api.patch(named(kind), town.engineer.namespace, name, {"spec": spec})


def builds_of(town: Town, operation: str) -> set[str]:
    """Return how the builds of a deployment stand."""
    builds = town.world.jenkins.builds
    return {build.state for build in builds if build.parameters.get("OPERATION_ID") == operation}


async def waits_at(town: Town, record: str, stage: str) -> dict[str, Any]:
    """Wait until a stage of a deployment waits for a person, and return it."""
    body = await town.engineer.until("DeploymentRecord", record, lambda b: stage_of(b, stage).get("remedy"))
    return stage_of(body, stage)


async def test_of_two_projects_that_claim_one_job_app_project_or_host_the_first_keeps_it(town: Town) -> None:
    engineer, world = town.engineer, town.world
    async with town.operator():
        await engineer.apply("DevOpsProject", "shop", SHOP)
        await engineer.ready()
        await engineer.deploy("op-shop")
        assert status_of(await engineer.ended("op-shop"))["phase"] == "Succeeded"
        job, app_project = world.jenkins.root.find(["freeleaps", "shop"]), world.argocd.projects["shop"]["metadata"]
        before = (getattr(job, "configuration", None), dict(app_project["annotations"]))

        await engineer.apply("JenkinsSettings", "rival", {"projectRef": "books", "job": "shop"})
        await engineer.apply("ArgoSettings", "rival", {"projectRef": "books", "project": "shop"})
        rivals = {"jenkinsRef": {"name": "rival"}, "argoRef": {"name": "rival"}}
        await engineer.apply("DevOpsProject", "books", {**BOOKS, **rivals})
        owner = f"owned by {{kind}} {engineer.namespace}/shop"
        for kind in ("JenkinsSettings", "ArgoSettings"):
            await engineer.stalled(kind, "rival", "NameTaken", owner.format(kind=kind))
        await engineer.stalled("DevOpsProject", "books", "NameTaken")

        await engineer.delete("DevOpsProject", "books")
        await engineer.gone("DevOpsProject", "books")
        await engineer.apply("DevOpsProject", "books", BOOKS)
        await engineer.ready("DevOpsProject", "books")
        await engineer.deploy("op-books", project="books")
        stage = await waits_at(town, "op-books", "expose")
        assert stage["reason"] == "NameTaken"
        assert f"Environment/{engineer.namespace}/shop--alpha" in stage["waitingFor"]

        assert (getattr(job, "configuration", None), dict(app_project["annotations"])) == before
        assert world.godaddy.values("acme.example", "A", "api.alpha") == ["203.0.113.7"]


async def test_settings_for_another_project_a_foreign_zone_and_a_domain_outside_are_told(town: Town) -> None:
    engineer = town.engineer
    async with town.operator():
        await engineer.apply("DevOpsProject", "shop", SHOP)
        await engineer.ready()

        borrowed = {"jenkinsRef": {"name": "shop"}, "argoRef": {"name": "shop"}}
        await engineer.apply("DevOpsProject", "books", {**BOOKS, **borrowed})
        await engineer.stalled("DevOpsProject", "books", "ForAnotherProject", "JenkinsSettings shop", "project shop")
        await engineer.deploy("op-borrowed", project="books")
        body = await engineer.until("DeploymentRecord", "op-borrowed", lambda b: stage_of(b, "queue", "").get("remedy"))
        assert stage_of(body, "queue", "")["reason"] == "ForAnotherProject"
        await engineer.api.patch(
            named("DevOpsProject"), engineer.namespace, "books", {"spec": {"jenkinsRef": None, "argoRef": None}}
        )
        await engineer.ready("DevOpsProject", "books")

        await engineer.apply("JenkinsSettings", "spare", {"projectRef": "shop"})
        await engineer.stalled("JenkinsSettings", "spare", "NameTaken", "JenkinsSettings", "/shop")

        await engineer.apply("DNSZone", "other", {"domain": "other.example"})
        await engineer.stalled("DNSZone", "other", "ZoneNotFound", "zone other.example", "does not have")

        outside = [{"name": "alpha", "domain": "alpha.elsewhere.example", "dnsTarget": "203.0.113.7"}]
        await edit(town, "DevOpsProject", "shop", {"environments": outside})
        await engineer.until(
            "Environment", "shop--alpha", lambda b: b["spec"].get("domain") == "alpha.elsewhere.example"
        )
        await engineer.stalled("Environment", "shop--alpha", "ZoneNotFound", "api.alpha.elsewhere.example")
        await engineer.deploy("op-outside")
        stage = await waits_at(town, "op-outside", "expose")
        assert stage["reason"] == "ZoneNotFound"
        assert "api.alpha.elsewhere.example" in stage["waitingFor"]


async def test_what_is_changed_or_removed_under_a_deployment_ends_it_with_a_word_and_leaves_nothing(town: Town) -> None:
    engineer, world = town.engineer, town.world
    two = [{"name": "api", "port": 8080}, {"name": "web"}]
    before = standing(world)
    async with town.operator():
        await engineer.apply("DevOpsProject", "shop", {**SHOP, "components": two})
        await engineer.ready()
        world.jenkins.pace.build = 600.0
        await engineer.deploy("op-1")
        await engineer.until("DeploymentRecord", "op-1", lambda b: stage_of(b, "build", "web").get("url"))
        await edit(town, "DevOpsProject", "shop", {"components": [two[0], {"name": "worker"}]})
        body = await engineer.ended("op-1")
        assert (status_of(body)["phase"], condition_of(body)["reason"]) == ("Failed", "ComponentNotFound")
        assert "web" in condition_of(body)["message"]

        await engineer.ready()
        await engineer.deploy("op-2")
        await engineer.until("DeploymentRecord", "op-2", lambda b: stage_of(b, "build", "worker").get("url"))
        await edit(town, "DevOpsProject", "shop", {"environments": []})
        body = await engineer.ended("op-2")
        assert (status_of(body)["phase"], condition_of(body)["reason"]) == ("Cancelled", "EnvironmentRemoved")
        await engineer.gone("Environment", "shop--alpha")
        assert builds_of(town, "op-2") == {"ABORTED"}

        await engineer.delete("DevOpsProject", "shop")
        await engineer.gone("DevOpsProject", "shop")
        assert list(remains(world, before).problems) == []
