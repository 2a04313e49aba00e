"""The difference between the DNS records that an environment wants and a zone as it is: data in, data out.

Called by the expose stage, by removal and by drift. Each change of a plan is one client call. The order at one name is
that of DESIGN section 5: first the mark, read back, then the record; removal the other way. So no record of ours is
ever without its mark, and whatever prefix of a plan was carried out, the next plan goes on from there.

Ours is what has our mark *and* values that we wrote.
"""

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.domain.outside.dns import RecordSet, RecordType
from reconciler.domain.ownership import Marker
from reconciler.domain.record_marks import (
    APEX,
    LONGEST_TXT,
    Key,
    Mark,
    MarkedZone,
    hash_of,
    mark_text,
    marker_name,
)

_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_NAME = re.compile(rf"@|[*]|(?:[*][.])?{_LABEL}(?:[.]{_LABEL})*")
_HOST = re.compile(r"(?:(?!-)[a-z0-9_-]{1,63}(?<!-)[.])+[a-z0-9-]{1,63}")
_LONGEST_NAME = 253
_IPV4 = 4
_SEVERAL = 2


class Policy(StrEnum):
    """What a zone lets us do."""

    SYNC = "Sync"
    UPSERT_ONLY = "UpsertOnly"
    """Nothing is ever deleted."""


class Action(StrEnum):
    """What one client call does to one record set."""

    REPLACE = "replace"
    DELETE = "delete"


class Reason(StrEnum):
    """Why a wanted record cannot be had."""

    NAME_TAKEN = "NameTaken"
    OTHER_TYPE = "ConflictingRecord"
    VALUES_CHANGED = "ValuesChanged"
    CNAME_AT_APEX = "CnameAtApex"
    CONTRADICTION = "Contradiction"
    INVALID = "InvalidRecord"


@dataclass(frozen=True, slots=True)
class TtlBounds:
    """The provider's bounds of a TTL, in seconds; GoDaddy's by default."""

    lowest: int = 600
    highest: int = 86400

    def clamp(self, ttl: int) -> int:
        """Bring a TTL into the bounds."""
        return min(max(ttl, self.lowest), self.highest)


GODADDY_TTL = TtlBounds()


@dataclass(frozen=True, slots=True)
class Desired:
    """One wanted record.

    Attributes:
        name: relative to the zone; `@` is the zone itself, `*.x` a wildcard.
        target: an IPv4 address (A), an IPv6 address (AAAA) or a whole host name (CNAME).
        ttl: seconds, clamped before it is compared or written.
    """

    name: str
    target: str
    ttl: int = 600


@dataclass(frozen=True, slots=True)
class Change:
    """One client call.

    Attributes:
        record: for REPLACE what will be there, for DELETE what was there when the zone was read.
        name: the name it is about (a mark's own differs); after a failure the rest of this name waits for a new plan.
        before: what was there, if anything: compare right before the call, and tell it in the audit.
        awaits: the mark that must be read back, exactly so, before this change is made.
    """

    action: Action
    record: RecordSet
    name: str
    why: str
    before: RecordSet | None = None
    awaits: RecordSet | None = None

    @property
    def is_unmarking(self) -> bool:
        """Whether a mark goes: never to be done by a read that may not show yet what it marks."""
        return self.action is Action.DELETE and self.record.name != self.name


@dataclass(frozen=True, slots=True)
class Problem:
    """A wanted record that cannot be had, and what a person can do. It blocks no other record.

    Attributes:
        owner: whose it is: a marker's resource and owner, `external-dns/<owner>`, `unmarked`; empty if nobody's.
    """

    name: str
    type: str
    reason: Reason
    message: str
    remedy: str
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do, in this order.

    Attributes:
        settled: wanted records that are in place and ours.
        foreign: wanted records that are in place, made by unknown hands: they serve, are left alone, never removed.
    """

    changes: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()
    settled: tuple[RecordSet, ...] = ()
    foreign: tuple[RecordSet, ...] = ()


def plan(
    desired: Sequence[Desired],
    actual: Sequence[RecordSet],
    *,
    marker: Marker,
    policy: Policy = Policy.SYNC,
    adopt: Collection[Key] = (),
    ttl_bounds: TtlBounds = GODADDY_TTL,
    sweeps: bool = False,
) -> Plan:
    """Return what makes a zone serve what one resource wants, and nothing else that carries its marker.

    Args:
        desired: what the resource wants; nothing at its removal.
        actual: the whole zone, values normalised.
        marker: whose the records are.
        policy: of the zone; UpsertOnly plans no deletion at all.
        adopt: types and names that a person has told us to take over as they are found.
        ttl_bounds: the provider's.
        sweeps: whether only records of exactly this incarnation (uid) are removed: for leftovers.
    """
    work = _Work(MarkedZone.of(actual), marker, policy, frozenset(adopt), ttl_bounds)
    wanted = work.read(desired)
    for record in wanted:
        work.want(record)
    if policy is Policy.SYNC:
        work.remove_all_but({(record.type, record.name) for record in wanted}, of_this_uid=sweeps)
    return work.plan()


def keys_to_adopt(named: Iterable[str], zone: str) -> frozenset[Key]:
    """Return the types and names of the records that a person named as `A/api.alpha` or by the whole host."""
    pairs = (word.partition("/")[::2] for word in named)
    known = {each.value for each in RecordType}
    return frozenset(
        (kind, name) for kind, host in pairs if kind in known for name in (host, name_in_zone(host, zone)) if name
    )


def surplus(planned: Plan, stays: Collection[str]) -> tuple[Change, ...]:
    """Return the removals of a plan that are about names which nobody wants any more.

    Args:
        planned: for everything that is wanted in the zone.
        stays: names that stay, be they wanted now or not.
    """
    return tuple(each for each in planned.changes if each.action is Action.DELETE and each.name not in stays)


def is_mass_removal(removals: Iterable[Change], actual: Sequence[RecordSet], marker: Marker) -> bool:
    """Tell whether removals would take more than half of several names that are ours: a person is asked first."""
    names = {each.name for each in removals}
    owned = {name for _, name in MarkedZone.of(actual).keys_of(marker)}
    return len(names) >= _SEVERAL and 2 * len(names) > len(owned)


def type_of(target: str) -> RecordType:
    """Return the type of the record that points to a target."""
    try:
        return RecordType.A if ipaddress.ip_address(target).version == _IPV4 else RecordType.AAAA
    except ValueError:
        return RecordType.CNAME


def name_in_zone(address: str, zone: str) -> str | None:
    """Return the name of a host relative to its zone, `@` for the zone itself; None when it is not in it."""
    address, zone = address.lower().rstrip("."), zone.lower().rstrip(".")
    if address == zone:
        return APEX
    return address.removesuffix(f".{zone}") if address.endswith(f".{zone}") else None


@dataclass
class _Work:
    """One planning; every method adds to the lists."""

    zone: MarkedZone
    marker: Marker
    policy: Policy
    adopt: frozenset[Key]
    ttl_bounds: TtlBounds
    changes: list[Change] = field(default_factory=list)
    last: list[Change] = field(default_factory=list)
    """Deletions of what is not wanted, after everything that is."""
    problems: list[Problem] = field(default_factory=list)
    settled: list[RecordSet] = field(default_factory=list)
    foreign: list[RecordSet] = field(default_factory=list)
    displaced: set[Key] = field(default_factory=set)

    def plan(self) -> Plan:
        return Plan((*self.changes, *self.last), tuple(self.problems), tuple(self.settled), tuple(self.foreign))

    # What is wanted.

    def read(self, desired: Sequence[Desired]) -> list[RecordSet]:
        """Bring what is wanted into record sets by name; what is invalid or contradicts itself becomes a problem."""
        wanted: dict[Key, list[Desired]] = {}
        for each in desired:
            target = each.target.strip().lower().rstrip(".")
            name = each.name.lower().rstrip(".") or APEX
            wanted.setdefault((type_of(target), name), []).append(Desired(name, target, each.ttl))
        sets = (self._read_set(key, wanted) for key in sorted(wanted, key=lambda key: (key[1], key[0])))
        return [each for each in sets if each is not None]

    def _read_set(self, key: Key, wanted: Mapping[Key, list[Desired]]) -> RecordSet | None:
        kind, name = key
        is_alias = kind == RecordType.CNAME
        targets = {each.target for each in wanted[key]}
        values = sorted(targets if is_alias else {str(ipaddress.ip_address(target)) for target in targets})
        kinds = {kind for kind, at in wanted if at == name}
        if not _is_name(name) or (is_alias and not all(_is_host(value) for value in values)):
            message = f"{name} -> {', '.join(values)} is not a name that DNS knows"
            self._problem(key, Reason.INVALID, message, "correct the host; give a target as address or whole host name")
        elif RecordType.CNAME in kinds and (len(kinds) > 1 or len(values) > 1):
            message = f"{name} is wanted with several targets, one of them a host name"
            self._problem(key, Reason.CONTRADICTION, message, "give the components different hosts")
        elif is_alias and name == APEX:
            message = f"the zone itself cannot be an alias of {values[0]}"
            self._problem(key, Reason.CNAME_AT_APEX, message, "give an IP address as target, or use another host")
        else:
            ttl = self.ttl_bounds.clamp(min(each.ttl for each in wanted[key]))
            return RecordSet(name, kind, tuple(values), ttl)
        return None

    def want(self, record: RecordSet) -> None:
        """Plan what brings one wanted record into place."""
        key = (record.type, record.name)
        there, mark = self.zone.records.get(key), self._own_mark(key)
        if key in self.adopt or (mark is not None and mark.covers(there)):
            self._make_way(record, there, mark)
        elif mark is None and self.zone.mark_record(key) is not None:
            self._taken(key, self.zone.owner(key))
        elif external := self.zone.external_owner(record.name):
            self._taken(key, external)
        elif there is None or (mark is not None and there.values == record.values):
            self._make_way(record, there, mark)
        elif mark is not None:
            self._changed(key, there)
        elif there.values == record.values:
            self.foreign.append(there)
        else:
            self._taken(key, "unmarked")

    def _make_way(self, record: RecordSet, there: RecordSet | None, mark: Mark | None) -> None:
        """Go on unless a record of a type that cannot stand beside this one is in the way and may not go."""
        in_the_way = [each for each in self.zone.at(record.name) if _clashes(record, each)]
        for each in in_the_way:
            if not self._may_displace(each):
                self._blocked_by((record.type, record.name), each)
                return
        text = mark_text(self.marker, record, there, mark)
        if len(text) > LONGEST_TXT:
            message = f"its mark has {len(text)} characters, DNS takes {LONGEST_TXT}"
            self._problem((record.type, record.name), Reason.INVALID, message, "use a shorter owner id")
            return
        marking = self._mark(record, there, mark, text)
        self._displace(in_the_way)
        if there is None or (there.values, there.ttl) != (record.values, record.ttl):
            self.changes.append(Change(Action.REPLACE, record, record.name, "as wanted", there, marking))
        elif mark is not None and marking == mark.record:
            self.settled.append(record)

    def _mark(self, record: RecordSet, there: RecordSet | None, mark: Mark | None, text: str) -> RecordSet:
        """Plan the mark unless it is right already, and return it as it will be."""
        is_right = mark is not None and mark.marker == self.marker and mark.values == hash_of(record.values)
        if mark is not None and is_right and (there is None or mark.covers(there)):
            return mark.record
        before = self.zone.mark_record((record.type, record.name))
        marking = RecordSet(marker_name(record.type, record.name), RecordType.TXT, (text,), self.ttl_bounds.lowest)
        self.changes.append(Change(Action.REPLACE, marking, record.name, "mark what will be written", before))
        return marking

    def _may_displace(self, other: RecordSet) -> bool:
        key = (other.type, other.name)
        mark = self._own_mark(key)
        is_ours = key in self.adopt or (mark is not None and mark.covers(other))
        return is_ours and self.policy is Policy.SYNC

    def _displace(self, others: Sequence[RecordSet]) -> None:
        """Plan the deletion of other types right before the new record; their marks go last."""
        for other in others:
            key = (other.type, other.name)
            if key not in self.displaced:
                self.displaced.add(key)
                self.changes.append(Change(Action.DELETE, other, other.name, "replaced by another type", other))
                if (mark := self._own_mark(key)) is not None:
                    self._unmark(mark, other.name)

    # What is not wanted.

    def remove_all_but(self, wanted: Collection[Key], *, of_this_uid: bool) -> None:
        """Plan the removal of everything that carries our mark and is not wanted; names with a problem stay."""
        stuck = {problem.name for problem in self.problems}
        for key in sorted(self.zone.keys_of(self.marker) - set(wanted) - self.displaced):
            mark, there = self._own_mark(key), self.zone.records.get(key)
            if mark is None or key[1] in stuck or (of_this_uid and mark.marker.uid != self.marker.uid):
                continue
            if there is not None and mark.covers(there):
                self.last.append(Change(Action.DELETE, there, there.name, "not wanted any more", there))
            self._unmark(mark, key[1])

    def _unmark(self, mark: Mark, name: str) -> None:
        self.last.append(Change(Action.DELETE, mark.record, name, "marks nothing any more", mark.record))

    def _own_mark(self, key: Key) -> Mark | None:
        mark = self.zone.mark(key)
        return mark if mark is not None and self.marker.is_same_owner(mark.marker) else None

    # What is in the way.

    def _taken(self, key: Key, owner: str) -> None:
        kind, name = key
        message = (
            f"{kind} {name} exists and is not ours" if owner == "unmarked" else f"{kind} {name} belongs to {owner}"
        )
        self._problem(key, Reason.NAME_TAKEN, message, f"use another host, remove it, or adopt {kind}/{name}", owner)

    def _changed(self, key: Key, there: RecordSet) -> None:
        kind, name = key
        message = f"{kind} {name} was ours and has other values now: {', '.join(there.values)}"
        remedy = f"put the values back, remove the record, or adopt {kind}/{name}"
        self._problem(key, Reason.VALUES_CHANGED, message, remedy, "unmarked")

    def _blocked_by(self, key: Key, other: RecordSet) -> None:
        message = f"{key[0]} {key[1]} cannot stand beside {other.type} {other.name} -> {', '.join(other.values)}"
        remedy = f"delete that record (a new domain's parking record may go), or adopt {other.type}/{other.name}"
        if self.policy is Policy.UPSERT_ONLY:
            remedy = f"delete {other.type} {other.name} by hand: the zone's policy is UpsertOnly"
        self._problem(key, Reason.OTHER_TYPE, message, remedy, self.zone.owner((other.type, other.name)))

    def _problem(self, key: Key, reason: Reason, message: str, remedy: str, owner: str = "") -> None:
        self.problems.append(Problem(key[1], key[0], reason, message, remedy, owner))


def _clashes(wanted: RecordSet, there: RecordSet) -> bool:
    return there.type != wanted.type and RecordType.CNAME in (wanted.type, there.type)


def _is_name(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


def _is_host(target: str) -> bool:
    return len(target) <= _LONGEST_NAME and _HOST.fullmatch(target) is not None
