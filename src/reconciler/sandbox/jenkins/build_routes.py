"""Builds and the queue over HTTP: ask for a build, follow it, stop it, read its log."""

import re
from dataclasses import dataclass

from aiohttp import web

from reconciler.sandbox.jenkins.configuration import Parameter
from reconciler.sandbox.jenkins.item_routes import ItemRoutes
from reconciler.sandbox.jenkins.items import Build, Job, QueueItem, Values
from reconciler.sandbox.jenkins.logs import progressive, raw_log, served
from reconciler.sandbox.jenkins.pages import moved, not_found, oops, page
from reconciler.sandbox.jenkins.views import Views
from reconciler.sandbox.jenkins.works import Works

_DELAY = re.compile(r"(\d+)\s*(ms|secs?|s)?")


@dataclass
class BuildRoutes:
    """Handlers for the queue and for what is below a job.

    Attributes:
        proxy: what the server believes to be its own address: `Location` headers name it.
        vetoes: how many of the next wishes a queue decision handler refuses.
    """

    items: ItemRoutes
    works: Works
    views: Views
    proxy: str
    vetoes: int = 0

    async def build(self, request: web.Request) -> web.Response:
        """Answer `POST build`; a parameterised job wants the form of the web page."""
        job = self.items.find(request)
        if not isinstance(job, Job):
            return not_found()
        if not job.is_buildable:
            return page(409, f"{job.name} is not buildable")
        form = {**request.query, **{name: str(value) for name, value in (await request.post()).items()}}
        if _parameters(job) and "json" not in form:
            return page(400, "Nothing is submitted")
        return self._queue(job, {each.name: each.default for each in _parameters(job)}, form.get("delay"), folded=201)

    async def build_with_parameters(self, request: web.Request) -> web.Response:
        """Answer `POST buildWithParameters`: unknown parameters are ignored, missing ones take their defaults."""
        job = self.items.find(request)
        if not isinstance(job, Job):
            return not_found()
        if not job.is_buildable:
            return page(409, f"{job.name} is not buildable")
        if not _parameters(job):
            return page(400, f"{job.name} is not parameterized")
        form = {**request.query, **{name: str(value) for name, value in (await request.post()).items()}}
        values = {each.name: form.get(each.name, each.default) for each in _parameters(job)}
        for each in _parameters(job):
            if each.choices and values[each.name] not in each.choices:
                return oops(f"java.lang.IllegalArgumentException: Illegal choice for parameter {each.name}")
        return self._queue(job, values, form.get("delay"), folded=303)

    def _queue(self, job: Job, values: Values, delay: str | None, *, folded: int) -> web.Response:
        if self.vetoes > 0:
            self.vetoes -= 1
            return moved(".")
        seconds = _seconds(delay) if delay is not None else None
        if delay is not None and seconds is None:
            return oops("java.lang.IllegalArgumentException: Invalid time duration")
        equal = self.works.find_equal(job, values)
        item = equal or self.works.enqueue(job, values, self.views.now, seconds)
        return moved(f"{self.proxy}/queue/item/{item.id}/", folded if equal else 201)

    async def show_queue(self, request: web.Request) -> web.Response:
        """Answer `queue/api/json`."""
        return self.views.answer(self.views.queue(), request)

    async def show_queue_item(self, request: web.Request) -> web.Response:
        """Answer `queue/item/N/api/json`; five minutes after leaving nothing is known of an item."""
        number = int(request.match_info["id"])
        item: QueueItem | None = self.works.waiting.get(number) or self.works.left.get(number)
        return self.views.answer(item, request) if item else not_found()

    async def cancel(self, request: web.Request) -> web.Response:
        """Answer `queue/cancelItem`."""
        number = request.query.get("id", "")
        item = self.works.waiting.get(int(number)) if number.isdigit() else None
        if item is None:
            return not_found()
        self.works.cancel(item, self.views.now)
        return web.Response(status=204)

    async def show(self, request: web.Request) -> web.Response:
        """Answer a build's `api/json`."""
        build = self._find(request)
        return self.views.answer(build, request) if build else not_found()

    async def page(self, request: web.Request) -> web.Response:
        """Answer a build's page for people."""
        build = self._find(request)
        return page(200, f"{build.job.path} #{build.number}: {build.result or 'running'}") if build else not_found()

    async def stop(self, request: web.Request) -> web.Response:
        """Answer `stop`, `term` and `kill`."""
        build = self._find(request)
        if build is None:
            return not_found()
        self.works.stop(build, self.views.now, by_force=not request.path.endswith("/stop"))
        return moved(build.job.url_path)

    async def delete(self, request: web.Request) -> web.Response:
        """Answer a build's `doDelete`."""
        build = self._find(request)
        if build is None:
            return not_found()
        build.job.builds.remove(build)
        return moved("..")

    async def progressive_text(self, request: web.Request) -> web.Response:
        """Answer `logText/progressiveText`: offsets count the raw log, not what is served."""
        build = self._find(request)
        if build is None:
            return not_found()
        start = request.query.get("start", "0")
        text, size, is_more = progressive(
            build, self.views.now, int(start) if start.isdigit() else 0, self.works.pace.executable_lag
        )
        headers = {"X-Text-Size": str(size)} | ({"X-More-Data": "true"} if is_more else {})
        return web.Response(text=text, content_type="text/plain", charset="utf-8", headers=headers)

    async def console_text(self, request: web.Request) -> web.Response:
        """Answer `consoleText`."""
        build = self._find(request)
        return web.Response(text=served(raw_log(build, self.views.now))) if build else not_found()

    def _find(self, request: web.Request) -> Build | None:
        job, number = self.items.find(request), int(request.match_info["number"])
        return next((each for each in job.builds if each.number == number), None) if isinstance(job, Job) else None


def _parameters(job: Job) -> list[Parameter]:
    return job.configuration.parameters if job.configuration else []


def _seconds(delay: str) -> float | None:
    """Read a time; without a unit it is milliseconds, and the queue counts whole seconds."""
    found = _DELAY.fullmatch(delay.strip())
    if found is None:
        return None
    number, unit = int(found[1]), found[2] or "ms"
    return float(number // 1000 if unit == "ms" else number)
