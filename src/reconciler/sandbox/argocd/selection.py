"""`fields=` of the list: only the names in the server's own table count, all others are silently left out.

Source: argo-cd pkg/apiclient/application/forwarder_overwrite.go (`appFields`). Neither `status.reconciledAt` nor the
infos of an operation are in it, so whoever needs them must take whole applications.
"""

from typing import Any

_KNOWN = (
    "metadata.name",
    "metadata.namespace",
    "metadata.annotations",
    "metadata.labels",
    "metadata.creationTimestamp",
    "metadata.deletionTimestamp",
    "spec",
    "spec.destination",
    "spec.project",
    "spec.source",
    "spec.sources",
    "spec.syncPolicy",
    "status.summary",
    "status.sync.status",
    "status.sync.revision",
    "status.health",
    "status.operationState.startedAt",
    "status.operationState.finishedAt",
    "status.operationState.phase",
    "status.operationState.operation.sync",
    "status.resources",
    "operation.sync",
)


def chosen(fields: str) -> list[tuple[str, ...]]:
    """Return the paths that a `fields` value selects; a leading `-` selects all the others."""
    is_exclusion = fields.startswith("-")
    named = set(fields.removeprefix("-").split(","))
    picked = [known for known in _KNOWN if (f"items.{known}" in named) != is_exclusion]
    return [tuple(p.split(".")) for p in picked if not any(p.startswith(f"{other}.") for other in picked)]


def picked(tree: dict[str, Any], paths: list[tuple[str, ...]]) -> dict[str, Any]:
    """Return only these paths of an application."""
    result: dict[str, Any] = {}
    for path in paths:
        value: Any = tree
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            place = result
            for step in path[:-1]:
                place = place.setdefault(step, {})
            place[path[-1]] = value
    return result
