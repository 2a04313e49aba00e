"""Finished records in the sandbox go when nobody needs them any more."""

from support.town import SHOP, a_town


async def test_records_that_nobody_needs_go_and_what_is_current_stays() -> None:
    variables = {"RECONCILER_RECORDS_KEPT": "1", "RECONCILER_MESSAGE_DEDUPE_WINDOW": "2s"}
    async with a_town(**variables) as town, town.operator():
        await town.engineer.apply("DevOpsProject", "shop", SHOP)
        for operation in ("op-1", "op-2", "op-3"):
            await town.engineer.deploy(operation)
            assert (await town.engineer.ended(operation))["status"]["phase"] == "Succeeded"
        for operation in ("op-1", "op-2"):
            assert await town.office.end_of(operation) == "Succeeded"
            await town.engineer.gone("DeploymentRecord", operation)
        kept = await town.engineer.read("DeploymentRecord", "op-3")
        assert "deletionTimestamp" not in kept["metadata"]
        environment = await town.engineer.read("Environment", "shop--alpha")
        assert environment["status"]["current"]["api"]["record"] == "op-3"
