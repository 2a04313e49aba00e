"""What the working rows ask of the store of resources. The operator's shell provides it; tests bring a small one."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol

from reconciler.domain.keys import Body, Key


class Store(Protocol):
    """Resources: read from the cache, fetched from the API server, written under guard."""

    def read(self, key: Key) -> Body | None:
        """Return the newest body known here, our own writes included."""
        ...

    async def fetch(self, key: Key) -> Body:
        """Return the body from the API server. Raises NotFound."""
        ...

    def list_(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        project: str | None = None,
        environment: str | None = None,
        active_only: bool = False,
    ) -> Iterable[Body]:
        """Return all bodies of a kind, of a project, of an environment; `active_only` leaves finished records out."""
        ...

    def server_now(self) -> datetime:
        """Return the API server's time, by which lifetimes are kept."""
        ...

    async def ask_now(self) -> datetime:
        """Return the API server's time, asked now: before something is removed because its time has come."""
        ...

    async def write_status(self, body: Body, status: dict[str, Any]) -> Body:
        """Write the status guarded by the body's version, if it differs. Raises Conflict; returns what is stored."""
        ...

    async def ensure_finalizer(self, body: Body) -> Body:
        """Put our finalizer on the resource, if it is not there."""
        ...

    async def remove_finalizer(self, body: Body) -> Body | None:
        """Take our finalizer off; None when the resource is gone by it. Raises Conflict."""
        ...

    async def create(self, body: Body) -> Body:
        """Create a resource. Raises AlreadyExists."""
        ...

    async def patch(self, body: Body, patch: Body) -> Body:
        """Merge into the resource, guarded by the body's version. Raises Conflict."""
        ...

    async def delete(self, body: Body) -> Body | None:
        """Delete exactly this resource; None when it is gone."""
        ...
