"""The latest body of everything we watch.

Fed by Kopf's events, by the answers of our own writes and by the resync; read by every look. Resource versions grow
with every write to the server, so the higher one is the newer one, whoever brings it: an event that was on its way
while we wrote never takes our own write back.

Bodies are handed out as they are, not as copies: who wants to change one copies it.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from reconciler.domain.keys import DEPLOYMENT_RECORD, ENVIRONMENT, Body, Key, key_of, revision_of

_log = logging.getLogger(__name__)
FINISHED = frozenset({"Succeeded", "Failed", "Cancelled", "Superseded", "RolledBack"})
_QUIET = frozenset({"Idle", "OnHold", "Expired"})
_METADATA_ONLY = frozenset({"Secret"})
"""Of these only `metadata` is kept: which version it is is all that anybody needs to be told."""
_GRAVES = 10_000


class Source(StrEnum):
    """Who told the cache."""

    EVENT = "event"
    OWN_WRITE = "own_write"
    RESYNC = "resync"


@dataclass(frozen=True, slots=True)
class Change:
    """A resource is another one than before: `before` None is new, `after` None is gone."""

    key: Key
    before: Body | None
    after: Body | None
    source: Source


Listener = Callable[[Change], None]


class _Entry:
    """One body. What is finished or at rest is kept as bytes, a fraction of the memory, and read when asked for."""

    __slots__ = ("_kept", "finished", "groups", "rests", "revision")

    def __init__(self, key: Key, body: Body) -> None:
        self.revision = revision_of(body)
        self.finished = is_finished(body)
        self.rests = is_at_rest(body)
        self.groups = _groups(key, body)
        self._kept: Body | bytes = _packed(body) if self.finished or self.rests else body

    @property
    def body(self) -> Body:
        return orjson.loads(self._kept) if isinstance(self._kept, bytes) else self._kept


def _packed(body: Body) -> bytes:
    """Return a body as bytes of just its size: what orjson returns keeps the room that it was written in (8 KiB)."""
    return bytes(memoryview(orjson.dumps(body)))


class Cache:
    """Latest bodies by key, and by namespace, project and environment."""

    def __init__(self) -> None:
        self._entries: dict[Key, _Entry] = {}
        self._groups: dict[_Group, dict[Key, None]] = {}
        self._active: dict[_Group, dict[Key, None]] = {}
        self._graves: OrderedDict[Key, int] = OrderedDict()
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` at each change, at once and in the same task; it must not wait. Its failure is logged."""
        self._listeners.append(listener)

    def read(self, key: Key) -> Body | None:
        """Return the latest body known, None if there is none."""
        entry = self._entries.get(key)
        return None if entry is None else entry.body

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
        """Yield bodies of a kind; what `project`, `environment` and `active_only` leave out costs nothing.

        Args:
            kind: as in `DeploymentRecord`.
            namespace: None is all.
            project: only those with this `spec.projectRef`; needs a namespace.
            environment: only those of this environment of the project.
            active_only: leave finished records out.
            where: a further condition, asked of each that is left.
        """
        if project is not None and namespace is None:
            raise ValueError("a project has a namespace")
        groups = self._active if active_only else self._groups
        # A copy of the keys: the listener of a change may read while somebody walks here.
        for key in tuple(groups.get(_Group(kind, namespace, project, environment), ())):
            entry = self._entries.get(key)
            if entry is not None and (where is None or where(entry.body)):
                yield entry.body

    def keys(self, kind: str, namespace: str | None = None, *, awake_only: bool = False) -> tuple[Key, ...]:
        """Return the keys of a kind; `awake_only` leaves out what is at rest."""
        keys = tuple(self._groups.get(_Group(kind, namespace), ()))
        return tuple(key for key in keys if not self._entries[key].rests) if awake_only else keys

    def places(self, kind: str) -> tuple[tuple[str, str, str], ...]:
        """Return namespace, project and environment of all there is of a kind, each once."""
        return tuple(
            (group.namespace, group.project, group.environment)
            for group in self._groups
            if group.kind == kind and group.namespace and group.project and group.environment
        )

    def count(self, kind: str, *, active_only: bool = False) -> int:
        """Tell how many there are of a kind."""
        return len((self._active if active_only else self._groups).get(_Group(kind), ()))

    def remember(self, body: Body, source: Source = Source.EVENT) -> bool:
        """Keep a body if it is newer than what is known, tell the listeners, and return whether it was news."""
        body = _slim(body)
        key, revision = key_of(body), revision_of(body)
        known = self._entries.get(key)
        if revision <= max(known.revision if known else -1, self._graves.get(key, -1)):
            return False
        before = known.body if known else None
        self._put(key, _Entry(key, body))
        self._graves.pop(key, None)
        self._tell(Change(key, before, body, source))
        return True

    def renew(self, body: Body) -> bool:
        """Keep a body that the resync found, if it is newer than what is known; return whether it was news."""
        return self.remember(body, Source.RESYNC)

    def forget(self, key: Key, revision: int, *, uid: str = "", source: Source = Source.EVENT) -> bool:
        """Drop what is gone as of `revision`, unless something newer is known; return whether it was known.

        Args:
            key: of the resource.
            revision: of its end, or of a list in which it was missing.
            uid: of the one that is gone; another one of the same name stays.
            source: who says so.
        """
        known = self._entries.get(key)
        before = known.body if known else None
        if known and before and (known.revision > revision or uid not in {"", before["metadata"].get("uid", "")}):
            return False
        # What leaves a selector is told as DELETED too, at the very version at which it lives on.
        self._bury(key, revision - 1 if source is Source.EVENT else revision)
        if before is None:
            return False
        self._take(key)
        self._tell(Change(key, before, None, source))
        return True

    def drop_absent(self, kind: str, namespace: str | None, present: Container[Key], revision: int) -> list[Key]:
        """Drop everything of a kind that a list as of `revision` did not show; return the keys."""
        missing = [key for key in self.keys(kind, namespace) if key not in present]
        return [key for key in missing if self.forget(key, revision, source=Source.RESYNC)]

    def _put(self, key: Key, entry: _Entry) -> None:
        self._take(key)
        self._entries[key] = entry
        for group in entry.groups:
            self._groups.setdefault(group, {})[key] = None
            if not entry.finished:
                self._active.setdefault(group, {})[key] = None

    def _take(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        for group in entry.groups if entry else ():
            for index in (self._groups, self._active):
                members = index.get(group, {})
                members.pop(key, None)
                if not members:
                    index.pop(group, None)

    def _bury(self, key: Key, revision: int) -> None:
        self._graves[key] = max(revision, self._graves.pop(key, -1))
        while len(self._graves) > _GRAVES:
            self._graves.popitem(last=False)

    def _tell(self, change: Change) -> None:
        for listener in self._listeners:
            try:
                listener(change)
            except Exception:  # noqa: BLE001 - it must not undo the change, nor keep others from hearing of it
                _log.exception("a listener failed at %s", change.key)


@dataclass(frozen=True, slots=True)
class _Group:
    kind: str
    namespace: str | None = None
    project: str | None = None
    environment: str | None = None


def is_finished(body: Mapping[str, Any]) -> bool:
    """Tell whether a body is a DeploymentRecord that has ended."""
    return body.get("kind") == DEPLOYMENT_RECORD.kind and (body.get("status") or {}).get("phase") in FINISHED


def is_at_rest(body: Mapping[str, Any]) -> bool:
    """Tell whether nothing happens to a resource until it changes or a moment comes that was planned at the last look.

    That is a record whose end was announced, and an environment in which nothing goes on.
    """
    status, metadata = body.get("status") or {}, body["metadata"]
    if metadata.get("deletionTimestamp"):
        return False
    if is_finished(body):
        return bool(status.get("announced", 0) >= status.get("sequence", 0))
    if body.get("kind") != ENVIRONMENT.kind:
        return False
    is_seen = status.get("observedGeneration") == metadata.get("generation")
    return is_seen and status.get("phase") in _QUIET and not status.get("holder")


def _groups(key: Key, body: Body) -> tuple[_Group, ...]:
    """Return every group that a body is in: its kind, namespace, project, and environment of the project."""
    spec = body.get("spec") or {}
    groups = [_Group(key.kind), _Group(key.kind, key.namespace)]
    if project := spec.get("projectRef"):
        groups.append(_Group(key.kind, key.namespace, project))
        environment = spec.get("name") if key.kind == ENVIRONMENT.kind else spec.get("environment")
        if environment:
            groups.append(_Group(key.kind, key.namespace, project, environment))
    return tuple(groups)


def _slim(body: Body) -> Body:
    metadata = body["metadata"]
    if "managedFields" in metadata:
        metadata = {name: value for name, value in metadata.items() if name != "managedFields"}
    if body["kind"] in _METADATA_ONLY:
        return {"apiVersion": body.get("apiVersion"), "kind": body["kind"], "metadata": metadata}
    return body if metadata is body["metadata"] else {**body, "metadata": metadata}
