"""The server: both APIs on one address, and what an oracle may ask."""

from aiohttp import web

from reconciler.domain.clock import Clock
from reconciler.domain.outside.images import Image
from reconciler.sandbox.dockerhub.accounts import Account
from reconciler.sandbox.dockerhub.hub import HubApi
from reconciler.sandbox.dockerhub.limits import Limits
from reconciler.sandbox.dockerhub.registry import RegistryApi
from reconciler.sandbox.dockerhub.store import DOCKER_MANIFEST, image_of
from reconciler.sandbox.server import Simulator


class DockerHub(Simulator):
    """Docker Hub for one account.

    Attributes:
        account: rights, token lives, the lock after failed logins.
        limits: the limits and the form of a 429.
        hub: the Hub API, with its lag of lists.
        registry: the registry API, with its realm and its habits of deletion.
        pushes: how many images were pushed through `push`.
    """

    name = "dockerhub"

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        seed: int = 0,
        namespace: str = "acme",
        username: str = "acme",
        password: str = "sandbox-password",
    ) -> None:
        super().__init__(clock=clock, seed=seed)
        self.account = Account(self.clock, namespace, username, password)
        self.limits = Limits(self.clock)
        self.hub = HubApi(self.clock, self.account, self.limits)
        self.registry = RegistryApi(self.clock, self.account, self.limits, self.hub)
        self.pushes = 0

    @property
    def repositories(self) -> list[str]:
        """The repositories that exist, as `<namespace>/<name>`, sorted."""
        return sorted(self.hub.repositories)

    @property
    def images(self) -> list[Image]:
        """Every tag with its digest, sorted by repository and tag."""
        return [
            Image(path, tag, digest)
            for path, repository in sorted(self.hub.repositories.items())
            for tag, (digest, _) in sorted(repository.tags.items())
        ]

    def push(self, repository: str, tag: str, *, content: str = "", media_type: str = DOCKER_MANIFEST) -> str:
        """Push an image as a finished build does and return its digest; the repository appears when it is missing.

        Args:
            repository: `<namespace>/<name>`, or a name in the account's namespace.
            tag: what to tag it with; a tag that exists moves.
            content: what decides the digest; default: repository and tag.
            media_type: the manifest's.
        """
        path = repository if "/" in repository else f"{self.account.namespace}/{repository}"
        kept = self.hub.repositories.get(path) or self.hub.add(*path.rsplit("/", 1))
        manifest = image_of(content or f"{path}:{tag}", media_type)
        kept.put(tag, manifest, self.clock.now())
        self.pushes += 1
        return manifest.digest

    def routes(self) -> list[web.RouteDef]:
        """Return the Hub's routes, then the registry's."""
        return [*self.hub.routes(), *self.registry.routes()]

    def limited(self) -> web.Response:
        """Word a 429 in the form that is set."""
        return self.limits.too_many()

    def unavailable(self) -> web.Response:
        """Word a 503 as the front proxy does."""
        body = "<html><body><h1>503 Service Unavailable</h1></body></html>"
        return web.Response(status=503, text=body, content_type="text/html")
