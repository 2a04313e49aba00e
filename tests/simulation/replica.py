"""One life of the operator: the real parts, wired as `app.operator` does it, with models where the clients would be."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from inspect import signature
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from tests.simulation.argo import ArgoClient, ArgoModel
from tests.simulation.broker import Broker, BrokerLine
from tests.simulation.dns import DnsClient, DnsModel
from tests.simulation.doors import Door, OpenDoors, window
from tests.simulation.jenkins import JenkinsClient, JenkinsModel
from tests.simulation.kube import KubeApi, SimulatedKubernetes, Watch
from tests.simulation.loop import Process
from tests.simulation.oracles import Oracles
from tests.simulation.registry import RegistryClient, RegistryModel
from tests.simulation.world import SPACE, World

from reconciler.agenda.agenda import Agenda, Looked, Outcome
from reconciler.agenda.resync import Found, Resync
from reconciler.app.lines import ArgoLine, JenkinsLine, ZoneLine
from reconciler.app.signals import Signals
from reconciler.app.working import Workers, make_workers
from reconciler.domain.keys import OUR_KINDS, Key
from reconciler.domain.messages import Topology
from reconciler.domain.outside.builds import GitLogin
from reconciler.engine.patience import Incarnation
from reconciler.intake.consumer import Intake
from reconciler.operator.cache import Cache, Change
from reconciler.operator.store import Store
from reconciler.reporting.announcing import Announcer
from reconciler.reporting.events import EventPoster
from reconciler.reporting.heartbeats import HeartbeatSender
from reconciler.settings import Settings
from reconciler.telemetry.masking import Secrets

DNS_LIMIT = 20
DOMAIN = "example.com"
_OWNER = "cluster-1"


class Outside:
    """All models."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.kube = KubeApi(world)
        self.oracles = Oracles(world, self.kube)
        self.registry = RegistryModel(world)
        self.jenkins = JenkinsModel(world, self.registry, self.oracles)
        self.argo = ArgoModel(world, self.oracles)
        self.dns = DnsModel(world, DNS_LIMIT)
        self.broker = Broker(world, _topology())
        self.oracles.broker = self.broker


class ModelConnections:
    """Fits what `app.connections.Connections` fits."""

    def __init__(self, outside: Outside, process: Process, signals: Signals) -> None:
        world, oracles = outside.world, outside.oracles
        jenkins = JenkinsClient(Door(world, process, "jenkins", concurrency=2), outside.jenkins, oracles)
        argo = ArgoClient(world, process, Door(world, process, "argocd"), outside.argo, oracles)
        limited = Door(world, process, "dns", limiter=window(DNS_LIMIT, process))
        self.jenkins = JenkinsLine(cast("Any", jenkins), process, timedelta(seconds=5), signals.build_changed)
        self.argo = ArgoLine(cast("Any", argo), process, signals.application_changed)
        self.zone = ZoneLine(cast("Any", DnsClient(limited, outside.dns, oracles)), process)
        self.registry = RegistryClient(Door(world, process, "registry"), outside.registry, oracles)

    async def builds(self, settings: Any) -> JenkinsLine:
        await self.jenkins.follow(settings.spec.folder)
        return self.jenkins

    async def jobs(self, settings: Any) -> Any:
        return (await self.builds(settings)).client

    async def applications(self, settings: Any) -> ArgoLine:
        await self.argo.follow()
        return self.argo

    async def removable_applications(self, settings: Any) -> Any:
        return (await self.applications(settings)).client

    argo_projects = removable_applications

    async def images(self, settings: Any) -> RegistryClient:
        return self.registry

    image_repositories = images

    async def records(self, settings: Any) -> ZoneLine:
        return self.zone

    removable_records = records

    async def zones(self, settings: Any) -> Any:
        return self.zone.client

    async def login(self, credential: Any, identity: str) -> GitLogin:
        raise NotImplementedError

    async def default_git_login(self, url: str, identity: str) -> GitLogin | None:
        return None


class Replica:
    """One life. `start` it; its process may be frozen or killed at any step."""

    def __init__(self, outside: Outside, name: str, skew: timedelta) -> None:
        world = self.world = outside.world
        self.outside = outside
        self.process = process = Process(name, world.loop)
        process.skew = skew
        self.settings = SETTINGS
        self.clock = process
        self.leadership = SimpleNamespace(is_leading=True)
        self.me = Incarnation("replica", name)
        self.secrets = Secrets()
        self.ready_at: float | None = None
        self._workers: Workers | None = None
        self.line = BrokerLine(world, outside.broker, process)
        self.kubernetes = SimulatedKubernetes(world, outside.kube, process)
        self.cache = Cache()
        self.watch = Watch(world, outside.kube, process, self.cache)
        self.store = Store(self.kubernetes, self.cache)
        self.agenda: Agenda[Key] = Agenda(
            self._look, clock=process, lanes=_LANES, lane_of=_lane_of, observer=self, random=Random(name)
        )
        self.signals = Signals(self.store, self.agenda.add, self.agenda.forget)
        self.resync = Resync(self.kubernetes, self.cache, OUR_KINDS, namespaces=(SPACE,), clock=process, finished=self._resynced)
        self.intake = Intake(
            resources=self.kubernetes,
            messenger=self.line,
            topology=outside.broker.topology,
            namespace=SPACE,
            clock=process,
            attempts=SETTINGS.messages.attempts,
            prefetch=4,
        )
        self.heartbeats = HeartbeatSender(self.line, Announcer(self.store), clock=process)
        self.line.came_back = self.heartbeats.broker_is_back
        self.events = EventPoster(self.kubernetes, clock=process, replica=name)
        self.connections = ModelConnections(outside, process, self.signals)
        self.endpoints = OpenDoors(lambda _: Door(world, process, "address"))
        self.cache.subscribe(self._changed)

    def start(self) -> None:
        """Begin this life."""
        self.world.note(f"{self.process.name} starts", count="lives")
        self.process.start(self._run(), f"operator {self.process.name}")
        self.world.later(0.1, 3, self.watch.open)
        self.world.later(0.2, 4, self.process.call_soon, self.resync.soon)

    def kill(self) -> None:
        """End this life at once."""
        if self.process.is_dead:
            return
        self.world.note(f"{self.process.name} is killed", count="kills")
        self.process.kill()
        self.watch.close()
        self.world.later(0.001, 0.5, self.line.close)

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.resync.run())
            group.create_task(self._agenda_after_first_list())
            group.create_task(self.heartbeats.run())
            group.create_task(self.events.run())
            await self.intake.start()

    async def _agenda_after_first_list(self) -> None:
        await self.resync.complete.wait()
        self._workers = _workers_of(self)
        self.ready_at = self.world.loop.time()
        await self.agenda.run()

    async def _look(self, key: Key) -> Any:
        assert self._workers is not None
        return await self._workers.look(key)

    def _changed(self, change: Change) -> None:
        self.signals.changed(change)
        if change.after is None:
            self.heartbeats.removed(change.key)
            return
        self.heartbeats.changed(change.after)
        if self.ready_at is not None:
            self.events.changed(change.before, change.after)

    def _resynced(self, _: Found) -> None:
        self.heartbeats.resume(self.store.list_("DeploymentRecord"))
        self.heartbeats.resume(self.store.list_("DevOpsProject"))
        for kind in OUR_KINDS:
            for key in self.cache.keys(kind.kind):
                self.agenda.add(key)

    def looked(self, look: Looked) -> None:
        """Hear of a look: a bug is a violation, and so is a lane that stands."""
        self.world.counts["looks"] = self.world.counts.get("looks", 0) + 1
        if look.outcome is Outcome.BUG and not self.process.is_dead:
            self.world.fail("bug", "a look failed unexpectedly")


def _workers_of(replica: Replica) -> Workers:
    parts: Any = replica
    return make_workers(parts, parts, _OWNER) if "shift" in signature(make_workers).parameters else make_workers(parts, _OWNER)


_LANES = {"deployments": 8, "environments": 4, "set-ups": 4}


def _lane_of(key: Key) -> str:
    return {"DeploymentRecord": "deployments", "Environment": "environments"}.get(key.kind, "set-ups")


def _topology() -> Topology:
    messages = SETTINGS.messages
    delays = tuple(messages.retry_delay * 2**attempt for attempt in range(messages.attempts))
    return Topology(retry_delays=delays)


def _settings() -> Settings:
    plain = Settings()
    changes: Mapping[str, Mapping[str, Any]] = {
        "kubernetes": {"namespaces": (SPACE,), "own_namespace": SPACE, "owner_id": _OWNER},
        "jenkins": {"endpoint": "http://jenkins"},
        "argocd": {"endpoint": "http://argocd"},
        "registry": {"namespace": "acme"},
        "godaddy": {"domain": DOMAIN, "requests_per_minute": DNS_LIMIT},
        "agenda": {"look_concurrency": 8},
    }
    return plain.model_copy(
        update={group: getattr(plain, group).model_copy(update=dict(values)) for group, values in changes.items()}
    )


SETTINGS = _settings()
