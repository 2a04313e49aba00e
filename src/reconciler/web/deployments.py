"""Deployments as JSON, for the page, for scripts and for people: `/api/v1/deployments`."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Protocol

import orjson
from aiohttp import web

from reconciler.domain.keys import DEPLOYMENT_RECORD, Body, Key

_SPEC = ("operationId", "environment", "components", "revision", "requestedAt", "requestedBy", "ttl", "force", "cancel")
_STATUS = ("phase", "progress", "message", "waitingFor", "nextLookAt", "stages", "artifacts", "sequence", "conditions")
_DEFAULT_LIMIT, _LARGEST_LIMIT = 100, 500
_BREATH = 200
"""So many records are read before others get their turn."""

Mask = Callable[[str], str]


class Deployments(Protocol):
    """Where the records are."""

    def list_(
        self,
        kind: str,
        namespace: str | None = None,
        *,
        project: str | None = None,
        environment: str | None = None,
        active_only: bool = False,
    ) -> Iterable[Body]:
        """Return the records of a namespace, a project, an environment."""
        ...

    def read(self, key: Key) -> Body | None:
        """Return one record."""
        ...


class BadQuery(ValueError):
    """A query parameter that makes no sense; the message says which and why."""


class DeploymentsApi:
    """The routes."""

    def __init__(self, deployments: Deployments, mask: Mask) -> None:
        """Serve records from `deployments`; `mask` takes secrets out of everything that leaves."""
        self._deployments = deployments
        self._mask = mask

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/api/v1/deployments", self._list),
            web.get("/api/v1/deployments/{namespace}/{name}", self._one),
        ]

    async def _list(self, request: web.Request) -> web.Response:
        """Newest first; `namespace`, `project`, `environment`, `active`, `limit` choose."""
        try:
            limit = _limit(request.query.get("limit"))
            chosen = self._chosen(request.query)
        except BadQuery as exc:
            return self._answer({"error": str(exc)}, HTTPStatus.BAD_REQUEST)
        shown = []
        for number, body in enumerate(chosen):
            if number % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
            shown.append(summary(body))
        shown.sort(key=lambda each: (each["requestedAt"] or "", each["name"]), reverse=True)
        return self._answer({"items": shown[:limit], "total": len(shown)})

    def _chosen(self, query: Mapping[str, str]) -> Iterable[Body]:
        namespace, project, environment = (query.get(each) or None for each in ("namespace", "project", "environment"))
        if project and not namespace:
            raise BadQuery("project: needs a namespace; add ?namespace=")
        if environment and not project:
            raise BadQuery("environment: needs a project; add ?project=")
        return self._deployments.list_(
            DEPLOYMENT_RECORD.kind,
            namespace,
            project=project,
            environment=environment,
            active_only=query.get("active") in {"true", "1"},
        )

    async def _one(self, request: web.Request) -> web.Response:
        key = Key(DEPLOYMENT_RECORD.kind, request.match_info["namespace"], request.match_info["name"])
        body = self._deployments.read(key)
        if body is None:
            return self._answer({"error": f"there is no {key}"}, HTTPStatus.NOT_FOUND)
        return self._answer(whole(body))

    def _answer(self, content: Any, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
        text = self._mask(orjson.dumps(content).decode())
        return web.json_response(text=text, status=status, headers={"Cache-Control": "no-store"})


def _limit(text: str | None) -> int:
    if text is None:
        return _DEFAULT_LIMIT
    if not text.isdecimal() or not 1 <= int(text) <= _LARGEST_LIMIT:
        raise BadQuery(f"limit: must be a number from 1 to {_LARGEST_LIMIT}")
    return int(text)


def summary(body: Body) -> dict[str, Any]:
    """Return what a list shows of a record."""
    record = whole(body)
    return {name: value for name, value in record.items() if name not in {"stages", "conditions", "artifacts"}}


def whole(body: Body) -> dict[str, Any]:
    """Return what is shown of a record: names, what was asked, how far it is."""
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    return {
        "namespace": metadata.get("namespace"),
        "name": metadata["name"],
        "createdAt": metadata.get("creationTimestamp"),
        "project": spec.get("projectRef"),
        **{name: spec.get(name) for name in _SPEC},
        "requestedAt": spec.get("requestedAt") or metadata.get("creationTimestamp"),
        **{name: status.get(name) for name in _STATUS},
    }
