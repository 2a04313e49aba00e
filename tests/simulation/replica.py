"""One life of the operator: its real shift and lead, wired as `app.operator` does it, with models for all clients."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from pydantic import SecretStr
from tests.simulation.argo import ArgoClient, ArgoModel
from tests.simulation.audit import audited
from tests.simulation.belongings import Belongings
from tests.simulation.broker import Broker, BrokerLine
from tests.simulation.credentials import ARGOCD, GODADDY, JENKINS, REGISTRY, secret_of
from tests.simulation.dns import DOMAIN, DnsClient, DnsModel
from tests.simulation.doors import Door
from tests.simulation.instead import instead
from tests.simulation.jenkins import JenkinsClient, JenkinsModel
from tests.simulation.kube import KubeApi, SimulatedKubernetes, Watch
from tests.simulation.loop import Process
from tests.simulation.oracles import OWNER, Oracles
from tests.simulation.registry import Login, RegistryClient, RegistryModel
from tests.simulation.world import SPACE, World

from reconciler.agenda.resync import Found, Resync
from reconciler.app import connections as connections_module
from reconciler.app import endpoints as endpoints_module
from reconciler.app import shift as shift_module
from reconciler.app.broker import topology_of
from reconciler.app.crew import Crew, first_of
from reconciler.app.shift import Shift
from reconciler.app.signals import Signals
from reconciler.domain.keys import WATCHED, Key
from reconciler.operator.cache import Cache, Change
from reconciler.operator.leadership import Leadership, Terms
from reconciler.operator.store import Store
from reconciler.reporting.audit_chain import HEAD_ANNOTATION, beginning_of
from reconciler.settings import Settings
from reconciler.telemetry.masking import Secrets

DNS_LIMIT = 20
_TERMS = Terms(timedelta(seconds=60), timedelta(seconds=18))


class Outside:
    """All models."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.settings = SETTINGS
        self.kube = KubeApi(world)
        self.belongings = Belongings(world, self.kube)
        self.oracles = Oracles(world, self.kube, self.belongings)
        self.registry = RegistryModel(world)
        self.jenkins = JenkinsModel(world, self.registry, self.oracles)
        self.argo = ArgoModel(world, self.oracles)
        self.dns = DnsModel(world, DNS_LIMIT, self.belongings)
        self.broker = Broker(world, topology_of(SETTINGS))
        self.oracles.broker = self.broker

    def shorten_deletions(self, seconds: float) -> None:
        """Have deletions end sooner, whatever is left; before a replica starts."""
        deadlines = self.settings.deadlines.model_copy(update={"deletion": timedelta(seconds=seconds)})
        self.settings = self.settings.model_copy(update={"deadlines": deadlines})
        self.oracles.longest_deletion = seconds


class Replica:
    """One life of one pod. `start` it; its process may be frozen or killed at any step."""

    def __init__(self, outside: Outside, pod: str, name: str, skew: timedelta) -> None:
        world = self.world = outside.world
        self.outside, self.pod = outside, pod
        self.process = process = Process(name, world.loop)
        process.skew = skew
        process.replica = self
        self.settings, self.clock, self.replica = outside.settings, process, pod
        self.secrets = Secrets()
        self.metrics: Any = _Metrics(world, process)
        self.working_since: float | None = None
        self.rabbitmq = BrokerLine(world, outside.broker, process)
        self.rabbitmq.came_back = self._broker_is_back
        self.kubernetes = SimulatedKubernetes(world, outside.kube, process)
        self.cache = Cache()
        self.watch = Watch(world, outside.kube, process, self.cache)
        self.store = Store(self.kubernetes, self.cache)
        self.signals = Signals(self.store, self._add, self._forget)
        self.resync = Resync(
            self.kubernetes, self.cache, WATCHED, namespaces=(SPACE,), clock=process, finished=self._resynced
        )
        self.leadership = Leadership(
            SimulatedKubernetes(world, outside.kube, process),
            f"{pod}_{name}",
            namespace=SPACE,
            terms=_TERMS,
            clock=process,
            notes=self._notes,
            first_notes=self._first_notes,
        )
        self.shift = self._new_shift()
        self.cache.subscribe(self._changed)
        self._crew = Crew()

    def start(self) -> None:
        """Begin this life."""
        self.world.note(f"{self.process.name} starts on {self.pod}", count="lives")
        self.process.start(self._run(), f"operator {self.process.name}")
        self.world.later(0.1, 3, self.watch.open)
        self.world.later(0.2, 4, self.process.call_soon, self.resync.soon)

    def kill(self) -> None:
        """End this life at once."""
        if self.process.is_dead:
            return
        self.world.note(f"{self.process.name} is killed")
        self.process.kill()
        self.watch.close()
        self.world.later(0.001, 0.5, self.rabbitmq.close)

    def _broker_is_back(self) -> None:
        self.shift.heartbeats.broker_is_back()

    def _new_shift(self) -> Shift:
        shift = Shift(cast("Any", self))
        self.process.incarnations.add(shift.me.id)
        return shift

    def _notes(self) -> dict[str, str]:
        """Do as `Operator._notes` does."""
        head = self.shift.chain.head if self.shift.term == self.leadership.term else None
        return {HEAD_ANNOTATION: head.text()} if head else {}

    def _first_notes(self) -> dict[str, str]:
        """Do as `Operator._first_notes` does."""
        return {HEAD_ANNOTATION: beginning_of(self.shift.chain.name).text()}

    async def _run(self) -> None:
        self._crew.begin(resync=self.resync.run(), shifts=self._work_in_shifts(), leadership=self._stand_for_the_lead())
        await self._crew.one_ended()
        self._crew.raise_first_death()

    async def _work_in_shifts(self) -> None:
        """Do as `Operator._work_in_shifts` does."""
        await self.resync.complete.wait()
        while True:
            await self.leadership.leading()
            self.resync.soon()
            self.world.note(f"{self.process.name} leads", count="shifts")
            self.working_since = self.world.loop.time()
            await first_of(self.leadership.ceased(), self.shift.work(OWNER))
            self.working_since = None
            await self.shift.drop()
            self.shift = self._new_shift()

    async def _stand_for_the_lead(self) -> None:
        await self.resync.complete.wait()
        await self.leadership.run()

    def _changed(self, change: Change) -> None:
        self.signals.changed(change)
        self.shift.changed(change)

    def _add(self, key: Key) -> None:
        self.shift.add(key)

    def _forget(self, key: Key) -> None:
        self.shift.forget(key)

    def _resynced(self, _: Found) -> None:
        self.shift.resynced()


class _Metrics:
    """Hears of everything, and minds bugs."""

    def __init__(self, world: World, process: Process) -> None:
        self._world, self._process = world, process

    def look_ended(self, lane: str, outcome: str, *, waited: timedelta, took: timedelta) -> None:
        self._world.counts["looks"] = self._world.counts.get("looks", 0) + 1
        if outcome == "bug" and not self._process.is_dead:
            self._world.fail("bug", "a look failed unexpectedly")

    def bug_met(self, error: str) -> None:
        if not self._process.is_dead:
            self._world.fail("bug", f"{error} in a look or an act")

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


@contextmanager
def models_for_clients() -> Iterator[None]:
    """Have connections made with models where they make clients, on our wire, and incarnations counted."""
    counter = itertools.count(1)
    ours: tuple[tuple[Any, str, Any], ...] = (
        (endpoints_module, "Endpoint", Door),
        (connections_module, "Jenkins", _jenkins),
        (connections_module, "ArgoCD", _argo),
        (connections_module, "DockerHub", _registry),
        (connections_module, "GoDaddy", _dns),
        (shift_module, "secrets", SimpleNamespace(token_hex=lambda _: f"incarnation-{next(counter)}")),
    )
    with instead(*ours), audited():
        yield


def _jenkins(door: Door) -> JenkinsClient:
    outside = door.process.replica.outside
    return JenkinsClient(door, outside.jenkins, outside.oracles)


def _argo(door: Door, **_: Any) -> ArgoClient:
    outside = door.process.replica.outside
    return ArgoClient(door, outside.argo, outside.oracles)


def _registry(_hub: Door, door: Door, *, credentials: Login, **_: Any) -> RegistryClient:
    outside = door.process.replica.outside
    return RegistryClient(door, outside.registry, outside.oracles, credentials)


def _dns(door: Door) -> DnsClient:
    outside = door.process.replica.outside
    return DnsClient(door, outside.dns, outside.oracles)


def _settings() -> Settings:
    plain = Settings()
    changes: Mapping[str, Mapping[str, Any]] = {
        "kubernetes": {"namespaces": (SPACE,), "own_namespace": SPACE, "owner_id": OWNER},
        "jenkins": {
            "endpoint": JENKINS,
            "username": "operator",
            "token": SecretStr(secret_of(JENKINS)),
            "concurrency": 2,
            "watch_interval": timedelta(seconds=8),
        },
        "argocd": {"endpoint": ARGOCD, "token": SecretStr(secret_of(ARGOCD)), "concurrency": 8},
        "registry": {
            "endpoint": REGISTRY,
            "namespace": "acme",
            "username": "operator",
            "password": SecretStr(secret_of(REGISTRY)),
            "concurrency": 8,
        },
        "godaddy": {
            "endpoint": GODADDY,
            "domain": DOMAIN,
            "key": SecretStr("operator"),
            "secret": SecretStr(secret_of(GODADDY)),
            "requests_per_minute": DNS_LIMIT,
        },
        "messages": {"heartbeat_interval": timedelta(seconds=30)},
        "agenda": {"look_concurrency": 8},
        "rabbitmq": {"prefetch": 4},
    }
    return plain.model_copy(
        update={group: getattr(plain, group).model_copy(update=dict(values)) for group, values in changes.items()}
    )


SETTINGS = _settings()
