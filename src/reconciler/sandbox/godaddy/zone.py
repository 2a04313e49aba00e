"""One zone: its records, the rules of a write, and what a lagging read still shows."""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from reconciler.sandbox.godaddy.errors import Problem, conflicting, invalid_body

WRITABLE = ("A", "AAAA", "CNAME", "MX", "SRV", "TXT")
MINIMUM_TTL = 600
NAME_SERVERS = ("ns01.domaincontrol.com", "ns02.domaincontrol.com")


@dataclass(frozen=True, slots=True)
class Record:
    """One record; `extra` are the vendor's fields for MX and SRV, as sorted pairs."""

    type: str
    name: str
    data: str
    ttl: int
    extra: tuple[tuple[str, Any], ...] = ()

    def body(self) -> dict[str, Any]:
        """Write it as the API does."""
        return {"type": self.type, "name": self.name, "data": self.data, "ttl": self.ttl, **dict(self.extra)}


def parked(domain: str) -> tuple[Record, ...]:
    """What a new domain carries: a parking page at the apex, `www` pointing to it, name servers."""
    return (
        Record("A", "@", "Parked", MINIMUM_TTL),
        Record("CNAME", "www", "@", 3600),
        *(Record("NS", "@", server, 3600) for server in NAME_SERVERS),
        Record("SOA", "@", f"{NAME_SERVERS[0]} dns.{domain}", 3600),
    )


class Zone:
    """The records of one domain: writes meet the newest version, reads may be served from an older one."""

    def __init__(self, domain: str, records: Iterable[Record], monotonic: Callable[[], float]) -> None:
        self.domain = domain
        self.status = "ACTIVE"
        self.name_servers = list(NAME_SERVERS)
        self._monotonic = monotonic
        self._versions: list[tuple[float, tuple[Record, ...]]] = [(float("-inf"), tuple(records))]

    @property
    def records(self) -> tuple[Record, ...]:
        """The newest version."""
        return self._versions[-1][1]

    def read(self, lag: float) -> tuple[Record, ...]:
        """Return the version of `lag` seconds ago."""
        horizon = self._monotonic() - lag
        seen = [version for version in self._versions if version[0] <= horizon]
        return seen[-1][1]

    def set(self, records: Iterable[Record]) -> None:
        """Take a new version as it is, without any rule."""
        self._versions = [*self._versions[-200:], (self._monotonic(), tuple(records))]

    def replace(self, kind: str, name: str, body: Any) -> None:
        """Replace all values of one type at one name."""
        rows = _rows(body)
        if not rows:
            raise invalid_body()
        new = [_record(row, kind, name, index) for index, row in enumerate(rows)]
        self._put([r for r in self.records if (r.type, r.name) != (kind, name)], new)

    def replace_type(self, kind: str, body: Any) -> None:
        """Replace every record of one type, at all names."""
        new = [_record(row, kind, row.get("name"), index) for index, row in enumerate(_rows(body))]
        self._put([r for r in self.records if r.type != kind], new)

    def replace_all(self, body: Any) -> None:
        """Replace the whole zone, but NS and SOA."""
        if any(r.type == "CAA" for r in self.records):
            raise Problem(422, "INVALID_BODY", "CAA records are not supported", path="records")
        new = [_record(row, row.get("type"), row.get("name"), index) for index, row in enumerate(_rows(body))]
        self._put([r for r in self.records if r.type in ("NS", "SOA")], new)

    def add(self, body: Any) -> None:
        """Add values; one that is there already is a duplicate."""
        new = [_record(row, row.get("type"), row.get("name"), index) for index, row in enumerate(_rows(body))]
        there = {(r.type, r.name, r.data) for r in self.records}
        for index, record in enumerate(new):
            if (record.type, record.name, record.data) in there:
                raise Problem(422, "DUPLICATE_RECORD", "Another record with the same attributes already exists",
                              path=f"records[{index}]")  # fmt: skip
        self._put(list(self.records), new)

    def delete(self, kind: str, name: str) -> bool:
        """Remove all values of one type at one name; tell whether there were any."""
        if kind not in WRITABLE:
            raise Problem(422, "INVALID_BODY", f"type {kind} may not be deleted", path="type")
        kept = [r for r in self.records if (r.type, r.name) != (kind, name)]
        if len(kept) == len(self.records):
            return False
        self.set(kept)
        return True

    def _put(self, kept: list[Record], new: list[Record]) -> None:
        for index, record in enumerate(new):
            others = [r for r in (*kept, *new) if r.name == record.name and r is not record]
            clash = bool(others) if record.type == "CNAME" else any(r.type == "CNAME" for r in others)
            if clash or (record.type == "CNAME" and record.name == "@"):
                raise conflicting(record.name, index)
        self.set([*kept, *new])


def _rows(body: Any) -> list[dict[str, Any]]:
    if not isinstance(body, list) or not all(isinstance(row, dict) for row in body):
        raise invalid_body()
    return body


def _record(row: dict[str, Any], kind: Any, name: Any, index: int) -> Record:
    where = f"records[{index}]"
    if kind not in WRITABLE or not isinstance(name, str) or not name:
        raise Problem(422, "INVALID_BODY", "type and name are required", path=where)
    data, ttl = row.get("data"), row.get("ttl", 3600)
    if not isinstance(data, str) or not data:
        raise Problem(422, "INVALID_BODY", "data is required", path=f"{where}.data")
    if not isinstance(ttl, int) or ttl < MINIMUM_TTL:
        raise Problem(422, "INVALID_BODY", f"must have a minimum value of {MINIMUM_TTL}", path=f"{where}.ttl",
                      field_code="UNKNOWN_RESTRICTION")  # fmt: skip
    if kind in ("A", "AAAA") and not _is_address(kind, data):
        raise Problem(422, "INVALID_BODY", f"is not a valid {kind} value", path=f"{where}.data",
                      field_code="MISMATCH_FORMAT")  # fmt: skip
    extra = {key: row[key] for key in ("port", "priority", "protocol", "service", "weight") if key in row}
    return Record(kind, name, data, ttl, tuple(sorted(extra.items())))


def _is_address(kind: str, data: str) -> bool:
    try:
        return ipaddress.ip_address(data).version == (4 if kind == "A" else 6)
    except ValueError:
        return False
