"""What is ours in a build server: jobs, credentials, and folders that nobody uses."""

from dataclasses import dataclass
from typing import Protocol

from reconciler.domain.outside.builds import Credential, Folder, Job, JobPath
from reconciler.domain.things import Thing
from reconciler.removal.going import Found, Removable


class RemovableItems(Protocol):
    """Folders, jobs and credentials of one build server, as far as removal needs them."""

    async def find_folder(self, path: str) -> Folder | None:
        """Return the folder, if it is there."""
        ...

    async def find_job(self, path: JobPath) -> Job | None:
        """Return the job, if it is there."""
        ...

    async def is_building(self, path: JobPath) -> bool:
        """Tell whether a build of the job runs or waits in the queue."""
        ...

    async def delete_item(self, path: str) -> None:
        """Delete a job, or a folder that is empty; it is fine when it is gone. Raises Busy when it is not empty."""
        ...

    async def find_credential(self, folder: str, identity: str) -> Credential | None:
        """Return the credential, if it is there."""
        ...

    async def delete_credential(self, folder: str, identity: str) -> None:
        """Delete the credential; it is fine when it is gone."""
        ...


def removable_item(items: RemovableItems, thing: Thing) -> Removable:
    """Return a job, credential or folder as something that can go."""
    folder, _, name = thing.name.rpartition("/")
    match thing.kind:
        case "Job":
            return _Job(items, JobPath(folder, name))
        case "Credential":
            return _Credential(items, folder, name)
        case _:
            return _Folder(items, thing.name)


@dataclass(frozen=True, slots=True)
class _Job:
    items: RemovableItems
    path: JobPath

    async def find(self) -> Found | None:
        job = await self.items.find_job(self.path)
        return Found(job.marker) if job else None

    async def delete(self, found: Found) -> None:
        del found
        await self.items.delete_item(f"{self.path.folder}/{self.path.name}")


@dataclass(frozen=True, slots=True)
class _Credential:
    items: RemovableItems
    folder: str
    name: str

    async def find(self) -> Found | None:
        found = await self.items.find_credential(self.folder, self.name)
        return Found(found.marker) if found else None

    async def delete(self, found: Found) -> None:
        del found
        await self.items.delete_credential(self.folder, self.name)


@dataclass(frozen=True, slots=True)
class _Folder:
    items: RemovableItems
    path: str

    async def find(self) -> Found | None:
        folder = await self.items.find_folder(self.path)
        return Found(folder.marker) if folder and not folder.holds else None

    async def delete(self, found: Found) -> None:
        del found
        await self.items.delete_item(self.path)
