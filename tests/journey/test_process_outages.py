"""Systems that are away when the operator starts, or go away while it works: it stays up, says so, and goes on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from reconciler.sandbox.weather import Weather
from support.clusters import until
from support.process import OperatorProcess, an_operator
from support.town import SHOP, Town, a_town, condition_of, message_of, stage_of, status_of


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town(RECONCILER_HEARTBEAT_INTERVAL="500ms") as town:
        yield town


async def state_of(operator: OperatorProcess, part: str) -> str:
    return str((await operator.part(part))["state"])


async def test_without_an_api_server_it_starts_says_so_and_goes_on_when_there_is_one(
    town: Town, tmp_path: Path
) -> None:
    town.world.kube.faults.down = True
    async with an_operator(town.environ, tmp_path / "log") as operator:
        await town.office.initialize()
        assert (await operator.ask("/livez"))[0] == 200
        assert (await operator.ask("/readyz"))[0] == 503
        shown = await operator.part("kubernetes_api")
        assert shown["state"] == "failed"
        assert "not everything is listed yet" in shown["detail"]
        await until(lambda: operator.said("warning"))
        assert any("resync failed" in line for line in operator.said("warning"))
        town.world.kube.faults.down = False
        await operator.ready()
        await town.engineer.ready()
        assert await town.office.end_of("op-init") == "Succeeded"
        assert await operator.terminated() == 0


async def test_an_outage_of_the_api_server_leaves_the_rest_up_and_work_goes_on_after_it(
    town: Town, tmp_path: Path
) -> None:
    town.world.jenkins.pace.build = 1.0
    async with an_operator(town.environ, tmp_path / "log") as operator:
        await town.office.initialize()
        await town.engineer.ready()
        await town.office.deploy("op-1")
        await town.engineer.until(
            "DeploymentRecord", "op-1", lambda b: stage_of(b, "build").get("reason") == "Building"
        )
        town.world.kube.faults.down = True
        await until(lambda: is_in_state(operator, "kubernetes_api", "degraded"))
        heard = len(town.office.heard_of("op-1"))
        await until(lambda: len(town.office.heard_of("op-1")) > heard + 1)
        assert (await operator.ask("/livez"))[0] == 200
        assert (await operator.ask("/metrics"))[0] == 200
        await town.office.deploy("op-2")
        town.world.kube.faults.down = False
        assert await town.office.end_of("op-1") == "Succeeded"
        assert await town.office.end_of("op-2") == "Succeeded"
        await until(lambda: is_in_state(operator, "kubernetes_api", "ok"))
        assert await operator.terminated() == 0
    assert sorted(town.world.jenkins.effective_builds.values()) == [1, 1]


async def test_what_happens_while_watches_are_cut_and_expired_is_seen_when_they_are_back(
    town: Town, tmp_path: Path
) -> None:
    async with an_operator(town.environ, tmp_path / "log") as operator:
        await town.office.initialize()
        await town.engineer.ready()
        town.world.kube.faults.expire_watches()
        town.world.kube.faults.cut_line()
        await town.engineer.deploy("op-1")
        assert await town.office.end_of("op-1") == "Succeeded"
        assert (await operator.ask("/livez"))[0] == 200
        assert await operator.terminated() == 0


async def is_in_state(operator: OperatorProcess, part: str, state: str) -> bool:
    return await state_of(operator, part) == state


async def test_without_a_broker_it_starts_works_and_tells_when_there_is_one(town: Town, tmp_path: Path) -> None:
    await town.world.broker.faults.down()
    async with an_operator(town.environ, tmp_path / "log") as operator:
        await operator.ready()
        assert await state_of(operator, "rabbitmq_connection") == "degraded"
        await project_by_hand(town)
        await town.engineer.deploy("op-1")
        record = await town.engineer.ended("op-1")
        assert status_of(record)["phase"] == "Succeeded"
        assert status_of(record).get("announced", 0) < status_of(record)["sequence"]
        await town.world.broker.faults.up()
        assert await town.office.end_of("op-1") == "Succeeded"
        await town.engineer.until(
            "DeploymentRecord", "op-1", lambda body: status_of(body).get("announced", 0) >= status_of(body)["sequence"]
        )
        assert await operator.terminated() == 0


@pytest.mark.parametrize("how", ["down", "frozen"])
async def test_a_broker_that_goes_away_in_the_middle_stops_no_deployment_and_misses_no_end(
    town: Town, tmp_path: Path, how: str
) -> None:
    town.world.jenkins.pace.build = 1.0
    faults = town.world.broker.faults
    async with an_operator(
        town.environ | {"RABBITMQ_CONNECTION_HEARTBEAT": "1s", "RABBITMQ_PUBLISH_TIMEOUT": "2s"}, tmp_path / "log"
    ) as operator:
        await town.office.initialize()
        await town.engineer.ready()
        await town.office.deploy("op-1")
        await town.engineer.until(
            "DeploymentRecord", "op-1", lambda b: stage_of(b, "build").get("reason") == "Building"
        )
        if how == "down":
            await faults.down()
        else:
            faults.freeze()
        assert status_of(await town.engineer.ended("op-1"))["phase"] == "Succeeded"
        await until(lambda: is_in_state(operator, "rabbitmq_connection", "degraded"), 40)
        assert town.office.ends_of("op-1") == []
        faults.thaw()
        await faults.up()
        assert await town.office.end_of("op-1") == "Succeeded"
        await town.office.deploy("op-2")
        assert await town.office.end_of("op-2") == "Succeeded"
        assert await operator.terminated() == 0


async def test_an_end_that_the_broker_never_heard_of_is_told_by_the_next_life(town: Town, tmp_path: Path) -> None:
    async with an_operator(town.environ, tmp_path / "first") as first:
        await town.office.initialize()
        await town.engineer.ready()
        await town.world.broker.faults.down()
        await town.engineer.deploy("op-1")
        await town.engineer.ended("op-1")
        assert await first.terminated() == 0
    await town.world.broker.faults.up()
    assert town.office.ends_of("op-1") == []
    async with an_operator(town.environ, tmp_path / "second"):
        assert await town.office.end_of("op-1") == "Succeeded"


async def test_without_outside_systems_it_starts_names_them_and_goes_on_when_they_are_there(
    town: Town, tmp_path: Path
) -> None:
    town.world.set_weather(Weather.DOWN)
    async with an_operator(town.environ | {"RECONCILER_BREAKER_FAILURES": "2"}, tmp_path / "log") as operator:
        await town.office.initialize()
        await operator.ready()
        for kind, condition in (
            ("JenkinsSettings", "JenkinsReachable"),
            ("ArgoSettings", "ArgoReachable"),
            ("ContainerRegistry", "RegistryReachable"),
            ("DNSZone", "DNSReachable"),
        ):
            body = await town.engineer.until(kind, "shop", lambda b, c=condition: condition_of(b, c).get("status"))
            assert condition_of(body, condition)["status"] == "False"
            assert "to answer" in message_of(body)
        for part in ("jenkins_connection", "argocd_connection", "registry", "dns"):
            await until(lambda part=part: is_in_state(operator, part, "degraded"), 40)
        assert (await operator.ask("/readyz"))[0] == 200
        town.world.set_weather(Weather.CALM)
        assert await town.office.end_of("op-init") == "Succeeded"
        body = await town.engineer.read("JenkinsSettings", "shop")
        assert condition_of(body, "JenkinsReachable")["status"] == "True"
        assert operator.said("error", "critical") == []


async def project_by_hand(town: Town) -> None:
    await town.engineer.apply("DevOpsProject", "shop", SHOP)
    await town.engineer.ready()
