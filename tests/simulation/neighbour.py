"""Somebody else who writes into our zone: at names of their own, at names that we want, and over what we wrote."""

# ruff: noqa: S311 - dice, not secrets

from random import Random

from tests.simulation.dns import DnsModel
from tests.simulation.world import World

from reconciler.domain.outside.dns import RecordSet
from reconciler.domain.record_marks import marked_key

_WANTED = ("api.alpha", "web.alpha", "api.beta", "api.pr")


class Neighbour:
    """The other writer. It never touches a mark of ours: who does that makes our records its own."""

    def __init__(self, world: World, dns: DnsModel) -> None:
        self._world, self._dns = world, dns
        self._dice = Random(f"neighbour {world.seed}")
        self._values = 0

    def move_in(self) -> None:
        """Put what it will do on the clock."""
        for _ in range(self._dice.choice((0, 0, 0, 1, 3, 6))):
            self._world.loop.call_in_world(self._dice.uniform(1, self._world.calm_at), self._act)

    def _act(self) -> None:
        act = self._dice.choice((self._write_its_own, self._write_over_ours, self._write_over_ours, self._take_a_name))
        act()

    def _write_its_own(self) -> None:
        self._dns.write_as_neighbour(self._record(f"shop-{self._dice.randrange(3)}"))

    def _write_over_ours(self) -> None:
        """Change or remove a record that carries our mark."""
        marked = (marked_key(name) for kind, name in self._dns.records if kind == "TXT")
        ours = sorted(key for key in marked if key is not None and key in self._dns.records)
        if not ours:
            return
        kind, name = self._dice.choice(ours)
        if self._dice.random() < 0.3:
            self._dns.delete_as_neighbour(kind, name)
        else:
            self._dns.write_as_neighbour(self._record(name))

    def _take_a_name(self) -> None:
        name = self._dice.choice(_WANTED)
        if ("A", name) not in self._dns.records and self._dice.random() < 0.3:
            self._dns.write_as_neighbour(self._record(name))

    def _record(self, name: str) -> RecordSet:
        self._values += 1
        return RecordSet(name, "A", (f"198.51.100.{self._values}",), 3600)
