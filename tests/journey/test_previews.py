"""Previews in a running world: side by side at their own addresses, refused beyond their number, gone at their end."""

from reconciler.domain.keys import named
from reconciler.domain.names import record_name
from reconciler.sandbox.remains import remains, standing
from support.town import SHOP, a_town, status_of

PREVIEW = {"domain": "{environment}.preview.acme.example", "dnsTarget": "203.0.113.9", "ttl": "1d", "max": 2}


async def test_previews_run_side_by_side_up_to_their_number_and_go_without_a_trace() -> None:
    async with a_town() as town, town.operator():
        office, engineer, world = town.office, town.engineer, town.world
        before = standing(world)
        await office.initialize(spec={**SHOP, "environments": [], "preview": PREVIEW})
        await engineer.ready()
        for number in (1, 2):
            await office.deploy(f"op-{number}", environment=f"pr-{number}")
        assert [await office.end_of(f"op-{number}") for number in (1, 2)] == ["Succeeded", "Succeeded"]
        for name in ("api.pr-1.preview", "api.pr-2.preview"):
            assert world.godaddy.values("acme.example", "A", name) == ["203.0.113.9"]

        await office.deploy("op-3", environment="pr-3")
        assert await office.end_of("op-3") == "Failed"
        record = await engineer.read("DeploymentRecord", record_name("op-3"))
        assert status_of(record)["reason"] == "TooManyPreviews"
        assert "TooManyPreviews" in str(office.heard_of("op-3")[-1])

        for number in (1, 2):
            patch = {"metadata": {"annotations": {"freeleaps.com/expire": "now"}}}
            await engineer.api.patch(named("Environment"), engineer.namespace, f"shop--pr-{number}", patch)
        for number in (1, 2):
            await engineer.gone("Environment", f"shop--pr-{number}")
        await office.deploy("op-4", environment="pr-3")
        assert await office.end_of("op-4") == "Succeeded"

        await engineer.delete("DevOpsProject", "shop")
        await engineer.gone("DevOpsProject", "shop")
        assert list(remains(world, before).problems) == []
