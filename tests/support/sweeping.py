"""Leftovers, the systems that they are left in, and a replica that sweeps them."""

from typing import Any

from reconciler.domain.keys import Body, Key, key_of
from reconciler.domain.leftovers import Leftover, body_of, leftover_of
from reconciler.domain.ownership import Marker
from reconciler.domain.things import Thing, Where
from reconciler.engine.acting import Actor
from reconciler.engine.engine import Engine
from reconciler.engine.patience import Incarnation, Patience
from reconciler.leftovers.sweeping import Sweeper
from reconciler.removal.looks import Looks
from support.moments import ManualClock
from support.outside import DeploymentTool, DnsAccount, System
from support.projects import ArgoTool, JenkinsItems
from support.scene import OPERATOR, OWNER, SPACE, Ledger, neighbours_of
from support.store import MemoryStore

OLD = Marker(OWNER, "Environment", SPACE, "shop--alpha", "uid-old")
OLD_JENKINS = Marker(OWNER, "JenkinsSettings", SPACE, "shop", "uid-old")
OLD_ARGO = Marker(OWNER, "ArgoSettings", SPACE, "shop", "uid-old")
OWN = {"jenkins": "https://jenkins.own", "argocd": "https://argo.own", "dns": "https://dns.own"}


class SweepWorld:
    """One operator's namespace with leftovers in it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self.argo = DeploymentTool(self.clock)
        self.projects = ArgoTool(self.clock)
        self.dns = DnsAccount(self.clock)
        self.jenkins = JenkinsItems(self.clock)
        self.all: tuple[System, ...] = (self.argo, self.projects, self.dns, self.jenkins)
        self.asked_as: list[Where] = []
        self.ledger = Ledger()
        self.lives = 0
        self.begin_life()

    def begin_life(self) -> None:
        """Start the replica anew."""
        self.lives += 1
        patience = Patience()
        actor = Actor(clock=self.clock, audit=self.ledger, patience=patience)
        me = Incarnation("replica-0", f"life-{self.lives}")
        self.sweeper = Sweeper(
            store=self.store,
            engine=Engine(me=me, clock=self.clock, actor=actor, patience=patience),
            clock=self.clock,
            patience=patience,
            looks=Looks(systems=self, neighbours=neighbours_of(self.store)),
        )

    def leave(self, kind: str, name: str, place: str = "", *, marker: Marker = OLD, secret: str = "") -> Key:
        """Have something left over."""
        systems = {"Application": "argocd", "AppProject": "argocd", "Repository": "argocd", "Record": "dns"}
        system = systems.get(kind, "jenkins")
        where = Where(OWN[system], SPACE if secret else "", secret)
        leftover = Leftover(Thing(system, kind, name, place, where, marker), "it was away", self.clock.now())
        return key_of(self.store.put(body_of(leftover, OPERATOR)))

    def read(self, key: Key) -> Leftover | None:
        """Return a leftover as it is kept; None when it is gone."""
        body = self.store.read(key)
        return leftover_of(body) if body else None

    def resource(self, kind: str, name: str, uid: str, *inventory: tuple[str, str], **spec: Any) -> Body:
        """Have a resource live, with an inventory."""
        body = self.store.put({"kind": kind, "metadata": {"name": name, "namespace": SPACE, "uid": uid}, "spec": spec})
        items = [{"system": "x", "kind": kind, "name": name, "state": "Intended"} for kind, name in inventory]
        return self.store.set_status(key_of(body), inventory=items)

    async def go_on(self, *keys: Key, seconds: float = 0.0) -> None:
        """Look at leftovers again and again for a while."""
        for _ in range(1 + int(seconds / 10)):
            for key in keys:
                await self.sweeper.look(key)
            self.clock.advance(10)

    # removal.looks.Systems

    async def removable_items(self, where: Where) -> JenkinsItems:
        self.asked_as.append(where)
        return self.jenkins

    async def removable_applications(self, where: Where) -> DeploymentTool:
        self.asked_as.append(where)
        return self.argo

    async def removable_projects(self, where: Where) -> ArgoTool:
        self.asked_as.append(where)
        return self.projects

    async def removable_records(self, where: Where) -> DnsAccount:
        self.asked_as.append(where)
        return self.dns
