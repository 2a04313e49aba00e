"""Builds: queued and run, found by the parameters that name them."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from reconciler.clients.jenkins.line import SYSTEM, Line, item_path
from reconciler.domain.errors import Conflict, Invalid, Refused
from reconciler.domain.outside.builds import Build, BuildKey, BuildState, JobPath, Parameters

_PARAMETERS = "actions[parameters[name,value]]"
_BUILD = f"number,queueId,building,inProgress,result,timestamp,url,{_PARAMETERS}"
_QUEUE = f"items[id,task[url],why,{_PARAMETERS}]"
_LEFT = f"id,why,cancelled,executable[number,url],{_PARAMETERS}"
_ITEM = re.compile(r"/queue/item/(\d+)/?$")
_CONTROLS = frozenset({"delay", "token", "json", "cause", "statusCode", "redirectTo"})
_PAGE = 100
_OVERLAP = 10
"""Builds asked for twice from page to page, should one be deleted in between."""
_CLOCKS_DIFFER = timedelta(minutes=15)
_ENDED = {
    "SUCCESS": BuildState.PASSED,
    "UNSTABLE": BuildState.FAILED,
    "FAILURE": BuildState.FAILED,
    "NOT_BUILT": BuildState.ABORTED,
    "ABORTED": BuildState.ABORTED,
}


class Builds(Line):
    """What builds images."""

    async def list_builds(self, folder: str, newest: int = 100) -> tuple[Build, ...]:
        """Return what is queued, and the `newest` builds of every job of the folder, in two requests.

        A build that is not in the list may still exist: only `find_build` searches completely.
        """
        # Queue first: an item that starts between the two requests then shows up as a run.
        queue = await self._queue()
        tree = f"jobs[url,allBuilds[{_BUILD}]{{0,{newest}}}]"
        shown = await self._show(item_path(folder), tree, operation="list_builds") or {}
        jobs = shown.get("jobs") or ()
        runs = [_run(each) for job in jobs for each in job.get("allBuilds") or ()]
        return _merged(runs, _queued(queue, {_path(job.get("url")) for job in jobs}))

    async def find_build(self, path: JobPath, key: BuildKey, since: datetime) -> Build | None:
        """Return the build asked for with `key`; of twins the first, which is the one that counts."""
        found = await self.find_builds(path, key, since)
        return found[0] if found else None

    async def find_builds(self, path: JobPath, key: BuildKey, since: datetime) -> tuple[Build, ...]:
        """Search completely, queue and all builds back to `since`, for what was asked for with `key`; oldest first."""
        queue = await self._queue()
        runs: list[Build | None] = []
        start, job_url, is_more = 0, None, True
        while is_more:
            tree = f"url,allBuilds[{_BUILD}]{{{start},{start + _PAGE}}}"
            shown = await self._show(_job_path(path), tree, operation="find_build") or {}
            page = shown.get("allBuilds") or []
            job_url = shown.get("url") or job_url
            runs += [_run(each) for each in page]
            is_more = len(page) == _PAGE and _started(page[-1]) >= since - _CLOCKS_DIFFER
            start += _PAGE - _OVERLAP
        return tuple(each for each in _merged(runs, _queued(queue, {_path(job_url)})) if each.key == key)

    async def find_queued(self, queue_id: int) -> Build | None:
        """Return what became of a queue item; None when it is unknown: five minutes after it left."""
        shown = await self._show(f"/queue/item/{queue_id}", _LEFT, operation="find_queued")
        key = _key(shown) if shown else None
        if shown is None or key is None:
            return None
        if shown.get("cancelled"):
            return Build(key, BuildState.ABORTED, queue_id=queue_id, message="cancelled in the queue")
        if "cancelled" not in shown:
            return Build(key, BuildState.QUEUED, queue_id=queue_id, message=str(shown.get("why") or ""))
        run = shown.get("executable") or {}
        return Build(key, BuildState.RUNNING, run.get("number"), queue_id, str(run.get("url") or ""))

    async def start_build(self, path: JobPath, key: BuildKey, parameters: Parameters) -> int | None:
        """Ask for a build and return the id of its queue item, where Jenkins names it.

        An equal wish that is still queued is the same item; one that has started is not: search first.

        Raises:
            OutcomeUnknown: it may be queued; search before anything else.
            Invalid: the job takes no parameters, or one of them would be read as an order to Jenkins.
            Refused: the job is disabled, or something in Jenkins vetoed the build.
            NotFound: there is no such job.
        """
        if controls := sorted(_CONTROLS & parameters.keys()):
            message = f"a build parameter cannot be named {controls[0]}: Jenkins reads it as an order; rename it"
            raise Invalid(message, field=f"parameters.{controls[0]}", system=SYSTEM)
        named = {"OPERATION_ID": key.operation_id, "COMPONENT": key.component, "IMAGE_TAG": key.image_tag}
        url_path, name = f"{_job_path(path)}/buildWithParameters", f"{path.folder}/{path.name}"
        try:
            reply = await self._change(
                "POST", url_path, form={**parameters, **named}, expect=(201, 302, 303, 400), operation="start_build"
            )
        except Conflict as error:
            message = f"job {name} is disabled in Jenkins: enable it there"
            raise Refused(message, system=SYSTEM, status=error.status) from error
        if reply.status == 400:  # noqa: PLR2004 - of the four
            message = f"job {name} takes no parameters: let the operator repair it, or declare them"
            raise Invalid(message, field="job", system=SYSTEM, status=reply.status)
        if reply.status == 302:  # noqa: PLR2004 - of the four
            message = f"Jenkins did not queue a build of {name}: a plugin vetoed it; look for a queue decision handler"
            raise Refused(message, system=SYSTEM, status=reply.status)
        # The host in Location is whatever a proxy made of it; only the path is true.
        item = _ITEM.search(urlsplit(reply.headers.get("location", "")).path)
        return int(item[1]) if item else None

    async def stop_build(self, path: JobPath, number: int, *, insists: bool = False) -> None:
        """Ask a running build to stop; `insists`: one that resisted. Look for its end; what is gone is stopped."""
        url_path = f"{_job_path(path)}/{number}/{'term' if insists else 'stop'}"
        await self._change("POST", url_path, expect=(200, 302, 303, 404), operation="stop_build")

    async def stop(self, path: JobPath, build: Build, *, insists: bool = False) -> None:
        """Take a build from the queue or ask it to stop, or terminate it; what has ended stays as it is.

        Of a pipeline only (WorkflowRun.java:479-566): other builds know no `term`, which is answered by 404.
        """
        if build.state is BuildState.QUEUED and build.queue_id is not None:
            await self.cancel_queued(build.queue_id)
        elif build.state is BuildState.RUNNING and build.number is not None:
            await self.stop_build(path, build.number, insists=insists)

    async def cancel_queued(self, queue_id: int) -> bool:
        """Take an item out of the queue; False when it is not there any more: it may have started."""
        reply = await self._change(
            "POST",
            "/queue/cancelItem",
            params={"id": str(queue_id)},
            expect=(200, 204, 302, 404),
            operation="cancel_queued",
        )
        return reply.status != 404  # noqa: PLR2004 - of the four

    async def _queue(self) -> Iterable[Mapping[str, Any]]:
        shown = await self._show("/queue", _QUEUE, operation="list_queue")
        return (shown or {}).get("items") or ()


def _job_path(path: JobPath) -> str:
    return item_path(f"{path.folder}/{path.name}")


def _path(url: Any) -> str:
    """Return the path of a URL: hosts differ with proxies, paths do not."""
    return urlsplit(str(url or "")).path


def _started(build: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp((build.get("timestamp") or 0) / 1000, UTC)


def _key(shown: Mapping[str, Any]) -> BuildKey | None:
    """Return what a build was asked for with; None for a build that is none of ours."""
    values = {
        each.get("name"): str(each.get("value") or "")
        for action in shown.get("actions") or ()
        for each in (action or {}).get("parameters") or ()
    }
    operation, component, tag = values.get("OPERATION_ID"), values.get("COMPONENT"), values.get("IMAGE_TAG")
    return BuildKey(operation, component or "", tag or "") if operation else None


def _run(shown: Mapping[str, Any]) -> Build | None:
    key = _key(shown)
    if key is None:
        return None
    result = shown.get("result")
    # A pipeline sets its result while it still runs: it counts only when neither of the two says so.
    is_running = shown.get("building") or shown.get("inProgress") or not result
    state = BuildState.RUNNING if is_running else _ENDED.get(str(result), BuildState.FAILED)
    message = "" if state in {BuildState.RUNNING, BuildState.PASSED} else f"the build ended as {result}"
    return Build(key, state, shown.get("number"), shown.get("queueId"), str(shown.get("url") or ""), message)


def _queued(items: Iterable[Mapping[str, Any]], job_paths: set[str]) -> Iterator[Build | None]:
    for item in items:
        key = _key(item)
        path = _path((item.get("task") or {}).get("url"))
        if key is not None and path and path in job_paths:
            yield Build(key, BuildState.QUEUED, queue_id=item.get("id"), message=str(item.get("why") or ""))


def _merged(runs: Iterable[Build | None], queued: Iterable[Build | None]) -> tuple[Build, ...]:
    """Join runs and queue without repeats, the lowest number first, queued ones last; a run is more than its item."""
    found = {(each.url, each.number): each for each in runs if each is not None}
    # The id alone is not enough: a crash may set the counter of the queue back.
    started = {(each.queue_id, each.key) for each in found.values()}
    waiting = {each.queue_id: each for each in queued if each is not None and (each.queue_id, each.key) not in started}
    ordered = sorted(found.values(), key=lambda each: each.number or 0)
    return (*ordered, *sorted(waiting.values(), key=lambda each: each.queue_id or 0))
