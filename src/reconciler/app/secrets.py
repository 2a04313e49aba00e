"""Secrets behind references: read from the API server, known by version, learned by the masking filter at once.

Secrets are watched; of each only its metadata is kept. A change is known by uid and resource version, and what is
kept here is read again then: whoever waits for a Secret or a key goes on by itself. No hash of a value is ever made.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from reconciler.domain.clock import Clock
from reconciler.domain.errors import Missing, NotFound
from reconciler.domain.keys import SECRET, Body, Key, Kind, revision_of

_KEPT = timedelta(seconds=60)


class Api(Protocol):
    """Where Secrets are."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Body:
        """Return a resource. Raises NotFound."""
        ...


class Watched(Protocol):
    """What knows which version of a Secret is the newest."""

    def read(self, key: Key) -> Body | None:
        """Return its metadata, None where there is no such Secret, as far as is known."""
        ...

    def remember(self, body: Body) -> bool:
        """Hear of a version that was read."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """A Secret as it was read. Its values show in no repr."""

    version: str
    """Uid and resource version: another one means that it was changed."""
    values: Mapping[str, str] = field(repr=False)
    revision: int = 0
    read_at: float = 0.0


class SecretReader:
    """Reads Secrets; each is read anew when it is another one than before, and at most once a minute where it is not
    watched.
    """

    def __init__(self, api: Api, clock: Clock, learn: Callable[[str], None], watched: Watched | None = None) -> None:
        self._api = api
        self._clock = clock
        self._learn = learn
        self._watched = watched
        self._kept: dict[tuple[str, str], Reading] = {}

    async def read(self, namespace: str, name: str, *keys: str) -> Reading:
        """Return a Secret.

        Raises:
            Missing: the Secret, or one of `keys` in it, is not there.
        """
        kept = self._kept.get((namespace, name))
        if kept is None or not self._is_newest(kept, namespace, name):
            kept = await self._fetch(namespace, name)
        absent = [key for key in keys if not kept.values.get(key)]
        if absent:
            self.forget(namespace, name)
            raise Missing(f"key {absent[0]} in Secret {name}")
        return kept

    def unwatched(self) -> "SecretReader":
        """Return a reader of Secrets in namespaces that may not be watched: it reads each once a minute at most."""
        return SecretReader(self._api, self._clock, self._learn)

    def forget(self, namespace: str, name: str) -> None:
        """Read the Secret again when it is asked for next: it was refused, and an event may be on its way."""
        self._kept.pop((namespace, name), None)

    def _is_newest(self, kept: Reading, namespace: str, name: str) -> bool:
        if self._watched is None:
            return self._clock.monotonic() - kept.read_at <= _KEPT.total_seconds()
        # A Secret that was read is remembered there: what is not there any more is gone.
        newest = self._watched.read(Key(SECRET.kind, namespace, name))
        return newest is not None and (_version(newest) == kept.version or revision_of(newest) < kept.revision)

    async def _fetch(self, namespace: str, name: str) -> Reading:
        self._kept.pop((namespace, name), None)
        try:
            body = await self._api.get(SECRET, namespace, name)
        except NotFound as error:
            raise Missing(f"Secret {name}") from error
        values = {key: _decoded(name, key, value) for key, value in (body.get("data") or {}).items()}
        for value in values.values():
            self._learn(value)
        if self._watched is not None:
            self._watched.remember(body)
        reading = Reading(_version(body), values, revision_of(body), self._clock.monotonic())
        self._kept[namespace, name] = reading
        return reading


def _version(body: Body) -> str:
    metadata = body["metadata"]
    return f"{metadata.get('uid', '')}/{metadata.get('resourceVersion', '')}"


def _decoded(name: str, key: str, value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Missing(f"text in key {key} of Secret {name}: it is not UTF-8") from error
