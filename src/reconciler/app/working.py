"""Who looks at what: the engine, the stages and the controllers of all kinds, made once the owner id is known."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from reconciler.clients.address import AddressProbe
from reconciler.clients.endpoint import Bounds, Endpoint
from reconciler.deployments.deployments import Deployments
from reconciler.deployments.intentions import Intentions
from reconciler.deployments.previews import Previews
from reconciler.deployments.retention import RETENTION, Keeping, Retention
from reconciler.deployments.scene import SceneReader
from reconciler.deployments.stages.build import BuildStage
from reconciler.deployments.stages.expose import ExposeStage
from reconciler.deployments.stages.image import ImageStage
from reconciler.deployments.stages.queue import Queue
from reconciler.deployments.stages.sync import SyncStage
from reconciler.deployments.stages.verify import VerifyStage
from reconciler.deployments.work import Stages
from reconciler.domain.clock import Clock
from reconciler.domain.drift import DriftRules
from reconciler.domain.errors import ReconcilerError
from reconciler.domain.keys import CONFIG_MAP, OUR_KINDS, Key
from reconciler.domain.resources import StageName
from reconciler.engine.acting import Actor
from reconciler.engine.bugs import Bugs, tell_broken
from reconciler.engine.echo import echo
from reconciler.engine.engine import Engine
from reconciler.engine.patience import Patience
from reconciler.engine.pausing import is_held as is_held_by_pause
from reconciler.engine.store import Store
from reconciler.environments.environments import make_environments
from reconciler.environments.lifetime import Lifetimes
from reconciler.environments.upkeep import UpkeepRules
from reconciler.leftovers.listing import listing_key
from reconciler.leftovers.sweeping import Sweeper
from reconciler.projects.children import Defaults
from reconciler.projects.projects import Projects
from reconciler.projects.removal import ProjectRemoval
from reconciler.projects.settings import Settings as SettingsController
from reconciler.projects.tear_down import TearDown
from reconciler.removal.leaving import Leaving
from reconciler.removal.looks import Looks
from reconciler.removal.neighbours import Neighbours
from reconciler.reporting.audit import Asked, AuditTrail
from reconciler.settings import Settings

if TYPE_CHECKING:
    from reconciler.app.shift import Shift

_OUR_KINDS = frozenset(kind.kind for kind in OUR_KINDS)
Look = Callable[[Key], Awaitable[datetime | None]]
_LOOK = "a look"
_SETTINGS = ("JenkinsSettings", "ArgoSettings", "ContainerRegistry", "GitCredential", "DNSZone")


@dataclass(frozen=True, slots=True)
class Workers:
    """The controllers, by kind, and what becomes of a look that fails unexpectedly."""

    store: Store
    by_kind: Mapping[str, Look]
    clock: Clock
    patience: Patience
    bugs: Bugs

    async def look(self, key: Key) -> datetime | None:
        """Look at one resource, and say which of its annotations are known by it; return when to look again."""
        try:
            due = await self.by_kind[key.kind](key)
            if key.kind in _OUR_KINDS:
                await echo(self.store, key)
        except ReconcilerError:
            raise
        except Exception as error:  # noqa: BLE001 - it is logged, counted and told in the status
            return await self._after_bug(key, error)
        self.bugs.over(str(key), _LOOK)
        return due

    async def _after_bug(self, key: Key, error: Exception) -> datetime | None:
        now = self.clock.now()
        waiting = self.bugs.wait_for(str(key), _LOOK, error, None, now, self.patience)
        body = self.store.read(key)
        if waiting.remedy and body is not None:
            await tell_broken(self.store, body, error, now, self.patience.person)
        return waiting.until


def make_workers(parts: "Shift", owner: str, *, may_act: Callable[[], bool] = lambda: True) -> Workers:
    """Marry the controllers with the parts that they ask; `may_act` is asked before each change outside."""
    settings, clock, store, connections = parts.settings, parts.clock, parts.store, parts.connections
    patience = Patience(send=settings.deployments.claim_window, request=settings.jenkins.timeout)
    audit = AuditTrail(clock=clock, chain=parts.chain, mask=parts.secrets.mask, asked_by=_asked_by(parts))
    actor = Actor(clock=clock, audit=audit, patience=patience, may_act=may_act)
    bugs = Bugs(met=parts.metrics.bug_met)
    engine = Engine(me=parts.me, clock=clock, actor=actor, patience=patience, bugs=bugs, mask=parts.secrets.mask)
    stages = Stages(
        queue=Queue(store=store, clock=clock, owner=owner),
        intentions=Intentions(store=store, owner=owner),
        build=BuildStage(servers=connections, own_registry=settings.registry.endpoint),
        image=ImageStage(registries=connections, own_registry=settings.registry.endpoint),
        sync=SyncStage(tools=connections, owner=owner, degraded_for=settings.deployments.degraded_for),
        expose=ExposeStage(accounts=connections, owner=owner),
        verify=VerifyStage(probe=AddressProbe(partial(_address, parts), parts.endpoints.end)),
    )
    deployments = Deployments(
        store=store,
        engine=engine,
        stages=stages,
        scenes=SceneReader(store=store, patience_for_project=settings.messages.project_wait),
        previews=Previews(store=store, most=settings.environments.most_previews),
        clock=clock,
        patience=patience,
        deadlines=deadlines_of(settings),
        deadline=settings.deadlines.deployment,
        most_supersedes=settings.deployments.max_supersedes,
    )
    neighbours = Neighbours(store=store, own_endpoints=own_endpoints(settings))
    looks = Looks(systems=connections, neighbours=neighbours)
    leaving = Leaving(
        store=store,
        engine=engine,
        clock=clock,
        neighbours=neighbours,
        namespace=settings.kubernetes.own_namespace,
        deadline=settings.deadlines.deletion,
    )
    sweeper = Sweeper(store=store, engine=engine, clock=clock, patience=patience, looks=looks)
    drift = DriftRules(repairs=settings.drift.repairs, window=settings.drift.window)
    environments = make_environments(
        store=store,
        engine=engine,
        clock=clock,
        patience=patience,
        looks=looks,
        leaving=leaving,
        owner=owner,
        rules=lifetimes_of(settings),
        read_lag=settings.godaddy.read_lag,
        systems=connections,
        upkeep=UpkeepRules(interval=settings.environments.upkeep_interval, drift=drift),
    )
    projects = Projects(
        store=store,
        clock=clock,
        defaults=defaults_of(settings),
        removal=ProjectRemoval(store=store, clock=clock, leaving=leaving),
        setup_deadline=settings.deadlines.initialize,
    )
    tear_down = TearDown(
        store=store, engine=engine, clock=clock, patience=patience, looks=looks, leaving=leaving, owner=owner
    )
    controller = SettingsController(
        store=store,
        engine=engine,
        clock=clock,
        patience=patience,
        systems=connections,
        logins=connections,
        tear_down=tear_down,
        owner=owner,
        rules=drift,
        interval=settings.drift.interval,
    )
    by_kind: dict[str, Look] = dict.fromkeys(_SETTINGS, _unless_paused(store, clock, controller.look))
    retention = Retention(store=store, clock=clock, keeping=keeping_of(settings))
    by_kind |= {RETENTION: retention.look}
    by_kind |= {
        "DeploymentRecord": deployments.look,
        "Environment": environments.look,
        "DevOpsProject": _unless_paused(store, clock, projects.look),
    }
    by_kind |= {CONFIG_MAP.kind: sweeper.look, listing_key("").kind: parts.leftovers.look}
    return Workers(store, by_kind, clock, patience, bugs)


def own_endpoints(settings: Settings) -> dict[str, str]:
    """Return the operator's own endpoints, by system."""
    return {
        "jenkins": settings.jenkins.endpoint,
        "argocd": settings.argocd.endpoint,
        "registry": settings.registry.endpoint,
        "dns": settings.godaddy.endpoint,
    }


def deadlines_of(settings: Settings) -> dict[StageName, timedelta]:
    """Return the deadlines of the stages; the queue has none unless it is set."""
    deadlines = settings.deadlines
    known = {
        StageName.BUILD: deadlines.build,
        StageName.IMAGE: deadlines.image,
        StageName.SYNC: deadlines.sync,
        StageName.EXPOSE: deadlines.expose,
        StageName.VERIFY: deadlines.verify,
    }
    return known | ({StageName.QUEUE: deadlines.queue} if deadlines.queue else {})


def keeping_of(settings: Settings) -> Keeping:
    """Return how long finished records are kept."""
    records = settings.records
    return Keeping(age=records.kept_for, count=records.kept, window=settings.messages.dedupe_window)


def lifetimes_of(settings: Settings) -> Lifetimes:
    """Return the rules by which environments end."""
    return Lifetimes(
        warn_before=settings.environments.warn_before,
        cleanup_timeout=settings.environments.cleanup_timeout,
        between_passes=settings.agenda.resync_interval,
        skip=frozenset(settings.environments.skip_types),
    )


def defaults_of(settings: Settings) -> Defaults:
    """Return what projects get where they say nothing."""
    registry: dict[str, Any] = {"provider": settings.registry.provider}
    if settings.registry.namespace:
        registry["namespace"] = settings.registry.namespace
    zone = {"domain": settings.godaddy.domain} if settings.godaddy.domain else None
    return Defaults(folder=settings.jenkins.folder, registry=registry, zone=zone)


def _unless_paused(store: Store, clock: Clock, look: Look) -> Look:
    async def looked(key: Key) -> datetime | None:
        return None if await is_held_by_pause(store, key, clock.now()) else await look(key)

    return looked


def _asked_by(parts: "Shift") -> Callable[[str], Asked]:
    def asked(subject: str) -> Asked:
        key = parts.signals.record_of(subject)
        body = parts.store.read(key) if key else None
        return Asked(subject, ((body or {}).get("spec") or {}).get("requestedBy", ""))

    return asked


def _address(parts: "Shift", origin: str) -> Endpoint:
    return parts.endpoints.make("address", origin, Bounds(timeout=_VERIFY_TIMEOUT, concurrency=2))


_VERIFY_TIMEOUT = timedelta(seconds=10)
