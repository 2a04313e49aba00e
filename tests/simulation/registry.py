"""A registry in memory, and the client through which one process asks it."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tests.simulation.credentials import basic
from tests.simulation.doors import Door
from tests.simulation.oracles import Oracles
from tests.simulation.world import World

from reconciler.clients.oci import Credentials
from reconciler.domain.outside.images import Image, ImageRepository

T = TypeVar("T")
Login = Callable[[], Awaitable[Credentials | None]]


class RegistryModel:
    """The server."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.images: dict[tuple[str, str], str] = {}
        self.repositories: dict[str, ImageRepository] = {}

    def push(self, image: str, tag: str) -> None:
        digest = f"sha256:{hashlib.sha256(f'{image}:{tag}'.encode()).hexdigest()}"
        self.images[image.removeprefix("docker.io/"), tag] = digest
        self._world.note(f"pushed {tag}")

    def find(self, repository: str, tag: str) -> Image | None:
        digest = self.images.get((repository, tag))
        return Image(repository, tag, digest) if digest else None


class RegistryClient:
    """One process' questions."""

    def __init__(self, door: Door, model: RegistryModel, oracles: Oracles, credentials: Login) -> None:
        self._door, self._model, self._oracles = door, model, oracles
        self._credentials = credentials

    async def _ask(self, what: str, effect: Callable[[], T], **how: Any) -> T:
        """Ask under the credentials in use: here the client brings them, and not the endpoint."""
        login = await self._credentials()
        headers = basic(login.username, login.password) if login else None
        return await self._door.call(what, effect, headers=headers, **how)

    async def find_image(self, repository: str, tag: str) -> Image | None:
        return await self._ask("find_image", lambda: self._model.find(repository, tag))

    async def check_access(self) -> str:
        return await self._ask("check_access", lambda: "fine")

    async def find_repository(self, name: str) -> ImageRepository | None:
        return await self._ask("find_repository", lambda: self._model.repositories.get(name))

    async def create_repository(self, name: str, description: str) -> None:
        def effect() -> None:
            self._model.repositories[name] = ImageRepository(name, description)

        await self._ask(
            "create_repository", effect, change=True, sent=lambda one: self._oracles.sets_up(one, "ContainerRegistry")
        )
