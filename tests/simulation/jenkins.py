"""A Jenkins in memory: queue, quiet period, runs, restarts; and the client through which one process asks it."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.simulation.doors import Door
from tests.simulation.loop import Process
from tests.simulation.oracles import Oracles
from tests.simulation.registry import RegistryModel
from tests.simulation.world import World

from reconciler.domain.errors import AlreadyExists, Busy, NotFound, Refused
from reconciler.domain.outside.builds import (
    Build,
    BuildKey,
    BuildState,
    Credential,
    Folder,
    GitLogin,
    Job,
    JobPath,
    JobShape,
)
from reconciler.domain.ownership import Marker

_QUIET = 5.0
Where = Callable[[JobPath], bool]
"""Tells of which jobs builds are shown."""


_ALIVE = (BuildState.QUEUED, BuildState.RUNNING)


@dataclass(eq=False, slots=True)
class _Item:
    """A wish, then a run."""

    key: BuildKey
    image: str
    queue_id: int
    path: JobPath
    number: int | None = None
    state: BuildState = BuildState.QUEUED
    is_hidden: bool = False
    is_stopping: bool = False
    is_foreign: bool = False
    """Somebody clicked Rebuild: it has the parameters of ours, and we did not ask for it."""

    def shown(self) -> Build:
        url = f"http://jenkins/{self.number}/" if self.number else ""
        return Build(self.key, self.state, self.number, self.queue_id, url, "")


class JenkinsModel:
    """The server."""

    def __init__(self, world: World, registry: RegistryModel, oracles: Oracles) -> None:
        self._world, self._registry, self._oracles = world, registry, oracles
        self.folders: dict[str, Folder] = {}
        self.jobs: dict[str, Job] = {}
        self.items: list[_Item] = []
        self.runs: Counter[BuildKey] = Counter()
        self._queue_ids = self._numbers = 0
        self.to_rebuild = 0
        """Of so many of the builds that begin next somebody clicks Rebuild while they run."""
        self.may_cancel_from = 0.0
        """Before that our user has not the right Job/Cancel."""

    # What is asked.

    def queue(self, where: Where) -> list[Build]:
        return [one.shown() for one in self._seen(where) if one.state is BuildState.QUEUED]

    def all_builds(self, where: Where) -> list[Build]:
        return [one.shown() for one in self._seen(where) if one.number is not None]

    def _seen(self, where: Where) -> list[_Item]:
        return [one for one in self.items if where(one.path) and not one.is_hidden]

    def is_building(self, path: JobPath) -> bool:
        return any(one.path == path and one.state in _ALIVE for one in self.items)

    def folder(self, path: str) -> Folder | None:
        held = [each for each in (*self.jobs, *self.folders) if each.rpartition("/")[0] == path]
        return replace(self.folders[path], holds=held[0] if held else "") if path in self.folders else None

    def keep(self, thing: Folder | Job) -> None:
        if isinstance(thing, Folder):
            self.folders[thing.path] = thing
            self._oracles.belongings.carries("Folder", thing.path, thing.marker)
        else:
            path = f"{thing.path.folder}/{thing.path.name}"
            self.jobs[path] = thing
            self._oracles.belongings.carries("Job", path, thing.marker)

    def delete(self, path: str, *, keeps_builds: bool = False) -> None:
        """Delete a job, and all its builds with it, or a folder."""
        if (folder := self.folder(path)) is not None and folder.holds:
            raise Busy(f"{path} holds {folder.holds}", system="jenkins")
        self.jobs.pop(path, None)
        self.folders.pop(path, None)
        for kind in ("Job", "Folder"):
            self._oracles.belongings.is_gone(kind, path)
        for item in [] if keeps_builds else [one for one in self.items if f"{one.path.folder}/{one.path.name}" == path]:
            item.state = BuildState.ABORTED if item.state in _ALIVE else item.state
            self.items.remove(item)

    def start(self, path: JobPath, key: BuildKey, parameters: Mapping[str, str]) -> int:
        if f"{path.folder}/{path.name}" not in self.jobs:
            raise NotFound("there is no such job", system="jenkins")
        queued = (one for one in self.items if one.path == path and one.state is BuildState.QUEUED)
        same = next((one for one in queued if one.key == key), None)
        if same is not None:
            return same.queue_id
        self._queue_ids += 1
        item = _Item(key, parameters["IMAGE"], self._queue_ids, path)
        self.items.append(item)
        self._world.note(f"jenkins queues {key.operation_id}/{key.component} as {item.queue_id}", count="builds")
        self._world.later(0.5, _QUIET, self._begin, item)
        return item.queue_id

    def stop(self, build: Build) -> None:
        if self._world.loop.time() < self.may_cancel_from:
            raise Refused("user is missing the Job/Cancel permission", system="jenkins", status=403)
        for item in self.items:
            if item.queue_id != build.queue_id:
                continue
            if item.state is BuildState.QUEUED:
                item.state = BuildState.ABORTED
                self.items.remove(item)  # A cancelled wish is in no list.
            elif item.state is BuildState.RUNNING and not item.is_stopping:
                item.is_stopping = True
                self._world.later(0.5, 8, self._end, item, BuildState.ABORTED)
            return

    # What goes on.

    def _begin(self, item: _Item) -> None:
        if item.state is not BuildState.QUEUED or item not in self.items:
            return
        if item.is_hidden:
            self._world.later(1, 5, self._begin, item)
            return
        self._numbers += 1
        item.number, item.state = self._numbers, BuildState.RUNNING
        if item.is_foreign:
            self._world.later(15, 300, self._end, item, BuildState.FAILED)
            return
        if self.to_rebuild:
            self.to_rebuild -= 1
            self._world.later(1, 30, self._rebuild, item)
        self.runs[item.key] += 1
        self._world.note(f"jenkins runs {item.key.operation_id}/{item.key.component} as #{item.number}", count="runs")
        self._oracles.build_ran(item.key, self.runs[item.key])
        luck, dice = self._world.dice.random(), self._world.dice
        is_plain = self._world.is_calm or luck < 0.85
        result = BuildState.PASSED if is_plain else BuildState.FAILED if luck < 0.9 else BuildState.ABORTED
        self._world.later(15, dice.choice((40, 90, 300)), self._end, item, result)

    def _rebuild(self, item: _Item) -> None:
        if item.state is BuildState.RUNNING and item in self.items:
            self._queue_ids += 1
            twin = _Item(item.key, item.image, self._queue_ids, item.path, is_foreign=True)
            self.items.append(twin)
            self._world.note(f"a foreign hand has #{item.number} built again as {twin.queue_id}", count="twins")
            self._world.later(0.5, _QUIET, self._begin, twin)

    def _end(self, item: _Item, result: BuildState) -> None:
        if item.state is not BuildState.RUNNING:
            return
        if item.is_hidden:
            self._world.later(1, 5, self._end, item, result)
            return
        item.state = result
        if result is BuildState.PASSED:
            lag = 1 if self._world.is_calm else self._world.dice.choice((0.5, 5, 60))
            self._world.later(0, lag, self._registry.push, item.image, item.key.image_tag)

    def restart(self) -> None:
        """Go away for a moment: of the queue only what was on disk is there again, after a while; runs go on or not."""
        self._world.note("jenkins restarts", count="jenkins restarts")
        for item in tuple(self.items):
            lot = self._world.dice.random()
            if item.state is BuildState.QUEUED and lot < 0.6:
                item.state = BuildState.ABORTED
                self.items.remove(item)
            elif item.state is BuildState.RUNNING and lot < 0.3:
                item.state = BuildState.ABORTED
            item.is_hidden = True
            self._world.later(2, 25, self._show, item)

    def _show(self, item: _Item) -> None:
        item.is_hidden = False


class JenkinsClient:
    """One process' questions. Fits the ports of builds, jobs and the shared list."""

    def __init__(self, door: Door, model: JenkinsModel, oracles: Oracles) -> None:
        self._door, self._model, self._oracles = door, model, oracles

    async def list_builds(self, folder: str) -> tuple[Build, ...]:
        return await self._shown(lambda path: path.folder == folder)

    async def find_build(self, path: JobPath, key: BuildKey, since: object) -> Build | None:
        return next(iter(await self.find_builds(path, key, since)), None)

    async def find_builds(self, path: JobPath, key: BuildKey, since: object) -> tuple[Build, ...]:
        return tuple(one for one in await self._shown(lambda each: each == path) if one.key == key)

    async def start_build(self, path: JobPath, key: BuildKey, parameters: Mapping[str, str]) -> int | None:
        return await self._door.call(
            f"start_build {key.operation_id}/{key.component}",
            lambda: self._model.start(path, key, parameters),
            change=True,
            sent=lambda process: self._oracles.starts_build(process, key),
        )

    async def list_parameters(self, path: JobPath) -> tuple[str, ...]:
        job = self._model.jobs.get(f"{path.folder}/{path.name}")
        if job is None or job.shape is None:
            raise NotFound("there is no such job", system="jenkins")
        return job.shape.parameters

    async def stop(self, path: JobPath, build: Build, *, insists: bool = False) -> None:
        await self._door.call("stop", lambda: self._model.stop(build), change=True)

    async def _shown(self, where: Where) -> tuple[Build, ...]:
        queue = await self._door.call("queue", lambda: self._model.queue(where))
        return _merged(queue, await self._door.call("builds", lambda: self._model.all_builds(where)))

    # Set-up.

    async def version(self) -> str:
        return await self._door.call("version", lambda: "2.516")

    async def find_folder(self, path: str) -> Folder | None:
        return await self._door.call("find_folder", lambda: self._model.folder(path))

    async def create_folder(self, path: str, marker: Marker) -> None:
        await self._set_up("create_folder", self._model.folders, path, Folder(path, marker))

    async def find_job(self, path: JobPath) -> Job | None:
        return await self._door.call("find_job", lambda: self._model.jobs.get(f"{path.folder}/{path.name}"))

    async def create_job(self, path: JobPath, shape: JobShape, marker: Marker) -> None:
        job = Job(path, marker, shape, "http://jenkins/job")
        await self._set_up("create_job", self._model.jobs, f"{path.folder}/{path.name}", job)

    async def update_job(self, path: JobPath, shape: JobShape, marker: Marker) -> None:
        def effect() -> None:
            self._model.keep(Job(path, marker, shape, "http://jenkins/job"))

        await self._door.call("update_job", effect, change=True, sent=self._sent)

    async def is_building(self, path: JobPath) -> bool:
        return await self._door.call("is_building", lambda: self._model.is_building(path))

    async def delete_item(self, path: str) -> None:
        kind = "Job" if path in self._model.jobs else "Folder"
        await self._door.call(
            "delete_item",
            lambda: self._model.delete(path),
            change=True,
            sent=lambda process: self._oracles.removes(process, kind, path),
        )

    async def find_credential(self, folder: str, identity: str) -> None:
        return None

    async def list_credentials(self, folder: str) -> tuple[Credential, ...]:
        return ()

    async def apply_credential(self, folder: str, login: GitLogin, marker: Marker) -> None:
        raise NotImplementedError

    async def delete_credential(self, folder: str, identity: str) -> None:
        raise NotImplementedError

    async def _set_up(self, what: str, things: Mapping[str, Any], name: str, thing: Folder | Job) -> None:
        def effect() -> None:
            if name in things:
                raise AlreadyExists(f"{name} is there", system="jenkins")
            self._model.keep(thing)

        await self._door.call(what, effect, change=True, sent=self._sent)

    def _sent(self, process: Process) -> None:
        self._oracles.sets_up(process, "JenkinsSettings")


def _merged(queue: list[Build], runs: list[Build]) -> tuple[Build, ...]:
    started = {one.queue_id for one in runs}
    return (*runs, *(one for one in queue if one.queue_id not in started))
