"""What looks read and write of Kubernetes: the cache to read from, guarded writes whose answers go into it at once.

Every write is one request, guarded by the resource version of the body it was decided on; when somebody else wrote
first it is a Conflict and nothing was written: read again, look again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from reconciler.domain.errors import NotFound
from reconciler.domain.keys import KINDS, Body, Key, Kind, key_of, revision_of
from reconciler.domain.names import FINALIZER
from reconciler.operator.cache import Cache, Source
from reconciler.resilience.moments import Moment, passing


class Reads(Protocol):
    """The questions that go to the API server."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Body:
        """Return one resource. Raises NotFound."""
        ...

    def server_time(self) -> datetime:
        """Return the API server's time, as far as it was heard."""
        ...

    async def ask_time(self) -> datetime:
        """Ask for the API server's time now."""
        ...


class Writes(Protocol):
    """The changes that go to the API server."""

    async def create(self, kind: Kind, namespace: str, body: Body) -> Body:
        """Create a resource. Raises AlreadyExists."""
        ...

    async def patch(
        self, kind: Kind, namespace: str, name: str, patch: Body, resource_version: str | None = None
    ) -> Body:
        """Merge into a resource, guarded. Raises Conflict."""
        ...

    async def patch_status(
        self, kind: Kind, namespace: str, name: str, patch: Body, resource_version: str | None
    ) -> Body:
        """Merge into a status, guarded. Raises Conflict."""
        ...

    async def json_patch(
        self, kind: Kind, namespace: str, name: str, operations: Sequence[Body], *, subresource: str = ""
    ) -> Body:
        """Apply a JSON patch. Raises Conflict when a test in it fails."""
        ...

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str | None = None, resource_version: str | None = None
    ) -> Body | None:
        """Delete a resource. Raises NotFound, Conflict."""
        ...


class Api(Reads, Writes, Protocol):
    """The API server."""


class Store:
    """The resources, as one place. Every method that waits may raise Unavailable, OutcomeUnknown and Refused."""

    def __init__(self, api: Api, cache: Cache) -> None:
        self._api = api
        self._cache = cache

    # Questions

    def read(self, key: Key) -> Body | None:
        """Return the latest body known to the cache."""
        return self._cache.read(key)

    def list_(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        project: str | None = None,
        environment: str | None = None,
        active_only: bool = False,
        where: Callable[[Body], bool] | None = None,
    ) -> Iterator[Body]:
        """Yield the bodies known to the cache; see `Cache.list_`."""
        return self._cache.list_(
            kind, namespace, project=project, environment=environment, active_only=active_only, where=where
        )

    async def fetch(self, key: Key) -> Body:
        """Return a body from the API server, whatever the cache says. Raises NotFound; it is then out of the cache."""
        known = self._cache.read(key)  # before it is asked: one that is made meanwhile is newer than the answer
        try:
            body = await self._api.get(KINDS[key.kind], key.namespace, key.name)
        except NotFound:
            if known is not None:
                self._cache.forget(key, revision_of(known), source=Source.OWN_WRITE)
            raise
        return self._keep(body)

    async def find(self, key: Key) -> Body | None:
        """Return a body from the API server, None if it is not there."""
        try:
            return await self.fetch(key)
        except NotFound:
            return None

    def server_now(self) -> datetime:
        """Return the API server's time as last heard, carried on by our monotonic clock."""
        return self._api.server_time()

    async def ask_now(self) -> datetime:
        """Return the API server's time, asked now: before something is removed because its time has come."""
        return await self._api.ask_time()

    # Changes

    async def write_status(self, body: Body, status: Mapping[str, Any]) -> Body:
        """Make `status` the status of the resource that `body` shows: one guarded request, none when nothing differs.

        Values of None in `status` mean: not there. Returns the body as stored. Raises Conflict, NotFound, Invalid.
        """
        difference = merge_patch(body.get("status") or {}, status)
        if not difference:
            return body
        kind, key = KINDS[body["kind"]], key_of(body)
        version = body["metadata"]["resourceVersion"]
        with passing(Moment.STATUS, kind.kind):
            stored = await self._api.patch_status(kind, key.namespace, key.name, {"status": difference}, version)
        return self._keep(stored)

    async def ensure_finalizer(self, body: Body, finalizer: str = FINALIZER) -> Body:
        """Put our finalizer on, unless it is there or the resource is being deleted. Raises Conflict, NotFound."""
        finalizers = list(body["metadata"].get("finalizers") or ())
        if finalizer in finalizers or body["metadata"].get("deletionTimestamp"):
            return body
        with passing(Moment.FINALIZER_ON, body["kind"]):
            return await self._write_finalizers(body, [*finalizers, finalizer])

    async def remove_finalizer(self, body: Body, finalizer: str = FINALIZER) -> Body | None:
        """Take our finalizer off; None when the resource is gone by it (or was already). Raises Conflict."""
        finalizers = list(body["metadata"].get("finalizers") or ())
        if finalizer not in finalizers:
            return body
        try:
            with passing(Moment.FINALIZER_OFF, body["kind"]):
                stored = await self._write_finalizers(body, [other for other in finalizers if other != finalizer])
        except NotFound:
            self._bury(body)
            return None
        metadata = stored["metadata"]
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            # The answer to the last one carries the version stored before: the resource is gone.
            self._bury(stored)
            return None
        return stored

    async def annotate(self, body: Body, annotations: Mapping[str, str | None]) -> Body:
        """Set annotations, or remove those that are None; nothing is sent when nothing differs. Raises Conflict."""
        present = body["metadata"].get("annotations") or {}
        changes = {name: value for name, value in annotations.items() if present.get(name) != value}
        return await self.patch(body, {"metadata": {"annotations": changes}}) if changes else body

    async def patch(self, body: Body, patch: Body) -> Body:
        """Merge `patch` into the resource that `body` shows, guarded. Raises Conflict, NotFound, Invalid."""
        kind, key = KINDS[body["kind"]], key_of(body)
        version = body["metadata"]["resourceVersion"]
        with passing(Moment.CHANGE, kind.kind):
            stored = await self._api.patch(kind, key.namespace, key.name, patch, version)
        return self._keep(stored)

    async def create(self, body: Body) -> Body:
        """Create a resource. Raises AlreadyExists, NotFound (the namespace), Invalid."""
        kind = KINDS[body["kind"]]
        body = {"apiVersion": kind.api_version, **body}
        with passing(Moment.CREATE, kind.kind):
            stored = await self._api.create(kind, body["metadata"]["namespace"], body)
        return self._keep(stored)

    async def delete(self, body: Body) -> Body | None:
        """Delete exactly the resource that `body` shows, by its uid; gone already is fine.

        Returns the resource while finalizers keep it, None when it is gone. Raises Conflict (another of that name).
        """
        kind, key = KINDS[body["kind"]], key_of(body)
        try:
            with passing(Moment.DELETE, kind.kind):
                left = await self._api.delete(kind, key.namespace, key.name, uid=body["metadata"].get("uid"))
        except NotFound:
            left = None
        if left is None:
            self._bury(body)
            return None
        return self._keep(left)

    async def _write_finalizers(self, body: Body, finalizers: list[str]) -> Body:
        kind, key, metadata = KINDS[body["kind"]], key_of(body), body["metadata"]
        operations: list[Body] = [
            {"op": "test", "path": "/metadata/uid", "value": metadata["uid"]},
            {"op": "test", "path": "/metadata/resourceVersion", "value": metadata["resourceVersion"]},
            {"op": "add", "path": "/metadata/finalizers", "value": finalizers},
        ]
        return self._keep(await self._api.json_patch(kind, key.namespace, key.name, operations))

    def _keep(self, body: Body) -> Body:
        if body["kind"] in KINDS:
            self._cache.remember(body, Source.OWN_WRITE)
        return body

    def _bury(self, body: Body) -> None:
        key = key_of(body)
        known = self._cache.read(key)
        revision = max(revision_of(body), revision_of(known) if known else 0)
        self._cache.forget(key, revision, uid=body["metadata"].get("uid", ""), source=Source.OWN_WRITE)


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the RFC 7386 patch that makes `after`, less its nulls, of `before`: null for what is gone, lists whole."""
    patch: dict[str, Any] = {name: None for name in before if after.get(name) is None}
    for name, value in after.items():
        known = before.get(name)
        if value is None or (value == known and name in before):
            continue
        if isinstance(value, dict) and isinstance(known, dict):
            if inner := merge_patch(known, value):
                patch[name] = inner
        # Only what differs is looked through for nulls: this runs at every look, and mostly nothing does.
        elif (bare := without_nulls(value)) != known or name not in before:
            patch[name] = bare
    return patch


def without_nulls(value: Any) -> Any:
    """Return JSON without the members of objects that are null, at any depth."""
    # By the exact types first: nearly everything in a status is text.
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    if isinstance(value, Mapping):
        return without_nulls(dict(value))
    if isinstance(value, list | tuple):
        return [without_nulls(inner) for inner in value]
    return value
