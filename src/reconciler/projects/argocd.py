"""What a project has in Argo CD: an AppProject, and its repository."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from reconciler.domain.answers import Answer, Done, Nudge
from reconciler.domain.changes import Action, Change, FieldChange, difference, fingerprint
from reconciler.domain.outside.applications import ArgoProject, ProjectShape, Repository
from reconciler.domain.outside.builds import GitLogin
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import ArgoSettings, DevOpsProject, Environment, InventoryItem
from reconciler.domain.wanted import argo_project, intended
from reconciler.engine.drifting import name_taken
from reconciler.projects.setup import SetupLook, bring

_SYSTEM = "argocd"


class ArgoProjects(Protocol):
    """Projects and repositories of one deployment tool."""

    async def version(self) -> str:
        """Return the server's version."""
        ...

    async def find_project(self, name: str) -> ArgoProject | None:
        """Return the project, if it is there."""
        ...

    async def latest_project(self, name: str) -> ArgoProject | None:
        """Return the project as it was within the last minute; None: ask `find_project`."""
        ...

    async def create_project(self, shape: ProjectShape, marker: Marker) -> None:
        """Make a project. Raises AlreadyExists."""
        ...

    async def update_project(self, shape: ProjectShape, marker: Marker) -> None:
        """Make the project allow what is wanted."""
        ...

    async def find_repository(self, url: str, project: str) -> Repository | None:
        """Return the repository, if it is known there."""
        ...

    async def latest_repository(self, url: str, project: str) -> Repository | None:
        """Return the repository as it was within the last minute; None: ask `find_repository`."""
        ...

    async def apply_repository(self, url: str, login: GitLogin | None, project: str) -> None:
        """Make the repository known, or write it whole anew."""
        ...


@dataclass(frozen=True, slots=True)
class ArgoSetup:
    """The steps of one ArgoSettings."""

    tool: ArgoProjects
    settings: ArgoSettings
    project: DevOpsProject
    environments: Sequence[Environment]
    login: GitLogin | None
    marker: Marker
    adopted: frozenset[str] = frozenset()
    """Foreign objects that a person tells us to take over."""

    @property
    def repo_url(self) -> str:
        """Where the manifests are."""
        return self.settings.spec.source.repo_url or self.project.spec.git.url

    def looks(self) -> Sequence[SetupLook]:
        """Return the steps in order."""
        name = argo_project(self.project.name, self.settings)
        version = self.login.version if self.login else ""
        wanted, known = fingerprint(self.shape(), self.marker), fingerprint(self.repo_url, name, version)
        renewal = partial(self._made_anew, name, known)
        repository = self._item("Repository", self.repo_url)
        return [
            SetupLook("project", partial(self._project, wanted), self._item("AppProject", name), wanted=wanted),
            SetupLook("repository", partial(self._repository, known), repository, wanted=known, renewal=renewal),
        ]

    def shape(self) -> ProjectShape:
        """Return the AppProject as it is wanted: only our repository, only our environments' namespaces."""
        destinations = {(one.spec.cluster, one.target_namespace) for one in self.environments}
        return ProjectShape(
            name=argo_project(self.project.name, self.settings),
            description=self.project.spec.display_name or self.project.name,
            source_repos=(self.repo_url,),
            destinations=tuple(sorted(destinations)),
        )

    async def _project(self, wanted: str) -> Answer:
        shape = self.shape()
        as_wanted = ArgoProject(shape, self.marker)
        if await self.tool.latest_project(shape.name) == as_wanted:
            return Done()
        found = await self.tool.find_project(shape.name)
        if found is None:
            act = partial(self.tool.create_project, shape, self.marker)
            return bring(self.settings, "project", act, self._change("AppProject", shape.name, Action.CREATE), wanted)
        if not self.marker.is_same_owner(found.marker) and f"AppProject/{shape.name}" not in self.adopted:
            return name_taken(self.settings, "AppProject", shape.name, found.marker)
        if found == as_wanted:
            return Done()
        fields = (*difference(shape, found.shape), *difference(self.marker, found.marker, "marker"))
        act = partial(self.tool.update_project, shape, self.marker)
        changed = self._change("AppProject", shape.name, Action.UPDATE, fields)
        return bring(self.settings, "project", act, changed, wanted)

    async def _repository(self, wanted: str) -> Answer:
        project = argo_project(self.project.name, self.settings)
        latest = await self.tool.latest_repository(self.repo_url, project)
        if latest is not None or await self.tool.find_repository(self.repo_url, project) is not None:
            return Done()
        act = partial(self.tool.apply_repository, self.repo_url, self.login, project)
        made = self._change("Repository", self.repo_url, Action.CREATE)
        return bring(self.settings, "repository", act, made, wanted)

    def _made_anew(self, project: str, wanted: str) -> Nudge:
        act = partial(self.tool.apply_repository, self.repo_url, self.login, project)
        return bring(self.settings, "repository", act, self._change("Repository", self.repo_url, Action.UPDATE), wanted)

    def _change(self, kind: str, name: str, action: Action, fields: tuple[FieldChange, ...] = ()) -> Change:
        return Change(_SYSTEM, kind, name, action, fields)

    def _item(self, kind: str, name: str) -> InventoryItem:
        place = argo_project(self.project.name, self.settings) if kind == "Repository" else ""
        return intended(self.settings, self.marker, _SYSTEM, kind, name, place)
