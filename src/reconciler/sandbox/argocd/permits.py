"""What a project permits: repositories and destinations."""

from fnmatch import fnmatchcase
from typing import Any

IN_CLUSTER = "https://kubernetes.default.svc"


def complaints(project: dict[str, Any], spec: dict[str, Any]) -> list[str]:
    """Return in the server's words what a project does not permit of an application's spec."""
    name, found = project["metadata"]["name"], []
    source, destination = spec.get("source", {}), spec.get("destination", {})
    if not is_source_permitted(project, source):
        found.append(f"InvalidSpecError: application repo {source.get('repoURL')} is not permitted in project '{name}'")
    if not is_destination_permitted(project, destination):
        server = destination.get("server") or destination.get("name", "")
        where = f"server '{server}' and namespace '{destination.get('namespace', '')}'"
        found.append(
            f"InvalidSpecError: application destination {where} do not match any of the allowed destinations"
            f" in project '{name}'"
        )
    if not source.get("path") and not source.get("chart"):
        found.append("InvalidSpecError: spec.source.path or spec.source.chart is required")
    return found


def is_source_permitted(project: dict[str, Any], source: dict[str, Any]) -> bool:
    """Tell whether an application of the project may come from there."""
    wanted = _plain(source.get("repoURL", ""))
    return any(fnmatchcase(wanted, _plain(repo)) for repo in project["spec"].get("sourceRepos") or [])


def is_destination_permitted(project: dict[str, Any], destination: dict[str, Any]) -> bool:
    """Tell whether an application of the project may go there."""
    return any(
        fnmatchcase(_server(destination), _server(allowed))
        and fnmatchcase(destination.get("namespace", ""), allowed.get("namespace", ""))
        for allowed in project["spec"].get("destinations") or []
    )


def _server(destination: dict[str, Any]) -> str:
    server: str = destination.get("server") or destination.get("name", "")
    return IN_CLUSTER if server == "in-cluster" else server


def _plain(url: str) -> str:
    return url.rstrip("/").removesuffix(".git").lower()
