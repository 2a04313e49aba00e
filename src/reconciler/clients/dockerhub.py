"""Docker Hub: repositories by its own API, images by its registry. Behaviour: FACTS 3.1 to 3.3."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from reconciler.clients.asks import Asks, Reply
from reconciler.clients.registry_api import Credentials, CredentialsSource, RegistryApi, Token, TokenCache, read_object
from reconciler.domain.clock import Clock
from reconciler.domain.errors import AlreadyExists, Conflict, Invalid, Missing, Refused, Unavailable
from reconciler.domain.outside.images import Image, ImageRepository
from reconciler.domain.ownership import find_marker

__all__ = ["REGISTRY", "TOKEN_ORIGINS", "Credentials", "CredentialsSource", "DockerHub"]

REGISTRY = "https://registry-1.docker.io"
TOKEN_ORIGINS = ("https://auth.docker.io",)

_SYSTEM = "registry"
_TOKEN_LIFE = timedelta(minutes=10)
_SHORT_DESCRIPTION = 100
"""The longest `description`; our marker is longer and goes to `full_description`."""
_PAGE, _MOST_PAGES = 100, 100
_OK, _CREATED, _UNAUTHORIZED, _NOT_FOUND = 200, 201, 401, 404


class DockerHub:
    """One namespace of Docker Hub. Names are `<namespace>/<name>`; a bare name is one of our own namespace."""

    def __init__(
        self,
        hub: Asks,
        registry: Asks,
        *,
        namespace: str,
        credentials: CredentialsSource,
        registry_origin: str = REGISTRY,
        token_origins: Collection[str] = TOKEN_ORIGINS,
        is_private: bool = True,
        clock: Clock | None = None,
    ) -> None:
        """Take two endpoints, neither with authorization of its own.

        Args:
            hub: of the Hub API (`https://hub.docker.com`).
            registry: of the registry; it must allow the origins of `token_origins`.
            namespace: user or organisation.
            credentials: user name and password or access token; organisation and its token.
            registry_origin: the registry's own URL.
            token_origins: hosts besides it that the credentials may be given to.
            is_private: whether repositories that we create are private.
            clock: for the lives of tokens.
        """
        self._hub = hub
        self._namespace = namespace
        self._credentials = credentials
        self._is_private = is_private
        self._tokens = TokenCache("dockerhub", clock)
        self._registry = RegistryApi(
            registry,
            origin=registry_origin,
            system=_SYSTEM,
            credentials=credentials,
            token_origins=token_origins,
            clock=clock,
        )

    async def check_access(self) -> str:
        """Say what the credentials open. Raises Refused when one of the two doors stays shut."""
        await self._ask("GET", self._path(), params={"page_size": "1"}, operation="list_repositories")
        version = await self._registry.ping()
        return f"namespace {self._namespace}, {version}"

    async def find_repository(self, name: str) -> ImageRepository | None:
        """Return the repository, if we may see one of that name."""
        namespace, short = self._split(name)
        reply = await self._ask(
            "GET", self._path(namespace, short), expect=(_OK, _NOT_FOUND), operation="get_repository"
        )
        if reply.status == _NOT_FOUND:
            return None
        body = read_object(reply)
        description = body.get("full_description") or body.get("description") or ""
        return ImageRepository(f"{namespace}/{short}", description)

    async def list_repositories(self, namespace: str = "") -> tuple[ImageRepository, ...]:
        """Return the repositories of a namespace that we may see, page by page; descriptions are the short ones."""
        found: list[ImageRepository] = []
        for page in range(1, _MOST_PAGES + 1):
            params = {"page": str(page), "page_size": str(_PAGE)}
            path, expect = self._path(namespace), (_OK, _NOT_FOUND)
            reply = await self._ask("GET", path, params=params, expect=expect, operation="list_repositories")
            if reply.status == _NOT_FOUND:  # beyond the end, which has moved meanwhile (FACTS 3.1)
                break
            body = read_object(reply)
            rows = body.get("results") or ()
            found += [
                ImageRepository(f"{namespace or self._namespace}/{row['name']}", row.get("description") or "")
                for row in rows
            ]
            if not body.get("next"):
                break
        return tuple(found)

    async def create_repository(self, name: str, description: str) -> None:
        """Create a repository whose description is our marker; one that has it already is as good as created.

        Raises:
            AlreadyExists: there is one with another description.
            Invalid: the name or the plan does not allow it, in Docker Hub's words.
        """
        namespace, short = self._split(name)
        body = {
            "name": short,
            "namespace": namespace,
            "registry": "docker",
            "is_private": self._is_private,
            "description": description if len(description) <= _SHORT_DESCRIPTION else _short(description),
            "full_description": description,
        }
        try:
            await self._ask("POST", self._path(namespace), json=body, expect=(_CREATED,), operation="create_repository")
        except (Invalid, Conflict, Refused) as refused:
            # No status says "exists" (FACTS 3.1): only looking tells.
            found = await self.find_repository(name)
            if found is None:
                raise
            if found.description != description:
                message = f"dockerhub has a repository {namespace}/{short} already"
                raise AlreadyExists(message, system=_SYSTEM, status=refused.status) from refused

    async def delete_repository(self, name: str) -> None:
        """Say that it is kept: no documented call deletes a repository (FACTS 3.1). Raises Invalid."""
        message = f"dockerhub cannot delete {name}: no documented call does; it is kept, delete it on its web page"
        raise Invalid(message, system=_SYSTEM)

    async def find_image(self, repository: str, tag: str) -> Image | None:
        """Return the image with this tag, if it is there. A HEAD, which no pull limit counts."""
        path = "/".join(self._split(repository))
        head = await self._registry.ask_manifest("HEAD", path, tag)
        if head.status == _OK:
            return Image(path, tag, await self._registry.digest_of(path, tag, head))
        if head.status == _UNAUTHORIZED and await self.find_repository(path) is not None:
            message = f"dockerhub does not let these credentials pull {path}: their scopes do not cover it"
            raise Refused(message, system=_SYSTEM, status=head.status)
        return None

    def _split(self, name: str) -> tuple[str, str]:
        namespace, _, short = name.rpartition("/")
        return namespace or self._namespace, short

    def _path(self, namespace: str = "", name: str = "") -> str:
        base = f"/v2/namespaces/{quote(namespace or self._namespace, safe='')}/repositories"
        return f"{base}/{quote(name, safe='')}" if name else base

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        expect: tuple[int, ...] = (_OK,),
        params: dict[str, str] | None = None,
        json: Any = None,
    ) -> Reply:
        """Ask the Hub API; a token that is refused is replaced once."""
        credentials = await self._credentials()
        if credentials is None:
            raise Missing("dockerhub needs credentials: username and password or access token", system=_SYSTEM)
        statuses = (*expect, _UNAUTHORIZED)
        reply: Reply | None = None
        for _ in range(2):
            token = await self._tokens.get("hub", credentials, lambda: self._ask_token(credentials))
            headers = {"authorization": f"Bearer {token}"}
            reply = await self._hub.ask(
                method, path, expect=statuses, params=params, json=json, headers=headers, operation=operation
            )
            if reply.status != _UNAUTHORIZED:
                return reply
            self._tokens.drop("hub", credentials, token)
        raise Refused(f"dockerhub accepts no token for {operation}", system=_SYSTEM, status=_UNAUTHORIZED)

    async def _ask_token(self, credentials: Credentials) -> Token:
        body = {"identifier": credentials.username, "secret": credentials.password}
        try:
            reply = await self._hub.ask(
                "POST", "/v2/auth/token", json=body, is_change=False, operation="create_access_token"
            )
        except Refused as refused:
            message = "dockerhub does not accept user name and password (or access token): check the secret"
            raise Refused(message, system=_SYSTEM, status=refused.status) from refused
        token = read_object(reply).get("access_token")
        if not isinstance(token, str) or not token:
            raise Unavailable("dockerhub gave no token", system=_SYSTEM, status=reply.status)
        return Token(token, _TOKEN_LIFE.total_seconds())


def _short(description: str) -> str:
    """Return what a list shows of a description that is too long: whose the repository is, as a digest."""
    marker = find_marker(description)
    return marker.digest() if marker else description[:_SHORT_DESCRIPTION]
