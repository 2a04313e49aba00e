"""Listing: which leftovers there are, asked of the API server, because nobody watches ConfigMaps."""

from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from reconciler.domain.clock import Clock
from reconciler.domain.keys import CONFIG_MAP, Body, Key, Kind, key_of
from reconciler.domain.leftovers import LABEL, is_leftover_key

_WHILE_SOME = timedelta(seconds=10)
_WHILE_NONE = timedelta(minutes=10)


class Lists(Protocol):
    """Where leftovers are."""

    async def list_(
        self, kind: Kind, namespace: str | None = None, *, label_selector: str = ""
    ) -> tuple[list[Body], str]:
        """Return all resources with a label and the resource version of the list."""
        ...


class Remembers(Protocol):
    """What knows the latest bodies and tells of changes."""

    def renew(self, body: Body) -> bool:
        """Keep a body that a list showed; return whether it was news."""
        ...

    def drop_absent(self, kind: str, namespace: str | None, present: Container[Key], revision: int) -> list[Key]:
        """Drop what a list as of `revision` did not show; return it."""
        ...


def listing_key(namespace: str) -> Key:
    """Return the key under which the list is looked at."""
    return Key("Leftovers", namespace, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftoverList:
    """Finds leftovers: of the life before, and those at which somebody asks for a sweep."""

    lists: Lists
    memory: Remembers
    clock: Clock

    async def look(self, key: Key) -> datetime | None:
        """Compare what is known with what there is; return when to compare again: seldom, while there is none."""
        bodies, version = await self.lists.list_(CONFIG_MAP, key.namespace, label_selector=LABEL)
        for body in bodies:
            self.memory.renew(body)
        present = {key_of(body) for body in bodies}
        self.memory.drop_absent(CONFIG_MAP.kind, key.namespace, _LeftoversAnd(present), int(version or 0))
        return self.clock.now() + (_WHILE_SOME if present else _WHILE_NONE)


class _LeftoversAnd(Container[Key]):
    """What was listed, and every other ConfigMap: of those the list says nothing."""

    def __init__(self, listed: Container[Key]) -> None:
        self._listed = listed

    def __contains__(self, key: object) -> bool:
        return key in self._listed or not (isinstance(key, Key) and is_leftover_key(key))
