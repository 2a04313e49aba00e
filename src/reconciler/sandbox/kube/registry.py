"""Which resources are served, and finding one by its path or by an owner reference."""

from collections.abc import Iterator

from reconciler.sandbox.kube.resources import Resource


class Registry:
    """The served resources by group, version and plural."""

    def __init__(self) -> None:
        self._resources: dict[tuple[str, str], dict[str, Resource]] = {}
        self._kinds: dict[tuple[str, str], Resource] = {}
        self.builtin_groups: set[str] = set()
        self.documents: dict[str, str] = {}
        """Hashes of OpenAPI documents, by path, until the next change."""

    def add(self, resource: Resource) -> None:
        """Serve a resource, in place of the one of the same name."""
        self._resources.setdefault((resource.group, resource.version), {})[resource.plural] = resource
        self._kinds[resource.api_version, resource.kind] = resource
        if not resource.custom:
            self.builtin_groups.add(resource.group)
        self.documents.clear()

    def remove(self, group: str, plural: str) -> list[Resource]:
        """Stop serving a custom resource in all its versions; return what was served."""
        gone = []
        for (own_group, version), resources in list(self._resources.items()):
            if own_group == group and plural in resources:
                resource = resources.pop(plural)
                self._kinds.pop((resource.api_version, resource.kind), None)
                gone.append(resource)
                if not resources:
                    del self._resources[own_group, version]
        self.documents.clear()
        return gone

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """Return the resource at a path."""
        return self._resources.get((group, version), {}).get(plural)

    def find_kind(self, api_version: str, kind: str) -> Resource | None:
        """Return the resource an owner reference means."""
        return self._kinds.get((api_version, kind))

    def of_bucket(self, bucket: str) -> Resource | None:
        """Return a resource that writes to a bucket."""
        return next((resource for resource in self if resource.bucket == bucket), None)

    def in_version(self, group: str, version: str) -> list[Resource]:
        """Return what one group and version serves."""
        return list(self._resources.get((group, version), {}).values())

    def groups(self) -> dict[str, list[str]]:
        """Return the groups in order, each with its versions, the preferred one first."""
        groups: dict[str, list[str]] = {}
        for group, version in self._resources:
            groups.setdefault(group, []).append(version)
        return {group: sorted(groups[group], key=_preference) for group in sorted(groups)}

    def __iter__(self) -> Iterator[Resource]:
        for resources in list(self._resources.values()):
            yield from list(resources.values())


def _preference(version: str) -> tuple[int, int, str]:
    """GA before beta before alpha, newer before older, as kube-aware version priority."""
    stage = 2 if "alpha" in version else 1 if "beta" in version else 0
    digits = "".join(letter if letter.isdigit() else " " for letter in version).split()
    return stage, -int(digits[0]) if digits else 0, version
