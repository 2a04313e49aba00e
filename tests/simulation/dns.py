"""A DNS provider in memory, with read lag and a limit; and the client through which one process asks it."""

from collections import deque
from collections.abc import Iterator
from functools import partial

from tests.simulation.belongings import UNSEEN, Belongings
from tests.simulation.doors import Door
from tests.simulation.loop import Process
from tests.simulation.oracles import Oracles
from tests.simulation.world import World

from reconciler.domain.outside.dns import RecordSet, RecordType, Zone
from reconciler.domain.ownership import find_marker
from reconciler.domain.record_marks import MarkedZone, marked_key, marker_name

DOMAIN = "example.com"
_HISTORY = 60


class DnsModel:
    """One zone. Reads show it as it was a little while ago; more than `limit` requests a minute are a violation."""

    def __init__(self, world: World, limit: int, belongings: Belongings) -> None:
        self._world, self._limit, self._belongings = world, limit, belongings
        foreign = RecordSet("www", "A", ("198.51.100.7",), 3600)
        self.records: dict[tuple[str, str], RecordSet] = {("A", "www"): foreign}
        self._foreign = foreign
        self._neighbours: dict[tuple[str, str], float] = {}
        """What was last written by somebody else, and when."""
        self._states: deque[tuple[float, dict[tuple[str, str], RecordSet]]] = deque([(-1.0, dict(self.records))])
        self._asked: dict[str, deque[tuple[float, Process]]] = {}

    def count(self, account: str, process: Process) -> None:
        """Rule 12, as the provider counts for an account; two replicas at once are two that count."""
        now, asked = self._world.loop.time(), self._asked.setdefault(account, deque())
        asked.append((now, process))
        while asked and asked[0][0] <= now - 60:
            asked.popleft()
        living = {one.name for _, one in asked if not one.is_dead or one.was_frozen}
        if len(asked) > self._limit and len(living) == 1:
            self._world.fail("rule 12", f"{len(asked)} requests to the DNS provider within a minute")

    def seen(self) -> dict[tuple[str, str], RecordSet]:
        """Return the zone as a read shows it now."""
        lag = 0.0 if self._world.is_calm else self._world.dice.choice((0.0, 0.0, 5.0, 20.0))
        before = self._world.loop.time() - lag
        return next(state for at, state in reversed(self._states) if at <= before)

    def replace(self, record: RecordSet) -> None:
        """Do what we ask for."""
        self._leaves_others_alone(record.type, record.name)
        if record.type != RecordType.TXT:
            self._is_marked(record)
        else:
            marker = next((found for value in record.values if (found := find_marker(value))), None)
            self._belongings.carries("Record", host_of(record.type, record.name), marker)
        self.records[record.type, record.name] = record
        self._changed(f"dns has {record.type} {record.name}")

    def delete(self, kind: str, name: str) -> None:
        """Do what we ask for."""
        self._leaves_others_alone(kind, name)
        self.records.pop((kind, name), None)
        if kind == RecordType.TXT:
            self._belongings.is_gone("Record", host_of(kind, name))
        self._changed(f"dns has no {kind} {name}")

    def write_as_neighbour(self, record: RecordSet) -> None:
        """Do what somebody else asks for."""
        self.records[record.type, record.name] = record
        self._neighbours[record.type, record.name] = self._world.loop.time()
        self._changed(f"a neighbour writes {record.type} {record.name}")

    def delete_as_neighbour(self, kind: str, name: str) -> None:
        """Do what somebody else asks for."""
        self.records.pop((kind, name), None)
        self._neighbours.pop((kind, name), None)
        self._changed(f"a neighbour removes {kind} {name}")

    def unmarked(self) -> Iterator[str]:
        """Yield what we wrote and what carries no mark: nobody will ever remove it."""
        for kind, name in self.records:
            is_ours = kind != RecordType.TXT and (kind, name) not in (*self._neighbours, ("A", "www"))
            if is_ours and (RecordType.TXT, marker_name(kind, name)) not in self.records:
                yield f"{kind} {name}"

    def _leaves_others_alone(self, kind: str, name: str) -> None:
        """Rule 6: what a neighbour wrote, and we could see, stays."""
        written = self._neighbours.pop((kind, name), None)
        if written is not None and self._world.loop.time() > written + UNSEEN:
            ago = self._world.loop.time() - written
            self._world.fail("rule 6", f"{kind} {name}, which a neighbour wrote {ago:.0f} s ago, is changed by us")

    def _is_marked(self, record: RecordSet) -> None:
        """The mark comes first: a record without one is nobody's, and stays for ever."""
        mark = MarkedZone(self.records.values()).mark((record.type, record.name))
        if mark is None or not mark.covers(record):
            self._world.fail("rule 6", f"{record.type} {record.name} is written before its mark")

    def _changed(self, what: str) -> None:
        self._states.append((self._world.loop.time(), dict(self.records)))
        if len(self._states) > _HISTORY:
            self._states.popleft()
        self._world.note(what, count="records")
        if self.records.get(("A", "www")) != self._foreign:
            self._world.fail("rule 6", "a foreign record was changed")


def host_of(kind: str, name: str) -> str:
    """Return the host that a record, or the mark of one, is about."""
    marked = marked_key(name) if kind == RecordType.TXT else None
    return f"{marked[1] if marked else name}.{DOMAIN}"


class DnsClient:
    """One process' questions."""

    def __init__(self, door: Door, model: DnsModel, oracles: Oracles) -> None:
        self._door, self._model, self._oracles = door, model, oracles
        self._count = partial(model.count, door.origin)

    async def check_access(self) -> str:
        return await self._door.call("check_access", lambda: "fine", sent=self._count)

    async def find_zone(self, domain: str) -> Zone | None:
        return await self._door.call("find_zone", lambda: Zone(domain), sent=self._count)

    async def list_record_sets(self, domain: str) -> tuple[RecordSet, ...]:
        return await self._door.call("list", lambda: tuple(self._model.seen().values()), sent=self._count)

    async def find_record_set(self, domain: str, kind: str, name: str) -> RecordSet | None:
        return await self._door.call("find", lambda: self._model.seen().get((kind, name)), sent=self._count)

    async def replace_record_set(self, domain: str, record: RecordSet) -> None:
        def sent(process: Process) -> None:
            self._count(process)
            self._oracles.changes_record(process, record.type, record.name)

        await self._door.call(f"replace {record.name}", lambda: self._model.replace(record), change=True, sent=sent)

    async def delete_record_set(self, domain: str, kind: str, name: str) -> None:
        def sent(process: Process) -> None:
            self._count(process)
            self._oracles.removes_record(process, kind, name, host_of(kind, name))

        await self._door.call(f"delete {name}", lambda: self._model.delete(kind, name), change=True, sent=sent)
