"""DNS zones as the working rows ask for them: which one holds a domain, and one change of its records as a nudge."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from reconciler.domain import changes
from reconciler.domain.answers import Facts, Nudge, Waiting
from reconciler.domain.errors import Conflict
from reconciler.domain.keys import Key
from reconciler.domain.outside.dns import RecordSet
from reconciler.domain.records import Action, Change, name_in_zone
from reconciler.domain.resources import DevOpsProject, DNSZone, Environment
from reconciler.engine.invalid import readable
from reconciler.engine.store import Store


class ZoneRecords(Protocol):
    """The records of the zones of one DNS account."""

    async def snapshot(self, domain: str, since: datetime | None) -> Sequence[RecordSet]:
        """Return the whole zone, read at most 60 s ago and not before `since`; one read serves all who ask."""
        ...

    async def find_record_set(self, domain: str, kind: str, name: str) -> RecordSet | None:
        """Return one record set as it is now."""
        ...

    async def replace_record_set(self, domain: str, record: RecordSet) -> None:
        """Make the values of one type at one name exactly these."""
        ...

    async def delete_record_set(self, domain: str, kind: str, name: str) -> None:
        """Remove all values of one type at one name; it is fine when there are none."""
        ...


def zone_of(store: Store, project: DevOpsProject, environment: Environment) -> DNSZone | Waiting | None:
    """Return the zone of the environment's domain: the one named, else the longest that holds the domain."""
    domain, named = environment.spec.domain, project.spec.dns.zone_ref
    if domain is None:
        return None
    if named is not None:
        zone = readable(DNSZone, store.read(Key(DNSZone.kind, project.namespace, named.name)))
        remedy = f"create it for {domain}, with a valid spec"
        return zone or Waiting(f"DNSZone {named.name}", reason="SettingsNotFound", remedy=remedy)
    # A thousand projects have a thousand of them: only what may hold the domain is read whole.
    bodies = [(str(body["spec"].get("domain", "")), body) for body in store.list_(DNSZone.kind, project.namespace)]
    holding = [(name, body) for name, body in bodies if name and f".{domain}".endswith(f".{name}")]
    zones = (readable(DNSZone, body) for _, body in sorted(holding, key=lambda one: len(one[0]), reverse=True))
    return next((zone for zone in zones if zone is not None), None)


def zones_at(store: Store, namespace: str, domain: str) -> Iterator[DNSZone]:
    """Yield the zones of exactly this domain; of a thousand others nothing is read whole."""
    for body in store.list_(DNSZone.kind, namespace):
        if (body.get("spec") or {}).get("domain") == domain and (zone := readable(DNSZone, body)) is not None:
            yield zone


def is_held_by(zone: DNSZone | None, host: str) -> bool:
    """Tell whether a host is a name of the zone."""
    return zone is not None and name_in_zone(host, zone.spec.domain) is not None


def no_zone(host: str, until: datetime | None = None) -> Waiting:
    """Say that no zone holds a host."""
    remedy = "create one, or name it in the project's dns.zoneRef"
    return Waiting(f"a DNSZone that holds {host}", until, reason="ZoneNotFound", remedy=remedy)


def dns_nudge(
    identity: str, domain: str, records: ZoneRecords, change: Change, told: changes.Change | None = None
) -> Nudge:
    """Return the nudge that carries out one change of a plan, after comparing once more with what is there.

    Args:
        identity: of the nudge.
        domain: of the zone.
        records: where it is done.
        change: what is done.
        told: what it does, for plans and drift.
    """
    record = change.record

    async def act() -> Facts:
        there = await records.find_record_set(domain, record.type, record.name)
        if (there.values if there else None) != (change.before.values if change.before else None):
            raise Conflict(f"{record.type} {record.name} was changed by somebody else meanwhile", system="dns")
        if change.action is Action.DELETE:
            await records.delete_record_set(domain, record.type, record.name)
        else:
            await records.replace_record_set(domain, record)
        return {}

    before = ", ".join(change.before.values) if change.before else ""
    what = f"{change.action} {record.type} {record.name} in {domain}: {', '.join(record.values)}"
    return Nudge(identity, act, what, system="dns", before=before, is_repeatable=True, change=told)
