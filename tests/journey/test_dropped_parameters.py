"""A Jenkinsfile with a `parameters` block takes our parameters from the job after each run."""

from collections.abc import AsyncIterator

import pytest

from reconciler.domain.keys import Body
from support.town import Town, a_town, stage_of, status_of


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town() as town:
        yield town


def end_of(body: Body) -> tuple[str, str]:
    return status_of(body)["phase"], status_of(body)["reason"]


async def test_dropped_parameters_are_declared_once_and_then_named(town: Town) -> None:
    async with town.operator():
        await town.office.initialize()
        settings = await town.engineer.ready("JenkinsSettings")
        job = next(item["name"] for item in status_of(settings)["inventory"] if item["kind"] == "Job")
        town.world.jenkins.drop_parameters(job)
        ends = []
        for number in (1, 2, 3):
            await town.engineer.deploy(f"op-{number}")
            ends.append(end_of(await town.engineer.ended(f"op-{number}")))
        assert ends == [("Succeeded", "Deployed")] * 2 + [("Failed", "PipelineDropsParameters")]
        assert len(town.world.jenkins.builds) == 2
        failed = stage_of(await town.engineer.read("DeploymentRecord", "op-3"), "build")
        assert "Jenkinsfile" in failed["message"]
        town.world.jenkins.drop_parameters(job, drops=False)
