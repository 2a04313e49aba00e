"""What a project has in Jenkins: a folder, its git credentials there, and one job."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from reconciler.domain.answers import Answer, Done, Nudge
from reconciler.domain.changes import Action, Change, difference, fingerprint
from reconciler.domain.outside.builds import Credential, Folder, GitLogin, Job, JobPath, JobShape
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import DevOpsProject, InventoryItem, JenkinsSettings
from reconciler.domain.wanted import intended, job_parameters, job_path
from reconciler.engine.drifting import name_taken
from reconciler.projects.setup import SetupLook, bring, step_name

_SYSTEM = "jenkins"


class Jobs(Protocol):
    """Folders, jobs and credentials of one build server."""

    async def version(self) -> str:
        """Return the server's version."""
        ...

    async def find_folder(self, path: str) -> Folder | None:
        """Return the folder, if it is there."""
        ...

    async def latest_folder(self, path: str) -> Folder | None:
        """Return the folder as it was within the last minute; None: ask `find_folder`."""
        ...

    async def create_folder(self, path: str, marker: Marker) -> None:
        """Make a folder; its parent must exist. Raises AlreadyExists."""
        ...

    async def find_job(self, path: JobPath) -> Job | None:
        """Return the job, if it is there."""
        ...

    async def create_job(self, path: JobPath, shape: JobShape, marker: Marker) -> None:
        """Make a job. Raises AlreadyExists."""
        ...

    async def update_job(self, path: JobPath, shape: JobShape, marker: Marker) -> None:
        """Make the job what is wanted."""
        ...

    async def find_credential(self, folder: str, identity: str) -> Credential | None:
        """Return the credential, if it is there; its secret never comes back."""
        ...

    async def latest_credential(self, folder: str, identity: str) -> Credential | None:
        """Return the credential as it was within the last minute; None: ask `find_credential`."""
        ...

    async def apply_credential(self, folder: str, login: GitLogin, marker: Marker) -> None:
        """Make the credential, or write it whole anew."""
        ...


@dataclass(frozen=True, slots=True)
class JenkinsSetup:
    """The steps of one JenkinsSettings."""

    jobs: Jobs
    settings: JenkinsSettings
    project: DevOpsProject
    login: GitLogin | None
    marker: Marker
    adopted: frozenset[str] = frozenset()
    """Foreign objects that a person tells us to take over."""

    def looks(self) -> Sequence[SetupLook]:
        """Return the steps in order."""
        path, login = job_path(self.project.name, self.settings), self.login
        return [
            *(
                SetupLook(
                    step_name(f"folder {part}"),
                    partial(self._folder, part),
                    self._item("Folder", part),
                    wanted=fingerprint(part),
                )
                for part in _parts(path.folder)
            ),
            *([self._credential_look(login)] if login else []),
            SetupLook("job", self._job, self._item("Job", _name(path)), wanted=self._wanted_job()),
        ]

    def _credential_look(self, login: GitLogin) -> SetupLook:
        name = f"{self.settings.spec.folder}/{login.id}"
        wanted = fingerprint(name, self.marker, login.version)
        look, renewal = partial(self._credential, login, name, wanted), partial(self._made_anew, login, name, wanted)
        return SetupLook("credential", look, self._item("Credential", name), wanted=wanted, renewal=renewal)

    def _made_anew(self, login: GitLogin, name: str, wanted: str) -> Nudge:
        act = partial(self.jobs.apply_credential, self.settings.spec.folder, login, self.marker)
        return bring(self.settings, "credential", act, Change(_SYSTEM, "Credential", name, Action.UPDATE), wanted)

    async def _folder(self, path: str) -> Answer:
        found = await self.jobs.latest_folder(path) or await self.jobs.find_folder(path)
        if found is not None:
            return Done()
        act = partial(self.jobs.create_folder, path, self.marker)
        return bring(
            self.settings, f"folder/{path}", act, Change(_SYSTEM, "Folder", path, Action.CREATE), fingerprint(path)
        )

    async def _credential(self, login: GitLogin, name: str, wanted: str) -> Answer:
        folder = self.settings.spec.folder
        latest = await self.jobs.latest_credential(folder, login.id)
        if latest is not None and latest.marker == self.marker:
            return Done()
        found = await self.jobs.find_credential(folder, login.id)
        act = partial(self.jobs.apply_credential, folder, login, self.marker)
        if found is None:
            made = Change(_SYSTEM, "Credential", name, Action.CREATE)
            return bring(self.settings, "credential", act, made, wanted)
        if not self.marker.is_same_owner(found.marker):
            return name_taken(self.settings, "Credential", name, found.marker)
        if found.marker == self.marker:
            return Done()
        fields = difference(self.marker, found.marker, "marker")
        return bring(
            self.settings, "credential", act, Change(_SYSTEM, "Credential", name, Action.UPDATE, fields), wanted
        )

    async def _job(self) -> Answer:
        path, shape = job_path(self.project.name, self.settings), self.shape()
        job = await self.jobs.find_job(path)
        if job is None:
            act = partial(self.jobs.create_job, path, shape, self.marker)
            made = Change(_SYSTEM, "Job", _name(path), Action.CREATE)
            return bring(self.settings, "job", act, made, self._wanted_job())
        if not self.marker.is_same_owner(job.marker) and f"Job/{_name(path)}" not in self.adopted:
            return name_taken(self.settings, "Job", _name(path), job.marker)
        if job.shape == shape and job.marker == self.marker:
            return Done({"url": job.url})
        fields = (*difference(shape, job.shape), *difference(self.marker, job.marker, "marker"))
        act = partial(self.jobs.update_job, path, shape, self.marker)
        changed = Change(_SYSTEM, "Job", _name(path), Action.UPDATE, fields)
        return bring(self.settings, "job", act, changed, self._wanted_job())

    def _wanted_job(self) -> str:
        return fingerprint(job_path(self.project.name, self.settings), self.shape(), self.marker)

    def shape(self) -> JobShape:
        """Return the job as it is wanted."""
        spec, pipeline = self.project.spec, self.settings.spec.pipeline
        return JobShape(
            git_url="" if pipeline.inline else spec.git.url,
            branch="" if pipeline.inline else spec.git.branch,
            script_path="" if pipeline.inline else pipeline.script_path,
            script=pipeline.inline or "",
            credentials_id=self.login.id if self.login and not pipeline.inline else "",
            parameters=job_parameters(self.settings),
        )

    def _item(self, kind: str, name: str) -> InventoryItem:
        return intended(self.settings, self.marker, _SYSTEM, kind, name)


def _name(path: JobPath) -> str:
    return f"{path.folder}/{path.name}"


def _parts(folder: str) -> list[str]:
    """Return a nested folder and all above it, outermost first."""
    words = folder.split("/")
    return ["/".join(words[: depth + 1]) for depth in range(len(words))]
