"""A waiting deployment costs no request of its own: what is asked in a while is the same for one and for twenty."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from reconciler.sandbox.argocd.controller import Pace
from support.clusters import until
from support.town import SHOP, Town, a_town, stage_of

POLLS = 8
"""Of the one list of builds, one each 200 ms."""
LIST = "GET /{item}api/json"
OUTSIDE = ("jenkins", "argocd", "dockerhub", "godaddy", "kube")


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    # Heartbeats go to the broker; what the API server is asked for them would be asked for each deployment.
    async with a_town() as town:
        yield town


async def many(town: Town, count: int) -> list[str]:
    """Start deployments, each into an environment of its own."""
    names = [f"e{number}" for number in range(count)]
    await town.engineer.apply("DevOpsProject", "shop", SHOP | {"environments": [{"name": name} for name in names]})
    await town.engineer.ready()
    for name in names:
        await town.engineer.deploy(f"op-{name}", name)
    return [f"op-{name}" for name in names]


def asked(town: Town) -> dict[str, Counter[str]]:
    return {name: Counter(getattr(town.world, name).requests) for name in OUTSIDE}


def quiet_of(counts: dict[str, Counter[str]]) -> Counter[str]:
    """Return what is asked of who says nothing while all wait; that one replica is active is said all the time."""
    others = (counts[name] for name in OUTSIDE if name != "jenkins")
    return Counter({what: n for each in others for what, n in each.items() if not what.endswith(" leases")})


async def calmed_down(town: Town) -> None:
    """Let what the last look caused come to its end: events posted, feeds connected."""
    before = None
    while before != (before := quiet_of(asked(town))):  # noqa: ASYNC110 - the simulators count, and tell nobody
        await asyncio.sleep(1.0)


async def asked_during(town: Town, polls: int) -> dict[str, Counter[str]]:
    """Return what is asked of each system in each of two whiles, in which the list of builds is taken so many times.

    What settings compare every five minutes, at a moment of their own, falls into one of them at most.
    """
    await calmed_down(town)
    first, second = [await _asked_within(town, 0.2 * polls) for _ in range(2)]
    return {name: first[name] & second[name] for name in OUTSIDE}


async def _asked_within(town: Town, seconds: float) -> dict[str, Counter[str]]:
    begun = asked(town)
    await asyncio.sleep(seconds)
    ended = asked(town)
    spent = {name: ended[name] - begun[name] for name in OUTSIDE}
    # That one replica is active is said every few seconds, whoever waits.
    spent["kube"] = Counter({what: n for what, n in spent["kube"].items() if not what.endswith(" leases")})
    return spent


def asked_of(spent: dict[str, Counter[str]], *names: str) -> dict[str, dict[str, int]]:
    return {name: dict(spent[name]) for name in names if spent[name]}


@pytest.mark.parametrize("count", [1, 20])
async def test_waiting_builds_cost_one_list_at_a_time_however_many_they_are(town: Town, count: int) -> None:
    town.world.jenkins.pace.build = 600.0
    async with town.operator():
        for name in await many(town, count):
            await town.engineer.until(
                "DeploymentRecord", name, lambda b: stage_of(b, "build").get("reason") == "Building"
            )
        spent = await asked_during(town, POLLS)
        assert set(spent["jenkins"]) <= {LIST, "GET /queue/api/json"}
        assert max(spent["jenkins"].values()) <= POLLS + 1
        assert asked_of(spent, "argocd", "dockerhub", "godaddy", "kube") == {}


@pytest.mark.parametrize("count", [1, 20])
async def test_waiting_syncs_cost_one_stream_however_many_they_are(town: Town, count: int) -> None:
    town.world.argocd.controller.pace = Pace(sync=600.0)
    async with town.operator():
        for name in await many(town, count):
            await town.engineer.until(
                "DeploymentRecord", name, lambda b: stage_of(b, "sync").get("reason") == "Syncing"
            )
        await until(lambda: town.world.argocd.requests["GET /api/v1/stream/applications"] == 1)
        spent = await asked_during(town, POLLS)
        assert sum(spent["argocd"].values()) <= 1
        assert asked_of(spent, "dockerhub", "godaddy", "kube") == {}
