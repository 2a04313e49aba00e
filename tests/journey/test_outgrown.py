"""A job and an AppProject that get another name during a build: what had the former goes, what runs moves along."""

from typing import Any

from reconciler.domain.keys import named
from reconciler.sandbox.remains import remains, standing
from support.clusters import until
from support.town import PATIENCE, Town, a_town, is_ready

APPLICATION = "shop--alpha--api"
FORMER = "freeleaps/shop"
QUICK = {"RECONCILER_RESYNC_INTERVAL": "1s", "ENVIRONMENTS_UPKEEP_INTERVAL": "2s", "RECONCILER_DRIFT_INTERVAL": "2s"}


def jobs_of(town: Town, operation: str) -> list[str]:
    """Return the job of each build that was ever started for an operation."""
    return [one.job for one in town.world.jenkins.builds if one.parameters["OPERATION_ID"] == operation]


async def edit(town: Town, kind: str, **spec: Any) -> None:
    await town.engineer.api.patch(named(kind), town.engineer.namespace, "shop", {"spec": spec})


async def test_what_had_the_former_name_goes_and_what_runs_moves_along() -> None:
    async with a_town(**QUICK) as town, town.operator():
        before = standing(town.world)
        await town.office.initialize()
        await town.office.deploy("op-1")
        assert await town.office.end_of("op-1") == "Succeeded"
        jenkins, argo = town.world.jenkins.root, town.world.argocd

        await town.office.deploy("op-2")
        await until(lambda: jobs_of(town, "op-2") == [FORMER], PATIENCE)
        await edit(town, "JenkinsSettings", job="renamed", pollInterval="2s")
        assert await town.office.end_of("op-2") == "Succeeded"
        assert jobs_of(town, "op-2") == [FORMER]
        await edit(town, "ArgoSettings", project="renamed")
        await until(lambda: jenkins.find(["freeleaps", "shop"]) is None, PATIENCE)
        assert jenkins.find(["freeleaps", "renamed"]) is not None
        await until(lambda: "shop" not in argo.projects, PATIENCE)
        assert argo.applications[APPLICATION]["spec"]["project"] == "renamed"

        await town.engineer.until("ArgoSettings", "shop", _has_only_the_new)
        await town.engineer.delete("DevOpsProject", "shop")
        await town.engineer.gone("DevOpsProject", "shop")
        assert list(remains(town.world, before).problems) == []


def _has_only_the_new(body: dict[str, Any]) -> bool:
    inventory = body["status"]["inventory"]
    places = {item["place"] or item["name"] for item in inventory}
    return places == {"renamed"} and is_ready(body)
