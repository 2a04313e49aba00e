"""The stream of application events: server-sent events with a comment as keep-alive, or one JSON document per line."""

import asyncio
from contextlib import suppress

from aiohttp import web

from reconciler.sandbox.argocd.gateway import Accounts
from reconciler.sandbox.argocd.store import Applications, Event, Watch

KEEP_ALIVE = 15.0


class Stream:
    """`GET /api/v1/stream/applications`. Identical consecutive events of one name are left out, the first ones never.

    Attributes:
        keep_alive: seconds between comments.
        opened: how many streams were opened so far.
    """

    def __init__(self, store: Applications, accounts: Accounts, keep_alive: float = KEEP_ALIVE) -> None:
        self.keep_alive = keep_alive
        self.opened = 0
        self._store, self._accounts = store, accounts

    async def open(self, request: web.Request) -> web.StreamResponse:
        """Send what is there as ADDED, then every change, until one side ends it."""
        is_sse = request.headers.get("Accept", "") == "text/event-stream"
        projects = frozenset([*request.query.getall("projects", []), *request.query.getall("project", [])])
        watch = Watch(projects, request.query.get("name", ""))
        kind = "text/event-stream" if is_sse else "application/json"
        response = web.StreamResponse(headers={"Content-Type": kind, "Transfer-Encoding": "chunked"})
        self.opened += 1
        self._store.watches.add(watch)
        first = [self._store.event("ADDED", name) for name in self._store.select(projects, watch.name)]
        try:
            await response.prepare(request)
            await self._send(request, response, watch, first, is_sse=is_sse)
        finally:
            self._store.watches.discard(watch)
        return response

    def cut_all(self) -> None:
        """End every stream, as a restart or a proxy does."""
        for watch in self._store.watches:
            watch.cut()

    async def _send(
        self, request: web.Request, response: web.StreamResponse, watch: Watch, first: list[Event], *, is_sse: bool
    ) -> None:
        last: dict[str, bytes] = {event.name: event.line for event in first}
        with suppress(ConnectionError):
            await response.write(b"".join(_framed(e.line, is_sse=is_sse) for e in first if self._may_see(e)))
            while not watch.is_cut:
                events = await self._next(watch)
                lines = [e.line for e in events if self._may_see(e) and last.get(e.name) != e.line]
                last.update((e.name, e.line) for e in events)
                if lines:
                    await response.write(b"".join(_framed(line, is_sse=is_sse) for line in lines))
                elif not events and is_sse:
                    await response.write(b":\n")
            if request.transport is not None:
                request.transport.close()

    async def _next(self, watch: Watch) -> list[Event]:
        """Return what happened, or nothing when it is time for a comment."""
        try:
            async with asyncio.timeout(self.keep_alive):
                events = [await watch.queue.get()]
        except TimeoutError:
            return []
        while not watch.queue.empty():
            events.append(watch.queue.get_nowait())
        return [event for event in events if event is not None]

    def _may_see(self, event: Event) -> bool:
        return event.project not in self._accounts.denied_projects


def _framed(line: bytes, *, is_sse: bool) -> bytes:
    return b"data: %s\n\n" % line if is_sse else line + b"\n"
