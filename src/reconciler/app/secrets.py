"""Secrets behind references: read from the API server, kept for a moment, learned by the masking filter at once."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from reconciler.domain.clock import Clock
from reconciler.domain.errors import Missing, NotFound
from reconciler.domain.keys import SECRET, Body, Kind

_KEPT = timedelta(seconds=60)


class Api(Protocol):
    """Where Secrets are."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Body:
        """Return a resource. Raises NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class _Kept:
    version: str
    values: Mapping[str, str]
    read_at: float


class SecretReader:
    """Reads Secrets; each is read anew at most once a minute, or at once after `forget`."""

    def __init__(self, api: Api, clock: Clock, learn: Callable[[str], None]) -> None:
        self._api = api
        self._clock = clock
        self._learn = learn
        self._kept: dict[tuple[str, str], _Kept] = {}

    async def read(self, namespace: str, name: str, *keys: str) -> Mapping[str, str]:
        """Return the values of a Secret.

        Raises:
            Missing: the Secret, or one of `keys` in it, is not there.
        """
        kept = self._kept.get((namespace, name))
        if kept is None or self._clock.monotonic() - kept.read_at > _KEPT.total_seconds():
            kept = await self._fetch(namespace, name)
        absent = [key for key in keys if not kept.values.get(key)]
        if absent:
            self.forget(namespace, name)
            raise Missing(f"key {absent[0]} in Secret {name}")
        return kept.values

    def forget(self, namespace: str, name: str) -> None:
        """Read the Secret again when it is asked for next: it was refused, or has changed."""
        self._kept.pop((namespace, name), None)

    async def _fetch(self, namespace: str, name: str) -> _Kept:
        try:
            body = await self._api.get(SECRET, namespace, name)
        except NotFound as error:
            raise Missing(f"Secret {name}") from error
        metadata = body["metadata"]
        values = {key: _decoded(name, key, value) for key, value in (body.get("data") or {}).items()}
        for value in values.values():
            self._learn(value)
        version = f"{metadata.get('uid', '')}/{metadata.get('resourceVersion', '')}"
        kept = self._kept[namespace, name] = _Kept(version, values, self._clock.monotonic())
        return kept


def _decoded(name: str, key: str, value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Missing(f"text in key {key} of Secret {name}: it is not UTF-8") from error
