"""Who owns a field of a resource: `metadata.managedFields`, as server-side apply and its kin write them."""

from collections.abc import Iterable, Iterator
from typing import Any

from reconciler.domain.keys import Body

GITOPS_MANAGERS = ("argocd", "flux", "kustomize-controller", "helm-controller", "fleet", "kapp", "helm")
"""Beginnings of the names under which GitOps tools write; whoever uses server-side apply counts as one too."""
Path = tuple[str, ...]


def changes(old: Any, new: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the paths at which two values differ; a list is one value."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from changes(old.get(key), new.get(key), (*path, key))
    elif old != new:
        yield path


def foreign_owner(existing: Body, paths: Iterable[Path], *, own: str) -> tuple[str, Path] | None:
    """Return the manager and the path of the first of these spec fields that a GitOps manager owns, if any does."""
    entries = [entry for entry in existing["metadata"].get("managedFields") or () if _is_gitops(entry, own)]
    for path in paths:
        for entry in entries:
            if _owns(entry.get("fieldsV1", {}).get("f:spec"), path):
                return entry["manager"], path
    return None


def _is_gitops(entry: dict[str, Any], own: str) -> bool:
    manager = entry.get("manager", "")
    if manager == own or entry.get("subresource"):
        return False
    return entry.get("operation") == "Apply" or manager.startswith(GITOPS_MANAGERS)


def _owns(fields: Any, path: Path) -> bool:
    """Walk down `fieldsV1`; a node without children is owned with everything beneath."""
    if fields is None:
        return False
    for step in path:
        if not fields:
            return True
        fields = fields.get(f"f:{step}")
        if fields is None:
            return False
    return True
