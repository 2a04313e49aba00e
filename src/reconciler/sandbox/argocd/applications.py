"""The calls on applications: create, read, change, sync, terminate, refresh, delete (FACTS 1.5 and 1.6)."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from reconciler.domain.clock import Clock, rfc3339
from reconciler.sandbox.argocd import selection
from reconciler.sandbox.argocd.controller import REFRESH, Controller
from reconciler.sandbox.argocd.errors import ApiError, Code, denied, invalid, not_found, precondition, unknown
from reconciler.sandbox.argocd.gateway import Accounts, answer, body_of
from reconciler.sandbox.argocd.images import resolve
from reconciler.sandbox.argocd.jsonpatch import apply_patch, merge
from reconciler.sandbox.argocd.permits import complaints
from reconciler.sandbox.argocd.projects import Projects
from reconciler.sandbox.argocd.store import Applications, Tree, copied, project_of, without_empty

FINALIZER = "resources-finalizer.argocd.argoproj.io"
POLICIES = {"": FINALIZER, "foreground": FINALIZER, "background": f"{FINALIZER}/background"}
REFRESH_PATIENCE = 120.0


@dataclass
class Moods:
    """What goes wrong on demand with the calls on applications.

    Attributes:
        unresolved: how many more syncs cannot resolve their revision, because git does not answer.
        blocked: applications behind a closed sync window.
        invalid_specs: application to the words with which its manifests cannot be made.
        has_null_items: an empty list is `null`, as older servers and field-filtered lists answer.
    """

    unresolved: int = 0
    blocked: set[str] = field(default_factory=set)
    invalid_specs: dict[str, str] = field(default_factory=dict)
    has_null_items: bool = True


class ApplicationCalls:
    """Answers every call on applications."""

    def __init__(
        self,
        *,
        clock: Clock,
        store: Applications,
        controller: Controller,
        projects: Projects,
        accounts: Accounts,
        wrote: Callable[[str], None],
    ) -> None:
        self.moods = Moods()
        self.reads: Counter[str] = Counter()
        self._clock, self._store, self._controller = clock, store, controller
        self._projects, self._accounts, self._wrote = projects, accounts, wrote

    async def create(self, request: web.Request) -> web.Response:
        """`POST /api/v1/applications?upsert=&validate=`."""
        tree = without_empty(await body_of(request))
        name = tree["metadata"]["name"]
        spec = tree.setdefault("spec", {})
        spec.setdefault("project", "default")
        self._permit(project_of(tree))
        self._validate(name, spec, is_deep=request.query.get("validate") != "false")
        existing = self._store.get(name)
        if existing is None:
            self._wrote(name)
            self._store.add({**_intended(tree), "status": _blank()})
            self._controller.spec_changed(name)
        elif _compared(existing) != _compared(tree):
            if request.query.get("upsert") != "true":
                raise invalid("existing application spec is different, use upsert flag to force update")
            self._replace(name, tree, is_merged=True)
        return answer(self._store.encoded(name))

    async def list(self, request: web.Request) -> web.Response:
        """`GET /api/v1/applications?projects=&name=&fields=`."""
        names = [n for n in self._store.select(_projects(request), request.query.get("name", "")) if self._may_see(n)]
        head = b'{"metadata":{"resourceVersion":"%d"},"items":' % self._store.version
        if not names:
            return answer(head + (b"null}" if self.moods.has_null_items else b"[]}"))
        if fields := request.query.get("fields", ""):
            paths = selection.chosen(fields)
            items = [orjson.dumps(selection.picked(self._store.trees[n], paths)) for n in names]
        else:
            items = [self._store.encoded(n) for n in names]
        return answer(b"".join((head, b"[", b",".join(items), b"]}")))

    async def get(self, request: web.Request) -> web.Response:
        """`GET /api/v1/applications/{name}?project=&refresh=`; a refresh blocks until the controller is done."""
        projects = [*request.query.getall("project", []), *request.query.getall("projects", [])]
        if len(projects) > 1:
            raise invalid("multiple projects specified - the get endpoint accepts either zero or one project")
        name = request.match_info["name"]
        tree = self._find(name, projects[0] if projects else "")
        if "refresh" in request.query:
            await self._refresh(name, tree, request.query["refresh"])
        return answer(self._store.encoded(name))

    async def patch(self, request: web.Request) -> web.Response:
        """`PATCH /api/v1/applications/{name}` with the patch as a string."""
        body = await body_of(request)
        name = request.match_info["name"]
        tree = self._find(name, body.get("project", ""))
        try:
            patch = orjson.loads(body.get("patch", ""))
        except orjson.JSONDecodeError as error:
            raise unknown(f"error decoding json patch: {error}") from error
        match body.get("patchType", ""):
            case "json" | "":
                changed = apply_patch(copied(tree), patch)
            case "merge":
                changed = merge(copied(tree), patch)
            case other:
                raise invalid(f"Patch type '{other}' is not supported")
        self._change(name, without_empty(changed))
        return answer(self._store.encoded(name))

    async def replace(self, request: web.Request) -> web.Response:
        """`PUT /api/v1/applications/{name}`: what is omitted is lost."""
        name = request.match_info["name"]
        self._find(name, request.query.get("project", ""))
        self._change(name, without_empty(await body_of(request)))
        return answer(self._store.encoded(name))

    async def replace_spec(self, request: web.Request) -> web.Response:
        """`PUT /api/v1/applications/{name}/spec`."""
        name = request.match_info["name"]
        tree = self._find(name, request.query.get("project", ""))
        spec = without_empty(await body_of(request))
        self._change(name, {**tree, "spec": spec})
        return answer(self._store.trees[name]["spec"])

    async def sync(self, request: web.Request) -> web.Response:
        """`POST /api/v1/applications/{name}/sync`: 200 with `operation` set and no operation state."""
        body = await body_of(request)
        name = request.match_info["name"]
        tree = self._find(name, body.get("project", ""))
        if name in self.moods.blocked:
            raise ApiError(Code.PERMISSION_DENIED, "cannot sync: blocked by sync window")
        if "deletionTimestamp" in tree["metadata"]:
            raise precondition("application is deleting")
        revision = self._resolve(tree, body.get("revision", ""))
        if "operation" in tree:
            raise precondition("another operation is already in progress")
        self._wrote(name)
        tree["operation"] = _operation(tree, body, revision)
        tree["status"].pop("operationState", None)
        self._store.touch(name)
        reply = answer(self._store.encoded(name))
        self._controller.operation_requested(name)
        return reply

    async def terminate(self, request: web.Request) -> web.Response:
        """`DELETE /api/v1/applications/{name}/operation`: 400 also before the controller has picked it up."""
        name = request.match_info["name"]
        tree = self._find(name, request.query.get("project", ""))
        if "operation" not in tree or not tree["status"].get("operationState"):
            raise invalid("Unable to terminate operation. No operation is in progress")
        tree["status"]["operationState"]["phase"] = "Terminating"
        self._wrote(name)
        self._store.touch(name)
        self._controller.termination_requested(name)
        return answer({})

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /api/v1/applications/{name}?cascade=&propagationPolicy=`: 200 at once, gone later."""
        name = request.match_info["name"]
        tree = self._find(name, request.query.get("project", ""))
        policy = request.query.get("propagationPolicy", "")
        is_cascading = request.query.get("cascade", "true") != "false"
        if not is_cascading and policy:
            raise invalid("cannot set propagation policy when cascading is disabled")
        if policy not in POLICIES:
            raise invalid(f"invalid propagation policy: {policy}")
        self._wrote(name)
        meta = tree["metadata"]
        others = [f for f in meta.get("finalizers", []) if not f.startswith(FINALIZER)]
        if "deletionTimestamp" not in meta:
            meta["finalizers"] = [*others, POLICIES[policy]] if is_cascading else others
        if not meta.get("finalizers"):
            self._store.remove(name)
        elif "deletionTimestamp" not in meta:
            meta["deletionTimestamp"] = rfc3339(self._clock.now())
            self._store.touch(name)
            self._controller.deletion_requested(name)
        return answer({})

    def _find(self, name: str, project: str) -> Tree:
        """Return an application, or 403 for a missing one without a project, 404 with."""
        self.reads[name] += 1
        if project:
            self._permit(project)
        tree = self._store.get(name)
        is_visible = tree is not None and self._may_see(name)
        if tree is None or not is_visible or (project and project_of(tree) != project):
            raise not_found("applications", name) if project else denied()
        if project_of(tree) not in self._projects.trees:
            raise _not_allowed(project_of(tree))
        return tree

    def _may_see(self, name: str) -> bool:
        return project_of(self._store.trees[name]) not in self._accounts.denied_projects

    def _permit(self, project: str) -> None:
        if project in self._accounts.denied_projects:
            raise denied()

    def _validate(self, name: str, spec: Tree, *, is_deep: bool = True) -> None:
        project = self._projects.trees.get(spec.get("project") or "default")
        if project is None:
            raise _not_allowed(spec.get("project", ""))
        found = complaints(project, spec)
        if is_deep and name in self.moods.invalid_specs:
            found.append(f"InvalidSpecError: {self.moods.invalid_specs[name]}")
        if found:
            raise invalid(f"application spec for {name} is invalid: {';'.join(found)}")

    def _change(self, name: str, tree: Tree) -> None:
        self._validate(name, tree.get("spec", {}))
        self._replace(name, tree, is_merged=False)

    def _replace(self, name: str, tree: Tree, *, is_merged: bool) -> None:
        existing = self._store.trees[name]
        before = copied(existing["spec"])
        existing["spec"] = tree["spec"]
        for key in ("labels", "annotations"):
            given = tree["metadata"].get(key) or {}
            existing["metadata"][key] = {**existing["metadata"].get(key, {}), **given} if is_merged else given
        existing["metadata"]["finalizers"] = tree["metadata"].get("finalizers") or []
        for key in ("labels", "annotations", "finalizers"):
            if not existing["metadata"][key]:
                del existing["metadata"][key]
        self._wrote(name)
        self._store.touch(name)
        if REFRESH in existing["metadata"].get("annotations", {}):
            self._controller.refresh_requested(name)
        elif before != existing["spec"]:
            self._controller.spec_changed(name)

    async def _refresh(self, name: str, tree: Tree, kind: str) -> None:
        tree["metadata"].setdefault("annotations", {})[REFRESH] = "hard" if kind == "hard" else "normal"
        self._store.touch(name)
        self._controller.refresh_requested(name)
        end = self._clock.monotonic() + REFRESH_PATIENCE
        while REFRESH in tree["metadata"].get("annotations", {}):
            if self._clock.monotonic() > end or name not in self._store:
                raise unknown("application refresh deadline exceeded")
            await asyncio.sleep(0.005)
            self._controller.catch_up()

    def _resolve(self, tree: Tree, revision: str) -> str:
        source = tree["spec"].get("source", {})
        wanted = source.get("targetRevision") or "HEAD"
        automated = tree["spec"].get("syncPolicy", {}).get("automated")
        if revision and revision != wanted and automated is not None and automated.get("enabled", True):
            raise precondition(f"Cannot sync to {revision}: auto-sync currently set to {wanted}")
        if self.moods.unresolved > 0:
            self.moods.unresolved -= 1
            raise precondition(
                "error resolving repo revision: rpc error: code = Unavailable desc = connection error: "
                "dial tcp: connect: connection refused"
            )
        return resolve(source, revision)


def _projects(request: web.Request) -> frozenset[str]:
    return frozenset([*request.query.getall("projects", []), *request.query.getall("project", [])])


def _not_allowed(project: str) -> ApiError:
    return invalid(f'app is not allowed in project "{project}", or the project does not exist')


def _intended(tree: Tree) -> Tree:
    kept = ("name", "labels", "annotations", "finalizers")
    return {"metadata": {k: v for k, v in tree["metadata"].items() if k in kept}, "spec": tree["spec"]}


def _blank() -> Tree:
    return {"health": {"status": "Missing"}, "summary": {}, "sync": {"status": "Unknown"}}


def _compared(tree: Tree) -> Any:
    meta = tree["metadata"]
    return tree["spec"], meta.get("labels"), meta.get("annotations"), meta.get("finalizers")


def _operation(tree: Tree, body: dict[str, Any], revision: str) -> Tree:
    policy = tree["spec"].get("syncPolicy", {})
    options = body["syncOptions"].get("items") if "syncOptions" in body else policy.get("syncOptions")
    sync: Tree = {"revision": revision, "source": copied(tree["spec"].get("source", {}))}
    sync |= {"prune": True} if body.get("prune") else {}
    sync |= {"dryRun": True} if body.get("dryRun") else {}
    sync |= {"syncOptions": options} if options else {}
    operation: Tree = {"sync": sync, "initiatedBy": {"username": "operator"}, "retry": body.get("retryStrategy") or {}}
    if infos := body.get("infos"):
        operation["info"] = infos
    return operation
