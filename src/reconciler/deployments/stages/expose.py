"""Expose: the component's name in DNS. Looks at the zone's snapshot, nudges by one write of ours at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from reconciler.deployments.scene import Scene
from reconciler.domain.annotations import adopted
from reconciler.domain.answers import Answer, Done, Skipped, Waiting
from reconciler.domain.names import shortened
from reconciler.domain.outside.dns import RecordSet
from reconciler.domain.record_marks import marker_name
from reconciler.domain.records import Action, Change, Desired, Policy, keys_to_adopt, name_in_zone, plan
from reconciler.domain.resources import Component, DNSZone, Settled, StageStatus
from reconciler.domain.wanted import address_of, dns_target, host_of, marker_of
from reconciler.engine.zones import ZoneRecords, dns_nudge, no_zone

_LOOK_AGAIN = timedelta(seconds=5)
_READ_LAG = timedelta(seconds=60)
_PERSON = timedelta(minutes=5)
_LONGEST_IDENTITY = 300
"""A claim's key has 320 characters, and what is intended before an act is claimed under it with a word added."""


class DnsAccounts(Protocol):
    """All DNS accounts."""

    async def records(self, settings: DNSZone) -> ZoneRecords:
        """Return the records that the settings' key may change. Raises Missing when its Secret is not there."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposeStage:
    """Gives one component its public name."""

    accounts: DnsAccounts
    owner: str

    async def look(self, scene: Scene, component: Component, step: StageStatus) -> Answer:
        """Answer whether the provider returns what is wanted."""
        host, target = host_of(scene.environment, component), dns_target(scene.project, scene.environment)
        if host is None:
            return Skipped("no port or no domain: no address")
        facts = {"address": address_of(scene.environment, component)}
        if target is None:
            return Done(facts, "no dnsTarget is set: no record is made")
        name = name_in_zone(host, scene.zone.spec.domain) if scene.zone else None
        if scene.zone is None or name is None:
            return no_zone(host, scene.now + _PERSON)
        records = await self.accounts.records(scene.zone)
        actual = await records.snapshot(scene.zone.spec.domain, step.claim.at if step.claim else None)
        return self._judge(
            scene, scene.zone, step, records, actual, Desired(name, target, scene.zone.spec.default_ttl)
        ) or Done(facts)

    def _judge(
        self,
        scene: Scene,
        zone: DNSZone,
        step: StageStatus,
        records: ZoneRecords,
        actual: Sequence[RecordSet],
        wanted: Desired,
    ) -> Answer | None:
        """Return what is still to be done for this name; None when nothing is. Other names are judged elsewhere."""
        marker = marker_of(scene.environment, self.owner)
        adopt = keys_to_adopt(
            adopted(scene.environment.metadata.annotations, scene.environment.status.handled), zone.spec.domain
        )
        planned = plan([wanted], actual, marker=marker, policy=Policy(zone.spec.policy.value), adopt=adopt)
        problem = next((one for one in planned.problems if one.name == wanted.name), None)
        if problem is not None:
            until = scene.now + _PERSON
            return Waiting(problem.message, until, reason=problem.reason, remedy=problem.remedy, system="dns")
        change = next((one for one in planned.changes if _concerns(one, wanted.name)), None)
        if change is None:
            return None
        what = f"{scene.record.operation_id}/{step.component}/dns/{change.record.type}/{change.record.name}"
        identity = shortened(what, _LONGEST_IDENTITY)
        claim = step.claim
        if claim and claim.key == identity and claim.settled is Settled.DONE and scene.now < claim.at + _READ_LAG:
            what = f"the provider to return {change.record.type} {change.record.name}"
            return Waiting(what, scene.now + _LOOK_AGAIN, reason="ReadLag", system="dns")
        return dns_nudge(identity, zone.spec.domain, records, change)


def _concerns(change: Change, name: str) -> bool:
    """Tell whether a change is about the name or about its markers; removals elsewhere belong to the environment."""
    is_marker = any(change.record.name == marker_name(kind, name) for kind in ("A", "AAAA", "CNAME"))
    return change.record.name == name or (is_marker and change.action is Action.REPLACE)
