"""Who refers to what, kept up to date change by change: nobody has to go through everything to find it out."""

from collections.abc import Iterable, Iterator

from reconciler.domain.keys import DEPLOYMENT_RECORD, PROJECT, SECRET, Body, Key
from reconciler.domain.resources import ContainerRegistry, DNSZone, GitCredential

SHARED = frozenset({ContainerRegistry.kind, DNSZone.kind, GitCredential.kind})
"""Settings that say of no project that they are its own: the project names them, or they have its name."""
_TO_SECRETS = ("credentialsRef", "secretRef")


class References:
    """Remembers references to Secrets and from projects to shared settings, both ways."""

    def __init__(self) -> None:
        self._to: dict[Key, frozenset[Key]] = {}
        self._from: dict[Key, set[Key]] = {}

    def note(self, who: Key, body: Body | None) -> None:
        """Remember what a resource refers to now; nothing when it is gone."""
        former, now = self._to.pop(who, frozenset()), frozenset(references_of(who, body))
        for other in former - now:
            self._from[other].discard(who)
            if not self._from[other]:
                del self._from[other]
        for other in now - former:
            self._from.setdefault(other, set()).add(who)
        if now:
            self._to[who] = now

    def referrers_of(self, key: Key) -> list[Key]:
        """Return who refers to a resource, be it there or not."""
        return sorted(self._from.get(key, ()))


def references_of(key: Key, body: Body | None) -> Iterator[Key]:
    """Yield the Secrets that a resource names, and the shared settings that a project uses or would make."""
    spec = (body or {}).get("spec") or {}
    if body is None or key.kind == DEPLOYMENT_RECORD.kind:
        return
    for name in _names(spec.get(field) for field in _TO_SECRETS):
        yield Key(SECRET.kind, key.namespace, name)
    if key.kind == PROJECT.kind:
        yield Key(ContainerRegistry.kind, key.namespace, key.name)
        yield Key(DNSZone.kind, key.namespace, key.name)
        for kind, part, field in _FROM_PROJECTS:
            for name in _names([(spec.get(part) or {}).get(field)]):
                yield Key(kind, key.namespace, name)


_FROM_PROJECTS = (
    (ContainerRegistry.kind, "registry", "ref"),
    (DNSZone.kind, "dns", "zoneRef"),
    (GitCredential.kind, "git", "credentialRef"),
)


def _names(references: Iterable[object]) -> Iterator[str]:
    for reference in references:
        if isinstance(reference, dict) and reference.get("name"):
            yield str(reference["name"])
