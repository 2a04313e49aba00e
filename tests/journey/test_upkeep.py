"""What people change by hand in Argo CD and in the zone: put right within an interval, or reported, and planned."""

import asyncio
import os
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from typing import Any

import pytest

from reconciler.domain.keys import named
from support.clusters import until
from support.sandboxed import PROGRAM
from support.town import PATIENCE, SHOP, Town, a_town, condition_of, status_of

ALPHA, APPLICATION, DOMAIN = "shop--alpha", "shop--alpha--api", "acme.example"
NAMES = ("A", "api.alpha"), ("TXT", "_freeleaps-a.api.alpha")


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town(RECONCILER_RESYNC_INTERVAL="1s", ENVIRONMENTS_UPKEEP_INTERVAL="2s") as town:
        yield town


def path_of(town: Town) -> str:
    return str(town.world.argocd.applications[APPLICATION]["spec"]["source"]["path"])


def values(town: Town, kind: str, name: str) -> list[str]:
    return town.world.godaddy.values(DOMAIN, kind, name)


def meddle(town: Town) -> None:
    """Edit the application and take the record and its mark away, as somebody does by hand."""
    town.world.argocd.edit(APPLICATION, {"spec": {"source": {"path": "by-hand"}}})
    zone = town.world.godaddy.zone(DOMAIN)
    zone.set(one for one in zone.records if (one.type, one.name) not in NAMES)


async def test_what_people_change_by_hand_is_put_right(town: Town) -> None:
    async with town.operator():
        await town.office.initialize()
        await town.office.deploy("op-1")
        assert await town.office.end_of("op-1") == "Succeeded"
        wanted, marks = path_of(town), values(town, *NAMES[1])
        assert (values(town, *NAMES[0]), len(marks)) == (["203.0.113.7"], 1)
        await town.engineer.until("Environment", ALPHA, lambda body: _all_done(status_of(body)))

        meddle(town)
        await until(lambda: path_of(town) == wanted and values(town, *NAMES[0]) == ["203.0.113.7"], PATIENCE)
        assert values(town, *NAMES[1]) == marks
        await town.engineer.until("Environment", ALPHA, _is_whole_again)


async def test_with_the_policy_report_it_is_told_and_planned_and_nothing_is_changed_until_repair_is_wanted(
    town: Town,
) -> None:
    async with town.operator():
        await town.office.initialize(spec={**SHOP, "driftPolicy": "Report"})
        await town.office.deploy("op-1")
        assert await town.office.end_of("op-1") == "Succeeded"
        wanted = path_of(town)
        await town.engineer.until("Environment", ALPHA, lambda body: _all_done(status_of(body)))
        assert await plan(town) == (0, "Plan: 0 to create, 0 to update, 0 to delete.\n")

        meddle(town)
        left = values(town, *NAMES[0]), path_of(town), town.world.argocd.requests["PATCH /api/v1/applications/{name}"]
        body = await town.engineer.until("Environment", ALPHA, lambda body: len(_in_state(body, "Reported")) > 1)
        drifted = condition_of(body, "Drifted")
        assert (drifted["status"], condition_of(body)["status"]) == ("True", "True")
        assert "~ Application shop--alpha--api" in drifted["message"]
        told = await until_told(town, "Drifted")
        assert any("~ Application shop--alpha--api  path: by-hand -> " in text for text in told)

        checks = _requests(town)
        status, text = await plan(town)
        assert (status, text.splitlines()[-1]) == (2, "Plan: 1 to create, 1 to update, 0 to delete.")
        assert "  ~ Application shop--alpha--api" in text.splitlines()
        assert "drift that is only reported: driftPolicy is Report" in text
        await until(lambda: _requests(town) > checks + 2, PATIENCE)  # the operator has looked again, too
        patches = town.world.argocd.requests["PATCH /api/v1/applications/{name}"]
        assert (values(town, *NAMES[0]), path_of(town), patches) == left

        await town.office.initialize(spec={**SHOP, "driftPolicy": "Repair"}, operation="op-2")
        await until(lambda: path_of(town) == wanted and values(town, *NAMES[0]) == ["203.0.113.7"], PATIENCE)
        await town.engineer.until("Environment", ALPHA, lambda body: not _in_state(body, "Reported"))
        assert await plan(town) == (0, "Plan: 0 to create, 0 to update, 0 to delete.\n")


async def plan(town: Town) -> tuple[int, str]:
    """Run the real command beside the operator."""
    known = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **town.environ}
    program = await asyncio.create_subprocess_exec(PROGRAM, "plan", env=known, stdout=PIPE, stderr=STDOUT)
    said, _ = await program.communicate()
    assert program.returncode is not None
    return program.returncode, said.decode()


async def until_told(town: Town, reason: str) -> list[str]:
    """Wait until an Event of the environment has this reason, and return what those say."""
    told: list[str] = []

    async def is_told() -> bool:
        events, _ = await town.engineer.api.list_(named("Event"), town.engineer.namespace)
        of_alpha = (event for event in events if event["involvedObject"]["name"] == ALPHA)
        told[:] = [event["message"] for event in of_alpha if event["reason"] == reason]
        return bool(told)

    await until(is_told, PATIENCE)
    return told


def _requests(town: Town) -> int:
    """Count the reads by which applications are compared."""
    return town.world.argocd.requests["GET /api/v1/applications"]


def _all_done(status: dict[str, Any]) -> bool:
    return bool(status.get("steps")) and all(step["state"] == "Done" for step in status["steps"])


def _is_whole_again(body: dict[str, Any]) -> bool:
    return len(_in_state(body, "Repaired")) > 1 and condition_of(body)["status"] == "True"


def _in_state(body: dict[str, Any], state: str) -> list[dict[str, Any]]:
    return [one for one in status_of(body).get("drift", []) if one["state"] == state]
