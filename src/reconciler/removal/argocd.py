"""What is ours in a deployment tool: applications with what they run, projects, and the repositories of a project."""

from dataclasses import dataclass
from typing import Protocol

from reconciler.domain.outside.applications import Application, ArgoProject, Repository
from reconciler.domain.things import Thing
from reconciler.removal.going import Found


class RemovableApplications(Protocol):
    """The applications of one deployment tool, as far as removal needs them."""

    async def find_application(self, project: str, name: str) -> Application | None:
        """Return the application, if it is there."""
        ...

    async def terminate(self, project: str, name: str) -> bool:
        """End a running operation; False when none was running."""
        ...

    async def delete_application(self, project: str, name: str) -> None:
        """Ask for the deletion of an application and what it runs; it is fine when it is gone."""
        ...


class RemovableProjects(Protocol):
    """The projects and repositories of one deployment tool, as far as removal needs them."""

    async def find_project(self, name: str) -> ArgoProject | None:
        """Return the project, if it is there."""
        ...

    async def delete_project(self, name: str) -> None:
        """Delete a project; it is fine when it is gone. Raises Busy while applications refer to it."""
        ...

    async def find_repository(self, url: str, project: str) -> Repository | None:
        """Return the repository, if it is known there."""
        ...

    async def list_users(self, url: str, project: str) -> tuple[str, ...]:
        """Return the names of the project's applications that come from the repository."""
        ...

    async def delete_repository(self, url: str, project: str) -> None:
        """Forget the repository; it is fine when it is gone."""
        ...


@dataclass(frozen=True, slots=True)
class GoingApplication:
    """One application. An operation that runs on it is ended first: only here, at the end of everything."""

    applications: RemovableApplications
    thing: Thing

    async def find(self) -> Found | None:
        """Return the application as it is now."""
        found = await self.applications.find_application(self.thing.place, self.thing.name)
        if found is None:
            return None
        return Found(
            found.marker,
            found.is_deleting,
            found.is_operation_requested,
            "; ".join(found.conditions),
            place=found.shape.project,
        )

    async def delete(self, found: Found) -> None:
        """End what runs on it, then ask for its deletion."""
        if found.is_busy:
            await self.applications.terminate(found.place, self.thing.name)
        await self.applications.delete_application(found.place, self.thing.name)


@dataclass(frozen=True, slots=True)
class GoingProject:
    """One project."""

    projects: RemovableProjects
    thing: Thing

    async def find(self) -> Found | None:
        """Return the project as it is now."""
        found = await self.projects.find_project(self.thing.name)
        return Found(found.marker) if found else None

    async def delete(self, found: Found) -> None:
        """Delete it."""
        del found
        await self.projects.delete_project(self.thing.name)


@dataclass(frozen=True, slots=True)
class GoingRepository:
    """One repository. It has no marker of its own: whose it is says the project that it belongs to."""

    projects: RemovableProjects
    thing: Thing

    async def find(self) -> Found | None:
        """Return the repository of our project; of a project that is gone it is ours too."""
        if await self.projects.find_repository(self.thing.name, self.thing.place) is None:
            return None
        project = await self.projects.find_project(self.thing.place)
        return Found(project.marker if project else self.thing.marker)

    async def delete(self, found: Found) -> None:
        """Forget it."""
        del found
        await self.projects.delete_repository(self.thing.name, self.thing.place)
