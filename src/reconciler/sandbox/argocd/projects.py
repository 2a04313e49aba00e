"""Projects (AppProject): create with `upsert` in the body, guarded update, delete only when nothing refers to them."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from reconciler.domain.clock import Clock, rfc3339
from reconciler.sandbox.argocd.errors import ApiError, Code, denied, invalid, not_found
from reconciler.sandbox.argocd.gateway import Accounts, answer, body_of
from reconciler.sandbox.argocd.permits import is_destination_permitted, is_source_permitted
from reconciler.sandbox.argocd.store import Applications, Tree, copied, project_of, without_empty

ANYTHING = {
    "sourceRepos": ["*"],
    "destinations": [{"server": "*", "namespace": "*"}],
    "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
}


class Projects:
    """All projects. `trees` is for oracles."""

    def __init__(self, clock: Clock, store: Applications, accounts: Accounts, wrote: Callable[[str], None]) -> None:
        self.trees: dict[str, Tree] = {}
        self._clock, self._store, self._accounts, self._wrote = clock, store, accounts, wrote
        self.put({"metadata": {"name": "default"}, "spec": copied(ANYTHING)})

    def put(self, tree: Tree) -> Tree:
        """Store a project under a new resourceVersion."""
        self._store.version += 1
        meta = tree["metadata"]
        before = self.trees.get(meta["name"], {}).get("metadata", {})
        meta["namespace"] = "argocd"
        meta["uid"] = before.get("uid") or f"project-{self._store.version}"
        meta["creationTimestamp"] = before.get("creationTimestamp") or rfc3339(self._clock.now())
        meta["generation"] = before.get("generation", 0) + 1
        meta["resourceVersion"] = str(self._store.version)
        self.trees[meta["name"]] = tree
        return tree

    async def create(self, request: web.Request) -> web.Response:
        """`POST /api/v1/projects`."""
        body = await body_of(request)
        if "project" not in body:
            raise invalid("missing payload 'project' in request")
        tree = without_empty(body["project"])
        name = tree["metadata"]["name"]
        self._permit(name)
        tree.setdefault("spec", {})
        existing = self.trees.get(name)
        if existing is None:
            self._wrote(name)
            return answer(self.put(tree))
        if body.get("upsert"):
            self._wrote(name)
            return answer(self.put({**existing, "spec": tree["spec"]}))
        if existing["spec"] != tree["spec"]:
            keys = sorted(
                k for k in {*existing["spec"], *tree["spec"]} if existing["spec"].get(k) != tree["spec"].get(k)
            )
            listed = ",".join(keys)
            raise invalid(
                f'existing project spec is different; use upsert flag to force update; difference in keys "{listed}"'
            )
        return answer(existing)

    async def get(self, request: web.Request) -> web.Response:
        """`GET /api/v1/projects/{name}`."""
        return answer(self._find(request))

    async def show_all(self, request: web.Request) -> web.Response:
        """`GET /api/v1/projects`."""
        items = [tree for name, tree in sorted(self.trees.items()) if name not in self._accounts.denied_projects]
        return answer({"metadata": {"resourceVersion": str(self._store.version)}, "items": items or None})

    async def update(self, request: web.Request) -> web.Response:
        """`PUT /api/v1/projects/{name}`: a Kubernetes update, so the resourceVersion must be the newest."""
        tree = without_empty((await body_of(request)).get("project", {}))
        name = request.match_info["name"]
        existing = self._find(request)
        self._keep_applications_valid(name, existing, tree)
        if tree["metadata"].get("resourceVersion") != existing["metadata"]["resourceVersion"]:
            raise ApiError(
                Code.ABORTED,
                f'Operation cannot be fulfilled on appprojects.argoproj.io "{name}": the object has been modified; '
                "please apply your changes to the latest version and try again",
            )
        self._wrote(name)
        return answer(self.put(tree))

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /api/v1/projects/{name}`."""
        name = request.match_info["name"]
        if name == "default":
            raise invalid(f"name '{name}' is reserved and cannot be deleted")
        self._find(request)
        if users := self._users(name):
            raise invalid(f"project is referenced by {len(users)} applications")
        self._wrote(name)
        del self.trees[name]
        return answer({})

    def _find(self, request: web.Request) -> Tree:
        name = request.match_info["name"]
        self._permit(name)
        if name not in self.trees:
            raise not_found("appprojects", name)
        return self.trees[name]

    def _permit(self, name: str) -> None:
        if name in self._accounts.denied_projects:
            raise denied()

    def _users(self, name: str) -> list[Tree]:
        return [tree for tree in self._store.trees.values() if project_of(tree) == name]

    def _keep_applications_valid(self, name: str, before: Any, after: Any) -> None:
        after = {**after, "spec": after.get("spec", {})}
        specs = [tree["spec"] for tree in self._users(name)]
        sources = [s.get("source", {}) for s in specs]
        places = [s.get("destination", {}) for s in specs]
        lost = sum(is_source_permitted(before, s) and not is_source_permitted(after, s) for s in sources)
        shut = sum(is_destination_permitted(before, d) and not is_destination_permitted(after, d) for d in places)
        parts = [f"{lost} applications source became invalid"] if lost else []
        parts += [f"{shut} applications destination became invalid"] if shut else []
        if parts:
            raise invalid(f"as a result of project update {' and '.join(parts)}")
