"""Somebody who gives the job of the project another name, or folder, mostly while something is built in it."""

# ruff: noqa: S311 - dice, not secrets

from collections.abc import Iterator
from random import Random

from tests.simulation.replica import Outside
from tests.simulation.world import SPACE, World

from reconciler.domain.keys import Key
from reconciler.domain.outside.builds import JobPath

_SETTINGS = Key("JenkinsSettings", SPACE, "shop")
_FOLDERS, _JOBS = ("freeleaps", "freeleaps", "teams"), ("shop", "built", "images")
_AGAIN = 3.0
"""Seconds after which they look again whether something is built."""


class Renaming:
    """The person. What they do is drawn from dice of their own."""

    def __init__(self, world: World, outside: Outside) -> None:
        self._world, self._outside = world, outside
        self._dice = Random(f"renaming {world.seed}")

    def move_in(self) -> None:
        """Put it on the clock."""
        for _ in range(self._dice.choice((0, 0, 0, 1, 2))):
            self._world.loop.call_in_world(self._dice.uniform(30, self._world.calm_at - 60), self._rename)

    def former(self) -> Iterator[str]:
        """Yield the jobs that still have a name which their settings, and the project, do not want any more."""
        kube, settings = self._outside.kube, self._outside.kube.get(_SETTINGS.kind, _SETTINGS.name)
        if settings is None or kube.get("DevOpsProject", "shop") is None:
            return
        for path, job in self._outside.jenkins.jobs.items():
            is_ours = job.marker is not None and job.marker.uid == settings["metadata"]["uid"]
            if is_ours and path != _path(self._named()):
                yield f"Job {path} has a former name, and is still there"

    def _rename(self) -> None:
        jenkins, path = self._outside.jenkins, self._named()
        if self._world.is_calm:
            return
        if path is None or not jenkins.is_building(path):
            self._world.loop.call_in_world(_AGAIN, self._rename)
            return
        self._world.loop.call_in_world(self._dice.choice((0.0, 2.0, 20.0)), self._write)

    def _write(self) -> None:
        if (path := self._named()) is None:
            return
        names = [JobPath(folder, job) for folder in _FOLDERS for job in _JOBS]
        other = self._dice.choice([name for name in names if name != path])
        self._world.note(f"somebody has job {_path(path)} be {_path(other)}", count="renamed")
        self._outside.kube.edit(_SETTINGS, {"spec": {"folder": other.folder, "job": other.name}})

    def _named(self) -> JobPath | None:
        settings = self._outside.kube.get(_SETTINGS.kind, _SETTINGS.name)
        spec = settings["spec"] if settings else {}
        return JobPath(spec["folder"], spec.get("job") or spec["projectRef"]) if spec else None


def _path(path: JobPath | None) -> str:
    return f"{path.folder}/{path.name}" if path else ""
