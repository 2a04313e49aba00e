"""How Argo CD is asked: always as JSON, once more after a 401 with a new login, and the probe for what 403 means."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from reconciler.clients.argocd.errors import SYSTEM
from reconciler.clients.argocd.session import ArgoSession
from reconciler.clients.asks import Asks, Reply
from reconciler.domain.errors import Refused, Unavailable

_UNAUTHORIZED, _FORBIDDEN = 401, 403


def encoded(segment: str) -> str:
    """Encode one path segment; repository urls keep their `%2F`."""
    return quote(segment, safe="")


class Line:
    """The connection to one Argo CD. Its endpoint is made with `translate=translator(...)`."""

    def __init__(self, endpoint: Asks, *, session: ArgoSession | None = None, ui_url: str = "") -> None:
        """Ask through `endpoint`.

        Args:
            endpoint: authorized by `session`, or in its own way.
            session: asked for a new token after a 401, once per request.
            ui_url: where people see applications; empty: no links.
        """
        self._endpoint = endpoint
        self._session = session
        self._ui_url = ui_url.rstrip("/")

    async def version(self) -> str:
        """Return the server's version, as `v3.6.0`."""
        shown = (await self._ask("GET", "/api/version", operation="version")).json()
        version = str(shown.get("Version", "")) if isinstance(shown, Mapping) else ""
        if not version:
            raise Unavailable("the answer does not come from an Argo CD: it names no version", system=SYSTEM)
        return version.partition("+")[0]

    async def check_access(self) -> None:
        """Ask for the least that needs an account; whether it may is not what matters (FACTS 1.2). Raises Refused."""
        await self._ask("GET", "/api/v1/account/can-i/applications/get/*", operation="check_access")

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        json: Any = None,
        expect: tuple[int, ...] = (200,),
        **params: str,
    ) -> Reply:
        # The query is written here because Argo CD's names repeat and camel-case; the endpoint takes it as it is.
        url = f"{path}?{urlencode(params, quote_via=quote)}" if params else path
        generation = self._session.generation if self._session else 0
        try:
            return await self._endpoint.ask(method, url, json=json, expect=expect, operation=operation)
        except Refused as refused:
            is_stale = refused.status == _UNAUTHORIZED and operation != "log_in"
            if not is_stale or self._session is None or not self._session.renew(generation):
                raise
        return await self._endpoint.ask(method, url, json=json, expect=expect, operation=operation)

    async def _may(self, action: str, resource: str, what: str) -> bool:
        """Tell whether our account may do that: how a 403 for "missing" is told from one for "not allowed"."""
        path = f"/api/v1/account/can-i/{resource}/{action}/{encoded(what)}"
        reply = await self._ask("GET", path, operation="can_i")
        return bool(reply.json().get("value") == "yes")


def is_forbidden(error: Refused) -> bool:
    """Tell a 403 from a 401."""
    return error.status == _FORBIDDEN
