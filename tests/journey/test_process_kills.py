"""SIGKILL at bad moments: the next life ends the deployment, with one build and one sync that took effect.

The systems around it run in the process of the test, so the kill comes between a write and its answer.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from reconciler.sandbox.argocd.controller import Pace
from support.clusters import until
from support.process import OperatorProcess, an_operator
from support.town import Town, a_town, condition_of, stage_of, status_of


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town() as town:
        yield town


Kills = Callable[[Town, OperatorProcess], None]


def when_stored(plural: str, holds: Callable[[dict[str, Any]], bool]) -> Kills:
    """Kill when a status is stored that is like this, before anybody hears of it."""

    def arm(town: Town, operator: OperatorProcess) -> None:
        answer = town.world.kube._routes.answer

        async def deadly(request: Any, raw: bytes, headers: Any) -> Any:
            reply = await answer(request, raw, headers)
            is_write = request.method == "PATCH" and request.path.endswith("/status") and f"/{plural}/" in request.path
            if is_write and reply.status == 200 and holds(_json(reply.body).get("status") or {}):
                operator.kill()
            return reply

        town.world.kube._routes.answer = deadly  # type: ignore[method-assign]

    return arm


def _json(body: Any) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(body) if isinstance(body, bytes) else body
    return found


def when_build_is_accepted(town: Town, operator: OperatorProcess) -> None:
    """Kill when Jenkins has put the build into its queue, before it answers."""
    enqueue = town.world.jenkins.works.enqueue

    def deadly(*arguments: Any) -> Any:
        operator.kill()
        return enqueue(*arguments)

    town.world.jenkins.works.enqueue = deadly  # type: ignore[method-assign]


def when_sync_is_accepted(town: Town, operator: OperatorProcess) -> None:
    """Kill when Argo CD has taken the sync, before it answers."""
    controller = town.world.argocd.controller
    take = controller.operation_requested

    def deadly(name: str) -> None:
        operator.kill()
        take(name)

    controller.operation_requested = deadly  # type: ignore[method-assign]


@pytest.mark.parametrize(
    "arm",
    [
        pytest.param(when_stored("environments", lambda status: bool(status.get("holder"))), id="slot taken"),
        pytest.param(when_build_is_accepted, id="build accepted"),
        pytest.param(when_sync_is_accepted, id="sync accepted"),
        pytest.param(when_stored("environments", lambda status: bool(status.get("current"))), id="made current"),
        pytest.param(when_stored("deploymentrecords", lambda s: bool(s.get("finishedAt"))), id="end stored"),
    ],
)
async def test_a_kill_between_a_write_and_its_answer_doubles_nothing(town: Town, tmp_path: Path, arm: Kills) -> None:
    async with an_operator(town.environ, tmp_path / "first") as first:
        await town.office.initialize()
        await town.engineer.ready()
        arm(town, first)
        await town.office.deploy("op-1")
        assert await first.ended() == -9
    await it_ends_once(town, tmp_path)


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
