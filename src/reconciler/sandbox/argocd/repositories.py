"""Repositories: connected to before they are stored, 403 when missing, and once the password in the answer."""

from collections.abc import Callable
from urllib.parse import unquote

from aiohttp import web

from reconciler.domain.clock import Clock, rfc3339
from reconciler.sandbox.argocd.errors import ApiError, Code, denied, invalid, unknown
from reconciler.sandbox.argocd.gateway import answer, body_of
from reconciler.sandbox.argocd.store import Tree, without_empty

_SECRETS = {"password", "sshPrivateKey", "bearerToken", "tlsClientCertKey", "githubAppPrivateKey"}


class Repositories:
    """All repositories by (url, project), secrets and all: for oracles.

    Attributes:
        unreachable: url to the words that a connection to it fails with.
    """

    def __init__(self, clock: Clock, wrote: Callable[[str], None]) -> None:
        self.trees: dict[tuple[str, str], Tree] = {}
        self.unreachable: dict[str, str] = {}
        self._clock, self._wrote = clock, wrote

    async def create(self, request: web.Request) -> web.Response:
        """`POST /api/v1/repositories?upsert=`."""
        tree = without_empty(await body_of(request))
        tree.setdefault("type", "git")
        key = (tree.get("repo", ""), tree.get("project", ""))
        if not key[0]:
            raise invalid("missing payload in request")
        if not key[1]:
            self._connect(key[0])
        existing = self.trees.get(key)
        if existing is None or existing == tree:
            if existing is None:
                self._store(key, tree)
            return answer({"repo": key[0], "type": tree["type"], "name": tree.get("name", "")})
        if request.query.get("upsert") != "true":
            raise invalid(
                "existing repository spec is different; use upsert flag to force update; "
                f'difference in keys "{",".join(sorted(_differences(existing, tree)))}"'
            )
        self._store(key, tree)
        return answer(tree)  # the real server echoes the request here, password included (FACTS 1.4)

    async def get(self, request: web.Request) -> web.Response:
        """`GET /api/v1/repositories/{repo}?appProject=`."""
        return answer(self._shown(self._find(request)))

    async def show_all(self, request: web.Request) -> web.Response:
        """`GET /api/v1/repositories`."""
        items = [self._shown(key) for key in sorted(self.trees, key=lambda key: (key[1], key[0]))]
        return answer({"metadata": {}, "items": items or None})

    async def update(self, request: web.Request) -> web.Response:
        """`PUT /api/v1/repositories/{repo}`."""
        tree = without_empty(await body_of(request))
        tree.setdefault("type", "git")
        key = (unquote(request.match_info["repo"]), tree.get("project", ""))
        if key not in self.trees:
            raise denied()
        self._store(key, {**tree, "repo": key[0]})
        return answer({"repo": key[0], "type": tree["type"]})

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /api/v1/repositories/{repo}?appProject=`."""
        key = self._find(request)
        self._wrote(key[0])
        del self.trees[key]
        return answer({})

    def _store(self, key: tuple[str, str], tree: Tree) -> None:
        self._wrote(key[0])
        self.trees[key] = tree

    def _connect(self, url: str) -> None:
        words = self.unreachable.get(url)
        if words == "repository not found":
            raise ApiError(Code.NOT_FOUND, words)
        if words is not None:
            raise unknown(words)

    def _find(self, request: web.Request) -> tuple[str, str]:
        url, project = unquote(request.match_info["repo"]), request.query.get("appProject", "")
        same = [key for key in self.trees if _plain(key[0]) == _plain(url)]
        if not same:
            raise denied()
        if len(same) == 1 and not project:
            return same[0]
        for key in same:
            if key[1] == project:
                return key
        raise unknown(f'repository not found for url "{url}" and project "{project}"')

    def _shown(self, key: tuple[str, str]) -> Tree:
        words = self.unreachable.get(key[0])
        state = {"status": "Failed" if words else "Successful", "message": words or "", "attemptedAt": self._now()}
        shown = {k: v for k, v in self.trees[key].items() if k not in _SECRETS}
        return {**shown, "connectionState": state}

    def _now(self) -> str:
        return rfc3339(self._clock.now())


def _differences(one: Tree, other: Tree) -> set[str]:
    return {key for key in {*one, *other} if one.get(key) != other.get(key)}


def _plain(url: str) -> str:
    return url.rstrip("/").removesuffix(".git").lower()
