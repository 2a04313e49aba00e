"""How Jenkins is asked: paths, JSON by `tree=`, XML, crumbs for passwords, and the session that tells of a restart."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from reconciler.clients.asks import Asks, Reply
from reconciler.domain.errors import Refused, Unavailable

SYSTEM = "jenkins"
XML = {"Content-Type": "application/xml; charset=utf-8"}
"""With the charset: Jenkins reads an update through the servlet's reader, not by the XML declaration."""
_OK = (200,)


def item_path(path: str) -> str:
    """Return the URL path of an item, `a/b` -> `/job/a/job/b`; the root is empty."""
    return "".join(f"/job/{quote(name, safe='')}" for name in path.split("/") if name)


class Line:
    """The connection to one Jenkins."""

    def __init__(self, endpoint: Asks) -> None:
        """Ask through `endpoint`."""
        self._endpoint = endpoint

    async def version(self) -> str:
        """Return the server's version. Raises Unavailable when the answer is not from a Jenkins."""
        reply = await self._read("/api/json", operation="version", tree="quietingDown")
        version = reply.headers.get("x-jenkins", "")
        if not version:
            raise Unavailable("the answer does not come from a Jenkins: it has no X-Jenkins header", system=SYSTEM)
        return version

    async def _read(self, path: str, *, operation: str, tree: str = "", expect: tuple[int, ...] = _OK) -> Reply:
        params = {"tree": tree} if tree else None
        return await self._endpoint.ask("GET", path, expect=expect, params=params, operation=operation)

    async def _show(self, path: str, tree: str, *, operation: str) -> Mapping[str, Any] | None:
        """Return the fields of a thing; None when it is not there, or may not be seen (both are 404)."""
        reply = await self._read(f"{path}/api/json", operation=operation, tree=tree, expect=(200, 404))
        if reply.status != 200:  # noqa: PLR2004 - the other of the two
            return None
        shown = reply.json()
        if not isinstance(shown, Mapping):
            raise Unavailable(f"Jenkins answered {operation} with something that is not an object", system=SYSTEM)
        return shown

    async def _change(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        expect: tuple[int, ...] = _OK,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        xml: str | None = None,
    ) -> Reply:
        async def send(crumb: Mapping[str, str]) -> Reply:
            headers = {**(XML if xml is not None else {}), **crumb}
            return await self._endpoint.ask(
                method, path, expect=expect, params=params, headers=headers, form=form, body=xml, operation=operation
            )

        try:
            return await send({})
        except Refused as refused:
            # Nothing was done. Who came with a password instead of a token needs the crumb of this session.
            crumb = await self._crumb() if "crumb" in refused.message else None
            if crumb is None:
                raise
            return await send(crumb)

    async def _crumb(self) -> Mapping[str, str] | None:
        shown = await self._show("/crumbIssuer", "crumb,crumbRequestField", operation="crumb")
        return {str(shown["crumbRequestField"]): str(shown["crumb"])} if shown and "crumb" in shown else None
