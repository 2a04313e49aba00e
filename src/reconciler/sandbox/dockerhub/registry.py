"""The registry API version 2 with its token realm."""

import base64
import binascii
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from reconciler.domain.clock import Clock
from reconciler.sandbox.dockerhub.accounts import Account
from reconciler.sandbox.dockerhub.hub import NAME, HubApi
from reconciler.sandbox.dockerhub.limits import Limits
from reconciler.sandbox.dockerhub.store import Manifest, Repository, digest_of

SERVICE = "registry.docker.io"
Answer = Callable[[web.Request, Repository], Awaitable[web.StreamResponse]]


@dataclass
class RegistryApi:
    """Manifests, tags and blobs, by a token for a scope.

    Attributes:
        realm: where tokens are given; the empty text means this server's own `/token`.
        token_field: how the realm calls the token, `token` or `access_token`.
        keeps_referred: a manifest with a tag cannot be deleted (as on Docker Hub); else all its tags go with it.
        shows_digest: whether manifests come with `Docker-Content-Digest`, which the OCI text leaves optional.
    """

    clock: Clock
    account: Account
    limits: Limits
    hub: HubApi
    realm: str = ""
    token_field: str = "token"
    keeps_referred: bool = True
    shows_digest: bool = True
    _uploads: dict[str, bytes] = field(default_factory=dict)

    def routes(self) -> list[web.RouteDef]:
        """Return the registry's routes. They come after the Hub's, which share `/v2/`."""
        manifest, upload = "/v2/{name:.+}/manifests/{reference}", "/v2/{name:.+}/blobs/uploads/"
        return [
            web.get("/token", self._give_token),
            web.get("/v2/", self._ping),
            web.get("/v2/{name:.+}/tags/list", self._guarded("pull", self._list_tags)),
            web.get(manifest, self._guarded("pull", self._get_manifest), allow_head=False),
            web.head(manifest, self._guarded("pull", self._head_manifest)),
            web.put(manifest, self._guarded("push", self._put_manifest)),
            web.delete(manifest, self._guarded("delete", self._delete_manifest)),
            web.post(upload, self._guarded("push", self._start_upload)),
            web.put(f"{upload}{{uuid}}", self._guarded("push", self._finish_upload)),
            web.head("/v2/{name:.+}/blobs/{digest}", self._guarded("pull", self._head_blob)),
        ]

    async def _give_token(self, request: web.Request) -> web.StreamResponse:
        user = ""
        if "Authorization" in request.headers:
            user, password = _basic(request.headers["Authorization"])
            if not self.account.log_in(user, password):
                return web.json_response({"details": "incorrect username or password"}, status=401)
        access = {}
        for scope in request.query.getall("scope", []):
            _, _, rest = scope.partition(":")
            path, _, actions = rest.rpartition(":")
            access[path] = frozenset(actions.split(",")) & self._rights(user, path)
        seconds = self.account.registry_token_seconds
        token = self.account.issue(user, 60 if seconds is None else seconds, access)
        body: dict[str, Any] = {self.token_field: token, "issued_at": self.clock.now().isoformat()}
        return web.json_response(body if seconds is None else {**body, "expires_in": seconds})

    def _rights(self, user: str, path: str) -> frozenset[str]:
        found = self.hub.repositories.get(path)
        return self.account.allowed(user, path, is_public=found is not None and not found.is_private)

    async def _ping(self, request: web.Request) -> web.StreamResponse:
        if self.account.find(request.headers.get("Authorization", "")) is None:
            return self._challenge(request, "", "")
        return web.json_response({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})

    def _challenge(self, request: web.Request, path: str, action: str, error: str = "") -> web.Response:
        realm = self.realm or f"{request.scheme}://{request.host}/token"
        value = f'Bearer realm="{realm}",service="{SERVICE}"'
        value += f',scope="repository:{path}:{action}"' if path else ""
        value += f',error="{error}"' if error else ""
        return _error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": value})

    def _guarded(self, action: str, handler: Answer) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Ask for a token that allows the action; what is absent looks like what is forbidden."""

        async def answer(request: web.Request) -> web.StreamResponse:
            path = request.match_info["name"]
            scope = "pull,push" if action == "push" else action
            grant = self.account.find(request.headers.get("Authorization", ""))
            if not all(NAME.fullmatch(part) for part in path.split("/")):
                return web.Response(status=404, text="404 page not found")
            if grant is None:
                return self._challenge(request, path, scope)
            if action not in grant.access.get(path, ()):
                return self._challenge(request, path, scope, "insufficient_scope")
            repository = self.hub.repositories.get(path)
            if repository is None and action == "push":
                repository = self.hub.add(*path.rsplit("/", 1))
            if repository is None:
                return self._challenge(request, path, scope, "insufficient_scope")
            return await handler(request, repository)

        return answer

    async def _list_tags(self, request: web.Request, repository: Repository) -> web.StreamResponse:
        tags, last = sorted(repository.tags), request.query.get("last", "")
        rest = [tag for tag in tags if tag > last]
        size = int(request.query.get("n", len(rest) or 1))
        headers = {}
        if len(rest) > size:
            headers["Link"] = f'</v2/{repository.path}/tags/list?n={size}&last={rest[size - 1]}>; rel="next"'
        body = {"name": repository.path, "tags": rest[:size] or None}
        return web.json_response(body, headers=headers)

    async def _head_manifest(self, request: web.Request, repository: Repository) -> web.StreamResponse:
        return self._show(request, repository)

    async def _get_manifest(self, request: web.Request, repository: Repository) -> web.StreamResponse:
        if not self.limits.count_pull():
            text = "toomanyrequests: You have reached your pull rate limit."
            return _error(429, "TOOMANYREQUESTS", text, self.limits.pull_headers())
        reply = self._show(request, repository)
        reply.headers.update(self.limits.pull_headers())
        return reply

    def _show(self, request: web.Request, repository: Repository) -> web.Response:
        found = repository.find(request.match_info["reference"])
        if found is None:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        accepted = {part.split(";")[0].strip() for part in ",".join(request.headers.getall("Accept", [])).split(",")}
        if found.media_type not in accepted:
            return _unaccepted(found)
        headers = {"Content-Type": found.media_type}
        if self.shows_digest:
            headers["Docker-Content-Digest"] = found.digest
        return web.Response(body=found.content, headers=headers)

    async def _put_manifest(self, request: web.Request, repository: Repository) -> web.StreamResponse:
        manifest = Manifest(await request.read(), request.headers.get("Content-Type", ""))
        missing = [digest for digest in manifest.blobs() if digest not in repository.blobs]
        if missing:
            return _error(400, "MANIFEST_BLOB_UNKNOWN", f"blob unknown to registry: {missing[0]}")
        repository.put(request.match_info["reference"], manifest, self.clock.now())
        location = f"/v2/{repository.path}/manifests/{manifest.digest}"
        return web.Response(status=201, headers={"Docker-Content-Digest": manifest.digest, "Location": location})

    async def _delete_manifest(self, request: web.Request, repository: Repository) -> web.StreamResponse:
        digest = request.match_info["reference"]
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            return _error(405, "UNSUPPORTED", "only digest-based deletion is allowed")
        if digest not in repository.manifests:
            return _error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        if self.keeps_referred and repository.is_referred(digest):
            return _error(403, "DENIED", "manifest is still referenced by a tag or another image")
        repository.remove(digest)
        return web.Response(status=202)

    async def _start_upload(self, request: web.Request, repository: Repository) -> web.StreamResponse:
        uuid = f"upload-{len(self._uploads) + 1}"
        self._uploads[uuid] = b""
        location = str(request.url.with_path(f"/v2/{repository.path}/blobs/uploads/{uuid}").with_query(_state=uuid))
        headers = {"Location": location, "Docker-Upload-UUID": uuid, "Range": "0-0"}
        return web.Response(status=202, headers=headers)

    async def _finish_upload(self, request: web.Request, repository: Repository) -> web.StreamResponse:
        content, digest = await request.read(), request.query.get("digest", "")
        if request.match_info["uuid"] not in self._uploads:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        if digest_of(content) != digest:
            return _error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        repository.blobs[digest] = content
        headers = {"Docker-Content-Digest": digest, "Location": f"/v2/{repository.path}/blobs/{digest}"}
        return web.Response(status=201, headers=headers)

    async def _head_blob(self, request: web.Request, repository: Repository) -> web.StreamResponse:
        digest = request.match_info["digest"]
        if digest not in repository.blobs:
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        return web.Response(body=repository.blobs[digest], headers={"Docker-Content-Digest": digest})


def _unaccepted(manifest: Manifest) -> web.Response:
    """Answer a request whose `Accept` lacks the manifest's type, as registry 2.8 does."""
    if ".oci." in manifest.media_type:
        text = "OCI manifest found, but accept header does not support OCI manifests"
        return _error(404, "MANIFEST_UNKNOWN", text)
    return _error(400, "MANIFEST_INVALID", "manifest invalid")


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"errors": [{"code": code, "message": message, "detail": None}]}
    return web.json_response(body, status=status, headers=headers)


def _basic(header: str) -> tuple[str, str]:
    try:
        user, _, password = base64.b64decode(header.removeprefix("Basic "), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password
