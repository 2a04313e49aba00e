"""Resources in memory, with the guards of a real API server: versions, uids, generations, finalizers, deletion."""

import json
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from reconciler.domain.clock import rfc3339
from reconciler.domain.errors import AlreadyExists, Conflict, NotFound, Refused
from reconciler.domain.keys import Body, Key, key_of
from reconciler.domain.names import FINALIZER
from reconciler.domain.resources import KINDS, Phase, Resource
from support.moments import ManualClock

_MODELS: dict[str, type[Resource]] = {kind.kind: kind for kind in KINDS}


class MemoryStore:
    """Implements `engine.store.Store`.

    `writes` lists what was written, in order; `after_write` is called after each write has taken effect and may raise;
    `before_write` is awaited before each status write, and may let somebody else go first. Of the kinds that
    it `refuses` nothing may be created.
    """

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._texts: dict[Key, str] = {}
        self._behind: dict[Key, Body | None] = {}
        self._version = 100
        self._uids = 0
        self.writes: list[str] = []
        self.fetches = 0
        self.refuses: set[str] = set()
        self.after_write: Callable[[], None] = lambda: None
        self.before_write: Callable[[], Awaitable[None]] = _nothing
        self.server_ahead = timedelta()

    # What a test does, as a person or another program would.

    def put(self, body: Body) -> Body:
        """Create a resource as a person does; also one that is not valid."""
        self._uids += 1
        metadata = {
            "uid": f"uid-{self._uids}",
            "generation": 1,
            "creationTimestamp": rfc3339(self._clock.now()),
            **body["metadata"],
        }
        metadata = {"namespace": "", **metadata}
        return self._keep({**body, "metadata": metadata, "spec": _with_defaults(body)})

    def edit(self, key: Key, **spec: Any) -> Body:
        """Change the spec of a resource as a person does; None takes a field away."""
        return self._merge(self._get(key), {"spec": spec})

    def annotate(self, key: Key, **annotations: str) -> Body:
        """Set annotations of our group: `release="1"` is `freeleaps.com/release`."""
        named = {f"freeleaps.com/{name.replace('_', '-')}": value for name, value in annotations.items()}
        return self._merge(self._get(key), {"metadata": {"annotations": named}})

    def set_status(self, key: Key, **status: Any) -> Body:
        """Merge into a status as somebody else's write would."""
        return self._merge(self._get(key), {"status": status})

    def remove(self, key: Key) -> None:
        """Delete as a person does: finalizers keep it."""
        self._delete(self._get(key))

    def vanish(self, key: Key) -> None:
        """Take a resource away whatever its finalizers say."""
        del self._texts[key]

    def lag_behind(self, key: Key, known: Body | None) -> None:
        """Have a read return what was known before, until the resource is fetched."""
        self._behind[key] = known

    def status(self, key: Key) -> dict[str, Any]:
        """Return the status as stored."""
        return self._get(key).get("status") or {}

    # engine.store.Store

    def read(self, key: Key) -> Body | None:
        if key in self._behind:
            return self._behind[key]
        text = self._texts.get(key)
        return json.loads(text) if text is not None else None

    async def fetch(self, key: Key) -> Body:
        self.fetches += 1
        self._behind.pop(key, None)
        return self._get(key)

    def list_(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        project: str | None = None,
        environment: str | None = None,
        active_only: bool = False,
    ) -> Iterator[Body]:
        for key in tuple(self._texts):
            if key.kind != kind or namespace not in (None, key.namespace):
                continue
            body = self._get(key)
            named = body["spec"].get("environment") if kind == "DeploymentRecord" else body["spec"].get("name")
            if project not in (None, body["spec"].get("projectRef")) or environment not in (None, named):
                continue
            if active_only and Phase((body.get("status") or {}).get("phase", Phase.PENDING)).is_end:
                continue
            yield body

    def server_now(self) -> datetime:
        return self._clock.now() + self.server_ahead

    async def ask_now(self) -> datetime:
        return self.server_now()

    async def write_status(self, body: Body, status: dict[str, Any]) -> Body:
        model = _MODELS[body["kind"]].status_model
        model.model_validate(status)
        stored = json.loads(json.dumps(_without_nulls(status)))
        if stored == (body.get("status") or {}):
            return body
        await self.before_write()
        self._guard(body)
        return self._wrote(f"status {key_of(body)}", self._keep({**self._get(key_of(body)), "status": stored}))

    async def ensure_finalizer(self, body: Body) -> Body:
        finalizers = body["metadata"].get("finalizers") or []
        if FINALIZER in finalizers or body["metadata"].get("deletionTimestamp"):
            return body
        return await self.patch(body, {"metadata": {"finalizers": [*finalizers, FINALIZER]}})

    async def remove_finalizer(self, body: Body) -> Body | None:
        self._guard(body)
        left = [one for one in body["metadata"].get("finalizers") or [] if one != FINALIZER]
        stored = self._merge(body, {"metadata": {"finalizers": left}})
        if stored["metadata"].get("deletionTimestamp") and not left:
            del self._texts[key_of(body)]
        self._wrote(f"free {key_of(body)}", stored)
        return self.read(key_of(body))

    async def create(self, body: Body) -> Body:
        if body["kind"] in self.refuses:
            raise Refused(f"{body['kind']} cannot be created", system="kubernetes")
        if key_of(body) in self._texts:
            raise AlreadyExists(f"{key_of(body)} is there")
        return self._wrote(f"create {key_of(body)}", self.put(body))

    async def patch(self, body: Body, patch: Body) -> Body:
        self._guard(body)
        return self._wrote(f"patch {key_of(body)}", self._merge(body, patch))

    async def delete(self, body: Body) -> Body | None:
        there = self.read(key_of(body))
        if there is None:
            return None
        if there["metadata"]["uid"] != body["metadata"]["uid"]:
            raise Conflict("another of that name")
        self._delete(there)
        self._wrote(f"delete {key_of(body)}", there)
        return self.read(key_of(body))

    # Inside.

    def _get(self, key: Key) -> Body:
        if (body := self.read(key)) is None:
            raise NotFound(f"{key} is not there")
        return body

    def _guard(self, body: Body) -> None:
        if self._get(key_of(body))["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            raise Conflict(f"{key_of(body)} was changed meanwhile")

    def _keep(self, body: Body) -> Body:
        self._version += 1
        body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}}
        self._texts[key_of(body)] = json.dumps(body)
        return self._get(key_of(body))

    def _merge(self, body: Body, patch: Body) -> Body:
        merged = merged_with(body, patch)
        if merged["spec"] != body["spec"]:
            merged["metadata"]["generation"] += 1
        return self._keep(merged)

    def _delete(self, body: Body) -> None:
        if not body["metadata"].get("finalizers"):
            del self._texts[key_of(body)]
        elif not body["metadata"].get("deletionTimestamp"):
            self._merge(body, {"metadata": {"deletionTimestamp": rfc3339(self._clock.now())}})

    def _wrote(self, what: str, body: Body) -> Body:
        self.writes.append(what)
        self.after_write()
        return body


async def _nothing() -> None:
    pass


def merged_with(body: Any, patch: Any) -> Any:
    """Return a body with an RFC 7386 patch in it."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(body) if isinstance(body, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merged_with(merged.get(name), value)
    return merged


def _with_defaults(body: Body) -> Body:
    if body["kind"] not in _MODELS:
        return {}
    try:
        defaults = _MODELS[body["kind"]].spec_model.model_validate(body["spec"]).dump()
    except ValidationError:
        return dict(body["spec"])
    return merged_with(defaults, body["spec"])


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value
