"""PowerDNS' authoritative server by its HTTP API (4.3 and later): whole record sets read, replaced and deleted.

Make its endpoint with `translate=translate` and an `X-API-Key` header. Behaviour: PowerDNS' own documentation of the
HTTP API, and what Debian's pdns-server 4.7 answers (tests/integration/test_powerdns.py).
"""

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from reconciler.clients.asks import Asks, Reply
from reconciler.clients.dns_values import WRITABLE, plain, quoted
from reconciler.domain.errors import Invalid, ReconcilerError, Refused, Unavailable
from reconciler.domain.outside.dns import RecordSet, RecordType, Zone
from reconciler.domain.words import cut

_SERVER = "/api/v1/servers/localhost"
_ZONES = f"{_SERVER}/zones"
_NO_CONTENT, _UNAUTHORIZED, _NOT_FOUND, _UNPROCESSABLE = 204, 401, 404, 422
_WRITABLE_KINDS = frozenset({"native", "master", "primary", "producer"})


def translate(reply: Reply, operation: str) -> ReconcilerError | None:
    """Read PowerDNS' own errors."""
    match reply.status:
        case 401:
            return Refused("PowerDNS does not know this API key", system=reply.system, status=_UNAUTHORIZED)
        case 422:
            said = cut(str(_object(reply).get("error", "no reason given")))
            return Invalid(f"PowerDNS will not take {operation}: {said}", system=reply.system, status=_UNPROCESSABLE)
        case _:
            return None


class PowerDns:
    """The zones of one server. There is no conditional write: one writer per name, and a marker beside each record."""

    def __init__(self, endpoint: Asks) -> None:
        self._endpoint = endpoint

    async def check_access(self) -> None:
        """Ask for the least that needs the key. Raises Refused."""
        await self._endpoint.ask("GET", _SERVER, operation="check_access")

    async def find_zone(self, domain: str) -> Zone | None:
        """Return the zone, if the server has it; its `problem` says when changes would be refused or useless."""
        expect = (200, _NOT_FOUND)
        reply = await self._endpoint.ask(
            "GET", _path(domain), expect=expect, params={"rrsets": "false"}, operation="get_zone"
        )
        if reply.status == _NOT_FOUND:
            return None
        kind = str(_object(reply).get("kind", ""))
        if kind.lower() in _WRITABLE_KINDS:
            return Zone(domain.lower())
        return Zone(domain.lower(), f"it is a zone of kind {kind}: it is changed at its primary server")

    async def list_record_sets(self, domain: str) -> tuple[RecordSet, ...]:
        """Return the whole zone, sorted by name and type. Raises NotFound when the server does not have it."""
        return _record_sets(domain, await self._endpoint.ask("GET", _path(domain), operation="list_records"))

    async def find_record_set(self, domain: str, type: str, name: str) -> RecordSet | None:  # noqa: A002 - DNS' word
        """Return all values of one type at one name, if any. Raises NotFound when the server does not have the zone."""
        # Servers before 4.6 do not know these two, and give the whole zone.
        params = {"rrset_name": _absolute(name, domain), "rrset_type": type}
        reply = await self._endpoint.ask("GET", _path(domain), params=params, operation="get_records")
        found = (one for one in _record_sets(domain, reply) if (one.type, one.name) == (type, name.lower()))
        return next(found, None)

    async def replace_record_set(self, domain: str, record: RecordSet) -> None:
        """Make these the only values of the type at the name. Doing it twice changes nothing more.

        Raises:
            Invalid: PowerDNS will not take it, for instance beside a CNAME; or it is a type that we do not write.
            NotFound: the server does not have the zone.
        """
        if record.type not in WRITABLE or not record.values:
            raise Invalid(f"{record.type} {record.name} with {len(record.values)} values is not written", field="type")
        records = [{"content": _written(record.type, value), "disabled": False} for value in record.values]
        rrset = {"changetype": "REPLACE", "ttl": record.ttl, "records": records}
        await self._patch(domain, record.type, record.name, rrset, "replace_records")

    async def delete_record_set(self, domain: str, type: str, name: str) -> None:  # noqa: A002 - DNS' word
        """Remove all values of one type at one name; that there are none is fine."""
        await self._patch(domain, type, name, {"changetype": "DELETE"}, "delete_records")

    async def _patch(self, domain: str, kind: str, name: str, rrset: Mapping[str, Any], operation: str) -> None:
        body = {"rrsets": [{"name": _absolute(name, domain), "type": kind, **rrset}]}
        await self._endpoint.ask("PATCH", _path(domain), expect=(_NO_CONTENT,), json=body, operation=operation)


def _path(domain: str) -> str:
    return f"{_ZONES}/{quote(f'{domain}.', safe='')}"


def _absolute(name: str, domain: str) -> str:
    return f"{domain}." if name == "@" else f"{name}.{domain}."


def _written(kind: str, value: str) -> str:
    match kind:
        case RecordType.TXT:
            return quoted(value)
        case RecordType.CNAME:
            return f"{value}."
        case _:
            return value


def _object(reply: Reply) -> Mapping[str, Any]:
    said = reply.json()
    if not isinstance(said, dict):
        raise Unavailable("PowerDNS answered with something unexpected", system=reply.system, status=reply.status)
    return said


def _record_sets(domain: str, reply: Reply) -> tuple[RecordSet, ...]:
    rrsets: Iterable[Mapping[str, Any]] = _object(reply).get("rrsets") or ()
    found = (_record_set(domain.lower(), rrset) for rrset in rrsets)
    return tuple(sorted((one for one in found if one.values), key=lambda one: (one.name, one.type)))


def _record_set(domain: str, rrset: Mapping[str, Any]) -> RecordSet:
    """Read one set; values that are switched off are not served, and not counted."""
    kind, whole = str(rrset["type"]).upper(), str(rrset["name"]).lower().rstrip(".")
    name = "@" if whole == domain else whole.removesuffix(f".{domain}")
    served = (one for one in rrset.get("records") or () if not one.get("disabled"))
    values = sorted({plain(kind, str(one["content"])) for one in served})
    return RecordSet(name, kind, tuple(values), int(rrset.get("ttl") or 0))
