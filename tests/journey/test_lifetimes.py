"""Environments live and end in the sandbox: by their time, and by what people ask on the command line."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from reconciler.app.operator import Operator
from reconciler.cli import main
from reconciler.domain.keys import EVENT
from reconciler.sandbox.world import NAMESPACE
from support.clusters import until
from support.town import PATIENCE, Town, a_town, status_of

ALPHA = "shop--alpha"


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town(RECONCILER_RESYNC_INTERVAL="1s") as town:
        yield town


async def call(town: Town, *words: str, **variables: str) -> Result:
    """Run the program as it is run: on a loop of its own."""
    runner = CliRunner(env={"KUBECONFIG": town.environ["KUBECONFIG"], **variables})
    return await asyncio.to_thread(runner.invoke, main, list(words))


async def deployed(town: Town, operation: str = "op-1", **more: Any) -> None:
    await town.office.deploy(operation, **more)
    assert await town.office.end_of(operation) == "Succeeded"


async def reasons(town: Town) -> list[str]:
    events, _ = await town.engineer.api.list_(EVENT, NAMESPACE)
    return [event["reason"] for event in events if event["involvedObject"]["name"] == ALPHA]


def warnings(town: Town) -> list[dict[str, Any]]:
    return [beat for beat in town.office.heard_of("-") if beat["type"] == "DevOpsEnvironment"]


async def until_expired(town: Town) -> None:
    await town.engineer.until("Environment", ALPHA, lambda body: status_of(body).get("phase") == "Expired")
    assert list(town.world.argocd.applications) == []


async def test_an_environment_is_warned_of_and_ends_and_one_whose_time_came_while_nobody_ran_ends_at_the_start(
    town: Town,
) -> None:
    async with town.operator():
        await town.office.initialize()
        await deployed(town, "op-1", ttl="3s")
        await until(lambda: bool(warnings(town)), PATIENCE)
        await until_expired(town)
        (warning,) = warnings(town)
        assert (warning["environment"], warning["stage"]) == ("alpha", "lifetime")
        await until(lambda: _has(town, "ExpiresSoon"), PATIENCE)
        await deployed(town, "op-2", ttl="2s")
    # Nobody runs while its time comes.
    body = await town.engineer.read("Environment", ALPHA)
    assert status_of(body)["phase"] != "Expired"
    async with town.operator():
        await until_expired(town)


async def _has(town: Town, reason: str) -> bool:
    return reason in await reasons(town)


async def test_people_extend_pin_release_and_end_an_environment_on_the_command_line(town: Town) -> None:
    async with town.operator():
        await town.office.initialize()
        await deployed(town, ttl="1h")
        ends = status_of(await town.engineer.read("Environment", ALPHA))["expiresAt"]

        extended = await call(town, "extend", ALPHA, "24h")
        assert (extended.exit_code, extended.output[: len(ALPHA) + 12]) == (0, f"{ALPHA} expires at ")
        assert status_of(await town.engineer.read("Environment", ALPHA))["expiresAt"] > ends

        pinned = await call(town, "pin", "shop/alpha")
        assert (pinned.exit_code, pinned.output) == (0, f"{ALPHA} does not expire\n")
        refused = await call(town, "expire", ALPHA)
        assert (refused.exit_code, refused.output) == (1, "Error: refused: it is pinned; unpin it first\n")
        unpinned = await call(town, "unpin", ALPHA)
        assert (unpinned.exit_code, "expires at" in unpinned.output) == (0, True)
        released = await call(town, "release", ALPHA)
        assert (released.exit_code, released.output) == (0, f"{ALPHA} was not on hold\n")

        expired = await call(town, "expire", ALPHA)
        assert (expired.exit_code, expired.output) == (0, f"{ALPHA} expires now\n")
        await until_expired(town)
        late = await call(town, "extend", ALPHA, "1h")
        assert (late.exit_code, "refused: it has no end" in late.output) == (1, True)
        assert {"LifetimeChanged", "Pinned", "Unpinned", "Refused", "Expired"} <= set(await reasons(town))


async def test_an_idle_environment_costs_no_look_and_no_write_at_a_resync(town: Town) -> None:
    async with town.operator() as operator:
        await town.office.initialize()
        await deployed(town, ttl="24h")
        await town.engineer.until("Environment", ALPHA, lambda body: status_of(body).get("phase") == "Idle")
        await _passes(operator, 2)
        looks, stored = _looks(operator), await town.engineer.read("Environment", ALPHA)
        await _passes(operator, 3)
        assert _looks(operator) == looks
        assert await town.engineer.read("Environment", ALPHA) == stored


async def _passes(operator: Operator, count: int) -> None:
    """Wait until so many resyncs have ended."""
    for _ in range(count):
        await _another_pass(operator, operator.resync.last)


async def _another_pass(operator: Operator, last: datetime | None) -> None:
    await until(lambda: operator.resync.last != last, PATIENCE)


def _looks(operator: Operator) -> float:
    of = {"lane": "environments", "outcome": "done"}
    return operator.metrics.registry.get_sample_value("reconciler_looks_total", of) or 0.0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("extend", "shop--beta", "1h"), 1, "there is no Environment shop--beta in freeleaps-devops-system"),
        (("extend", ALPHA, "tomorrow"), 2, "must be a duration"),
        (("pin", ALPHA, "--within", "soon"), 2, "must be a duration"),
        (("pin", ALPHA, "--within", "1s"), 75, "no operator has answered in 1s"),
    ],
    ids=["unknown", "no-duration", "no-patience", "no-operator"],
)
async def test_a_command_that_cannot_be_done_says_why(town: Town, words: tuple[str, ...], code: int, said: str) -> None:
    await town.engineer.apply("Environment", ALPHA, {"projectRef": "shop", "name": "alpha"})
    result = await call(town, *words)
    assert (result.exit_code, said in result.output) == (code, True), result.output


async def test_without_a_cluster_a_command_says_so(town: Town) -> None:
    nowhere = await call(town, "pin", ALPHA, KUBECONFIG="")
    assert (nowhere.exit_code, "give --kubeconfig" in nowhere.output) == (78, True), nowhere.output
    town.world.kube.faults.down = True
    away = await call(town, "pin", ALPHA)
    assert away.exit_code == 69, away.output
