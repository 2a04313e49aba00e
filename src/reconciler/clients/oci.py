"""Any OCI registry: images by tag, with a token, with a password or without either."""

from collections.abc import Collection

from reconciler.clients.asks import Asks
from reconciler.clients.registry_api import Credentials, CredentialsSource, RegistryApi, anonymous
from reconciler.domain.clock import Clock
from reconciler.domain.errors import Invalid, Refused
from reconciler.domain.outside.images import Image, ImageRepository

__all__ = ["Credentials", "CredentialsSource", "OciRegistry"]

_OK, _NOT_FOUND = 200, 404


class OciRegistry:
    """One OCI registry. Repositories appear with their first push and carry no description."""

    def __init__(
        self,
        registry: Asks,
        *,
        origin: str,
        credentials: CredentialsSource = anonymous,
        token_origins: Collection[str] = (),
        clock: Clock | None = None,
    ) -> None:
        """Take an endpoint without authorization of its own; see `RegistryApi` for the arguments."""
        self._api = RegistryApi(
            registry,
            origin=origin,
            system="registry",
            credentials=credentials,
            token_origins=token_origins,
            clock=clock,
        )

    async def check_access(self) -> str:
        """Return the version that the registry speaks. Raises Refused when it does not let us in."""
        return await self._api.ping()

    async def find_image(self, repository: str, tag: str) -> Image | None:
        """Return the image with this tag, if it is there; `repository` is the whole path without the host."""
        head = await self._api.ask_manifest("HEAD", repository, tag)
        if head.status == _NOT_FOUND:
            return None
        if head.status != _OK:
            message = f"registry does not let these credentials pull {repository}: check user, password and scopes"
            raise Refused(message, system="registry", status=head.status)
        return Image(repository, tag, await self._api.digest_of(repository, tag, head))

    async def find_repository(self, name: str) -> ImageRepository | None:
        """Return the repository, if anything was ever pushed to it."""
        return None if await self._api.find_tags(name) is None else ImageRepository(name)

    async def list_tags(self, repository: str) -> tuple[str, ...]:
        """Return all tags of a repository; none when it is unknown."""
        return await self._api.find_tags(repository) or ()

    async def create_repository(self, name: str, description: str) -> None:
        """Do nothing: a repository appears with its first push."""

    async def delete_repository(self, name: str) -> None:
        """Say that it is kept: no OCI registry has a call that deletes a repository. Raises Invalid."""
        raise Invalid(f"registry cannot delete {name}: no call for it exists; it is kept", system="registry")
