"""The operator as a program: what it shows while it works, and how it ends when asked."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.process import an_operator
from support.town import Town, a_town, stage_of, status_of

SYSTEMS = ("jenkins_connection", "argocd_connection", "registry", "dns")


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town() as town:
        yield town


async def test_a_deployment_goes_from_message_to_address_and_shows_how_all_parts_are(
    town: Town, tmp_path: Path
) -> None:
    async with an_operator(town.environ, tmp_path / "log") as operator:
        await town.office.initialize()
        await town.engineer.ready()
        await town.office.deploy("op-1")
        assert await town.office.end_of("op-1") == "Succeeded"
        assert await operator.ask("/livez") == (200, "ok\n")
        for part in ("kopf_operator", "kubernetes_api", "rabbitmq_connection", *SYSTEMS):
            shown = await operator.part(part)
            assert (part, shown["state"]) == (part, "ok"), shown
        for part in ("changes_come_through", "messages_come_through"):
            shown = await operator.part(part)
            assert "last proof at" in shown["detail"], shown
        assert await operator.metric('reconciler_deployments_total{end="Succeeded"') == 1
        assert await operator.metric("reconciler_messages_total{") == 2
        assert await operator.metric('reconciler_heartbeats_total{outcome="confirmed"') == len(town.office.beats)
        assert await operator.metric("reconciler_endpoint_requests_total{") > 10
        for system in ("kubernetes", "rabbitmq", "jenkins", "argocd", "registry", "dns"):
            assert await operator.metric(f'reconciler_connected{{system="{system}"') == 1, system
        assert await operator.terminated() == 0
        assert operator.said("warning", "error", "critical") == []


async def test_sigterm_in_the_middle_of_a_build_ends_in_order_and_the_next_life_goes_on(
    town: Town, tmp_path: Path
) -> None:
    town.world.jenkins.pace.build = 2.0
    async with an_operator(town.environ, tmp_path / "first") as first:
        await town.office.initialize()
        await town.office.deploy("op-1")
        await town.engineer.until(
            "DeploymentRecord", "op-1", lambda b: stage_of(b, "build").get("reason") == "Building"
        )
        assert await first.terminated() == 0
        assert first.said("error", "critical") == []
    stored = status_of(await town.engineer.read("DeploymentRecord", "op-1"))
    assert max(beat["sequence"] for beat in town.office.heard_of("op-1")) == stored["sequence"]
    assert town.world.broker.connections == 1
    async with an_operator(town.environ, tmp_path / "second") as second:
        assert await town.office.end_of("op-1") == "Succeeded"
        assert await second.terminated() == 0
    assert list(town.world.jenkins.effective_builds.values()) == [1]
    assert len(town.world.jenkins.builds) == 1


async def test_sigterm_while_systems_hang_ends_in_time(town: Town, tmp_path: Path) -> None:
    async with an_operator(town.environ, tmp_path / "log") as operator:
        await town.office.initialize()
        await town.engineer.ready()
        town.world.jenkins.faults.latency = town.world.argocd.faults.latency = 60.0
        asked = town.world.jenkins.requests.total()
        await town.office.deploy("op-1")
        await town.engineer.until("DeploymentRecord", "op-1", lambda _: town.world.jenkins.requests.total() > asked)
        town.world.broker.faults.freeze()
        assert await operator.terminated() == 0
    town.world.broker.faults.thaw()


async def test_sigterm_before_anything_was_reached_ends_with_0(town: Town, tmp_path: Path) -> None:
    town.world.kube.faults.down = True
    await town.world.broker.faults.down()
    async with an_operator(town.environ, tmp_path / "log") as operator:
        assert (await operator.ask("/readyz"))[0] == 503
        assert await operator.terminated() == 0
    await town.world.broker.faults.up()


async def test_a_port_that_is_taken_ends_it_and_is_named(town: Town, tmp_path: Path) -> None:
    async with an_operator(town.environ, tmp_path / "first") as first:
        port = first.url.rpartition(":")[2]
        async with an_operator(town.environ | {"RECONCILER_HTTP_PORT": port}, tmp_path / "log", wait=False) as second:
            assert await second.ended() != 0
            assert port in second.log.read_text(encoding="utf-8")
