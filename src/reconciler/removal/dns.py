"""What is ours in a zone: records under our mark, each before its mark."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from reconciler.domain.answers import Answer, Done, Facts, Nudge, Waiting
from reconciler.domain.errors import Conflict
from reconciler.domain.outside.dns import RecordSet
from reconciler.domain.ownership import Marker
from reconciler.domain.records import Change, Policy, plan
from reconciler.domain.resources import SetupStep
from reconciler.removal.going import SOON, identity_of, was_just_done


class RemovableRecords(Protocol):
    """The records of one DNS account, as far as removal needs them."""

    async def snapshot(self, domain: str, since: datetime | None) -> Sequence[RecordSet]:
        """Return the whole zone, read at most 60 s ago and not before `since`."""
        ...

    async def find_record_set(self, domain: str, kind: str, name: str) -> RecordSet | None:
        """Return one record set as it is now."""
        ...

    async def delete_record_set(self, domain: str, kind: str, name: str) -> None:
        """Remove all values of one type at one name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GoingRecords:
    """The records of one resource in one zone.

    Attributes:
        by_uid: take only what this incarnation has marked: for leftovers.
        only: the one name to take; None: all.
        shown_at: from when on a read shows all that was written before: that nothing is left, or of a record only its
            mark, is believed of none older.
    """

    records: RemovableRecords
    domain: str
    marker: Marker
    policy: Policy = Policy.SYNC
    by_uid: bool = False
    only: str | None = None
    shown_at: datetime | None = None

    async def look(self, step: SetupStep, now: datetime) -> Answer:
        """Answer what of it is still there."""
        is_shown = self.shown_at is None or now >= self.shown_at
        moments = (step.claim.at if step.claim else None, self.shown_at if is_shown else None)
        actual = await self.records.snapshot(self.domain, max((at for at in moments if at), default=None))
        planned = plan([], actual, marker=self.marker, policy=self.policy, sweeps=self.by_uid)
        changes = [one for one in planned.changes if self.only in (None, one.name)]
        if not is_shown:
            # The record of a mark that stands alone may be written already: without its mark it would be nobody's.
            changes = [one for one in changes if not one.is_unmarking]
        change = next(iter(changes), None)
        if change is None and not is_shown:
            return Waiting("the last writes to show at the provider", self.shown_at, reason="ReadLag", system="dns")
        if change is None:
            return Done()
        record = change.record
        identity = identity_of(self.marker, f"{record.type}/{record.name}")
        if was_just_done(step, identity, now):
            what = f"{record.type} {record.name} to be gone at the provider"
            return Waiting(what, now + SOON, reason="ReadLag", system="dns")
        return self._removal_of(identity, change)

    def _removal_of(self, identity: str, change: Change) -> Nudge:
        record = change.record

        async def act() -> Facts:
            there = await self.records.find_record_set(self.domain, record.type, record.name)
            if there is not None and there.values != record.values:
                raise Conflict(f"{record.type} {record.name} was changed by somebody else meanwhile", system="dns")
            await self.records.delete_record_set(self.domain, record.type, record.name)
            return {}

        what = f"remove {record.type} {record.name} in {self.domain}"
        return Nudge(identity, act, what, system="dns", before=", ".join(record.values), is_repeatable=True)
