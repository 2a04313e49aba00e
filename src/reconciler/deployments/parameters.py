"""The parameters of a job: the build server ignores those that the job does not declare, without a word.

A Jenkinsfile with a `parameters` block replaces the job's declarations with its own after the first run. What is
missing is declared again once; when a run has taken it away again, only the Jenkinsfile can be changed.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

from reconciler.deployments.scene import Scene
from reconciler.domain.answers import Answer, Facts, Failed, Nudge, Waiting
from reconciler.domain.errors import Missing, NotFound
from reconciler.domain.outside.builds import Job, JobPath, JobShape
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import StageName, StageStatus, StepState
from reconciler.domain.wanted import job_parameters

REPAIR = "/parameters"
_REPAIRED = "repaired"


class DeclaringJobs(Protocol):
    """The jobs of one build server."""

    async def list_parameters(self, path: JobPath) -> tuple[str, ...]:
        """Return the parameters that the job takes. Raises NotFound."""
        ...

    async def find_job(self, path: JobPath) -> Job | None:
        """Return the job, if it is there."""
        ...

    async def update_job(self, path: JobPath, shape: JobShape, marker: Marker) -> None:
        """Make the job what is wanted."""
        ...


def is_repairing(step: StageStatus) -> bool:
    """Tell whether the step's last claim was to declare parameters: no build was asked for since."""
    return step.claim is not None and step.claim.key.endswith(REPAIR)


async def before_start(scene: Scene, jobs: DeclaringJobs, path: JobPath, start: Nudge) -> Answer:
    """Return what starts the build when the job takes all its parameters; else what is to be done before."""
    wanted = job_parameters(scene.jenkins)
    try:
        declared = await jobs.list_parameters(path)
    except NotFound as error:
        raise no_job(scene, path) from error
    missing = [name for name in wanted if name not in declared]
    if not missing:
        return start
    return await _repair(scene, jobs, path, start, missing)


def no_job(scene: Scene, path: JobPath) -> Missing:
    """Return what is raised when there is no job yet."""
    return Missing(f"job {path.folder}/{path.name}, which JenkinsSettings {scene.jenkins.name} makes", system="jenkins")


async def _repair(scene: Scene, jobs: DeclaringJobs, path: JobPath, start: Nudge, missing: list[str]) -> Answer:
    names, where = ", ".join(missing), f"job {path.folder}/{path.name}"
    if dropped := [name for name in missing if name in _repaired_by_last_run(scene)]:
        message = (
            f"{where} lost {', '.join(dropped)} again after a run: declare them in the parameters of the Jenkinsfile"
        )
        return Failed("PipelineDropsParameters", message)
    job = await jobs.find_job(path)
    if job is None:
        raise no_job(scene, path)
    shape, marker = job.shape, job.marker
    if shape is None or marker is None or marker.uid != scene.jenkins.metadata.uid:
        remedy = "declare them there: the job is not ours"
        return Waiting(f"{where} to take {names}", reason="ParametersMissing", remedy=remedy, system="jenkins")

    async def act() -> Facts:
        await jobs.update_job(path, replace(shape, parameters=job_parameters(scene.jenkins)), marker)
        return {_REPAIRED: names}

    before = ", ".join(shape.parameters)
    what = f"declare {names} in {where}"
    return Nudge(f"{start.identity}{REPAIR}", act, what, system="jenkins", before=before, is_repeatable=True)


def _repaired_by_last_run(scene: Scene) -> frozenset[str]:
    """Return the parameters that were declared anew for the build of this project that ran last."""
    last = max(_runs(scene), key=lambda run: (run.finished_at is not None, run.finished_at), default=None)
    return frozenset(last.facts.get(_REPAIRED, "").split(", ")) if last else frozenset()


def _runs(scene: Scene) -> Iterator[StageStatus]:
    own = [stage for key, stage in scene.steps.items() if key[0] is StageName.BUILD]
    others = (record.status.stages for record in scene.records() if record.metadata.uid != scene.record.metadata.uid)
    for stage in [*own, *(stage for stages in others for stage in stages if stage.name is StageName.BUILD)]:
        if stage.state in (StepState.DONE, StepState.FAILED) and stage.external_id:
            yield stage
