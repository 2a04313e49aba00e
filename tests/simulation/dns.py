"""A DNS provider in memory, with read lag and a limit; and the client through which one process asks it."""

from collections import deque

from tests.simulation.doors import Door
from tests.simulation.loop import Process
from tests.simulation.oracles import Oracles
from tests.simulation.world import World

from reconciler.domain.outside.dns import RecordSet, Zone

_HISTORY = 60


class DnsModel:
    """One zone. Reads show it as it was a little while ago; more than `limit` requests a minute are a violation."""

    def __init__(self, world: World, limit: int) -> None:
        self._world, self._limit = world, limit
        foreign = RecordSet("www", "A", ("198.51.100.7",), 3600)
        self.records: dict[tuple[str, str], RecordSet] = {("A", "www"): foreign}
        self._foreign = foreign
        self._states: deque[tuple[float, dict[tuple[str, str], RecordSet]]] = deque([(-1.0, dict(self.records))])
        self._asked: deque[tuple[float, Process]] = deque()

    def count(self, process: Process) -> None:
        """Rule 12, as the provider counts; two replicas at once are two that count."""
        now = self._world.loop.time()
        self._asked.append((now, process))
        while self._asked and self._asked[0][0] <= now - 60:
            self._asked.popleft()
        living = {one.name for _, one in self._asked if not one.is_dead or one.was_frozen}
        if len(self._asked) > self._limit and len(living) == 1:
            self._world.fail("rule 12", f"{len(self._asked)} requests to the DNS provider within a minute")

    def seen(self) -> dict[tuple[str, str], RecordSet]:
        """Return the zone as a read shows it now."""
        lag = 0.0 if self._world.is_calm else self._world.dice.choice((0.0, 0.0, 5.0, 20.0))
        before = self._world.loop.time() - lag
        return next(state for at, state in reversed(self._states) if at <= before)

    def replace(self, record: RecordSet) -> None:
        self.records[record.type, record.name] = record
        self._changed(f"dns has {record.type} {record.name}")

    def delete(self, kind: str, name: str) -> None:
        self.records.pop((kind, name), None)
        self._changed(f"dns has no {kind} {name}")

    def _changed(self, what: str) -> None:
        self._states.append((self._world.loop.time(), dict(self.records)))
        if len(self._states) > _HISTORY:
            self._states.popleft()
        self._world.note(what, count="records")
        if self.records.get(("A", "www")) != self._foreign:
            self._world.fail("rule 6", "a foreign record was changed")


class DnsClient:
    """One process' questions."""

    def __init__(self, door: Door, model: DnsModel, oracles: Oracles) -> None:
        self._door, self._model, self._oracles = door, model, oracles

    async def find_zone(self, domain: str) -> Zone | None:
        return await self._door.call("find_zone", lambda: Zone(domain), sent=self._model.count)

    async def list_record_sets(self, domain: str) -> tuple[RecordSet, ...]:
        return await self._door.call("list", lambda: tuple(self._model.seen().values()), sent=self._model.count)

    async def find_record_set(self, domain: str, kind: str, name: str) -> RecordSet | None:
        return await self._door.call("find", lambda: self._model.seen().get((kind, name)), sent=self._model.count)

    async def replace_record_set(self, domain: str, record: RecordSet) -> None:
        def sent(process: Process) -> None:
            self._model.count(process)
            self._oracles.changes_record(process, record.type, record.name)

        await self._door.call(f"replace {record.name}", lambda: self._model.replace(record), change=True, sent=sent)

    async def delete_record_set(self, domain: str, kind: str, name: str) -> None:
        def sent(process: Process) -> None:
            self._model.count(process)
            self._oracles.changes_record(process, kind, name)

        await self._door.call(f"delete {name}", lambda: self._model.delete(kind, name), change=True, sent=sent)
