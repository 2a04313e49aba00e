"""Retention: finished records go by age and number, once nobody can need them any more.

Looked at by environment: when one of its records ends, when something else becomes current there, at the start, and
when the next record falls due. There is no timer for each record.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from reconciler.domain.clock import Clock
from reconciler.domain.keys import DEPLOYMENT_RECORD, ENVIRONMENT, Body, Key
from reconciler.domain.names import environment_name, record_name
from reconciler.domain.resources import Phase
from reconciler.engine.store import Store

RETENTION = "Retention"
"""Stands for the kind in the key of an environment's records on the agenda; no resource has it."""
_AT_ONCE = 50
_SOON = timedelta(seconds=1)
_ANNOUNCED_BY = timedelta(minutes=10)
_SLICE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """How long finished records are kept.

    Attributes:
        age: at least so long after their end.
        count: so many of an environment, the newest; more than that go before their age.
        window: as long as a message may be delivered again, none goes: it tells a second delivery from a first.
    """

    age: timedelta = timedelta(days=30)
    count: int = 100
    window: timedelta = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Finished:
    """A record that has ended; `at` is the last that can be said of when it was asked for, made or ended."""

    name: str
    at: datetime
    is_announced: bool
    body: Body


@dataclass(frozen=True, slots=True)
class Surplus:
    """What goes now, oldest first, and when there may be more."""

    records: Sequence[Finished]
    next_due: datetime | None


def retention_key(namespace: str, project: str, environment: str) -> Key:
    """Return the key under which the records of an environment are looked at."""
    return Key(RETENTION, namespace, environment_name(project, environment))


def surplus(records: Iterable[Finished], current: Collection[str], now: datetime, keeping: Keeping) -> Surplus:
    """Return what need not be kept; never what is current, not announced, or inside the window."""
    going: list[Finished] = []
    dues: list[datetime] = []
    for rank, record in enumerate(sorted(records, key=lambda one: (one.at, one.name), reverse=True)):
        if record.name in current:
            continue
        kept_for = keeping.window if rank >= keeping.count else max(keeping.age, keeping.window)
        due = record.at + kept_for
        if due > now:
            dues.append(due)
        elif record.is_announced:
            going.append(record)
        else:
            dues.append(now + _ANNOUNCED_BY)
    return Surplus(going[::-1], min(dues, default=None))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Looks at the finished records of an environment."""

    store: Store
    clock: Clock
    keeping: Keeping

    async def look(self, key: Key) -> datetime | None:
        """Delete what need not be kept, some at a time; return when there may be more."""
        project, _, environment = key.name.partition("--")
        records = await self._finished(key.namespace, project, environment)
        now = self.clock.now()
        environment_now = self.store.read(Key(ENVIRONMENT.kind, key.namespace, key.name))
        found = surplus(records, records_current_in(environment_now), now, self.keeping)
        for record in found.records[:_AT_ONCE]:
            await self.store.delete(record.body)
        return now + _SOON if len(found.records) > _AT_ONCE else found.next_due

    async def _finished(self, namespace: str, project: str, environment: str) -> list[Finished]:
        """Read them in slices: others have their turn between two."""
        bodies = self.store.list_(DEPLOYMENT_RECORD.kind, namespace, project=project, environment=environment)
        found: list[Finished] = []
        for number, body in enumerate(bodies):
            if number % _SLICE == _SLICE - 1:
                await asyncio.sleep(0)
            found.extend(finished_of(body))
        return found


def records_current_in(environment: Body | None) -> set[str]:
    """Return the names of the records that brought what is current, as an environment's body says."""
    current: dict[str, Any] = ((environment or {}).get("status") or {}).get("current") or {}
    return {running.get("record") or record_name(running["operation"]) for running in current.values()}


def finished_of(body: Body) -> Iterator[Finished]:
    """Yield a record as retention sees it, if it has ended and nobody deleted it yet."""
    metadata, status = body["metadata"], body.get("status") or {}
    if not Phase(status.get("phase") or Phase.PENDING).is_end or metadata.get("deletionTimestamp"):
        return
    told = (metadata.get("creationTimestamp"), body["spec"].get("requestedAt"), status.get("finishedAt"))
    at = max(datetime.fromisoformat(moment) for moment in told if moment)
    yield Finished(metadata["name"], at, status.get("announced", 0) >= status.get("sequence", 0), body)
