"""Folders and jobs over HTTP: create, read, configure, delete, switch on and off."""

from dataclasses import dataclass
from urllib.parse import unquote

from aiohttp import web

from reconciler.sandbox.jenkins.configuration import Configuration, UnreadableError, read_configuration
from reconciler.sandbox.jenkins.items import Folder, Item, Job, make_item, why_unsafe
from reconciler.sandbox.jenkins.pages import failure, moved, not_found, oops, page, xml
from reconciler.sandbox.jenkins.views import Views
from reconciler.sandbox.jenkins.works import Works

_XML = ("application/xml", "text/xml")


@dataclass
class ItemRoutes:
    """Handlers for everything below an item's path but its builds."""

    root: Folder
    works: Works
    views: Views

    def find(self, request: web.Request) -> Item | None:
        """Return the item that the path names; the root where it names none."""
        words = request.match_info.get("item", "").strip("/")
        return self.root.find([unquote(each) for each in words.split("/")[1::2]]) if words else self.root

    async def show(self, request: web.Request) -> web.Response:
        """Answer `api/json`."""
        item = self.find(request)
        return self.views.answer(item, request) if item else not_found()

    async def page(self, request: web.Request) -> web.Response:
        """Answer the item's page for people."""
        item = self.find(request)
        return page(200, item.path or "Dashboard") if item else not_found()

    async def create(self, request: web.Request) -> web.Response:
        """Answer `createItem`."""
        parent = self.find(request)
        if not isinstance(parent, Folder):
            return not_found()
        name, is_copy = request.query.get("name", ""), request.query.get("mode") == "copy"
        if problem := why_unsafe(name) or _why_taken(parent, name) or ("" if is_copy else _why_not_xml(request)):
            return failure(problem)
        if is_copy:
            return self._copy(parent, name, request.query.get("from", ""))
        configuration = await _read(request)
        if isinstance(configuration, Configuration):
            make_item(name, parent, configuration)
            return web.Response(status=200)
        return configuration

    def _copy(self, parent: Folder, name: str, origin: str) -> web.Response:
        model = parent.children.get(origin)
        if model is None or model.configuration is None:
            return failure(f"No such job: {origin}")
        copy = make_item(name, parent, read_configuration(model.configuration.text().encode()))
        if isinstance(copy, Job):
            copy.is_held_off = True
        return moved(f"{copy.url_path}configure")

    async def read_configuration(self, request: web.Request) -> web.Response:
        """Answer `GET config.xml`."""
        item = self.find(request)
        return xml(item.configuration.text()) if item and item.configuration else not_found()

    async def configure(self, request: web.Request) -> web.Response:
        """Answer `POST config.xml`."""
        item = self.find(request)
        if item is None or item.configuration is None:
            return not_found()
        configuration = await _read(request)
        if not isinstance(configuration, Configuration):
            return configuration
        if configuration.kind != item.configuration.kind:
            return oops(f"java.io.IOException: Expecting {item.configuration.kind} but got {configuration.kind}")
        item.configuration = configuration
        if isinstance(item, Job):
            item.is_held_off = False
        return web.Response(status=200)

    async def delete(self, request: web.Request) -> web.Response:
        """Answer `DELETE`."""
        return web.Response(status=204) if self._remove(self.find(request)) else not_found()

    async def do_delete(self, request: web.Request) -> web.Response:
        """Answer `POST doDelete`, the way of the web page."""
        item = self.find(request)
        return moved("../../") if self._remove(item) else not_found()

    def _remove(self, item: Item | None) -> bool:
        if item is None or item.parent is None:
            return False
        now = self.views.now
        for job in item.jobs_below() if isinstance(item, Folder) else [item] if isinstance(item, Job) else []:
            self.works.forget(job, now)
        del item.parent.children[item.name]
        return True

    async def switch(self, request: web.Request) -> web.Response:
        """Answer `enable` and `disable`."""
        job = self.find(request)
        if not isinstance(job, Job) or job.configuration is None:
            return not_found()
        job.configuration.disable(disabled=request.path.endswith("/disable"))
        return moved(".")

    async def rename(self, request: web.Request) -> web.Response:
        """Answer `confirmRename`."""
        item = self.find(request)
        if item is None or item.parent is None:
            return not_found()
        name = str((await request.post()).get("newName", request.query.get("newName", "")))
        if problem := why_unsafe(name) or ("The name is already in use" if name in item.parent.children else ""):
            return failure(problem)
        del item.parent.children[item.name]
        item.name = name
        item.parent.children[name] = item
        return moved(item.url_path)


def _why_taken(parent: Folder, name: str) -> str:
    return f"A job already exists with the name \u2018{name}\u2019" if name in parent.children else ""


def _why_not_xml(request: web.Request) -> str:
    if "Content-Type" not in request.headers:
        return "No Content-Type header set"
    return "" if request.content_type in _XML else "No mode given"


async def _read(request: web.Request) -> Configuration | web.Response:
    try:
        return read_configuration(await request.read())
    except UnreadableError as error:
        return oops(str(error))
