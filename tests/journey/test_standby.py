"""Two replicas, one Lease: whatever happens to the one that works, the other ends what it began, once."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from reconciler.app.operator import Operator
from reconciler.domain.keys import LEASE
from reconciler.sandbox.world import NAMESPACE
from support.clusters import until
from support.process import OperatorProcess, an_operator
from support.proxy import CuttableLine
from support.town import PATIENCE, Town, a_town, stage_of, status_of

IMPATIENT = {"RECONCILER_LEASE_DURATION": "2s", "RECONCILER_LEASE_RENEWAL": "200ms"}


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town(**IMPATIENT) as town:
        town.world.jenkins.pace.build = 1.0
        yield town


async def parts_of(operator: Operator) -> tuple[int, dict[str, Any]]:
    """Ask an operator over HTTP how it is."""
    async with aiohttp.ClientSession() as session, session.get(f"{operator.web.url}/readyz?verbose") as answer:
        return answer.status, (await answer.json())["parts"]


async def holder(town: Town) -> str:
    lease = await town.engineer.api.get(LEASE, NAMESPACE, "freeleaps-devops-reconciler")
    return str(lease["spec"]["holderIdentity"]).partition("_")[0]


async def works(operator: Operator) -> None:
    await until(lambda: operator.shift.is_working, PATIENCE)


async def stands_by(operator: Operator) -> None:
    await until(lambda: not operator.shift.is_working, PATIENCE)


async def is_building(town: Town, operation: str = "op-1") -> None:
    await town.engineer.until(
        "DeploymentRecord", operation, lambda body: stage_of(body, "build").get("reason") == "Building"
    )


async def it_ended_once(town: Town, operation: str = "op-1") -> None:
    record = await town.engineer.until(
        "DeploymentRecord", operation, lambda body: status_of(body).get("announced", 0) > 0
    )
    assert status_of(record)["phase"] == "Succeeded"
    assert town.office.ends_of(operation) == ["Succeeded"]
    assert list(town.world.jenkins.effective_builds.values()) == [1]
    assert len(town.world.jenkins.builds) == 1
    assert [sync.result for sync in town.world.argocd.syncs] == ["Succeeded"]


async def test_of_two_replicas_one_works_and_the_other_is_ready(town: Town) -> None:
    async with town.operator(RECONCILER_REPLICA="one") as one:
        await works(one)
        async with town.operator(RECONCILER_REPLICA="two") as two:
            await until(lambda: "one leads" in two.leadership.state().detail)
            await town.office.initialize()
            await town.office.deploy("op-1")
            await it_ended_once(town)

            status, parts = await parts_of(two)
            assert status == 200
            assert parts["leadership"]["detail"] == "standing by; one leads"
            assert (await parts_of(one))[1]["leadership"]["detail"] == "leading"
            assert not two.shift.is_working
            assert two.cache.count("DeploymentRecord") == 1
            shown = two.metrics.render().decode()
            assert "reconciler_leading 0.0" in shown
            assert "reconciler_heartbeats_total{" not in shown
            assert "reconciler_messages_total{" not in shown
            assert "reconciler_looks_total{" not in shown


async def test_who_ends_in_order_hands_over_at_once_and_the_deployment_ends_once(town: Town) -> None:
    async with town.operator(RECONCILER_REPLICA="one") as one:
        await works(one)
        async with town.operator(RECONCILER_REPLICA="two", RECONCILER_LEASE_DURATION="4m") as two:
            await town.office.initialize()
            await town.office.deploy("op-1")
            await is_building(town)
            one.stop()
            await works(two)
            assert await holder(town) == "two"
            await it_ended_once(town)


@contextmanager
def a_way_of_its_own(town: Town, line: CuttableLine, folder: Path) -> Iterator[str]:
    """Write a kubeconfig that leads through the line."""
    path = folder / "kubeconfig"
    path.write_text(town.world.kube.kubeconfig().replace(str(URL(town.world.kube.url).origin()), line.url.rstrip("/")))
    yield str(path)


@pytest.fixture
async def line(town: Town) -> AsyncIterator[CuttableLine]:
    line = CuttableLine(town.world.kube.url)
    await line.start()
    yield line
    await line.stop()


async def test_who_hears_nothing_of_the_api_server_stops_in_time_and_stands_by(
    town: Town, line: CuttableLine, tmp_path: Path
) -> None:
    with a_way_of_its_own(town, line, tmp_path) as kubeconfig:
        async with (
            town.operator(RECONCILER_REPLICA="one", KUBECONFIG=kubeconfig) as one,
        ):
            await works(one)
            async with town.operator(RECONCILER_REPLICA="two") as two:
                await town.office.initialize()
                await town.office.deploy("op-1")
                await is_building(town)
                first_life = one.shift.me
                line.hold_answers()
                await stands_by(one)
                assert not two.shift.is_working
                await works(two)
                await it_ended_once(town)
                line.cut()
                await until(lambda: "two leads" in one.leadership.state().detail, PATIENCE)
                assert (await parts_of(one))[0] == 200
                two.stop()
                await works(one)
                assert one.shift.me != first_life
                await town.office.deploy("op-2")
                assert await town.office.end_of("op-2") == "Succeeded"


async def test_who_is_frozen_and_wakes_does_nothing_more(town: Town, tmp_path: Path) -> None:
    async with an_operator(town.environ | {"RECONCILER_REPLICA": "one"}, tmp_path / "one") as one:
        await until(lambda: says(one, "leading"), PATIENCE)
        async with town.operator(RECONCILER_REPLICA="two") as two:
            await town.office.initialize()
            await town.office.deploy("op-1")
            await is_building(town)
            freeze(one)
            await works(two)
            await it_ended_once(town)
            freeze(one, wake=True)
            await until(lambda: says(one, "standing by; two leads"), PATIENCE)
            await town.office.deploy("op-2")
            assert await town.office.end_of("op-2") == "Succeeded"
            assert town.office.ends_of("op-1") == ["Succeeded"]
            assert sorted(town.world.jenkins.effective_builds.values()) == [1, 1]
            assert (await one.ask("/readyz"))[0] == 200
            assert one.said("error", "critical") == []
            assert await one.terminated() == 0


async def test_who_is_killed_is_followed_and_comes_back_as_a_standby(town: Town, tmp_path: Path) -> None:
    environ = town.environ | {"RECONCILER_REPLICA": "one"}
    async with an_operator(environ, tmp_path / "one") as one:
        await until(lambda: says(one, "leading"), PATIENCE)
        async with town.operator(RECONCILER_REPLICA="two") as two:
            await town.office.initialize()
            await town.office.deploy("op-1")
            await is_building(town)
            await one.killed()
            await works(two)
            async with an_operator(environ, tmp_path / "again") as again:
                await until(lambda: says(again, "standing by; two leads"), PATIENCE)
                await it_ended_once(town)


def freeze(operator: OperatorProcess, *, wake: bool = False) -> None:
    assert operator._process is not None
    operator._process.send_signal(signal.SIGCONT if wake else signal.SIGSTOP)


async def says(operator: OperatorProcess, detail: str) -> bool:
    return bool((await operator.part("leadership"))["detail"] == detail)


async def test_an_api_server_that_is_away_for_both_ends_neither(town: Town) -> None:
    async with (
        town.operator(RECONCILER_REPLICA="one") as one,
        town.operator(RECONCILER_REPLICA="two") as two,
    ):
        await until(lambda: one.shift.is_working or two.shift.is_working, PATIENCE)
        await town.office.initialize()
        await town.office.deploy("op-1")
        await is_building(town)
        town.world.kube.faults.down = True
        await stands_by(one)
        await stands_by(two)
        for operator in (one, two):
            await until(lambda operator=operator: "cannot be reached" in operator.leadership.state().detail, PATIENCE)
            assert (await parts_of(operator))[1]["leadership"]["state"] == "degraded"
        town.world.kube.faults.down = False
        await until(lambda: one.shift.is_working or two.shift.is_working, PATIENCE)
        await it_ended_once(town)
        await asyncio.sleep(0)
        assert one.shift.is_working != two.shift.is_working
