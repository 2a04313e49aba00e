"""GoDaddy's DNS: whole record sets read, replaced and deleted. Behaviour: FACTS 4.

Make its endpoint with `translate=translate` and an `Authorization: sso-key KEY:SECRET` header.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from reconciler.clients.asks import Asks, Reply
from reconciler.clients.dns_values import WRITABLE, plain
from reconciler.domain.errors import Conflict, Invalid, ReconcilerError, Refused, Unavailable
from reconciler.domain.outside.dns import RecordSet, RecordType, Zone
from reconciler.domain.words import cut

LOWEST_TTL, HIGHEST_TTL = 600, 86400
_PAGE = 1000
_OWN_SERVERS = ".domaincontrol.com"
_OK, _CACHED, _NO_CONTENT = 200, 203, 204
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _UNPROCESSABLE = 401, 403, 404, 409, 422


def clamp_ttl(ttl: int) -> int:
    """Bring a TTL into what GoDaddy takes: 600 to 86400 seconds. Compare with the clamped value."""
    return min(max(ttl, LOWEST_TTL), HIGHEST_TTL)


def translate(reply: Reply, operation: str) -> ReconcilerError | None:
    """Read GoDaddy's own errors: what only a person can change says what that is."""
    match reply.status:
        case 401:
            message = (
                "GoDaddy does not know this key and secret; a key for production does not work on OTE, nor the reverse"
            )
            return Refused(message, system=reply.system, status=_UNAUTHORIZED)
        case 403:
            message = (
                "GoDaddy does not let this account use its DNS API (ACCESS_DENIED): since 2024 it is only for accounts "
                "with 10 or more domains or a Discount Domain Club - Premier plan"
            )
            return Refused(message, system=reply.system, status=_FORBIDDEN)
        case 409:
            message = f"GoDaddy refuses {operation}: the domain is locked, expired or not on GoDaddy's name servers"
            return Refused(message, system=reply.system, status=_CONFLICT)
        case 422:
            return _unprocessable(reply, operation)
        case _:
            return None


def _unprocessable(reply: Reply, operation: str) -> Invalid | None:
    match reply.json():
        case {"fields": [{"path": str()} as error, *_]} | ({"code": str()} as error):
            field = str(error.get("path", ""))
        case _:
            return None
    said = cut(f"{error.get('code', '')} {error.get('message', '')}".strip())
    message = f"GoDaddy will not take {operation}: {said}" + (f" ({field})" if field else "")
    return Invalid(message, field=field, system=reply.system, status=_UNPROCESSABLE)


class GoDaddy:
    """The zones of one key. There is no conditional write: one writer per name, and a marker beside each record."""

    def __init__(self, endpoint: Asks) -> None:
        self._endpoint = endpoint

    async def check_access(self) -> None:
        """Ask for the least that needs the key. Raises Refused."""
        await self._endpoint.ask("GET", "/v1/domains", params={"limit": "1"}, operation="check_access")

    async def list_zones(self) -> tuple[Zone, ...]:
        """Return all zones of the account, by domain."""
        zones: list[Zone] = []
        marker = ""
        while True:
            params = {"limit": str(_PAGE)} | ({"marker": marker} if marker else {})
            rows = _rows(await self._endpoint.ask("GET", "/v1/domains", params=params, operation="list_zones"))
            zones.extend(_zone(row) for row in rows)
            if len(rows) < _PAGE or rows[-1]["domain"] == marker:
                return tuple(sorted(zones, key=lambda zone: zone.domain))
            marker = rows[-1]["domain"]

    async def find_zone(self, domain: str) -> Zone | None:
        """Return the zone, if it is in this account; its `problem` says when changes would be refused or useless."""
        expect = (_OK, _CACHED, _NOT_FOUND)
        reply = await self._endpoint.ask("GET", _path(domain), expect=expect, operation="get_zone")
        return None if reply.status == _NOT_FOUND else _zone(reply.json())

    async def list_record_sets(self, domain: str) -> tuple[RecordSet, ...]:
        """Return the whole zone, sorted by name and type. Raises NotFound when the domain is not in this account."""
        # Not in the official description, but used in the wild (FACTS 4.1); else it would be a request per name.
        reply = await self._endpoint.ask("GET", f"{_path(domain)}/records", operation="list_records")
        return _record_sets(domain, _rows(reply))

    async def find_record_set(self, domain: str, type: str, name: str) -> RecordSet | None:  # noqa: A002 - DNS' word
        """Return all values of one type at one name, if any. Raises NotFound when the domain is not in this account."""
        reply = await self._endpoint.ask("GET", _path(domain, type, name), operation="get_records")
        found = _record_sets(domain, _rows(reply))
        return found[0] if found else None

    async def replace_record_set(self, domain: str, record: RecordSet) -> None:
        """Make these the only values of the type at the name; the TTL is clamped. Doing it twice changes nothing more.

        Raises:
            OutcomeUnknown: GoDaddy gave no answer (504): the values may be in place.
            Invalid: GoDaddy will not take it, for instance beside a CNAME; or it is a type that we do not write.
            Refused: the account, the key or the domain does not allow it.
        """
        if record.type not in WRITABLE or not record.values:
            raise Invalid(f"{record.type} {record.name} with {len(record.values)} values is not written", field="type")
        body = [{"data": value, "ttl": clamp_ttl(record.ttl)} for value in record.values]
        path = _path(domain, record.type, record.name)
        await self._endpoint.ask("PUT", path, json=body, operation="replace_records")

    async def delete_record_set(self, domain: str, type: str, name: str) -> None:  # noqa: A002 - DNS' word
        """Remove all values of one type at one name; that there are none is fine.

        Raises:
            OutcomeUnknown: GoDaddy gave no answer (504): they may be gone.
            NotFound: the domain is not in this account.
            Conflict: GoDaddy says that there is nothing and still shows it: look again.
        """
        path = _path(domain, type, name)
        reply = await self._endpoint.ask("DELETE", path, expect=(_NO_CONTENT, _NOT_FOUND), operation="delete_records")
        # 404 is "no such domain" or "no such record": only the domain's absence makes the GET fail too.
        if reply.status == _NOT_FOUND and await self.find_record_set(domain, type, name) is not None:
            raise Conflict(f"GoDaddy still shows {type} {name}", system=reply.system, status=_NOT_FOUND)


def _path(domain: str, *steps: str) -> str:
    path = f"/v1/domains/{quote(domain, safe='')}"
    return "/".join((path, "records", *(quote(step, safe="") for step in steps))) if steps else path


def _rows(reply: Reply) -> list[dict[str, Any]]:
    rows = reply.json()
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Unavailable("GoDaddy answered with something unexpected", system=reply.system, status=reply.status)
    return rows


def _zone(row: Mapping[str, Any]) -> Zone:
    domain, status = str(row["domain"]).lower(), str(row.get("status", "ACTIVE"))
    servers = [str(server).lower().rstrip(".") for server in row.get("nameServers") or ()]
    if status != "ACTIVE":
        return Zone(domain, f"the domain is {status} at GoDaddy")
    if servers and not any(server.endswith(_OWN_SERVERS) for server in servers):
        return Zone(domain, f"the domain is served by {servers[0]}, not by GoDaddy: records here have no effect")
    return Zone(domain)


def _record_sets(domain: str, rows: Iterable[Mapping[str, Any]]) -> tuple[RecordSet, ...]:
    values: dict[tuple[str, str], set[str]] = defaultdict(set)
    ttls: dict[tuple[str, str], int] = {}
    for row in rows:
        name, kind = str(row["name"]).lower().rstrip(".") or "@", str(row["type"]).upper()
        values[name, kind].add(_value(domain, kind, row))
        ttl = int(row.get("ttl") or LOWEST_TTL)
        ttls[name, kind] = min(ttl, ttls.get((name, kind), ttl))
    return tuple(
        RecordSet(name, kind, tuple(sorted(found)), ttls[name, kind]) for (name, kind), found in sorted(values.items())
    )


def _value(domain: str, kind: str, row: Mapping[str, Any]) -> str:
    """Normalise a value: GoDaddy writes `@` for the zone, names with or without a dot, TXT with or without quotes."""
    data = str(row.get("data") or "")
    data = plain(kind, domain if data == "@" and kind != RecordType.TXT else data)
    if kind in (RecordType.MX, RecordType.SRV):
        numbers = (row.get(name) for name in ("priority", "weight", "port"))
        return " ".join([*(str(number) for number in numbers if number is not None), data])
    return data
