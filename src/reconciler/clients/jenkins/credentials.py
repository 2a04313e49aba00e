"""Credentials for git, kept in the folder of the jobs that use them."""

from urllib.parse import quote

from reconciler.clients.asks import Reply
from reconciler.clients.jenkins.line import SYSTEM, Line, item_path
from reconciler.clients.jenkins.xml import credential_xml, parse
from reconciler.domain.errors import AlreadyExists, Conflict
from reconciler.domain.outside.builds import Credential, GitLogin
from reconciler.domain.ownership import Marker, find_marker

_GONE = 404


class Credentials(Line):
    """What lets Jenkins read git."""

    async def find_credential(self, folder: str, identity: str) -> Credential | None:
        """Return the credential, if there is such a one in the folder."""
        reply = await self._read(_entry(folder, identity), operation="find_credential", expect=(200, _GONE))
        return None if reply.status == _GONE else Credential(identity, _marker(reply))

    async def list_credentials(self, folder: str) -> tuple[Credential, ...]:
        """Return the credentials of the folder that we may see."""
        shown = await self._show(_store(folder), "credentials[id,description]", operation="list_credentials") or {}
        rows = shown.get("credentials") or ()
        return tuple(Credential(str(one["id"]), find_marker(str(one.get("description") or ""))) for one in rows)

    async def apply_credential(self, folder: str, login: GitLogin, marker: Marker) -> None:
        """Create the credential, or overwrite it whole when it is ours.

        Raises:
            AlreadyExists: the id is taken by a credential that is not ours.
            NotFound: the folder is not there, or Jenkins has no credentials plugin.
        """
        xml = credential_xml(login, marker)
        try:
            await self._change("POST", f"{_store(folder)}/createCredentials", xml=xml, operation="create_credential")
        except Conflict:
            await self._require_ours(folder, login.id, marker)
            await self._change("POST", _entry(folder, login.id), xml=xml, operation="update_credential")

    async def delete_credential(self, folder: str, identity: str) -> None:
        """Delete the credential; one that is not there is deleted."""
        path = _entry(folder, identity)
        await self._change("DELETE", path, expect=(200, 204, 302, _GONE), operation="delete_credential")

    async def _require_ours(self, folder: str, identity: str, marker: Marker) -> None:
        reply = await self._read(_entry(folder, identity), operation="find_credential")
        found = _marker(reply)
        if not marker.is_same_owner(found):
            owner = found.text() if found else "somebody else"
            message = f"credential {identity} in folder {folder} belongs to {owner}; name another id or delete it"
            raise AlreadyExists(message, system=SYSTEM)


def _marker(reply: Reply) -> Marker | None:
    return find_marker(parse(reply.text()).findtext("description") or "")


def _store(folder: str) -> str:
    kind = "folder" if folder.strip("/") else "system"
    return f"{item_path(folder)}/credentials/store/{kind}/domain/_"


def _entry(folder: str, identity: str) -> str:
    return f"{_store(folder)}/credential/{quote(identity, safe='')}/config.xml"
