"""Marks on DNS records: which TXT record marks what, what it says, and a zone seen with its marks.

The mark of type T at name N is the TXT record `_freeleaps-<t>.<N>` (a TXT cannot stand beside a CNAME). It holds the
owner's marker, the hash of the values that it stands for (`values`) and of those that may still be in place because a
change was on its way (`was`).
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from reconciler.domain.outside.dns import RecordSet, RecordType
from reconciler.domain.ownership import Marker, find_marker

APEX = "@"
Key = tuple[str, str]
"""Type and name."""

LONGEST_TXT = 255
"""One string of a TXT record (RFC 1035)."""
_PREFIX = "_freeleaps-"
_WILDCARD = "_wildcard"
"""Stands for `*` in a mark's name: an asterisk is a wildcard only as the first label, and not taken elsewhere."""
_KEPT_HASHES = 3
_HASHES = re.compile(r",values=(?P<values>[0-9a-f]{8})(?:,was=(?P<was>[0-9a-f+]+))?")
_HERITAGE = re.compile(r"heritage=external-dns,external-dns/owner=(?P<owner>[^\s,\"]+)")


@dataclass(frozen=True, slots=True)
class Mark:
    """What a mark says.

    Attributes:
        record: the TXT record itself.
        values: the hash of the values that the owner wants there.
        accepted: the hashes of all values that the owner wrote or may have written.
    """

    record: RecordSet
    marker: Marker
    values: str
    accepted: tuple[str, ...]

    def covers(self, record: RecordSet | None) -> bool:
        """Tell whether a record has values of this mark's owner."""
        return record is not None and hash_of(record.values) in self.accepted


def marker_name(type: str, name: str) -> str:  # noqa: A002 - DNS' word
    """Return the name of the TXT record that marks a type at a name; at the apex it is the first label alone."""
    label = f"{_PREFIX}{type.lower()}"
    return label if name == APEX else f"{label}.{re.sub(r'^[*](?=[.]|$)', _WILDCARD, name)}"


def marked_key(name: str) -> Key | None:
    """Return type and name of what a TXT record of this name marks; None when it is no mark's name."""
    label, _, rest = name.partition(".")
    if not label.startswith(_PREFIX):
        return None
    marked = re.sub(rf"^{_WILDCARD}(?=[.]|$)", "*", rest) or APEX
    return label.removeprefix(_PREFIX).upper(), marked


def hash_of(values: Iterable[str]) -> str:
    """Return 8 hex that stand for the values, in whatever order."""
    return hashlib.sha256("\n".join(sorted(values)).encode()).hexdigest()[:8]


def mark_text(marker: Marker, record: RecordSet, there: RecordSet | None, mark: Mark | None) -> str:
    """Write the mark of a record that is to replace what is `there` under a former `mark`.

    Until it is replaced the old values stay accepted, newest first, as many as fit into one TXT string: a crash
    between the two writes, or an answer that was lost, must not make our own record look like a stranger's.
    """
    new = hash_of(record.values)
    text = f"{marker.text()},values={new}"
    was = [] if there is None or there.values == record.values else [hash_of(there.values)]
    if was and mark is not None:
        was += mark.accepted
    kept = list(dict.fromkeys(each for each in was if each != new))[:_KEPT_HASHES]
    while kept and len(f"{text},was={'+'.join(kept)}") > LONGEST_TXT:
        kept.pop()
    return f"{text},was={'+'.join(kept)}" if kept else text


class MarkedZone:
    """A zone's record sets by type and name, with the marks in it."""

    def __init__(self, records: Iterable[RecordSet]) -> None:
        self.records: Mapping[Key, RecordSet] = {(each.type, each.name): each for each in records}
        self._at: dict[str, list[RecordSet]] = {}
        for each in self.records.values():
            self._at.setdefault(each.name, []).append(each)
        self._marks: dict[Key, Mark | None] = {}

    @classmethod
    def of(cls, records: Sequence[RecordSet]) -> "MarkedZone":
        """Return the zone of a snapshot; the last one is kept, because many compare with the same snapshot."""
        global _last  # noqa: PLW0603 - a memory of one pure answer
        if _last is None or _last[0] is not records or not isinstance(records, tuple):
            _last = (records, cls(records))
        return _last[1]

    def at(self, name: str) -> list[RecordSet]:
        """Return every record set at a name."""
        return self._at.get(name, [])

    def mark_record(self, key: Key) -> RecordSet | None:
        """Return what stands where the mark of a type and name belongs, whatever it says."""
        return self.records.get((RecordType.TXT, marker_name(*key)))

    def mark(self, key: Key) -> Mark | None:
        """Return the mark on a type and name; None when nothing, or something else, stands there."""
        if key not in self._marks:
            self._marks[key] = self._read_mark(key)
        return self._marks[key]

    def _read_mark(self, key: Key) -> Mark | None:
        record = self.mark_record(key)
        marker = find_marker(record.values[0]) if record and len(record.values) == 1 else None
        if record is None or marker is None:
            return None
        hashes = _HASHES.search(record.values[0])
        values, was = (hashes["values"], hashes["was"] or "") if hashes else ("", "")
        return Mark(record, marker, values, tuple(filter(None, (values, *was.split("+")))))

    def keys_of(self, marker: Marker) -> set[Key]:
        """Return type and name of everything that carries the mark of the marker's owner, there or gone."""
        return self._keys_by_owner.get(_owner_of(marker), set())

    @cached_property
    def _keys_by_owner(self) -> dict[tuple[str, ...], set[Key]]:
        names = (name for kind, name in self.records if kind == RecordType.TXT)
        found: dict[tuple[str, ...], set[Key]] = {}
        for name in names:
            if (key := marked_key(name)) is not None and marker_name(*key) == name and (mark := self.mark(key)):
                found.setdefault(_owner_of(mark.marker), set()).add(key)
        return found

    def external_owner(self, name: str) -> str:
        """Return whose a name is by the marks of external-dns, of the old form or the new; empty if nobody's."""
        kinds = (RecordType.A, RecordType.AAAA, RecordType.CNAME)
        places = (name, *(f"{kind.lower()}-{name}" for kind in kinds))
        for record in (self.records.get((RecordType.TXT, place)) for place in places):
            for value in record.values if record else ():
                if found := _HERITAGE.search(value):
                    return f"external-dns/{found['owner']}"
        return ""

    def owner(self, key: Key) -> str:
        """Say whose a type and name is, by whatever mark; `unmarked` if nobody says so."""
        mark = self.mark(key)
        if mark is None:
            return self.external_owner(key[1]) or "unmarked"
        found = mark.marker
        return f"{found.kind}/{found.namespace}/{found.name} of {found.owner}"


def _owner_of(marker: Marker) -> tuple[str, ...]:
    """Return what `Marker.is_same_owner` compares."""
    return marker.owner, marker.kind, marker.namespace, marker.name


_last: tuple[Sequence[RecordSet], MarkedZone] | None = None
