"""Folders and jobs."""

from dataclasses import replace

from reconciler.clients.asks import Asks
from reconciler.clients.jenkins.line import SYSTEM, Line, item_path
from reconciler.clients.jenkins.xml import FOLDER, folder_xml, job_xml, read_job
from reconciler.domain.errors import AlreadyExists, Busy, Invalid, NotFound
from reconciler.domain.outside.builds import Folder, Job, JobPath, JobShape
from reconciler.domain.ownership import Marker, find_marker

_NEWEST = 100
"""How many builds of a job may run at once and still be seen."""
_ROOT = "hudson.model.Hudson"


class Items(Line):
    """What of Jenkins holds and describes builds."""

    def __init__(self, endpoint: Asks) -> None:
        """See `Line`; the URLs of jobs, which their configuration does not tell, are asked for once."""
        super().__init__(endpoint)
        self._urls: dict[JobPath, str] = {}

    async def find_folder(self, path: str) -> Folder | None:
        """Return the folder at `a/b`, if there is one. Raises Invalid when something else is there."""
        shown = await self._show(item_path(path), "description,jobs[name]{0,1}", operation="find_folder")
        if shown is None:
            return None
        if shown.get("_class") not in {FOLDER, _ROOT}:
            raise Invalid(f"{path} is there but is not a folder; name another folder", field="folder", system=SYSTEM)
        held = shown.get("jobs") or [{}]
        return Folder(path, find_marker(str(shown.get("description") or "")), str(held[0].get("name") or ""))

    async def create_folder(self, path: str, marker: Marker) -> None:
        """Create a folder, and those above it that are missing. Raises AlreadyExists."""
        above, _, name = path.rpartition("/")
        try:
            await self._create(above, name, folder_xml(marker), operation="create_folder")
        except NotFound:
            if not above:
                raise
            await self.create_folder(above, marker)
            await self._create(above, name, folder_xml(marker), operation="create_folder")

    async def find_job(self, path: JobPath) -> Job | None:
        """Return the job, with its shape comparable to the one it was made from."""
        url_path = f"{_job_path(path)}/config.xml"
        reply = await self._read(url_path, operation="find_job", expect=(200, 404))
        if reply.status != 200:  # noqa: PLR2004 - the other of the two
            self._urls.pop(path, None)
            return None
        job = read_job(path, reply.text())
        if path not in self._urls:
            shown = await self._show(_job_path(path), "url", operation="find_job_url") or {}
            self._urls[path] = str(shown.get("url") or "")
        return replace(job, url=self._urls[path])

    async def is_building(self, path: JobPath) -> bool:
        """Tell whether a build of the job runs or waits in the queue; of a job that is gone none does."""
        tree = f"inQueue,allBuilds[building]{{0,{_NEWEST}}}"
        shown = await self._show(_job_path(path), tree, operation="is_building") or {}
        return bool(shown.get("inQueue")) or any(build.get("building") for build in shown.get("allBuilds") or ())

    async def create_job(self, path: JobPath, shape: JobShape, marker: Marker) -> None:
        """Create a pipeline job. Raises AlreadyExists, or NotFound when the folder is not there."""
        await self._create(path.folder, path.name, job_xml(shape, marker), operation="create_job")

    async def update_job(self, path: JobPath, shape: JobShape, marker: Marker) -> None:
        """Give the job this shape and marker; triggers, log rotation and what else others set there stay.

        Raises NotFound, or Invalid when the job is of a kind that we do not make.
        """
        url_path = f"{_job_path(path)}/config.xml"
        existing = await self._read(url_path, operation="find_job")
        await self._change("POST", url_path, xml=job_xml(shape, marker, existing.text()), operation="update_job")

    async def delete_item(self, path: str) -> None:
        """Delete a job, or a folder that is empty; what is not there is deleted.

        Raises:
            Busy: the folder still holds something, which would go with it; or the item is being deleted already.
        """
        if not path.strip("/"):
            raise Invalid("the root of Jenkins cannot be deleted", field="path", system=SYSTEM)
        shown = await self._show(item_path(path), "jobs[name]{0,1}", operation="find_item")
        if shown is None:
            return
        if held := shown.get("jobs"):
            raise Busy(f"folder {path} still holds {held[0].get('name')}", system=SYSTEM)
        try:
            await self._change("DELETE", f"{item_path(path)}/", expect=(204, 302, 404), operation="delete_item")
        except Invalid as error:
            raise Busy(error.message, system=SYSTEM, status=error.status) from error

    async def list_parameters(self, path: JobPath) -> tuple[str, ...]:
        """Return the parameters that the job takes; Jenkins ignores others without a word. Raises NotFound."""
        tree = "property[parameterDefinitions[name]]"
        shown = await self._show(_job_path(path), tree, operation="list_parameters")
        if shown is None:
            raise NotFound(f"there is no job {path.folder}/{path.name}", system=SYSTEM, status=404)
        properties = shown.get("property") or ()
        return tuple(each["name"] for one in properties for each in one.get("parameterDefinitions") or ())

    async def _create(self, folder: str, name: str, xml: str, *, operation: str) -> None:
        path = f"{item_path(folder)}/createItem"
        try:
            await self._change("POST", path, params={"name": name}, xml=xml, operation=operation)
        except Invalid as error:
            if "already exists" in error.message:
                raise AlreadyExists(error.message, system=SYSTEM, status=error.status) from error
            raise


def _job_path(path: JobPath) -> str:
    return item_path(f"{path.folder}/{path.name}")
