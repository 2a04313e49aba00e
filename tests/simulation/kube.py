"""A Kubernetes API in memory: versions, uids, generations, finalizers, the status subresource, deletion, watches."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import format_datetime
from typing import Any, cast

import orjson
from pydantic import ValidationError
from tests.simulation.loop import Process
from tests.simulation.world import SPACE, Lost, World, send

from reconciler.clients.kubernetes.client import JSON_PATCH, Kubernetes
from reconciler.domain.clock import rfc3339
from reconciler.domain.errors import OutcomeUnknown, Unavailable
from reconciler.domain.keys import KINDS, SECRET, Body, Key, key_of
from reconciler.domain.keys import WATCHED as WATCHED_KINDS
from reconciler.domain.resources import KINDS as MODELS
from reconciler.operator.cache import Cache

_MODELS = {kind.kind: kind for kind in MODELS}
WATCHED = frozenset(kind.kind for kind in WATCHED_KINDS)
_PLURALS = {kind.plural: kind.kind for kind in KINDS.values()}
_REQUEST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Told:
    """What the server answers."""

    status: int
    body: Body
    date: str = ""


@dataclass(frozen=True, slots=True)
class Wrong(Exception):
    """The server says no."""

    status: int
    reason: str
    message: str = ""

    def told(self) -> Told:
        details = {} if self.reason == "TestFailed" else {"name": self.message}
        return Told(
            self.status,
            {"kind": "Status", "reason": self.reason, "message": self.message or self.reason, "details": details},
        )


Listener = Callable[[Body | None, Body | None], None]


class KubeApi:
    """The server. Bodies are never changed in place."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.objects: dict[Key, Body] = {}
        self.version = 1000
        self._uids = 0
        self.listeners: list[Listener] = []

    # What people do.

    def get(self, kind: str, name: str) -> Body | None:
        return self.objects.get(Key(kind, SPACE, name))

    def all_of(self, kind: str) -> list[Body]:
        return [body for key, body in self.objects.items() if key.kind == kind]

    def apply(self, body: Body) -> Body:
        """Create what is not there, as a person does."""
        return self.create(key_of(body), body)

    def edit(self, key: Key, patch: Body) -> None:
        """Change a resource as a person does; one that is gone is no error."""
        if key in self.objects:
            self._merge(key, patch, "")

    def remove(self, key: Key) -> None:
        if key in self.objects:
            self.delete(key, {})

    # What requests do.

    def handle(self, verb: str, path: str, content: bytes | None, content_type: str, label: str = "") -> Told:
        """Answer a request; `label` selects what a list shows."""
        try:
            return replace(self._handle(verb, path, content, content_type, label), date=self._date())
        except Wrong as wrong:
            return replace(wrong.told(), date=self._date())

    def _date(self) -> str:
        return format_datetime(self._world.now(), usegmt=True)

    def _handle(  # noqa: PLR0911 - a table
        self, verb: str, path: str, content: bytes | None, content_type: str, label: str
    ) -> Told:
        if path == "/version":
            return Told(200, {"gitVersion": "v1.33.0"})
        words = path.strip("/").split("/")
        words = words[3 if words[0] == "apis" else 2 :]
        namespace = ""
        if words[0] == "namespaces" and len(words) > 2:
            namespace, words = words[1], words[2:]
        kind, name, subresource = _PLURALS[words[0]], *[*words[1:], "", ""][:2]
        key, body = Key(kind, namespace, name), orjson.loads(content) if content else {}
        match verb:
            case "GET" if name:
                return Told(200, self._known(key))
            case "GET":
                items = [one for at, one in self.objects.items() if at.kind == kind and namespace in ("", at.namespace)]
                items = [one for one in items if not label or label in one["metadata"].get("labels", {})]
                return Told(200, {"items": items, "metadata": {"resourceVersion": str(self.version)}})
            case "POST" if kind == "Event":
                return Told(201, body)
            case "POST":
                return Told(201, self.create(Key(kind, namespace, body["metadata"]["name"]), body))
            case "PUT":
                return Told(200, self._put(key, body))
            case "PATCH" if content_type == JSON_PATCH:
                return Told(200, self._json_patch(key, body))
            case "PATCH":
                return Told(200, self._merge(key, body, subresource))
            case _:
                return Told(200, self.delete(key, body))

    def create(self, key: Key, body: Body) -> Body:
        if key in self.objects:
            raise Wrong(409, "AlreadyExists", str(key))
        self._uids += 1
        metadata = {
            **body["metadata"],
            "uid": f"uid-{self._uids}",
            "generation": 1,
            "creationTimestamp": rfc3339(self._world.now()),
        }
        created = {"apiVersion": KINDS[key.kind].api_version, "kind": key.kind, **body, "metadata": metadata}
        created.pop("status", None)
        if key.kind in _MODELS:
            created["spec"] = _with_defaults(key.kind, body.get("spec") or {})
        return self._keep(key, None, created)

    def _put(self, key: Key, body: Body) -> Body:
        there = self._known(key)
        self._guard(there, body)
        metadata = {**there["metadata"], **body["metadata"]}
        spec = _with_defaults(key.kind, body["spec"]) if key.kind in _MODELS else body["spec"]
        changed = {**there, "metadata": metadata, "spec": spec}
        return self._changed(key, there, changed)

    def _merge(self, key: Key, patch: Body, subresource: str) -> Body:
        there = self._known(key)
        self._guard(there, patch)
        patch = {**patch, "metadata": {k: v for k, v in patch.get("metadata", {}).items() if k != "resourceVersion"}}
        if subresource == "status":
            patch = {"status": patch.get("status", {})}
        else:
            patch.pop("status", None)
        changed = merged_with(there, patch)
        if key.kind in _MODELS and "spec" in patch:
            changed["spec"] = _with_defaults(key.kind, changed["spec"])
        return self._changed(key, there, changed)

    def _json_patch(self, key: Key, operations: list[Body]) -> Body:
        there = self._known(key)
        metadata = dict(there["metadata"])
        for operation in operations:
            name = operation["path"].removeprefix("/metadata/")
            if operation["op"] == "test" and metadata.get(name) != operation["value"]:
                raise Wrong(422, "TestFailed")
            if operation["op"] == "add":
                metadata[name] = operation["value"]
        return self._changed(key, there, {**there, "metadata": metadata})

    def delete(self, key: Key, options: Body) -> Body:
        there = self._known(key)
        wanted = (options.get("preconditions") or {}).get("uid")
        if wanted and wanted != there["metadata"]["uid"]:
            raise Wrong(409, "Conflict", f"{key} is another by now")
        metadata = there["metadata"]
        if metadata.get("deletionTimestamp"):
            return there
        marked = {**metadata, "deletionTimestamp": rfc3339(self._world.now()), "generation": metadata["generation"] + 1}
        if metadata.get("finalizers"):
            return self._keep(key, there, {**there, "metadata": marked})
        self._bury(key, there)
        return {"kind": "Status", "status": "Success"}

    # Inside.

    def _known(self, key: Key) -> Body:
        if (body := self.objects.get(key)) is None:
            raise Wrong(404, "NotFound", str(key))
        return body

    def _guard(self, there: Body, asked: Body) -> None:
        version = asked.get("metadata", {}).get("resourceVersion")
        if version and version != there["metadata"]["resourceVersion"]:
            raise Wrong(409, "Conflict", "the object has been modified")

    def _changed(self, key: Key, there: Body, changed: Body) -> Body:
        metadata = changed["metadata"]
        if changed.get("spec") != there.get("spec"):
            changed = {**changed, "metadata": {**metadata, "generation": metadata["generation"] + 1}}
        if changed == there:
            return there
        if metadata.get("deletionTimestamp") and not metadata.get("finalizers"):
            self._bury(key, there)
            return changed
        return self._keep(key, there, changed)

    def _keep(self, key: Key, before: Body | None, body: Body) -> Body:
        self.version += 1
        body = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        self.objects[key] = body
        self._tell(before, body)
        return body

    def _bury(self, key: Key, body: Body) -> None:
        self.version += 1
        del self.objects[key]
        self._tell(body, None)
        uid = body["metadata"]["uid"]
        for child, one in tuple(self.objects.items()):
            if any(owner["uid"] == uid for owner in one["metadata"].get("ownerReferences") or ()):
                self._world.later(0.1, 5, self._collect, child, one["metadata"]["uid"])

    def _collect(self, key: Key, uid: str) -> None:
        """Remove what has lost its owner; what was made anew under its name has another."""
        if key in self.objects and self.objects[key]["metadata"]["uid"] == uid:
            self.remove(key)

    def _tell(self, before: Body | None, after: Body | None) -> None:
        for listener in self.listeners:
            listener(before, after)


class Watch:
    """One process' watches: each change comes late, in order for one object, and not at all while there is a gap."""

    def __init__(self, world: World, api: KubeApi, process: Process, cache: Cache) -> None:
        self._world, self._api = world, api
        self._process, self._cache = process, cache
        self._last: dict[Key, float] = {}
        self.is_open = False
        api.listeners.append(self._changed)

    def open(self) -> None:
        """Begin: all there is comes first, then changes. What was deleted meanwhile is never told."""
        if self._process.is_dead:
            return
        self.is_open = True
        for body in tuple(self._api.objects.values()):
            self._changed(None, body)

    def break_off(self, seconds: float) -> None:
        """Lose all changes for a while."""
        self.is_open = False
        self._world.loop.call_in_world(seconds, self.open)

    def close(self) -> None:
        self.is_open = False
        self._api.listeners.remove(self._changed)

    def _changed(self, before: Body | None, after: Body | None) -> None:
        body = cast("Body", after or before)
        if not self.is_open or body["kind"] not in WATCHED:
            return
        key, now = key_of(body), self._world.loop.time()
        lag = 0.02 if self._world.is_calm or self._world.dice.random() < 0.9 else self._world.dice.uniform(0, 15)
        at = max(now + self._world.dice.uniform(0.001, lag), self._last.get(key, 0) + 0.0001)
        self._last[key] = at
        self._world.loop.call_in_world(at - now, self._deliver, key, after, body, self._api.version)

    def _deliver(self, key: Key, after: Body | None, body: Body, version: int) -> None:
        if self._process.is_dead:
            return
        if after is not None:
            self._process.call_soon(self._cache.remember, _without_secrets(after))
        else:
            self._process.call_soon(_forget, self._cache, key, version, body["metadata"]["uid"])


def _without_secrets(body: Body) -> Body:
    """Keep of a Secret what a watch keeps of it."""
    return {name: body[name] for name in ("apiVersion", "kind", "metadata")} if body["kind"] == SECRET.kind else body


def _forget(cache: Cache, key: Key, version: int, uid: str) -> None:
    cache.forget(key, version, uid=uid)


class SimulatedKubernetes(Kubernetes):
    """The operator's real client, with a wire of ours."""

    def __init__(self, world: World, api: KubeApi, process: Process) -> None:
        super().__init__(cast("Any", None), clock=process)
        self._world, self._api, self._process = world, api, process

    async def _send(self, request: Any) -> Any:
        def effect() -> Told:
            label = request.parameters.get("labelSelector", "")
            return self._api.handle(request.verb, request.path, request.content, request.content_type, label)

        try:
            answer = await send(self._world, self._process, "kubernetes", request.what, effect, _REQUEST_SECONDS)
        except Lost as lost:
            if request.is_change and lost.was_sent:
                raise OutcomeUnknown(f"{request.what}: lost after it was sent", system="kubernetes") from lost
            raise Unavailable(f"{request.what}: no connection", system="kubernetes") from lost
        except TimeoutError as error:
            kind = OutcomeUnknown if request.is_change else Unavailable
            raise kind(f"{request.what}: no answer in time", system="kubernetes") from error
        if answer.status:
            headers = {} if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
            return _Reply(answer.status, headers, b"{}")
        told = cast("Told", answer.value)
        self._hear_time(told.date)
        return _Reply(told.status, {}, orjson.dumps(told.body))


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: dict[str, str]
    body: bytes


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


def _with_defaults(kind: str, spec: Body) -> Body:
    try:
        defaults = _MODELS[kind].spec_model.model_validate(spec).dump()
    except ValidationError as error:
        raise Wrong(422, "Invalid", str(error.errors()[0]["loc"])) from error
    return cast("Body", merged_with(defaults, spec))
