"""What the intake stores is known here at once: the first heartbeat does not wait for the watch to tell of it."""

from dataclasses import dataclass

from reconciler.clients.kubernetes import Kubernetes
from reconciler.domain.keys import Body
from reconciler.operator.cache import Cache, Source
from reconciler.resilience.moments import Moment, passing


@dataclass(frozen=True, slots=True)
class Accepted:
    """The API server for the intake: asked without a cache, its answers to writes put into the cache."""

    kubernetes: Kubernetes
    cache: Cache

    async def find(self, kind: str, namespace: str, name: str) -> Body | None:
        """Return the resource, if it is there."""
        return await self.kubernetes.find(kind, namespace, name)

    async def create(self, kind: str, namespace: str, body: Body) -> Body:
        """Store a new one."""
        with passing(Moment.CREATE, kind):
            stored = await self.kubernetes.create(kind, namespace, body)
        return self._known(stored)

    async def replace(self, kind: str, namespace: str, name: str, body: Body) -> Body:
        """Store it guarded by the resource version in `body`."""
        with passing(Moment.CHANGE, kind):
            stored = await self.kubernetes.replace(kind, namespace, name, body)
        return self._known(stored)

    def _known(self, body: Body) -> Body:
        self.cache.remember(body, Source.OWN_WRITE)
        return body
