"""A project, its environments and its deployments, with the systems around them: what tests of deployments need.

Makers name only what the test is about.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from reconciler.deployments.deployments import Deployments
from reconciler.deployments.intentions import Intentions
from reconciler.deployments.previews import Previews
from reconciler.deployments.scene import SceneReader
from reconciler.deployments.stages.build import BuildStage
from reconciler.deployments.stages.expose import ExposeStage
from reconciler.deployments.stages.image import ImageStage
from reconciler.deployments.stages.queue import Queue
from reconciler.deployments.stages.sync import SyncStage
from reconciler.deployments.stages.verify import VerifyStage
from reconciler.deployments.work import Stages
from reconciler.domain.answers import Facts, Nudge
from reconciler.domain.clock import rfc3339
from reconciler.domain.errors import Conflict
from reconciler.domain.keys import Body, Key
from reconciler.domain.names import FINALIZER, record_name
from reconciler.domain.resources import (
    ArgoSettings,
    Claim,
    ContainerRegistry,
    DeploymentRecord,
    DevOpsProject,
    DNSZone,
    Environment,
    JenkinsSettings,
    StageName,
)
from reconciler.domain.resources.common import api_object
from reconciler.domain.things import Where
from reconciler.engine.acting import Actor
from reconciler.engine.engine import Engine
from reconciler.engine.patience import Incarnation, Patience
from reconciler.environments.environments import make_environments
from reconciler.environments.lifetime import Lifetimes, next_look
from reconciler.removal.argocd import RemovableProjects
from reconciler.removal.jenkins import RemovableItems
from reconciler.removal.leaving import Leaving
from reconciler.removal.looks import Looks, Systems
from reconciler.removal.neighbours import Neighbours
from support.moments import ManualClock
from support.outside import BuildServer, DeploymentTool, DnsAccount, Probe, Registry, System
from support.store import MemoryStore

SPACE = "devops"
OWNER = "cluster-1"
REVISION = "4be1c05d" + "0" * 32
DEADLINES = {
    StageName.BUILD: timedelta(minutes=60),
    StageName.IMAGE: timedelta(minutes=10),
    StageName.SYNC: timedelta(minutes=30),
    StageName.EXPOSE: timedelta(minutes=15),
    StageName.VERIFY: timedelta(minutes=10),
}


class Killed(BaseException):
    """The process ends here."""


def kill_at(point: int, store: MemoryStore, systems: Iterable[System]) -> None:
    """Have the process end right after the nth write to the store or change outside, counted together."""
    left = point

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    store.after_write = count
    for system in systems:
        system.after_act = count


class Ledger:
    """The audit, as a list."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def intended(self, subject: str, nudge: Nudge, claim: Claim) -> None:
        self.lines.append(f"intended {claim.key}")

    def outcome(self, subject: str, nudge: Nudge, claim: Claim, result: str, facts: Facts) -> None:
        self.lines.append(f"outcome {claim.key} {result}")

    def resolved(self, subject: str, claim: Claim, result: str, facts: Facts, *, system: str = "") -> None:
        self.lines.append(f"resolved {claim.key} {result}")


class Outside:
    """All systems around us, married to the ports of the rows that use them."""

    def __init__(self, clock: ManualClock) -> None:
        self.jenkins = BuildServer(clock)
        self.registry = Registry(clock, builds=self.jenkins)
        self.argo = DeploymentTool(clock)
        self.dns = DnsAccount(clock)
        self.probe = Probe(clock)
        self.all: tuple[System, ...] = (self.jenkins, self.registry, self.argo, self.dns, self.probe)
        self.asked_as: list[Where] = []
        """With which endpoints and credentials things were removed."""
        self.built_at: dict[str, BuildServer] = {}
        """Build servers that are not the operator's own, by endpoint."""
        self.built_as: list[Where] = []
        """With which endpoints and credentials builds were asked for and looked for."""

    async def builds(self, where: Where, folder: str) -> BuildServer:
        self.built_as.append(where)
        return self.built_at.get(where.endpoint, self.jenkins)

    async def images(self, settings: ContainerRegistry) -> Registry:
        return self.registry

    async def applications(self, settings: ArgoSettings) -> DeploymentTool:
        return self.argo

    async def records(self, settings: DNSZone) -> DnsAccount:
        return self.dns

    async def removable_applications(self, where: Where) -> DeploymentTool:
        self.asked_as.append(where)
        return self.argo

    async def removable_records(self, where: Where) -> DnsAccount:
        self.asked_as.append(where)
        return self.dns

    async def removable_items(self, where: Where) -> RemovableItems:
        raise AssertionError("an environment has nothing in Jenkins")

    async def removable_projects(self, where: Where) -> RemovableProjects:
        raise AssertionError("an environment has no project in Argo CD")


OPERATOR = "operator"
"""The operator's own namespace."""


def neighbours_of(store: MemoryStore) -> Neighbours:
    own = {"jenkins": "https://jenkins.own", "argocd": "https://argo.own", "dns": "https://dns.own"}
    return Neighbours(store=store, own_endpoints=own)


def looks_of(systems: Systems, store: MemoryStore) -> Looks:
    return Looks(systems=systems, neighbours=neighbours_of(store))


def leaving_of(engine: Engine, store: MemoryStore, clock: ManualClock) -> Leaving:
    return Leaving(store=store, engine=engine, clock=clock, neighbours=neighbours_of(store), namespace=OPERATOR)


class World:
    """One namespace with a project `shop`, its environment `alpha`, and a replica that looks at them."""

    def __init__(self, components: tuple[str, ...] = ("api",), **environment: Any) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self.outside = Outside(self.clock)
        self.ledger = Ledger()
        self.patience = Patience()
        self.lifetimes = Lifetimes()
        self.lives = 0
        self.begin_life()
        self.store.put(project(components))
        for kind, spec in (
            (JenkinsSettings, {"projectRef": "shop"}),
            (ArgoSettings, {"projectRef": "shop"}),
            (ContainerRegistry, {"namespace": "acme"}),
        ):
            self.store.put(api_object(kind, "shop", SPACE, spec))
        self.store.put(api_object(DNSZone, "example.com", SPACE, {"domain": "example.com"}))
        self.environment = self.add_environment("alpha", **environment)

    def begin_life(self, lifetimes: Lifetimes | None = None) -> None:
        """Start the replica anew: another incarnation over the same store and systems."""
        self.lives += 1
        self.lifetimes = lifetimes or self.lifetimes
        actor = Actor(clock=self.clock, audit=self.ledger, patience=self.patience)
        me = Incarnation("replica-0", f"life-{self.lives}")
        self.engine = Engine(me=me, clock=self.clock, actor=actor, patience=self.patience)
        self.deployments = self._deployments(self.engine)
        self.environments = make_environments(
            store=self.store,
            engine=self.engine,
            clock=self.clock,
            patience=self.patience,
            looks=looks_of(self.outside, self.store),
            leaving=leaving_of(self.engine, self.store, self.clock),
            owner=OWNER,
            systems=self.outside,
            rules=self.lifetimes,
        )

    def _deployments(self, engine: Engine) -> Deployments:
        outside = self.outside
        stages = Stages(
            queue=Queue(store=self.store, clock=self.clock, owner=OWNER),
            intentions=Intentions(store=self.store, owner=OWNER),
            build=BuildStage(servers=outside),
            image=ImageStage(registries=outside),
            sync=SyncStage(tools=outside, owner=OWNER),
            expose=ExposeStage(accounts=outside, owner=OWNER),
            verify=VerifyStage(probe=outside.probe),
        )
        return Deployments(
            store=self.store,
            engine=engine,
            stages=stages,
            scenes=SceneReader(store=self.store, patience_for_project=timedelta(minutes=10)),
            previews=Previews(store=self.store),
            clock=self.clock,
            patience=self.patience,
            deadlines=DEADLINES,
        )

    # What is there.

    def add_environment(self, name: str, **spec: Any) -> Key:
        body = self.store.put(environment(name, **spec))
        return Key("Environment", SPACE, body["metadata"]["name"])

    def ask(self, operation: str = "op-1", *, at: datetime | None = None, **spec: Any) -> Key:
        """Ask for a deployment; `at` is when the message says it was asked for."""
        if at is not None:
            spec["requestedAt"] = rfc3339(at)
        return key_of_record(self.store.put(record(operation, **spec)))

    def record(self, key: Key) -> DeploymentRecord:
        body = self.store.read(key)
        assert body is not None
        return DeploymentRecord(body)

    def phase(self, key: Key) -> str:
        return self.record(key).status.phase.value

    def end_of(self, key: Key) -> tuple[str, str]:
        status = self.record(key).status
        return status.phase.value, status.reason

    def slot(self) -> Environment:
        body = self.store.read(self.environment)
        assert body is not None
        return Environment(body)

    def holder(self) -> str:
        holder = self.slot().status.holder
        return holder.record if holder else ""

    # What happens.

    async def look(self, key: Key) -> datetime | None:
        """Look once, and again at once after a conflict, as the agenda does."""
        looker: Callable[[Key], Awaitable[datetime | None]] = (
            self.environments.look if key.kind == "Environment" else self.deployments.look
        )
        for _ in range(5):
            try:
                return await looker(key)
            except Conflict:
                continue
        raise AssertionError("conflicts without an end")

    async def end_is_due(self) -> datetime | None:
        """Look at the environment, and return when its end or the warning of it asks for the next look."""
        await self.look(self.environment)
        return next_look(self.slot(), self.clock.now(), self.store.server_now(), self.lifetimes)

    async def go_on(self, *keys: Key, seconds: float, every: float = 5.0) -> None:
        """Look at everything again and again for a while."""
        ends = self.clock.now() + timedelta(seconds=seconds)
        while self.clock.now() < ends:
            for key in keys:
                await self.look(key)
            self.clock.advance(every)

    async def until_ended(self, *keys: Key, every: float = 5.0, most: int = 1500) -> None:
        """Look at everything until all deployments among it have ended."""
        records = [key for key in keys if key.kind == "DeploymentRecord"]
        for _ in range(most):
            for key in keys:
                await self.look(key)
            if all(self.record(key).status.phase.is_end for key in records):
                return
            self.clock.advance(every)
        raise AssertionError({key.name: self.record(key).status.waiting_for for key in records})

    async def until_waiting_in(self, stage: StageName, key: Key) -> None:
        """Look until a stage has begun."""
        for _ in range(500):
            await self.look(key)
            begun = [one.name for one in self.record(key).status.stages if one.started_at and not one.state.is_end]
            if stage in begun:
                return
            self.clock.advance(5)
        raise AssertionError(f"{stage} never began")


def key_of_record(body: Body) -> Key:
    return Key("DeploymentRecord", SPACE, body["metadata"]["name"])


def project(components: tuple[str | Body, ...] = ("api",), name: str = "shop", **spec: Any) -> Body:
    plain = {
        "git": {"url": "https://git.example.com/acme/shop.git"},
        "components": [{"name": one, "port": 8080} if isinstance(one, str) else one for one in components],
    }
    return api_object(DevOpsProject, name, SPACE, {**plain, **spec}, finalizers=[FINALIZER])


def environment(name: str = "alpha", **spec: Any) -> Body:
    plain = {"projectRef": "shop", "name": name, "domain": f"{name}.example.com", "dnsTarget": "192.0.2.1"}
    return api_object(Environment, f"shop--{name}", SPACE, {**plain, **spec}, finalizers=[FINALIZER])


def record(operation: str = "op-1", **spec: Any) -> Body:
    plain = {"operationId": operation, "projectRef": "shop", "environment": "alpha", "revision": REVISION}
    return api_object(DeploymentRecord, record_name(operation), SPACE, {**plain, **spec}, finalizers=[FINALIZER])
