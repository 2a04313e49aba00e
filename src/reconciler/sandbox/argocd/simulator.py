"""The simulated Argo CD server as a whole: routes, oracles and the outcomes one can ask for."""

import asyncio
from collections import Counter
from contextlib import suppress

import orjson
from aiohttp import web

from reconciler.domain.clock import Clock
from reconciler.sandbox.argocd.applications import ApplicationCalls
from reconciler.sandbox.argocd.controller import Controller, Pace
from reconciler.sandbox.argocd.errors import denied
from reconciler.sandbox.argocd.gateway import Accounts, Handler, answer, body_of, guarded
from reconciler.sandbox.argocd.jsonpatch import merge
from reconciler.sandbox.argocd.projects import Projects
from reconciler.sandbox.argocd.repositories import Repositories
from reconciler.sandbox.argocd.store import Applications, SyncRun, Tree
from reconciler.sandbox.argocd.stream import KEEP_ALIVE, Stream
from reconciler.sandbox.server import Simulator

VERSION = "v3.6.0+37ee009"


class ArgoCD(Simulator):
    """Argo CD 3.6.0 as FACTS section 1 describes it.

    With all `…_seconds` at 0 (the default) the controller does each step as soon as the answer that caused it is out.

    Attributes:
        accounts: tokens, sessions, and projects in which the caller has no rights.
        writes: how often each application, project or repository url was changed through the API.
        moods: what goes wrong on demand with the calls.
        stream: the event stream; `stream.cut_all()` ends all of them.
    """

    name = "argocd"

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        seed: int = 0,
        token: str = "argocd-token",
        username: str = "admin",
        password: str = "argocd-password",
        pickup_seconds: float = 0.0,
        sync_seconds: float = 0.0,
        reconcile_seconds: float = 0.0,
        progress_seconds: float = 0.0,
        retry_seconds: float = 0.0,
        delete_seconds: float = 0.0,
        automation_seconds: float = 0.0,
        session_seconds: float = 86_400.0,
        keep_alive_seconds: float = KEEP_ALIVE,
    ) -> None:
        super().__init__(clock=clock, seed=seed)
        pace = Pace(
            pickup_seconds,
            sync_seconds,
            reconcile_seconds,
            progress_seconds,
            retry_seconds,
            delete_seconds,
            automation_seconds,
        )
        self.writes: Counter[str] = Counter()
        self.accounts = Accounts(self.clock, token, username, password, session_seconds)
        self.store = Applications(self.clock)
        self.controller = Controller(self.clock, self.store, pace)
        self._projects = Projects(self.clock, self.store, self.accounts, self._wrote)
        self._repositories = Repositories(self.clock, self._wrote)
        self.calls = ApplicationCalls(
            clock=self.clock,
            store=self.store,
            controller=self.controller,
            projects=self._projects,
            accounts=self.accounts,
            wrote=self._wrote,
        )
        self.moods = self.calls.moods
        self.stream = Stream(self.store, self.accounts, keep_alive_seconds)
        self._ticker: asyncio.Task[None] | None = None

    @property
    def applications(self) -> dict[str, Tree]:
        """Return all applications by name, to read; change them with `edit`."""
        return self.store.trees

    @property
    def projects(self) -> dict[str, Tree]:
        """Return all projects by name."""
        return self._projects.trees

    @property
    def repositories(self) -> dict[tuple[str, str], Tree]:
        """Return all repositories by (url, project), with the secrets they were given."""
        return self._repositories.trees

    @property
    def syncs(self) -> list[SyncRun]:
        """Return every sync that ended, in order."""
        return self.controller.syncs

    def live_images(self, application: str) -> tuple[str, ...]:
        """Return what runs: only a sync changes it."""
        return self.controller.live[application].images if application in self.controller.live else ()

    def fail_syncs(self, application: str, times: int = 1, *, message: str = "") -> None:
        """Let the next syncs fail."""
        script = self.controller.scripts[application]
        script.failures = times
        script.failure = message or script.failure

    def retry_once(self, application: str) -> None:
        """Let the next attempt fail and be retried: Running with `finishedAt` for a while."""
        self.controller.scripts[application].retries += 1

    def degrade(self, application: str, message: str = "Deployment exceeded its progress deadline") -> None:
        """Let it be Degraded from the next time its health is computed."""
        self._set_health(application, "Degraded", message)

    def suspend(self, application: str, message: str = "Rollout is paused") -> None:
        """Let it be Suspended from the next time its health is computed."""
        self._set_health(application, "Suspended", message)

    def hang(self, application: str) -> None:
        """Let it be Progressing until `heal`."""
        self._set_health(application, "Progressing", "Waiting for rollout to finish")

    def heal(self, application: str) -> None:
        """Let it be as healthy as it is."""
        self._set_health(application, "", "")

    def leave_prune_skipped(self, application: str) -> None:
        """Let its syncs leave a resource that was not pruned: OutOfSync for good."""
        self.controller.scripts[application].skips_prune = True

    def break_comparison(self, application: str, message: str) -> None:
        """Let it have a ComparisonError; an empty message ends that."""
        self.controller.scripts[application].comparison_error = message
        self._look_again(application)

    def hold_deletion(self, application: str) -> None:
        """Let its deletion get stuck with a DeletionError."""
        self.controller.scripts[application].is_deletion_stuck = True

    def release_deletion(self, application: str) -> None:
        """Let a stuck deletion go on."""
        self.controller.scripts[application].is_deletion_stuck = False
        self.controller.deletion_requested(application)

    def block_syncs(self, application: str) -> None:
        """Close the sync window of an application."""
        self.moods.blocked.add(application)

    def allow_syncs(self, application: str) -> None:
        """Open the sync window again."""
        self.moods.blocked.discard(application)

    def break_git(self, times: int = 1) -> None:
        """Let the next syncs not resolve their revision: 400 with code 9 although it will pass."""
        self.moods.unresolved = times

    def break_repository(self, url: str, message: str = "") -> None:
        """Let the repository be unreachable: 500 with these words."""
        words = message or f"error testing repository connectivity: failed to list refs: {url}: authentication required"
        self._repositories.unreachable[url] = words

    def mend_repository(self, url: str) -> None:
        """Let the repository be reachable again."""
        self._repositories.unreachable.pop(url, None)

    def deny_project(self, project: str) -> None:
        """Take the caller's rights in a project away: 403 everywhere, and `no` from the probe."""
        self.accounts.denied_projects.add(project)

    def allow_project(self, project: str) -> None:
        """Give them back."""
        self.accounts.denied_projects.discard(project)

    def expire_sessions(self) -> None:
        """End every login."""
        self.accounts.sessions.clear()

    def edit(self, application: str, change: Tree) -> None:
        """Merge into an application as somebody with kubectl does, and let the controller notice."""
        tree = self.store.trees[application]
        tree.update(merge(tree, change))
        self.store.touch(application)
        self.controller.spec_changed(application)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen, and let the controller run."""
        await super().start(host, port)
        self._ticker = asyncio.create_task(self.controller.run(), name="argocd-controller")

    async def stop(self) -> None:
        """Stop the controller, end the streams, stop listening."""
        if self._ticker is not None:
            self._ticker.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticker
            self._ticker = None
        self.stream.cut_all()
        await super().stop()

    def unavailable(self) -> web.Response:
        """Word a 503 as the gateway does."""
        message = "connection error: desc = transport: error while dialing"
        body = orjson.dumps({"error": message, "code": 14, "message": message})
        return web.Response(status=503, body=body, content_type="application/json")

    def routes(self) -> list[web.RouteDef]:
        """Return every call that is simulated."""
        base, one = "/api/v1/applications", "/api/v1/applications/{name}"
        return [
            web.get("/healthz", self._healthz),
            self._route("GET", "/api/version", self._version, is_open=True),
            self._route("POST", "/api/v1/session", self._log_in, is_open=True),
            self._route("DELETE", "/api/v1/session", self._log_out),
            self._route("GET", "/api/v1/session/userinfo", self._user, is_open=True),
            self._route("POST", "/api/v1/account/{name}/token", self._add_token),
            self._route("DELETE", "/api/v1/account/{name}/token/{id}", self._remove_token),
            self._route("GET", "/api/v1/account/can-i/{resource}/{action}/{subresource:.+}", self._can_i),
            *self._project_routes(),
            *self._repository_routes(),
            self._route("GET", "/api/v1/stream/applications", self.stream.open),
            self._route("POST", base, self.calls.create),
            self._route("GET", base, self.calls.list),
            self._route("GET", one, self.calls.get),
            self._route("PATCH", one, self.calls.patch),
            self._route("PUT", one, self.calls.replace),
            self._route("PUT", f"{one}/spec", self.calls.replace_spec),
            self._route("DELETE", one, self.calls.delete),
            self._route("POST", f"{one}/sync", self.calls.sync),
            self._route("DELETE", f"{one}/operation", self.calls.terminate),
        ]

    def _project_routes(self) -> list[web.RouteDef]:
        one = "/api/v1/projects/{name}"
        return [
            self._route("POST", "/api/v1/projects", self._projects.create),
            self._route("GET", "/api/v1/projects", self._projects.show_all),
            self._route("GET", one, self._projects.get),
            self._route("PUT", one, self._projects.update),
            self._route("DELETE", one, self._projects.delete),
        ]

    def _repository_routes(self) -> list[web.RouteDef]:
        one = "/api/v1/repositories/{repo}"
        return [
            self._route("POST", "/api/v1/repositories", self._repositories.create),
            self._route("GET", "/api/v1/repositories", self._repositories.show_all),
            self._route("GET", one, self._repositories.get),
            self._route("PUT", one, self._repositories.update),
            self._route("DELETE", one, self._repositories.delete),
        ]

    def _route(self, method: str, path: str, handler: Handler, *, is_open: bool = False) -> web.RouteDef:
        async def handle(request: web.Request) -> web.StreamResponse:
            self.controller.catch_up()
            return await handler(request)

        return web.route(method, path, guarded(self.accounts, handle, is_open=is_open))

    def _wrote(self, name: str) -> None:
        self.writes[name] += 1

    def _set_health(self, application: str, health: str, message: str) -> None:
        script = self.controller.scripts[application]
        script.health, script.health_message = health, message
        self._look_again(application)

    def _look_again(self, application: str) -> None:
        if application in self.store:
            self.controller.refresh_requested(application)

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _version(self, request: web.Request) -> web.Response:
        known = {"BuildDate": "2026-08-22T00:00:00Z", "GitCommit": "37ee0097", "Platform": "linux/amd64"}
        is_known = self.accounts.is_known(request.headers.get("Authorization", ""))
        return answer({"Version": VERSION, **(known if is_known else {})})

    async def _log_in(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        return answer({"token": self.accounts.log_in(body.get("username", ""), body.get("password", ""))})

    async def _log_out(self, request: web.Request) -> web.Response:
        self.accounts.sessions.pop(request.headers.get("Authorization", "").removeprefix("Bearer "), None)
        return answer({})

    async def _user(self, request: web.Request) -> web.Response:
        is_known = self.accounts.is_known(request.headers.get("Authorization", ""))
        return answer({"loggedIn": True, "username": self.accounts.username, "iss": "argocd"} if is_known else {})

    async def _add_token(self, request: web.Request) -> web.Response:
        body = await body_of(request)
        return answer({"token": self.accounts.add_token(request.match_info["name"], body.get("id", ""))})

    async def _remove_token(self, request: web.Request) -> web.Response:
        self.accounts.remove_token(request.match_info["name"], request.match_info["id"])
        return answer({})

    async def _can_i(self, request: web.Request) -> web.Response:
        resource, wanted = request.match_info["resource"], request.match_info["subresource"]
        if resource not in {"applications", "projects", "repositories", "clusters", "accounts"}:
            raise denied()
        project = wanted.partition("/")[0]
        return answer({"value": "no" if project in self.accounts.denied_projects else "yes"})
