"""Watches: from the store's events to one JSON line each."""

import asyncio
import random
from collections import deque
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import orjson
from aiohttp import web

from reconciler.domain.clock import Clock
from reconciler.sandbox.kube import errors
from reconciler.sandbox.kube.errors import JSON
from reconciler.sandbox.kube.faults import Faults
from reconciler.sandbox.kube.negotiation import Format
from reconciler.sandbox.kube.reads import Query, included, number, predicate_of, too_large
from reconciler.sandbox.kube.resources import Resource, same
from reconciler.sandbox.kube.selectors import Predicate
from reconciler.sandbox.kube.store import Event, Store
from reconciler.sandbox.kube.tables import partial, table
from reconciler.sandbox.kube.writes import Writer

_BOOKMARK_EVERY: Final = 60.0
_FUTURE_PATIENCE: Final = 3.0
_MAX_QUEUE: Final = 100_000
_END_OF_INITIAL: Final = {"k8s.io/initial-events-end": "true"}


def wants_watch(query: Query) -> bool:
    """Tell whether a list request asks for a watch."""
    return query.get("watch", "false").lower() not in {"", "0", "false", "f"} if "watch" in query else False


class Watch:
    """One open watch: what it selects, and the lines not yet sent."""

    def __init__(self, resource: Resource, namespace: str | None, query: Query, form: Format, clock: Clock) -> None:
        self.resource = resource
        self.namespace = namespace
        self.selects: Predicate | None = predicate_of(resource, query)
        self.lines: deque[bytes] = deque()
        self.wake = asyncio.Event()
        self.ended = False
        self.aborted = False
        self.frozen = False
        self._form = form
        self._include = included(query)
        self._columns_sent = False
        self._clock = clock
        self._shared = form.plain and resource.rules.to_wire is same

    def feed(self, event: Event) -> None:
        """Take one event of the bucket."""
        if self.namespace is not None and event.key[0] != self.namespace:
            return
        if self.selects is None:
            if self._shared:
                self._push(event.line())
                return
            was, now = event.old is not None, event.new is not None
        else:
            was = event.old is not None and self.selects(event.old.obj)
            now = event.new is not None and self.selects(event.new.obj)
        if now and event.new is not None:
            self.add("MODIFIED" if was else "ADDED", event.new.obj)
        elif was:
            self.add("DELETED", event.last_state())

    def add(self, kind: str, stored: JSON) -> None:
        """Queue one event of an object in stored form."""
        self._push(self._line(kind, self._shape(self.resource.rules.to_wire(stored), self._clock.now())))

    def add_raw(self, raw: bytes) -> None:
        """Queue ADDED of an object whose plain JSON is at hand."""
        self._push(b'{"type":"ADDED","object":' + raw + b"}\n")

    def bookmark(self, revision: int, annotations: Mapping[str, str] | None = None) -> None:
        """Queue a BOOKMARK."""
        metadata: JSON = {"resourceVersion": str(revision)}
        if annotations is not None:
            metadata["annotations"] = dict(annotations)
        obj = {"kind": self.resource.kind, "apiVersion": self.resource.api_version, "metadata": metadata}
        if self._form.shape == "Table":
            obj = self._shape(obj, self._clock.now()) | {"rows": []}
        self._push(self._line("BOOKMARK", obj))

    def fail(self, error: errors.ApiError) -> None:
        """Queue an ERROR event and end."""
        self._push(self._line("ERROR", error.body()))
        self.end()

    def end(self) -> None:
        """End cleanly after what is queued."""
        self.ended = True
        self.wake.set()

    def abort(self) -> None:
        """Break the connection now."""
        self.aborted = True
        self.wake.set()

    @property
    def shared(self) -> bool:
        """Tell whether this watch takes objects' own plain JSON."""
        return self._shared

    def _push(self, line: bytes) -> None:
        if self.ended or self.frozen:
            return
        self.lines.append(line)
        if len(self.lines) > _MAX_QUEUE:
            self.abort()
        self.wake.set()

    def _shape(self, obj: JSON, now: datetime) -> JSON:
        if self._form.shape == "Table":
            columns, self._columns_sent = not self._columns_sent, True
            metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
            return table(self.resource, [obj], metadata, now, include=self._include, columns=columns)
        return partial(obj, self._form.version) if self._form.shape else obj

    def _line(self, kind: str, obj: JSON) -> bytes:
        return orjson.dumps({"type": kind, "object": obj}) + b"\n"


class Watches:
    """All open watches."""

    def __init__(self, writer: Writer, clock: Clock, faults: Faults) -> None:
        self._writer = writer
        self._clock = clock
        self._faults = faults
        self._open: dict[Watch, web.BaseRequest] = {}
        self._random = random.Random()
        faults.connect(self.cut, self.expire, self.freeze)

    def __len__(self) -> int:
        return len(self._open)

    def cut(self) -> None:
        """Abort every open watch."""
        for watch in self._open:
            watch.abort()

    def freeze(self) -> None:
        """Let every open watch fall silent."""
        for watch in self._open:
            watch.frozen = True

    def expire(self) -> None:
        """End every open watch with 410."""
        revision = self._store.revision
        for watch in self._open:
            watch.fail(errors.expired(f"too old resource version: 1 ({revision})"))

    def end(self, bucket: str | None = None) -> None:
        """End the watches of one bucket, or all, cleanly."""
        for watch in self._open:
            if bucket is None or watch.resource.bucket == bucket:
                watch.end()

    @property
    def _store(self) -> Store:
        return self._writer.store

    async def serve(
        self,
        request: web.BaseRequest,
        target: tuple[Resource, str | None],
        query: Query,
        form: Format,
        headers: Mapping[str, str],
    ) -> web.StreamResponse:
        """Answer one watch request until it ends."""
        watch = Watch(*target, query, form, self._clock)
        timeout = number(query, "timeoutSeconds")
        lasts = float(timeout) if timeout > 0 else 1800 * (1 + self._random.random())
        bookmarks = query.get("allowWatchBookmarks", "").lower() in {"true", "1"}
        bucket = self._writer.bucket(watch.resource)
        response = web.StreamResponse(headers={**headers, "Content-Type": form.media})
        response.enable_chunked_encoding()
        self._begin(watch, query, bookmarks=bookmarks)
        self._open[watch] = request
        try:
            if not watch.ended:
                bucket.listeners.add(watch.feed)
            await response.prepare(request)
            await self._stream(watch, request, response, lasts, bookmarks=bookmarks)
        except ConnectionResetError:
            # The client went away, or was cut off on purpose: nobody is there to be told.
            return response
        finally:
            bucket.listeners.discard(watch.feed)
            del self._open[watch]
        return response

    def _begin(self, watch: Watch, query: Query, *, bookmarks: bool) -> None:
        """Queue what happened before: the objects there are, or the events since a resourceVersion."""
        text = query.get("resourceVersion", "")
        if text and not text.isdecimal():
            raise errors.internal(f'strconv.ParseUint: parsing "{text}": invalid syntax')
        version = int(text or 0)
        initial = query.get("sendInitialEvents", "").lower() in {"true", "1"}
        if initial and query.get("resourceVersionMatch") != "NotOlderThan":
            rule = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            raise errors.invalid_options("ListOptions", "resourceVersionMatch", "FieldValueForbidden", rule)
        bucket = self._writer.bucket(watch.resource)
        if initial and version > self._store.revision:
            watch.fail(too_large(version, self._store.revision))
        elif initial or version == 0:
            self._send_state(watch)
            if bookmarks:
                watch.bookmark(self._store.revision, _END_OF_INITIAL)
        elif version < bucket.floor:
            watch.fail(errors.expired(f"too old resource version: {version} ({bucket.floor})"))
        else:
            for event in bucket.since(version):
                watch.feed(event)

    def _send_state(self, watch: Watch) -> None:
        for entry in self._writer.bucket(watch.resource).entries(watch.namespace):
            obj = self._writer.view(watch.resource, entry)
            if watch.selects is not None and not watch.selects(obj):
                continue
            if watch.shared and obj is entry.obj:
                watch.add_raw(entry.raw())
            else:
                watch.add("ADDED", obj)

    async def _stream(
        self, watch: Watch, request: web.BaseRequest, response: web.StreamResponse, lasts: float, *, bookmarks: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + lasts
        due = _bookmark_times(loop.time(), ends) if bookmarks else deque[float]()
        while True:
            await self._flush(watch, request, response)
            if watch.frozen and not watch.ended:
                await watch.wake.wait()
                watch.wake.clear()
                continue
            now = loop.time()
            if watch.ended or now >= ends:
                break
            if due and now >= due[0]:
                due.popleft()
                watch.bookmark(self._store.revision)
                continue
            await _wait(watch.wake, (due[0] if due else ends) - now)
            watch.wake.clear()
        await response.write_eof()

    async def _flush(self, watch: Watch, request: web.BaseRequest, response: web.StreamResponse) -> None:
        while watch.lines and not watch.aborted:
            if self._faults.take_cut_line():
                line = watch.lines[0]
                await response.write(line[: len(line) // 2])
                watch.abort()
                break
            chunk = b"".join(watch.lines)
            watch.lines.clear()
            await response.write(chunk)
        if watch.aborted:
            abort(request)
            raise ConnectionResetError


def _bookmark_times(now: float, ends: float) -> deque[float]:
    """Every minute, and two seconds and one before the end."""
    times = deque[float]()
    regular = now + _BOOKMARK_EVERY
    while regular < ends - 2:
        times.append(regular)
        regular += _BOOKMARK_EVERY
    times.extend(moment for moment in (ends - 2, ends - 1) if moment > now)
    return times


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def abort(request: web.BaseRequest) -> None:
    """Break a request's connection without another byte."""
    transport = request.transport
    if transport is not None:
        transport.abort()
