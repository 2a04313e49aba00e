"""An Argo CD in memory: operations picked up, retried and overwritten, state that is computed late; and its client."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from tests.simulation.doors import Door
from tests.simulation.loop import Process
from tests.simulation.oracles import Oracles
from tests.simulation.world import World

from reconciler.domain.errors import AlreadyExists, Busy, Conflict, Missing, NotFound, Unavailable
from reconciler.domain.outside.applications import (
    Application,
    ApplicationShape,
    ArgoProject,
    Health,
    ImageSetting,
    Operation,
    OperationPhase,
    ProjectShape,
    Repository,
    SyncState,
)
from reconciler.domain.outside.builds import GitLogin
from reconciler.domain.ownership import Marker


@dataclass(eq=False, slots=True)
class _Live:
    """An application as the API shows it, and what really runs."""

    shown: Application
    requested: str | None = None
    live_image: str = ""
    live_health: Health = Health.MISSING
    watchers: list[Callable[[Application | str], None]] = field(default_factory=list)


class ArgoModel:
    """The server and its controller."""

    def __init__(self, world: World, oracles: Oracles) -> None:
        self._world, self._oracles = world, oracles
        self.projects: dict[str, ArgoProject] = {}
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.applications: dict[str, _Live] = {}
        self.watchers: list[Callable[[Application | str], None]] = []
        self._version = 1

    # What is asked.

    def find(self, project: str, name: str) -> Application | None:
        live = self.applications.get(name)
        return live.shown if live else None

    def create(self, shape: ApplicationShape, marker: Marker, image: ImageSetting, epoch: str) -> None:
        if shape.project not in self.projects:
            raise Missing(f"project {shape.project} is not there", system="argocd")
        there = self.applications.get(shape.name)
        if there is not None:
            same = (there.shown.shape, there.shown.marker, there.shown.image, there.shown.epoch)
            if same == (shape, marker, image, epoch) and not there.shown.is_deleting:
                return
            raise AlreadyExists(f"{shape.name} is there", system="argocd")
        self.applications[shape.name] = live = _Live(
            Application(shape, marker, epoch, image, False, None, None, SyncState.UNKNOWN, Health.MISSING)  # noqa: FBT003
        )
        self._show(live)
        self._world.note(f"argocd has {shape.name}", count="applications")

    def set_image(self, name: str, image: ImageSetting, expected_epoch: str, epoch: str, marker: Marker | None) -> None:
        live = self._known(name)
        if live.shown.epoch != expected_epoch:
            raise Conflict(f"{name} is under another epoch", system="argocd")
        self._show(live, image=image, epoch=epoch, marker=marker or live.shown.marker)

    def reshape(self, name: str, shape: ApplicationShape, marker: Marker, expected_epoch: str, epoch: str) -> None:
        live = self._known(name)
        if live.shown.epoch != expected_epoch:
            raise Conflict(f"{name} is under another epoch", system="argocd")
        self._show(live, shape=shape, marker=marker, epoch=epoch)

    def start_sync(self, name: str, request_id: str) -> None:
        live = self._known(name)
        if live.requested is not None or live.shown.is_deleting:
            raise Busy("another operation is already in progress", system="argocd")
        self._request(live, request_id)

    def refresh(self, name: str) -> None:
        self._known(name)
        self._world.later(0.2, 3, self._reconcile, name)

    def terminate(self, name: str) -> bool:
        live = self._known(name)
        if live.requested is None:
            return False
        live.requested = None
        self._show(live, is_operation_requested=False)
        return True

    def delete(self, name: str) -> None:
        live = self.applications.get(name)
        if live is not None and not live.shown.is_deleting:
            self._show(live, is_deleting=True)
            self._world.later(1, 20, self._gone, name)

    def keep_project(self, project: ArgoProject) -> None:
        name = project.shape.name
        self.projects[name] = project
        self._oracles.belongings.carries("AppProject", name, project.marker)

    def drop_project(self, name: str) -> None:
        if any(live.shown.shape.project == name for live in self.applications.values()):
            raise Busy(f"applications refer to project {name}", system="argocd")
        self.forget_project(name)

    def forget_project(self, name: str) -> None:
        self.projects.pop(name, None)
        self._oracles.belongings.is_gone("AppProject", name)

    # What goes on.

    def heal(self, name: str) -> None:
        """Overwrite whatever operation was asked for with one of the controller's own, as self-heal does."""
        live = self.applications.get(name)
        if live is None or live.shown.is_deleting or live.shown.operation is None:
            return
        if live.requested is not None and live.shown.operation.phase is OperationPhase.RUNNING:
            return
        self._world.note(f"argocd heals {name} by itself", count="self-heals")
        self._request(live, "")

    def degrade(self, name: str) -> None:
        """Let what runs fall ill for a while."""
        live = self.applications.get(name)
        if live is not None and live.live_health is Health.HEALTHY:
            live.live_health = Health.DEGRADED
            self._world.later(0.5, 5, self._reconcile, name)
            self._world.later(5, 100, self._become, name, Health.HEALTHY)

    def _request(self, live: _Live, request_id: str) -> None:
        live.requested = request_id
        self._show(live, is_operation_requested=True)
        self._world.later(0.05, 3, self._pick_up, live.shown.shape.name, request_id)

    def _pick_up(self, name: str, request_id: str) -> None:
        live = self.applications.get(name)
        if live is None or live.requested != request_id:
            return
        operation = Operation(request_id, OperationPhase.RUNNING, started_at=self._second())
        self._show(live, operation=operation)
        self._world.note(f"argocd syncs {name} for {request_id or 'itself'}", count="syncs")
        self._oracles.sync_ran(request_id)
        self._world.later(1, 20, self._end, name, request_id, live.shown.image)
        self._world.later(0.5, 10, self._reconcile, name)

    def _end(self, name: str, request_id: str, image: ImageSetting) -> None:
        live = self.applications.get(name)
        operation = live.shown.operation if live else None
        if live is None or operation is None or live.requested != request_id:
            return
        luck = 0.0 if self._world.is_calm else self._world.dice.random()
        if luck > 0.9 and not operation.is_retrying:
            self._show(live, operation=replace(operation, is_retrying=True, finished_at=self._second()))
            self._world.later(2, 15, self._end, name, request_id, image)
            return
        phase = OperationPhase.FAILED if luck > 0.96 else OperationPhase.SUCCEEDED
        live.requested = None
        ended = replace(operation, phase=phase, finished_at=self._second(), is_retrying=False, revision="r1")
        if phase is OperationPhase.SUCCEEDED:
            live.live_image = _image(image)
            live.live_health = Health.PROGRESSING
            ill = not self._world.is_calm and self._world.dice.random() < 0.1
            if ill:
                self._world.later(1, 10, self._become, name, Health.DEGRADED)
                self._world.later(20, 150, self._become, name, Health.HEALTHY)
            else:
                self._world.later(1, 25, self._become, name, Health.HEALTHY)
        self._show(live, operation=ended, is_operation_requested=False)
        self._world.later(
            0.1, 2 if self._world.is_calm else self._world.dice.choice((2, 2, 120)), self._reconcile, name
        )

    def _become(self, name: str, health: Health) -> None:
        live = self.applications.get(name)
        if live is not None:
            live.live_health = health
            self._world.later(0.1, 3, self._reconcile, name)

    def _reconcile(self, name: str) -> None:
        """Compute what is shown from what is; while a sync runs the new image is seen, its health not yet."""
        live = self.applications.get(name)
        if live is None:
            return
        operation, health = live.shown.operation, live.live_health
        images = [live.live_image] if live.live_image else []
        if operation is not None and operation.phase is OperationPhase.RUNNING:
            images.append(_image(live.shown.image))
        is_synced = live.live_image == _image(live.shown.image)
        self._show(
            live,
            reconciled_at=self._second(),
            images=tuple(images),
            health=health,
            sync=SyncState.SYNCED if is_synced else SyncState.OUT_OF_SYNC,
        )

    def _gone(self, name: str) -> None:
        self.applications.pop(name, None)
        self._oracles.belongings.is_gone("Application", name)
        for tell in tuple(self.watchers):
            tell(name)

    def _second(self) -> datetime:
        return self._world.now().replace(microsecond=0)

    def _known(self, name: str) -> _Live:
        if (live := self.applications.get(name)) is None:
            raise NotFound(f"there is no application {name}", system="argocd")
        return live

    def _show(self, live: _Live, **changes: object) -> None:
        self._version += 1
        live.shown = replace(live.shown, **changes, resource_version=str(self._version))  # type: ignore[arg-type]
        self._oracles.belongings.carries("Application", live.shown.shape.name, live.shown.marker)
        for tell in tuple(self.watchers):
            tell(live.shown)


def _image(image: ImageSetting) -> str:
    return ":".join(value for _, value in sorted(image.parameters.items()))


class ArgoClient:
    """One process' questions. Fits the ports of sync, removal, set-up and the shared stream."""

    def __init__(self, door: Door, model: ArgoModel, oracles: Oracles) -> None:
        self._world, self._process = door.world, door.process
        self._door, self._model, self._oracles = door, model, oracles

    async def find_application(self, project: str, name: str) -> Application | None:
        found = await self._door.call("find_application", lambda: self._model.find(project, name))
        self._oracles.read_application(self._process, name, found)
        return found

    async def list_applications(self) -> tuple[Application, ...]:
        return await self._door.call("list", lambda: tuple(one.shown for one in self._model.applications.values()))

    async def watch_applications(self) -> AsyncGenerator[Application | str, None]:
        events: asyncio.Queue[Application | str] = asyncio.Queue()
        await self._door.call("watch", lambda: None)

        def hear(event: Application | str) -> None:
            lag = 0.05 if self._world.is_calm else self._world.dice.choice((0.05, 0.05, 2, 15))
            self._world.later(0.001, lag, self._process.call_soon, events.put_nowait, event)

        for live in tuple(self._model.applications.values()):
            hear(live.shown)
        self._model.watchers.append(hear)
        life = 600.0 if self._world.is_calm else self._world.dice.uniform(10, 600)
        try:
            async with asyncio.timeout(life):
                while True:
                    yield await events.get()
        except TimeoutError as error:
            raise Unavailable("the stream ended", system="argocd") from error
        finally:
            self._model.watchers.remove(hear)

    async def create_application(
        self, shape: ApplicationShape, marker: Marker, image: ImageSetting, epoch: str
    ) -> None:
        await self._door.call(
            f"create {shape.name}",
            lambda: self._model.create(shape, marker, image, epoch),
            change=True,
            sent=lambda process: self._oracles.changes_application(process, epoch, "create"),
        )

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
        found = await self._door.call("read for set_image", lambda: self._model.find(project, name))
        if found is None:
            raise NotFound(f"there is no application {name}", system="argocd")
        if found.epoch != expected_epoch:
            raise Conflict(f"{name} is under another epoch", system="argocd")
        await self._door.call(
            f"set_image {name} {epoch}",
            lambda: self._model.set_image(name, image, expected_epoch, epoch, marker),
            change=True,
            sent=lambda process: self._oracles.changes_application(process, epoch, "image"),
        )

    async def reshape(
        self, project: str, name: str, shape: ApplicationShape, marker: Marker, *, expected_epoch: str, epoch: str
    ) -> None:
        found = await self._door.call("read for reshape", lambda: self._model.find(project, name))
        if found is None:
            raise NotFound(f"there is no application {name}", system="argocd")
        if found.epoch != expected_epoch:
            raise Conflict(f"{name} is under another epoch", system="argocd")
        await self._door.call(
            f"reshape {name} {epoch}",
            lambda: self._model.reshape(name, shape, marker, expected_epoch, epoch),
            change=True,
            sent=lambda process: self._oracles.changes_application(process, epoch, "shape"),
        )

    async def start_sync(self, project: str, name: str, request_id: str, *, revision: str | None, prune: bool) -> None:
        await self._door.call(
            f"start_sync {request_id}",
            lambda: self._model.start_sync(name, request_id),
            change=True,
            sent=lambda process: self._oracles.starts_sync(process, request_id),
        )

    async def refresh(self, project: str, name: str) -> None:
        await self._door.call("refresh", lambda: self._model.refresh(name), change=True)

    async def terminate(self, project: str, name: str) -> bool:
        return await self._door.call("terminate", lambda: self._model.terminate(name), change=True)

    async def delete_application(self, project: str, name: str) -> None:
        await self._door.call(
            f"delete {name}",
            lambda: self._model.delete(name),
            change=True,
            sent=lambda process: self._oracles.removes(process, "Application", name),
        )

    # Set-up.

    async def version(self) -> str:
        return await self._door.call("version", lambda: "v3.1.0")

    async def check_access(self) -> str:
        return await self._door.call("check_access", lambda: "fine")

    async def list_projects(self) -> tuple[ArgoProject, ...]:
        return await self._door.call("list_projects", lambda: tuple(self._model.projects.values()))

    async def list_repositories(self) -> tuple[Repository, ...]:
        return await self._door.call("list_repositories", lambda: tuple(self._model.repositories.values()))

    async def find_project(self, name: str) -> ArgoProject | None:
        return await self._door.call("find_project", lambda: self._model.projects.get(name))

    async def create_project(self, shape: ProjectShape, marker: Marker) -> None:
        def effect() -> None:
            if shape.name in self._model.projects:
                raise AlreadyExists("the project is there", system="argocd")
            self._model.keep_project(ArgoProject(shape, marker))

        await self._door.call("create_project", effect, change=True, sent=self._sets_up)

    async def update_project(self, shape: ProjectShape, marker: Marker) -> None:
        def effect() -> None:
            self._model.keep_project(ArgoProject(shape, marker))

        await self._door.call("update_project", effect, change=True, sent=self._sets_up)

    async def delete_project(self, name: str) -> None:
        await self._door.call(
            "delete_project",
            lambda: self._model.drop_project(name),
            change=True,
            sent=lambda process: self._oracles.removes(process, "AppProject", name),
        )

    async def find_repository(self, url: str, project: str) -> Repository | None:
        return await self._door.call("find_repository", lambda: self._model.repositories.get((url, project)))

    async def apply_repository(self, url: str, login: GitLogin | None, project: str) -> None:
        def effect() -> None:
            self._model.repositories[url, project] = Repository(url, project)

        await self._door.call("apply_repository", effect, change=True, sent=self._sets_up)

    async def list_users(self, url: str, project: str) -> tuple[str, ...]:
        return await self._door.call(
            "list_users",
            lambda: tuple(
                name
                for name, one in self._model.applications.items()
                if (one.shown.shape.project, one.shown.shape.repo_url) == (project, url)
            ),
        )

    async def delete_repository(self, url: str, project: str) -> None:
        await self._door.call(
            "delete_repository",
            lambda: self._model.repositories.pop((url, project), None),
            change=True,
            sent=lambda process: self._oracles.removes(process, "Repository", url),
        )

    def _sets_up(self, process: Process) -> None:
        self._oracles.sets_up(process, "ArgoSettings")
