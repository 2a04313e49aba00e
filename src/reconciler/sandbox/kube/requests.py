"""A request as the routes see it, and what they answer."""

from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from reconciler.sandbox.kube.negotiation import JSON_TYPE

_PRETTY_AGENTS: Final = ("curl", "Wget")


@dataclass
class Reply:
    """An answer: bytes, or a value that is still to be encoded."""

    body: Any
    status: int = 200
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Path:
    """What a URL path names."""

    group: str
    version: str
    namespace: str | None
    plural: str
    name: str
    subresource: str
    old_watch: bool


@dataclass
class Request:
    """Method, path and parameters of one request."""

    method: str
    path: str
    query: dict[str, str]
    accept: str
    content_type: str
    agent: str
    raw: web.BaseRequest
    resource: Path | None
    label: str

    @classmethod
    def read(cls, request: web.BaseRequest) -> "Request":
        """Return the request's parts."""
        url = request.rel_url
        path = url.path.rstrip("/") or "/"
        query = dict(url.query) if url.raw_query_string else {}
        resource = read_path(path)
        headers = request.headers
        method = "GET" if request.method == "HEAD" else request.method
        return cls(
            method=method,
            path=path,
            query=query,
            accept=headers.get("Accept", ""),
            content_type=headers.get("Content-Type", ""),
            agent=headers.get("User-Agent", "").partition("/")[0] or "unknown",
            raw=request,
            resource=resource,
            label=_label(method, path, resource, query),
        )


def read_path(path: str) -> Path | None:
    """Return what a path below a group and version names; None for other paths."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    old_watch = rest[0] == "watch" and len(rest) > 1
    rest = rest[1:] if old_watch else rest
    namespace = None
    if rest[0] == "namespaces" and len(rest) > 2 and not (len(rest) == 3 and rest[2] in {"status", "finalize"}):
        namespace, rest = rest[1], rest[2:]
    name = rest[1] if len(rest) > 1 else ""
    return Path(group, version, namespace, rest[0], name, "/".join(rest[2:]), old_watch)


def _label(method: str, path: str, resource: Path | None, query: dict[str, str]) -> str:
    """Return how the request is counted: `PATCH widgets/status`; a GET of a collection is LIST or WATCH."""
    if resource is None:
        return f"{method} {path}"
    if method == "GET" and not resource.name:
        watching = query.get("watch", "").lower() in {"1", "true"} or resource.old_watch
        method = "WATCH" if watching else "LIST"
    return f"{method} {resource.plural}" + (f"/{resource.subresource}" if resource.subresource else "")


def wants_pretty(request: web.BaseRequest, query: dict[str, str]) -> bool:
    """Tell whether JSON is to be indented."""
    if "pretty" in query:
        return query["pretty"] not in {"false", "0"}
    return request.headers.get("User-Agent", "").startswith(_PRETTY_AGENTS)
