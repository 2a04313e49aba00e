"""The applications as the cluster holds them: one JSON tree each, encoded once per change, told to who watches."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from reconciler.domain.clock import Clock, rfc3339

BUFFER = 1000
"""Events that a slow reader may be behind before it loses its stream (FACTS 1.7)."""

Tree = dict[str, Any]

_MAPS = {"annotations", "labels"}
_POINTERS = {"automated", "enabled"}


@dataclass(frozen=True, slots=True)
class Event:
    """One change as a stream tells it. `line` is the JSON document of one event."""

    type: str
    name: str
    project: str
    line: bytes


@dataclass(eq=False)
class Watch:
    """One open stream."""

    projects: frozenset[str]
    name: str
    queue: "asyncio.Queue[Event | None]" = field(default_factory=lambda: asyncio.Queue(BUFFER))
    is_cut: bool = False

    def wants(self, event: Event) -> bool:
        """Tell whether an event is for this stream."""
        return (not self.projects or event.project in self.projects) and self.name in ("", event.name)

    def put(self, event: Event) -> None:
        """Queue an event; a reader that is too far behind is cut off."""
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.cut()

    def cut(self) -> None:
        """End the stream as a restarting server does."""
        self.is_cut = True
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


@dataclass(frozen=True, slots=True)
class SyncRun:
    """One sync as it ended, for oracles.

    Attributes:
        request_id: the value of the info entry that ends with `request-id`, empty if none.
        infos: all info entries, name to value.
        images: what runs after it (after a failed one: still what ran before).
        result: the phase it ended in.
    """

    application: str
    project: str
    request_id: str
    infos: dict[str, str]
    revision: str
    images: tuple[str, ...]
    result: str
    is_automated: bool
    started_at: str
    finished_at: datetime


class Applications:
    """All applications of one server. Trees are changed in place and then told by `touch`."""

    def __init__(self, clock: Clock) -> None:
        self.trees: dict[str, Tree] = {}
        self.watches: set[Watch] = set()
        self.version = 1000
        self._clock = clock
        self._encoded: dict[str, bytes] = {}
        self._sorted: list[str] | None = None

    def __contains__(self, name: str) -> bool:
        return name in self.trees

    def get(self, name: str) -> Tree | None:
        """Return the tree itself, not a copy."""
        return self.trees.get(name)

    def add(self, tree: Tree) -> None:
        """Store a new application and tell of it."""
        name = tree["metadata"]["name"]
        meta = tree["metadata"]
        meta["namespace"] = "argocd"
        meta["uid"] = str(UUID(int=self.version, version=4))
        meta["creationTimestamp"] = rfc3339(self._clock.now())
        self.trees[name] = tree
        self._sorted = None
        self.touch(name, "ADDED")

    def touch(self, name: str, event: str = "MODIFIED") -> None:
        """Say that a tree was changed: there is no status subresource, so the generation always rises."""
        meta = self.trees[name]["metadata"]
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        meta["generation"] = meta.get("generation", 0) + 1
        self._encoded.pop(name, None)
        self._tell(event, name)

    def remove(self, name: str) -> None:
        """Remove an application for good."""
        self._tell("DELETED", name)
        del self.trees[name]
        self._encoded.pop(name, None)
        self._sorted = None

    def encoded(self, name: str) -> bytes:
        """Return the JSON of an application, encoded once per change."""
        if (found := self._encoded.get(name)) is None:
            found = self._encoded[name] = orjson.dumps(self.trees[name])
        return found

    def names(self) -> list[str]:
        """Return all names in order."""
        if self._sorted is None:
            self._sorted = sorted(self.trees)
        return self._sorted

    def select(self, projects: frozenset[str], name: str = "") -> Iterator[str]:
        """Yield the names that a list or a stream asks for, in order."""
        for found in self.names() if not name else [name] * (name in self.trees):
            if not projects or project_of(self.trees[found]) in projects:
                yield found

    def event(self, kind: str, name: str) -> Event:
        """Word a change as a stream tells it."""
        line = b'{"result":{"type":"%s","application":%s}}' % (kind.encode(), self.encoded(name))
        return Event(kind, name, project_of(self.trees[name]), line)

    def _tell(self, kind: str, name: str) -> None:
        if self.watches:
            event = self.event(kind, name)
            for watch in self.watches:
                if watch.wants(event):
                    watch.put(event)


def project_of(tree: Tree) -> str:
    """Return the project of an application."""
    return tree["spec"].get("project") or "default"


def copied(tree: Any) -> Any:
    """Return a deep copy of a JSON tree."""
    return orjson.loads(orjson.dumps(tree))


def without_empty(tree: Any) -> Any:
    """Return a tree without empty members, as Go's `omitempty` leaves them out: not so behind pointers and in maps."""
    if isinstance(tree, dict):
        kept = {k: v if k in _MAPS else without_empty(v) for k, v in tree.items()}
        return {k: v for k, v in kept.items() if k in _POINTERS or (v not in ("", None, [], {}) and v is not False)}
    return [without_empty(item) for item in tree] if isinstance(tree, list) else tree
