"""Somebody who changes, removes or builds again in Jenkins and Argo CD what is ours there: it is put right."""

# ruff: noqa: S311 - dice, not secrets

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from tests.simulation.replica import Outside
from tests.simulation.world import World

from reconciler.domain.outside.applications import ProjectShape
from reconciler.domain.outside.builds import Job, JobShape

_PROJECT = "shop"


class ForeignHand:
    """The other hand. It takes no marks away: what carries none of ours is not ours any more."""

    def __init__(self, world: World, outside: Outside) -> None:
        self._world, self._outside = world, outside
        self._dice = Random(f"foreign hand {world.seed}")
        self._job: JobShape | None = None
        """As it was left."""
        self._changed = self._removed = ""
        """The job that was changed, and that was removed."""
        self._project: ProjectShape | None = None

    def move_in(self) -> None:
        """Put what it will do on the clock: too little for a fight."""
        for _ in range(self._dice.choice((0, 0, 0, 1, 2))):
            act = self._dice.choice((self._change_job, self._remove_job, self._change_project))
            self._world.loop.call_in_world(self._dice.uniform(30, self._world.calm_at - 200), act)
        jenkins = self._outside.jenkins
        jenkins.to_rebuild = self._dice.choice((0, 0, 0, 0, 0, 1, 3))
        if jenkins.to_rebuild:
            jenkins.may_cancel_from = self._dice.choice((0.0, self._dice.uniform(100, self._world.calm_at)))

    def unrepaired(self) -> Iterator[str]:
        """Yield what is still as it was left, although those who made it are there to see it.

        Settings that a person made outlive their project, whose job is nobody's then.
        """
        kube, jenkins, argo = self._outside.kube, self._outside.jenkins, self._outside.argo
        name, project = self._name(), argo.projects.get(_PROJECT)
        job = jenkins.jobs.get(name)
        if name and kube.get("DevOpsProject", "shop"):
            if self._removed == name and job is None:
                yield f"Job {name} was removed by a foreign hand, and is not there again"
            if self._changed == name and job is not None and job.shape == self._job:
                yield f"Job {name} was changed by a foreign hand, and is not put right"
        is_left = self._project is not None and project is not None and project.shape == self._project
        if is_left and kube.get("ArgoSettings", "shop"):
            yield f"AppProject {_PROJECT} was changed by a foreign hand, and is not put right"

    def _change_job(self) -> None:
        if (job := self._ours()) is None or job.shape is None:
            return
        changes = self._dice.choice(({"script": "echo no"}, {"parameters": job.shape.parameters[1:]}))
        self._job = replace(job.shape, **changes)
        self._changed = self._name()
        self._world.note(
            f"a foreign hand changes {' and '.join(changes)} of job {self._changed}", count="foreign changes"
        )
        self._outside.jenkins.keep(replace(job, shape=self._job))

    def _remove_job(self) -> None:
        if self._ours() is not None:
            self._removed = self._name()
            self._world.note(f"a foreign hand removes job {self._removed}", count="foreign changes")
            self._outside.jenkins.delete(self._removed, keeps_builds=True)

    def _change_project(self) -> None:
        project = self._outside.argo.projects.get(_PROJECT)
        if project is not None and project.marker is not None:
            self._project = replace(project.shape, source_repos=("https://git.example.com/acme/other.git",))
            self._world.note(f"a foreign hand changes AppProject {_PROJECT}", count="foreign changes")
            self._outside.argo.keep_project(replace(project, shape=self._project))

    def _ours(self) -> Job | None:
        return self._outside.jenkins.jobs.get(self._name())

    def _name(self) -> str:
        """Return the job that the settings name, with its folder; empty without them."""
        spec = (self._outside.kube.get("JenkinsSettings", "shop") or {}).get("spec")
        return f"{spec['folder']}/{spec.get('job') or spec['projectRef']}" if spec else ""
