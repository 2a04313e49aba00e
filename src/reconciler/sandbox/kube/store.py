"""Objects, their revisions and the recent history: all that is kept. No rules, no HTTP.

A stored object is a plain dict that nobody changes any more; a write stores a new dict that may share
unchanged parts with the old one.
"""

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import orjson

from reconciler.sandbox.kube.errors import JSON

FIRST_REVISION = 200
"""Where revisions start; anything smaller is "too old" from the beginning."""

Key: TypeAlias = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name; sorts in the order of lists."""


class Entry:
    """One version of one object, with its JSON bytes once somebody asked for them."""

    __slots__ = ("_raw", "key", "obj", "revision", "schema")

    def __init__(self, key: Key, obj: JSON, revision: int, schema: object) -> None:
        self.key = key
        self.obj = obj
        self.revision = revision
        self.schema = schema
        self._raw: bytes | None = None

    @property
    def metadata(self) -> JSON:
        """Return the object's metadata."""
        metadata: JSON = self.obj["metadata"]
        return metadata

    def raw(self) -> bytes:
        """Return the object's JSON."""
        if self._raw is None:
            self._raw = orjson.dumps(self.obj)
        return self._raw


class Event:
    """One write: `new` is absent for a deletion, `old` for a creation."""

    __slots__ = ("_line", "deleted", "new", "old", "revision")

    def __init__(self, revision: int, old: Entry | None, new: Entry | None) -> None:
        self.revision = revision
        self.old = old
        self.new = new
        self._line: bytes | None = None
        self.deleted: JSON | None = None

    @property
    def key(self) -> Key:
        """Return whose event it is."""
        entry = self.new or self.old
        if entry is None:
            raise ValueError("an event without an object")
        return entry.key

    def last_state(self) -> JSON:
        """Return the old object as a DELETED event shows it: with the revision of this event."""
        if self.deleted is None:
            if self.old is None:
                raise ValueError("a created object has no last state")
            metadata = {**self.old.metadata, "resourceVersion": str(self.revision)}
            self.deleted = {**self.old.obj, "metadata": metadata}
        return self.deleted

    def line(self) -> bytes:
        """Return the watch line for whoever sees every object as plain JSON; made once for all of them."""
        if self._line is None:
            if self.new is None:
                self._line = b'{"type":"DELETED","object":' + orjson.dumps(self.last_state()) + b"}\n"
            else:
                kind = b"ADDED" if self.old is None else b"MODIFIED"
                self._line = b'{"type":"' + kind + b'","object":' + self.new.raw() + b"}\n"
        return self._line


@dataclass(eq=False)
class Bucket:
    """All objects of one resource, in all its versions, with the history of their changes."""

    name: str
    floor: int
    objects: dict[Key, Entry] = field(default_factory=dict)
    namespaces: dict[str, dict[Key, Entry]] = field(default_factory=dict)
    history: list[Event] = field(default_factory=list)
    listeners: set[Callable[[Event], None]] = field(default_factory=set)
    _sorted: list[Key] | None = None

    def entries(self, namespace: str | None) -> Iterator[Entry]:
        """Yield the objects of one namespace, or of all, in the order of lists."""
        if namespace is None:
            if self._sorted is None:
                self._sorted = sorted(self.objects)
            return (self.objects[key] for key in self._sorted)
        inside = self.namespaces.get(namespace, {})
        return (inside[key] for key in sorted(inside))

    def since(self, revision: int) -> list[Event]:
        """Return the events after a revision, oldest first."""
        return self.history[bisect.bisect_right(self.history, revision, key=lambda event: event.revision) :]

    def at(self, revision: int, namespace: str | None) -> list[Entry]:
        """Return the objects as they were at a revision that history still reaches."""
        view = dict(self.objects)
        for event in reversed(self.since(revision)):
            if event.old is None:
                view.pop(event.key, None)
            else:
                view[event.key] = event.old
        return [view[key] for key in sorted(view) if namespace is None or key[0] == namespace]

    def put(self, event: Event, bound: int) -> None:
        """Take one event into objects and history, and tell the listeners."""
        key = event.key
        if event.new is None:
            del self.objects[key]
            inside = self.namespaces[key[0]]
            del inside[key]
            if not inside:
                del self.namespaces[key[0]]
            self._sorted = None
        else:
            self.objects[key] = event.new
            self.namespaces.setdefault(key[0], {})[key] = event.new
            if event.old is None:
                self._sorted = None
        self.history.append(event)
        if len(self.history) > bound:
            self.forget(len(self.history) - bound // 2)
        for listener in tuple(self.listeners):
            listener(event)

    def forget(self, count: int) -> None:
        """Drop the oldest events; what came before the kept ones is too old from now on."""
        if count > 0:
            self.floor = self.history[count - 1].revision
            del self.history[:count]


class Store:
    """One revision counter over all buckets, and who owns whom."""

    def __init__(self, history_bound: int) -> None:
        self.revision = FIRST_REVISION
        self.buckets: dict[str, Bucket] = {}
        self.by_uid: dict[str, tuple[Bucket, Key]] = {}
        self.dependents: dict[str, set[tuple[str, Key]]] = {}
        self.observers: list[Callable[[Bucket, Event], None]] = []
        self._bound = max(2, history_bound)

    def bucket(self, name: str) -> Bucket:
        """Return the bucket of that name, made at the first call."""
        if name not in self.buckets:
            self.buckets[name] = Bucket(name, FIRST_REVISION)
        return self.buckets[name]

    def drop(self, bucket: Bucket) -> None:
        """Forget a bucket whose definition is gone."""
        self.buckets.pop(bucket.name, None)

    def put(self, bucket: Bucket, key: Key, obj: JSON, schema: object) -> Entry:
        """Store a new version. `obj["metadata"]` must belong to this write: it gets the new resourceVersion."""
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        old = bucket.objects.get(key)
        new = Entry(key, obj, self.revision, schema)
        self._index(bucket, old, new)
        self._publish(bucket, Event(self.revision, old, new))
        return new

    def remove(self, bucket: Bucket, key: Key) -> Event:
        """Remove an object; the event carries its last stored state."""
        self.revision += 1
        old = bucket.objects[key]
        self._index(bucket, old, None)
        event = Event(self.revision, old, None)
        self._publish(bucket, event)
        return event

    def compact(self) -> None:
        """Forget all history: every older resourceVersion and continue token is expired from now on."""
        for bucket in self.buckets.values():
            bucket.history.clear()
            bucket.floor = self.revision

    def _publish(self, bucket: Bucket, event: Event) -> None:
        bucket.put(event, self._bound)
        for observer in self.observers:
            observer(bucket, event)

    def _index(self, bucket: Bucket, old: Entry | None, new: Entry | None) -> None:
        old_meta = {} if old is None else old.metadata
        new_meta = {} if new is None else new.metadata
        entry = new or old
        if entry is None or (old is not None and new is not None and _owners(old_meta) is _owners(new_meta)):
            return
        place = (bucket.name, entry.key)
        for owner in _owners(old_meta) or ():
            held = self.dependents.get(owner["uid"], set())
            held.discard(place)
            if not held:
                self.dependents.pop(owner["uid"], None)
        for owner in _owners(new_meta) or ():
            self.dependents.setdefault(owner["uid"], set()).add(place)
        if old is None:
            self.by_uid[new_meta["uid"]] = (bucket, entry.key)
        elif new is None:
            self.by_uid.pop(old_meta["uid"], None)


def _owners(metadata: JSON) -> list[Any] | None:
    owners: list[Any] | None = metadata.get("ownerReferences")
    return owners
