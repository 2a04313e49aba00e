"""A Jenkins on loopback: routes, doors, restarts, and the one task that lets time pass."""

import asyncio
import contextlib
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from reconciler.domain.clock import Clock
from reconciler.sandbox.jenkins.build_routes import BuildRoutes
from reconciler.sandbox.jenkins.credentials import Stores
from reconciler.sandbox.jenkins.doors import Doors
from reconciler.sandbox.jenkins.item_routes import ItemRoutes
from reconciler.sandbox.jenkins.items import Folder, Result
from reconciler.sandbox.jenkins.pages import VERSION, moved, not_found, page
from reconciler.sandbox.jenkins.views import Views
from reconciler.sandbox.jenkins.works import Pace, Script, Works, find_job
from reconciler.sandbox.server import Handler, Simulator

_ITEM = r"/{item:(?:job/[^/]+/)+}"
_BUILD = _ITEM + r"{number:\d+}/"
_CREDENTIALS = r"credentials/store/{store}/domain/_/{what:.+}"
_BEHIND_PROXY = "http://jenkins.behind-a-proxy.invalid"
_SHORTEST_NAP = 0.005


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """One build that was ever started, for oracles; `state` is the result, or `building`."""

    job: str
    number: int
    parameters: Mapping[str, str]
    state: str


class Jenkins(Simulator):
    """Simulates core 2.579 with pipeline, folders, git and credentials plugins.

    Attributes:
        pace: how long builds, quiet period and lags take; may be changed at any time.
        doors: tokens, password and whether crumbs are asked for.
    """

    name = "jenkins"

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        seed: int = 0,
        username: str = "reconciler",
        token: str = "11d0c5a3b7e94f6281",
        password: str = "correct-horse",
        build_seconds: float = 0.0,
        quiet_seconds: float = 0.0,
        executable_lag: float = 0.0,
        executors: int | None = None,
        on_success: Callable[[Mapping[str, str]], None] | None = None,
    ) -> None:
        """Make one; `on_success` is called with a build's parameters at the moment its image is pushed."""
        super().__init__(clock=clock, seed=seed)
        self.pace = Pace(build_seconds, 0.0, quiet_seconds, executable_lag, executors)
        self.doors = Doors(username, {token}, password)
        self.root = Folder("", None, None)
        self.works = Works(self.pace, on_success)
        self.stores = Stores()
        self.views = Views(self.works, self.root, "")
        self._items = ItemRoutes(self.root, self.works, self.views)
        self._builds = BuildRoutes(self._items, self.works, self.views, _BEHIND_PROXY)
        self._session = secrets.token_hex(4)
        self._ready_at = 0.0
        self._stirred = asyncio.Event()
        self._ticker: asyncio.Task[None] | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen, and let time pass."""
        await super().start(host, port)
        self.views.base = self.url
        self._ticker = asyncio.create_task(self._tick(), name="jenkins-ticker")

    async def stop(self) -> None:
        """Stop time, then listening. Raises what `on_success` raised, if it did."""
        ticker, self._ticker = self._ticker, None
        if ticker is not None:
            ticker.cancel()
            await asyncio.wait([ticker])
        await super().stop()
        if ticker is not None and not ticker.cancelled():
            ticker.result()

    def restart(self, *, seconds: float = 0.0, is_crash: bool = True) -> None:
        """Restart: 503 for some seconds, another session; a crash loses the queue, pipelines go on where they were."""
        self.catch_up()
        self._session = secrets.token_hex(4)
        self._ready_at = self._now() + seconds
        if is_crash:
            self.works.lose_queue()

    def fail_builds(self, *, component: str = "", times: int = 1, result: str = "FAILURE") -> None:
        """Let the next builds of a component (empty: any) end badly."""
        self.works.scripts.append(Script(component, times, Result(result)))

    def abort_builds(self, *, component: str = "", times: int = 1) -> None:
        """Let the next builds of a component (empty: any) be aborted, as by a lost agent."""
        self.works.scripts.append(Script(component, times, Result.ABORTED))

    def resist_stops(self, *, component: str = "", times: int = 1) -> None:
        """Let the next builds of a component ignore `stop`; `term` and `kill` still work."""
        self.works.scripts.append(Script(component, times, Result.SUCCESS, resists_stop=True))

    def drop_parameters(self, job: str, *, keep: tuple[str, ...] = (), drops: bool = True) -> None:
        """Let the Jenkinsfile of a job declare only these parameters: each run takes the others away; or not again."""
        self.works.kept.pop(job, None)
        if drops:
            self.works.kept[job] = keep

    def veto_builds(self, *, times: int = 1) -> None:
        """Let a queue decision handler refuse the next wishes."""
        self._builds.vetoes += times

    def discard_build(self, job: str, number: int) -> None:
        """Delete a build as log rotation does."""
        found = find_job(self.root, job)
        if found is not None:
            found.builds = [each for each in found.builds if each.number != number]

    def disable_job(self, job: str, *, disabled: bool = True) -> None:
        """Switch a job off as a person does, or on again."""
        found = find_job(self.root, job)
        if found is not None and found.configuration is not None:
            found.configuration.disable(disabled=disabled)

    def secret_of(self, folder: str, identity: str) -> str:
        """Return the secret of a credential, which no answer ever shows."""
        found = self.root.find([name for name in folder.split("/") if name])
        if not isinstance(found, Folder):
            raise KeyError(folder)
        return self.stores.of(found).secret(identity)

    @property
    def builds(self) -> list[BuildRecord]:
        """Every build that was ever started, oldest first, whatever was deleted since."""
        self.catch_up()
        return [
            BuildRecord(each.job.path, each.number, each.values, "building" if each.is_building else str(each.result))
            for each in self.works.history
        ]

    @property
    def effective_builds(self) -> Counter[tuple[str, str, str]]:
        """How often an image was pushed for each operation id, component and tag."""
        self.catch_up()
        return self.works.effective

    def catch_up(self) -> None:
        """Let everything happen that is due by now."""
        self.views.now = self._now()
        self.works.advance(self.views.now)

    def limited(self) -> web.Response:
        """Word a 429 as a proxy before it does; Jenkins itself has no limits and no Retry-After."""
        return page(429, "Too Many Requests")

    def unavailable(self) -> web.Response:
        """Word the 503 of a starting server."""
        return page(503, "Please wait while Jenkins is getting ready to work ...")

    def routes(self) -> list[web.RouteDef]:
        """Return all routes; what none of them knows is a 404 page."""
        guarded = [self._guarded(*each) for each in (*self._item_table(), *self._build_table(), *self._server_table())]
        return [*guarded, self._guarded("*", "/{rest:.*}", _unknown)]

    def _item_table(self) -> list[tuple[str, str, Handler]]:
        items = self._items
        return [
            ("GET", "/api/json", items.show),
            ("GET", "/", items.page),
            ("POST", "/createItem", items.create),
            ("GET", f"{_ITEM}api/json", items.show),
            ("GET", _ITEM, items.page),
            ("DELETE", _ITEM, items.delete),
            ("POST", f"{_ITEM}createItem", items.create),
            ("GET", f"{_ITEM}config.xml", items.read_configuration),
            ("POST", f"{_ITEM}config.xml", items.configure),
            ("POST", f"{_ITEM}doDelete", items.do_delete),
            ("POST", f"{_ITEM}enable", items.switch),
            ("POST", f"{_ITEM}disable", items.switch),
            ("POST", f"{_ITEM}confirmRename", items.rename),
            ("*", f"/{_CREDENTIALS}", self._credentials),
            ("*", f"{_ITEM}{_CREDENTIALS}", self._credentials),
        ]

    def _build_table(self) -> list[tuple[str, str, Handler]]:
        builds = self._builds
        return [
            ("POST", f"{_ITEM}build", builds.build),
            ("POST", f"{_ITEM}buildWithParameters", builds.build_with_parameters),
            ("GET", "/queue/api/json", builds.show_queue),
            ("GET", r"/queue/item/{id:\d+}/api/json", builds.show_queue_item),
            ("POST", "/queue/cancelItem", builds.cancel),
            ("GET", f"{_BUILD}api/json", builds.show),
            ("GET", _BUILD, builds.page),
            *[("POST", f"{_BUILD}{how}", builds.stop) for how in ("stop", "term", "kill")],
            ("POST", f"{_BUILD}doDelete", builds.delete),
            ("GET", f"{_BUILD}logText/progressiveText", builds.progressive_text),
            ("GET", f"{_BUILD}consoleText", builds.console_text),
        ]

    def _server_table(self) -> list[tuple[str, str, Handler]]:
        tokens = "/user/{user}/descriptorByName/jenkins.security.ApiTokenProperty"
        return [
            ("GET", "/crumbIssuer/api/json", self.doors.issue_crumb),
            ("POST", f"{tokens}/generateNewToken", self.doors.make_token),
            ("POST", f"{tokens}/revoke", self.doors.revoke_token),
            ("POST", "/quietDown", self._quiet_down),
            ("POST", "/cancelQuietDown", self._quiet_down),
            ("POST", "/safeRestart", self._safe_restart),
        ]

    def _guarded(self, method: str, path: str, handler: Handler) -> web.RouteDef:
        async def serve(request: web.Request) -> web.StreamResponse:
            self.catch_up()
            if self.views.now < self._ready_at:
                return self.unavailable()
            due = self.works.next_due()
            answer = self.doors.refuse(request) or await handler(request)
            if self.works.next_due() != due:
                self._stirred.set()
            answer.headers.update({"X-Jenkins": VERSION, "X-Hudson": "1.395", "X-Jenkins-Session": self._session})
            return answer

        return web.route(method, path, serve)

    async def _credentials(self, request: web.Request) -> web.Response:
        folder = self._items.find(request)
        return await self.stores.answer(request, folder) if isinstance(folder, Folder) else not_found()

    async def _quiet_down(self, request: web.Request) -> web.Response:
        self.works.quiet_down(on=request.path == "/quietDown", now=self.views.now)
        return moved("/")

    async def _safe_restart(self, request: web.Request) -> web.Response:
        self.restart(is_crash=False)
        return moved("/")

    def _now(self) -> float:
        return self.clock.now().timestamp()

    async def _tick(self) -> None:
        """Do what is due when it is due, even when nobody looks: an image is pushed by the build, not by a reader."""
        while True:
            self.catch_up()
            self._stirred.clear()
            due = self.works.next_due()
            nap = None if due is None else max(due - self._now(), _SHORTEST_NAP)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stirred.wait(), nap)


async def _unknown(_: web.Request) -> web.Response:
    return not_found()
