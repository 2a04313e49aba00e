"""Projects and repositories."""

from reconciler.clients.argocd import reading, writing
from reconciler.clients.argocd.errors import SYSTEM, repository_error
from reconciler.clients.argocd.line import Line, encoded, is_forbidden
from reconciler.domain.errors import AlreadyExists, NotFound, Refused
from reconciler.domain.outside.applications import ArgoProject, ProjectShape, Repository
from reconciler.domain.outside.builds import GitLogin
from reconciler.domain.ownership import Marker

_OK, _ELSEWHERE = 200, 500


class Projects(Line):
    """What may be deployed from where to where, and from which repositories."""

    async def find_project(self, name: str) -> ArgoProject | None:
        """Return the project, if it is there."""
        try:
            return reading.project(await self._project(name, operation="find_project"))
        except NotFound:
            return None

    async def list_projects(self) -> tuple[ArgoProject, ...]:
        """Return the projects that we may see: what is not among them may be there all the same."""
        shown = (await self._ask("GET", "/api/v1/projects", operation="list_projects")).json()
        return tuple(reading.project(tree) for tree in shown.get("items") or ())

    async def create_project(self, shape: ProjectShape, marker: Marker) -> None:
        """Make a project of ours. Raises AlreadyExists, also when an equal one is there that is not ours."""
        body = {"project": writing.project(shape, marker)}
        reply = await self._ask("POST", "/api/v1/projects", json=body, operation="create_project")
        # An equal spec is answered with what was there, whose annotations are not compared (FACTS 1.3).
        if not marker.is_same_owner(reading.project(reply.json()).marker):
            raise AlreadyExists(f"the project {shape.name} is there already and not ours", system=SYSTEM)

    async def update_project(self, shape: ProjectShape, marker: Marker) -> None:
        """Make the project allow what is wanted; what else it says stays. Raises Conflict, Busy, NotFound."""
        before = await self._project(shape.name, operation="update_project")
        body = {"project": writing.project(shape, marker, before)}
        path = f"/api/v1/projects/{encoded(shape.name)}"
        await self._ask("PUT", path, json=body, operation="update_project")

    async def delete_project(self, name: str) -> None:
        """Delete a project; it is fine when it is gone. Raises Busy while applications refer to it."""
        path = f"/api/v1/projects/{encoded(name)}"
        await self._ask("DELETE", path, operation="delete_project", expect=(_OK, 404))

    async def _project(self, name: str, *, operation: str) -> reading.Tree:
        tree: reading.Tree = (await self._ask("GET", f"/api/v1/projects/{encoded(name)}", operation=operation)).json()
        return tree

    async def find_repository(self, url: str, project: str) -> Repository | None:
        """Return the repository as the project knows it, if it does.

        A missing one is 403, the same url in other projects only is 500 (FACTS 1.4).
        """
        expect = (_OK, _ELSEWHERE)
        try:
            reply = await self._ask(
                "GET", _repository(url), expect=expect, operation="find_repository", appProject=project
            )
        except Refused as refused:
            await self._only_missing(refused, "get", project, url)
            return None
        if reply.status == _ELSEWHERE:
            if b"repository not found for url" not in reply.body:
                raise repository_error(reply, url)
            return None
        found = reading.repository(reply.json())
        return found if found.project == project else None

    async def list_repositories(self) -> tuple[Repository, ...]:
        """Return the repositories that we may see: what is not among them may be there all the same."""
        shown = (await self._ask("GET", "/api/v1/repositories", operation="list_repositories")).json()
        return tuple(reading.repository(tree) for tree in shown.get("items") or ())

    async def apply_repository(self, url: str, login: GitLogin | None, project: str) -> None:
        """Make the repository known, or write it whole anew: a changed password cannot be seen from outside.

        Raises:
            Refused, Unavailable: with `system="git"` when Argo CD could not connect to it.
        """
        body = writing.repository(url, login, project)
        expect = (_OK, 404, 500)
        reply = await self._ask(
            "POST", "/api/v1/repositories", json=body, expect=expect, operation="apply_repository", upsert="true"
        )
        if reply.status != _OK:
            raise repository_error(reply, url)

    async def list_users(self, url: str, project: str) -> tuple[str, ...]:
        """Return the names of the project's applications that come from the repository."""
        reply = await self._ask("GET", "/api/v1/applications", operation="list_users", projects=project)
        trees = reply.json().get("items") or ()
        return tuple(str(tree["metadata"]["name"]) for tree in trees if url in reading.repositories_of(tree))

    async def delete_repository(self, url: str, project: str) -> None:
        """Forget the repository; it is fine when it is gone."""
        expect = (_OK, 404, _ELSEWHERE)
        try:
            reply = await self._ask(
                "DELETE", _repository(url), expect=expect, operation="delete_repository", appProject=project
            )
        except Refused as refused:
            await self._only_missing(refused, "delete", project, url)
            return
        if reply.status == _ELSEWHERE and b"repository not found for url" not in reply.body:
            raise repository_error(reply, url)

    async def _only_missing(self, refused: Refused, action: str, project: str, url: str) -> None:
        """Raise the refusal again unless we may do that, so that 403 can only mean "it is not there"."""
        what = f"{project}/{url}" if project else url
        if not is_forbidden(refused) or not await self._may(action, "repositories", what):
            raise refused


def _repository(url: str) -> str:
    return f"/api/v1/repositories/{encoded(url)}"
