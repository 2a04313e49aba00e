"""The credentials plugin's stores: create, read with secrets hidden, overwrite whole, delete."""

from copy import deepcopy
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from aiohttp import web

from reconciler.sandbox.jenkins.configuration import UnreadableError, parse
from reconciler.sandbox.jenkins.items import Folder
from reconciler.sandbox.jenkins.pages import not_found, oops, page, shown, xml

_KINDS = {
    "com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl": "Username with password",
    "org.jenkinsci.plugins.plaincredentials.impl.StringCredentialsImpl": "Secret text",
    "com.cloudbees.jenkins.plugins.sshcredentials.impl.BasicSSHUserPrivateKey": "SSH Username with private key",
}
_SECRETS = ("password", "secret", "privateKey", "passphrase")
_REDACTED = "secret-redacted"


@dataclass
class Store:
    """The credentials of one folder (or of the whole server), by id."""

    entries: dict[str, ET.Element] = field(default_factory=dict)

    def secret(self, identity: str) -> str:
        """Return the secret that is kept under an id; empty when it was destroyed by posting it back redacted."""
        entry = self.entries[identity]
        return next((each.text or "" for tag in _SECRETS for each in entry.iter(tag)), "")


@dataclass
class Stores:
    """All stores; one belongs to its folder object, so it goes with the folder."""

    by_folder: dict[Folder, Store] = field(default_factory=dict)

    def of(self, folder: Folder) -> Store:
        """Return the store of a folder."""
        return self.by_folder.setdefault(folder, Store())

    async def answer(self, request: web.Request, folder: Folder) -> web.Response:
        """Answer a request to `credentials/store/{store}/domain/_/{what}`."""
        store, what = self.of(folder), request.match_info["what"]
        if request.match_info["store"] != ("folder" if folder.name else "system"):
            return not_found()
        if request.method == "GET" and what == "api/json":
            return shown({"credentials": [_listed(each) for each in store.entries.values()]})
        if request.method == "POST" and what == "createCredentials":
            return await _create(store, request)
        kind, _, rest = what.partition("/")
        identity, _, leaf = rest.partition("/")
        if kind != "credential" or leaf != "config.xml" or identity not in store.entries:
            return not_found()
        return await _entry(store, identity, request)


async def _create(store: Store, request: web.Request) -> web.Response:
    entry = await _read(request)
    if entry is None:
        return oops("the credentials could not be read")
    identity = entry.findtext("id") or ""
    if identity in store.entries:
        return page(409, "Credentials with specified ID already exist in domain")
    store.entries[identity] = entry
    return web.Response(status=200)


async def _entry(store: Store, identity: str, request: web.Request) -> web.Response:
    match request.method:
        case "GET":
            return xml(_redacted(store.entries[identity]))
        case "DELETE":
            del store.entries[identity]
            return web.Response(status=200)
        case "POST":
            entry = await _read(request)
            if entry is None:
                return oops("the credentials could not be read")
            store.entries[identity] = entry
            return web.Response(status=200)
        case _:
            return page(400, "Bad Request")


async def _read(request: web.Request) -> ET.Element | None:
    try:
        entry = parse(await request.read())
    except UnreadableError:
        return None
    for secret in [each for tag in _SECRETS for each in entry.iter(tag)]:
        if secret.find(_REDACTED) is not None:
            secret.remove(next(iter(secret)))
            secret.text = ""
    return entry if entry.tag in _KINDS and entry.findtext("id") else None


def _redacted(entry: ET.Element) -> str:
    shown_entry = deepcopy(entry)
    for secret in [each for tag in _SECRETS for each in shown_entry.iter(tag)]:
        secret.text = None
        ET.SubElement(secret, _REDACTED)
    ET.indent(shown_entry)
    return ET.tostring(shown_entry, encoding="unicode")


def _listed(entry: ET.Element) -> dict[str, str]:
    name, description = entry.findtext("username") or "", entry.findtext("description") or ""
    return {
        "_class": "com.cloudbees.plugins.credentials.CredentialsStoreAction$CredentialsWrapper",
        "id": entry.findtext("id") or "",
        "typeName": _KINDS[entry.tag],
        "displayName": f"{name}/****** ({description})" if description else f"{name}/******",
        "description": description,
    }
