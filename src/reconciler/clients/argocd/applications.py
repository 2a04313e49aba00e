"""Applications: made, read, changed field by field, synced, refreshed, deleted; always with their project named."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from reconciler.clients.argocd import reading, writing
from reconciler.clients.argocd.errors import SYSTEM
from reconciler.clients.argocd.line import Line, encoded, is_forbidden
from reconciler.domain.errors import AlreadyExists, Conflict, NotFound, Refused, Unavailable
from reconciler.domain.outside.applications import Application, ApplicationShape, ImageSetting
from reconciler.domain.ownership import Marker
from reconciler.domain.words import cut

_ALL = "/api/v1/applications"
_REFRESH = {"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}}


class Applications(Line):
    """What runs in the environments. Without its project a missing application would look like a forbidden one."""

    async def find_application(self, project: str, name: str) -> Application | None:
        """Return the application as it is now, if it is there; its shape says which project it is really in.

        Names are unique in an Argo CD, so one that is not in the project may be in another: the one that it was made
        in, if settings name another since. Raises Refused without rights in the project.
        """
        tree = await self._find(project, name, operation="find_application")
        return None if tree is None else self._read(tree)

    async def create_application(
        self, shape: ApplicationShape, marker: Marker, image: ImageSetting, epoch: str
    ) -> None:
        """Make an application of ours, with its image, under an epoch.

        Raises:
            AlreadyExists: one of that name is there and differs, or is just being deleted.
            Missing: the project is not there (yet).
        """
        body = writing.application(shape, marker, image, epoch)
        reply = await self._ask("POST", _ALL, json=body, operation="create_application", validate="true")
        if self._read(reply.json()).is_deleting:
            raise AlreadyExists(f"the application {shape.name} is there still, being deleted", system=SYSTEM)

    async def list_applications(self, projects: Sequence[str] = ()) -> tuple[Application, ...]:
        """Return all applications, of some projects or of all.

        They come whole: `fields=` cannot select `status.reconciledAt` nor an operation's infos (see the server's
        `appFields`), and both are what a wait is about. `items` may be null.
        """
        reply = await self._ask("GET", _ALL + _query(projects), operation="list_applications")
        return tuple(self._read(tree) for tree in reply.json().get("items") or ())

    async def watch_applications(self, projects: Sequence[str] = ()) -> AsyncGenerator[Application | str, None]:
        """Yield each application as it is at first and whenever it changes, and the name of one that is gone.

        Ends only with an error: Unavailable when the stream does. There is no resume: list again then (FACTS 1.7).
        """
        path, headers = f"/api/v1/stream/applications{_query(projects)}", {"Accept": "text/event-stream"}
        generation = self._session.generation if self._session else 0
        try:
            async with self._endpoint.stream(path, headers=headers) as lines:
                async for line in lines:
                    if line.startswith(b"data:"):
                        yield self._event(line[5:])
        except Refused:
            if self._session is not None:
                self._session.renew(generation)
            raise

    async def set_image(
        self,
        project: str,
        name: str,
        image: ImageSetting,
        *,
        expected_epoch: str,
        epoch: str,
        marker: Marker | None = None,
    ) -> None:
        """Write the image, our epoch and our marker, if the epoch is still the expected one.

        Raises Conflict, NotFound.
        """
        tree = await self._guarded(project, name, expected_epoch, operation="set_image")
        patch = writing.image_patch(tree, image, expected_epoch=expected_epoch, epoch=epoch, marker=marker)
        await self._patch(reading.project_of(tree), name, patch, "json", operation="set_image")

    async def reshape(
        self, project: str, name: str, shape: ApplicationShape, marker: Marker, *, expected_epoch: str, epoch: str
    ) -> None:
        """Give an application its shape, marker and epoch, if the epoch is still the expected one. Raises Conflict."""
        tree = await self._guarded(project, name, expected_epoch, operation="reshape")
        patch = writing.shape_patch(tree, shape, marker, expected_epoch=expected_epoch, epoch=epoch)
        await self._patch(reading.project_of(tree), name, patch, "json", operation="reshape")

    async def start_sync(self, project: str, name: str, request_id: str, *, revision: str | None, prune: bool) -> None:
        """Ask for a sync that carries our request id.

        Raises:
            Busy: another operation runs, or the application is being deleted.
            Refused: a sync window is closed.
            Unavailable: the revision cannot be resolved now: git or the repo server is away.
        """
        body: dict[str, Any] = {"project": project, "prune": prune}
        body["infos"] = [{"name": reading.REQUEST_ID, "value": request_id}]
        body |= {"revision": revision} if revision else {}
        path = f"{_ALL}/{encoded(name)}/sync"
        await self._ask("POST", path, json=body, operation="start_sync")

    async def refresh(self, project: str, name: str) -> None:
        """Ask for sync and health to be computed anew; `GET ?refresh` would hold the request until that is done."""
        await self._patch(project, name, _REFRESH, "merge", operation="refresh")

    async def terminate(self, project: str, name: str) -> bool:
        """Ask for the running operation to be ended; False if there is none, or none was picked up yet."""
        path = f"{_ALL}/{encoded(name)}/operation"
        try:
            await self._ask("DELETE", path, operation="terminate", project=project)
        except NotFound:
            return False
        return True

    async def delete_application(self, project: str, name: str) -> None:
        """Ask for the application and all it made to be deleted; it is fine when it is gone. It takes a while."""
        path, policy = f"{_ALL}/{encoded(name)}", "foreground"
        await self._ask(
            "DELETE",
            path,
            expect=(200, 404),
            operation="delete_application",
            cascade="true",
            propagationPolicy=policy,
            project=project,
        )

    async def _find(self, project: str, name: str, *, operation: str) -> Mapping[str, Any] | None:
        try:
            reply = await self._ask("GET", f"{_ALL}/{encoded(name)}", operation=operation, project=project)
        except NotFound:
            return await self._find_elsewhere(name)
        except Refused as refused:
            if is_forbidden(refused) and await self._may("get", "applications", f"{project}/{name}"):
                # With rights in the project a missing application is 404: this was a failing read inside the server.
                raise Unavailable(refused.message, system=SYSTEM, status=refused.status) from refused
            raise
        tree: Mapping[str, Any] = reply.json()
        return tree

    async def _find_elsewhere(self, name: str) -> Mapping[str, Any] | None:
        """Return the application from whichever project we may see; a list by name knows none or says 404."""
        try:
            reply = await self._ask("GET", _ALL, operation="find_application_elsewhere", name=name)
        except NotFound:
            return None
        found: Mapping[str, Any] | None = next(iter(reply.json().get("items") or ()), None)
        return found

    async def _guarded(self, project: str, name: str, expected_epoch: str, *, operation: str) -> Mapping[str, Any]:
        tree = await self._find(project, name, operation=operation)
        if tree is None:
            raise NotFound(f"there is no application {name}, in the project {project} or elsewhere", system=SYSTEM)
        if (epoch := self._read(tree).epoch) != expected_epoch:
            raise Conflict(f"the application {name} is under epoch {epoch!r} by now", system=SYSTEM)
        return tree

    async def _patch(self, project: str, name: str, patch: Any, kind: str, *, operation: str) -> None:
        body = {"name": name, "project": project, "patch": orjson.dumps(patch).decode(), "patchType": kind}
        await self._ask("PATCH", f"{_ALL}/{encoded(name)}", json=body, operation=operation)

    def _event(self, text: bytes) -> Application | str:
        try:
            frame = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise Unavailable("the stream of applications broke off within an event", system=SYSTEM) from error
        if "result" not in frame:
            said = cut(str(frame.get("error", {}).get("message", "")))
            raise Unavailable(f"the stream of applications ended: {said}", system=SYSTEM)
        tree = frame["result"]["application"]
        return str(tree["metadata"]["name"]) if frame["result"]["type"] == "DELETED" else self._read(tree)

    def _read(self, tree: Mapping[str, Any]) -> Application:
        return reading.application(tree, self._ui_url)


def _query(projects: Sequence[str]) -> str:
    return "?" + urlencode([("projects", name) for name in projects], quote_via=quote) if projects else ""
