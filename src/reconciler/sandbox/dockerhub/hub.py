"""The Hub API below `/v2/namespaces`: repositories and tags, by a token of ten minutes."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
from aiohttp import web

from reconciler.domain.clock import Clock
from reconciler.sandbox.dockerhub.accounts import HUB_TOKEN_SECONDS, Account, Grant
from reconciler.sandbox.dockerhub.limits import Limits
from reconciler.sandbox.dockerhub.store import Repository

NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
Answer = Callable[[web.Request, Grant | None], Awaitable[web.Response]]


@dataclass
class HubApi:
    """The Hub API over the shared store.

    Attributes:
        list_lag: seconds that list pages stay behind; single objects do not.
        repositories: by `<namespace>/<name>`.
    """

    clock: Clock
    account: Account
    limits: Limits
    list_lag: float = 0.0
    repositories: dict[str, Repository] = field(default_factory=dict)

    def routes(self) -> list[web.RouteDef]:
        """Return the Hub's routes."""
        base = "/v2/namespaces/{namespace}/repositories"
        one = f"{base}/{{repository}}"
        return [
            web.post("/v2/auth/token", self._create_token),
            web.get(base, self._counted(self._list)),
            web.post(base, self._counted(self._create)),
            web.get(one, self._counted(self._get)),
            web.get(f"{one}/tags", self._counted(self._list_tags)),
            web.get(f"{one}/tags/{{tag}}", self._counted(self._get_tag)),
            web.delete("/v2/repositories/{namespace}/{repository}/", self._counted(self._delete)),
        ]

    def _counted(self, handler: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            authorization = request.headers.get("Authorization", "")
            grant = self.account.find(authorization)
            if not self.limits.count_request():
                reply = self.limits.too_many()
            elif authorization and grant is None:
                reply = web.json_response({"detail": "token is expired or invalid"}, status=401)
            else:
                reply = await handler(request, grant)
            reply.headers.update(self.limits.api_headers())
            return reply

        return answer

    async def _create_token(self, request: web.Request) -> web.StreamResponse:
        body = _parsed(await request.read())
        if self.account.is_locked:
            return self.limits.too_many()
        if not self.account.log_in(str(body.get("identifier")), str(body.get("secret"))):
            return web.json_response({"detail": "Incorrect authentication credentials"}, status=401)
        return web.json_response({"access_token": self.account.issue(self.account.username, HUB_TOKEN_SECONDS)})

    async def _list(self, request: web.Request, grant: Grant | None) -> web.Response:
        namespace, part = request.match_info["namespace"], request.query.get("name", "")
        horizon = self.clock.now() - timedelta(seconds=self.list_lag)
        rows = [
            _entry(repository)
            for _, repository in sorted(self.repositories.items())
            if repository.namespace == namespace and part in repository.name and repository.created_at <= horizon
            if not repository.is_private or self._is_owner(grant, namespace)
        ]
        return _page(request, rows)

    async def _create(self, request: web.Request, grant: Grant | None) -> web.Response:
        body, namespace = _parsed(await request.read()), request.match_info["namespace"]
        if grant is None:
            return web.json_response({"detail": "Authentication credentials were not provided."}, status=401)
        if not self._is_owner(grant, namespace):
            return _forbidden()
        name, description = str(body.get("name", "")), str(body.get("description", ""))
        if not NAME.fullmatch(name) or not 2 <= len(name) <= 255:
            return _bad("name", "Enter a valid repository name: 2 to 255 lower-case letters, digits and ._-")
        if len(description) > 100:
            return _bad("description", "Ensure this field has no more than 100 characters.")
        if f"{namespace}/{name}" in self.repositories:
            return _bad("__all__", "Repository with this Name and Namespace already exists.")
        made = self.add(namespace, name, is_private=bool(body.get("is_private")))
        made.description, made.full_description = description, str(body.get("full_description", ""))
        return web.json_response(_detail(made), status=201)

    def add(self, namespace: str, name: str, *, is_private: bool = False) -> Repository:
        """Make a repository, as the form on the web page or a first push does."""
        made = Repository(namespace, name, self.clock.now(), is_private)
        self.repositories[made.path] = made
        return made

    async def _get(self, request: web.Request, grant: Grant | None) -> web.Response:
        found = self._find(request, grant)
        return web.json_response(_detail(found)) if found else _not_found()

    async def _list_tags(self, request: web.Request, grant: Grant | None) -> web.Response:
        found = self._find(request, grant)
        if found is None:
            return _not_found()
        horizon = self.clock.now() - timedelta(seconds=self.list_lag)
        tags = sorted(found.tags.items(), key=lambda item: item[1][1], reverse=True)
        return _page(request, [_tag(found, tag) for tag, (_, pushed_at) in tags if pushed_at <= horizon])

    async def _get_tag(self, request: web.Request, grant: Grant | None) -> web.Response:
        found, tag = self._find(request, grant), request.match_info["tag"]
        return web.json_response(_tag(found, tag)) if found and tag in found.tags else _not_found()

    async def _delete(self, request: web.Request, grant: Grant | None) -> web.Response:
        """Refuse, as the undocumented call does for personal access tokens."""
        message = "access to the resource is forbidden with personal access token"
        return web.json_response({"message": message, "errinfo": {}}, status=403)

    def _find(self, request: web.Request, grant: Grant | None) -> Repository | None:
        namespace = request.match_info["namespace"]
        found = self.repositories.get(f"{namespace}/{request.match_info['repository']}")
        return found if found and (not found.is_private or self._is_owner(grant, namespace)) else None

    def _is_owner(self, grant: Grant | None, namespace: str) -> bool:
        return grant is not None and grant.user == self.account.username and namespace == self.account.namespace


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _page(request: web.Request, rows: list[dict[str, Any]]) -> web.Response:
    """Answer one page; a page beyond the end is 404, but the first is always there, even of an unknown namespace."""
    number, size = int(request.query.get("page", "1")), min(100, int(request.query.get("page_size", "10")))
    part = rows[(number - 1) * size : number * size]
    if number > 1 and not part:
        return web.json_response({"message": "Not found: page does not exist", "errinfo": {}}, status=404)
    after = f"{request.url.with_query({'page': number + 1, 'page_size': size})}" if number * size < len(rows) else None
    before = f"{request.url.with_query({'page': number - 1, 'page_size': size})}" if number > 1 else None
    return web.json_response({"count": len(rows), "next": after, "previous": before, "results": part})


def _entry(repository: Repository) -> dict[str, Any]:
    created = repository.created_at.isoformat().replace("+00:00", "Z")
    return {
        "name": repository.name,
        "namespace": repository.namespace,
        "repository_type": "image",
        "status": 1,
        "status_description": "active",
        "description": repository.description,
        "is_private": repository.is_private,
        "star_count": 0,
        "pull_count": 0,
        "last_updated": created,
        "last_modified": created,
        "date_registered": created,
        "affiliation": "owner",
        "media_types": sorted({manifest.media_type for manifest in repository.manifests.values()}),
        "content_types": ["image"],
        "categories": [],
        "storage_size": 0,
    }


def _detail(repository: Repository) -> dict[str, Any]:
    return {
        **_entry(repository),
        "user": repository.namespace,
        "is_automated": False,
        "collaborator_count": 0,
        "hub_user": repository.namespace,
        "has_starred": False,
        "full_description": repository.full_description or None,
        "permissions": {"read": True, "write": True, "admin": True},
        "immutable_tags_settings": {"enabled": False, "rules": []},
        "source": None,
    }


def _tag(repository: Repository, tag: str) -> dict[str, Any]:
    """Write a tag as the real Hub does, with `images` as an array and `v2` as a boolean."""
    digest, pushed_at = repository.tags[tag]
    pushed = pushed_at.isoformat().replace("+00:00", "Z")
    image = {"architecture": "amd64", "digest": digest, "os": "linux", "size": 1024, "status": "active",
             "last_pulled": None, "last_pushed": pushed}  # fmt: skip
    return {
        "id": 1,
        "name": tag,
        "repository": 1,
        "creator": 1,
        "last_updater": 1,
        "last_updater_username": repository.namespace,
        "last_updated": pushed,
        "images": [image],
        "full_size": 1024,
        "v2": True,
        "tag_status": "active",
        "tag_last_pulled": None,
        "tag_last_pushed": pushed,
        "media_type": repository.manifests[digest].media_type,
        "content_type": "image",
        "digest": digest,
    }


def _bad(field_name: str, message: str) -> web.Response:
    return web.json_response({"fields": {field_name: [message]}, "message": message, "errinfo": {}}, status=400)


def _forbidden() -> web.Response:
    return web.json_response({"detail": "You do not have permission to perform this action."}, status=403)


def _not_found() -> web.Response:
    return web.json_response({"message": "object not found", "errinfo": {}}, status=404)
