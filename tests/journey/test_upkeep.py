"""What people change by hand in Argo CD and in the zone: put right within an interval."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.clusters import until
from support.town import PATIENCE, Town, a_town, condition_of, status_of

ALPHA, APPLICATION, DOMAIN = "shop--alpha", "shop--alpha--api", "acme.example"
NAMES = ("A", "api.alpha"), ("TXT", "_freeleaps-a.api.alpha")


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town(RECONCILER_RESYNC_INTERVAL="1s", ENVIRONMENTS_UPKEEP_INTERVAL="3s") as town:
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


def _all_done(status: dict[str, Any]) -> bool:
    return bool(status.get("steps")) and all(step["state"] == "Done" for step in status["steps"])


def _is_whole_again(body: dict[str, Any]) -> bool:
    return len(_repaired(status_of(body))) > 1 and condition_of(body)["status"] == "True"


def _repaired(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in status.get("drift", []) if one["state"] == "Repaired"]
