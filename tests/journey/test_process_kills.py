"""SIGKILL while others work for us: the next life ends the deployment, with one build and one sync that took effect.

Kills around everything that the operator itself does are in `tests/kills`.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.sandbox.argocd.controller import Pace
from support.clusters import until
from support.process import an_operator
from support.town import Town, a_town, condition_of, stage_of, status_of


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town() as town:
        yield town


async def test_a_kill_in_the_middle_of_a_build_leaves_one_build(town: Town, tmp_path: Path) -> None:
    town.world.jenkins.pace.build = 2.0
    async with an_operator(town.environ, tmp_path / "first") as first:
        await town.office.initialize()
        await town.office.deploy("op-1")
        await town.engineer.until(
            "DeploymentRecord", "op-1", lambda body: stage_of(body, "build").get("reason") == "Building"
        )
        await first.killed()
    assert [build.state for build in town.world.jenkins.builds] == ["building"]
    await it_ends_once(town, tmp_path)


async def test_a_kill_in_the_middle_of_a_sync_leaves_one_sync(town: Town, tmp_path: Path) -> None:
    town.world.argocd.controller.pace = Pace(sync=2.0)
    async with an_operator(town.environ, tmp_path / "first") as first:
        await town.office.initialize()
        await town.office.deploy("op-1")
        await until(lambda: is_syncing(town), 30)
        await first.killed()
    assert town.world.argocd.syncs == []
    await it_ends_once(town, tmp_path)


def is_syncing(town: Town) -> bool:
    application = town.world.argocd.applications.get("shop--alpha--api", {})
    return (application.get("status") or {}).get("operationState", {}).get("phase") == "Running"


async def it_ends_once(town: Town, folder: Path) -> None:
    """Let a second life end the deployment, and count."""
    async with an_operator(town.environ, folder / "second") as second:
        record = await town.engineer.until(
            "DeploymentRecord", "op-1", lambda body: status_of(body).get("announced", 0) > 0
        )
        assert status_of(record)["phase"] == "Succeeded"
        assert condition_of(record)["status"] == "True"
        environment = await town.engineer.read("Environment", "shop--alpha")
        assert status_of(environment).get("holder") is None
        assert status_of(environment)["current"]["api"]["operation"] == "op-1"
        assert await second.terminated() == 0
        assert second.said("error", "critical") == []
    assert set(town.office.ends_of("op-1")) == {"Succeeded"}
    assert len(town.world.jenkins.builds) == 1
    assert list(town.world.jenkins.effective_builds.values()) == [1]
    assert [(sync.application, sync.result) for sync in town.world.argocd.syncs] == [("shop--alpha--api", "Succeeded")]
    assert town.world.godaddy.values("acme.example", "A", "api.alpha") == ["203.0.113.7"]
