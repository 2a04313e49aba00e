"""The plan command's wiring: the operator's own clients and looks over a draft of the resources; nothing is changed.

What is asked is what an operator would ask; what is drafted stays here. A writer that is called all the same refuses.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import ValidationError

from reconciler.app.connections import Connections
from reconciler.app.endpoints import Endpoints
from reconciler.app.secrets import SecretReader
from reconciler.app.working import defaults_of, own_endpoints
from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.domain.clock import Clock, SystemClock
from reconciler.domain.errors import Invalid, NotFound, Refused
from reconciler.domain.keys import NAMESPACE, OUR_KINDS, Body, Key, key_of, revision_of
from reconciler.domain.plans import Plan, Untold, plan_of
from reconciler.domain.resources import KINDS as MODELS
from reconciler.domain.resources import DevOpsProject
from reconciler.engine.invalid import problems
from reconciler.engine.patience import Patience
from reconciler.environments.keeping import Keeping
from reconciler.environments.planning import EnvironmentsPlanner
from reconciler.operator.cache import Cache, Source
from reconciler.operator.store import Store
from reconciler.projects.outgrown import Outgrown
from reconciler.projects.planning import ChildrenPlanner, SettingsPlanner, resource_change
from reconciler.projects.setups import SETTINGS_KINDS, SetUps
from reconciler.removal.looks import Looks
from reconciler.removal.neighbours import Neighbours
from reconciler.settings import Settings
from reconciler.telemetry.masking import Secrets
from reconciler.telemetry.metrics import Metrics

_MODELS = {kind.kind: kind for kind in MODELS}
_ALL = "*"
NEW = "new"
"""The uid of what is not stored yet."""


class Planner(Protocol):
    """Plans one kind of what a project owns."""

    async def plan(self, project: DevOpsProject) -> Plan:
        """Return what would be changed; nothing is."""
        ...


class _ReadOnly:
    """The API server with its questions only: a plan changes nothing."""

    def __init__(self, kubernetes: Kubernetes) -> None:
        self.get = kubernetes.get
        self.server_time = kubernetes.server_time
        self.ask_time = kubernetes.ask_time

    async def _refuse(self, *_: Any, **__: Any) -> Any:
        raise Refused("a plan changes nothing", system="kubernetes")

    create = patch = patch_status = json_patch = delete = _refuse


class DraftStore(Store):
    """The stored resources with a draft laid over them."""

    def __init__(self, kubernetes: Kubernetes, cache: Cache) -> None:
        super().__init__(_ReadOnly(kubernetes), cache)
        self._drafts = cache

    def lay(self, body: Body) -> None:
        """Have a resource be this, as if it were stored."""
        known = self._drafts.read(key_of(body))
        version = revision_of(known or body) + 1
        metadata = {"uid": NEW, "generation": 1, **body["metadata"], "resourceVersion": str(version)}
        self._drafts.remember({**body, "metadata": metadata}, Source.RESYNC)

    def take(self, key: Key) -> None:
        """Have a resource be gone."""
        if (known := self._drafts.read(key)) is not None:
            self._drafts.forget(key, revision_of(known), source=Source.RESYNC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planning:
    """Plans for what is stored, and for what is in files."""

    draft: DraftStore
    planners: Sequence[Planner]
    settings: SettingsPlanner

    async def of_stored(self, name: str | None = None) -> Plan:
        """Return the plan of all projects, or of those of a name. Raises NotFound when there is none of that name."""
        bodies = [body for body in self.draft.list_(DevOpsProject.kind) if name in (None, body["metadata"]["name"])]
        if not bodies and name is not None:
            raise NotFound(f"there is no DevOpsProject {name}")
        return plan_of([await self._project(body) for body in bodies])

    async def of_files(self, bodies: Iterable[Body]) -> Plan:
        """Return the plan of resources as they would be applied. Raises Invalid when one cannot be read."""
        plans, keys = [], []
        for body in bodies:
            plans.append(self._applied(body))
            keys.append(key_of(body))
        for key in dict.fromkeys(keys):
            stored = self.draft.read(key)
            if stored is None:
                continue
            if key.kind == DevOpsProject.kind:
                plans.append(await self._project(stored))
            elif key.kind in SETTINGS_KINDS:
                plans.append(await self.settings.plan_one(stored))
        return plan_of(plans)

    def _applied(self, body: Body) -> Plan:
        """Lay a resource over the draft, and say what that changes in Kubernetes."""
        kind, key = _MODELS[body["kind"]], key_of(body)
        stored = self.draft.read(key)
        try:
            wanted = kind.spec_model.model_validate(body.get("spec") or {}).dump()
            actual = kind.spec_model.model_validate(stored.get("spec") or {}).dump() if stored else None
        except ValidationError as error:
            raise Invalid(f"{key}: {problems(error)}", field="spec") from error
        metadata = {**(stored or {}).get("metadata", {}), **body["metadata"]}
        change = resource_change(key.kind, key.name, wanted, actual)
        generation = metadata.get("generation", 0) + (1 if change else 0)
        self.draft.lay({**(stored or {}), **body, "metadata": {**metadata, "generation": generation}, "spec": wanted})
        return Plan((change,) if change else ())

    async def _project(self, body: Body) -> Plan:
        try:
            project = DevOpsProject(body)
        except ValidationError as error:
            return Plan(untold=(Untold(f"DevOpsProject {body['metadata']['name']}", problems(error)),))
        if project.is_deleting:
            return Plan(untold=(Untold(f"DevOpsProject {project.name}", "it is being removed"),))
        return plan_of([await planner.plan(project) for planner in self.planners])


@asynccontextmanager
async def planning(
    settings: Settings,
    credentials: Credentials,
    namespaces: Sequence[str],
    secrets: Secrets,
    clock: Clock | None = None,
) -> AsyncIterator[Planning]:
    """Read all resources of some namespaces (none: those that the operator watches) and be ready to plan."""
    clock = clock or SystemClock()
    kubernetes = Kubernetes(credentials, clock=clock, timeout=settings.kubernetes.timeout)
    metrics = Metrics()
    endpoints = Endpoints(settings.outside, clock, secrets.mask, metrics)
    # A process that asks a few times and ends need not wait for a window that it did not use.
    eager = settings.model_copy(update={"godaddy": settings.godaddy.model_copy(update={"starts_full": False})})
    connections = Connections(
        eager,
        endpoints,
        SecretReader(kubernetes, clock, secrets.learn),
        clock,
        mask=secrets.mask,
        build_changed=lambda _: None,
        application_changed=lambda _line, _name: None,
    )
    try:
        draft = DraftStore(kubernetes, await _listed(kubernetes, namespaces or _watched(settings)))
        owner = await _owner(settings, kubernetes)
        looks = Looks(systems=connections, neighbours=Neighbours(store=draft, own_endpoints=own_endpoints(settings)))
        outgrown = Outgrown(looks=looks, owner=owner)
        setups = SetUps(store=draft, systems=connections, logins=connections, outgrown=outgrown, owner=owner)
        of_settings = SettingsPlanner(draft, setups, clock, Patience())
        keeping = Keeping(store=draft, systems=connections, owner=owner)
        of_environments = EnvironmentsPlanner(keeping, clock, Patience())
        planners: list[Planner] = [ChildrenPlanner(draft, defaults_of(settings)), of_settings, of_environments]
        yield Planning(draft=draft, planners=planners, settings=of_settings)
    finally:
        await connections.close()
        await kubernetes.close()


def _watched(settings: Settings) -> Sequence[str]:
    return settings.kubernetes.namespaces


async def _listed(kubernetes: Kubernetes, namespaces: Sequence[str]) -> Cache:
    cache = Cache()
    for namespace in (None,) if _ALL in namespaces else namespaces:
        for kind in OUR_KINDS:
            bodies, _ = await kubernetes.list_(kind, namespace)
            for body in bodies:
                cache.remember(body, Source.RESYNC)
    return cache


async def _owner(settings: Settings, kubernetes: Kubernetes) -> str:
    if settings.kubernetes.owner_id:
        return settings.kubernetes.owner_id
    return str((await kubernetes.get(NAMESPACE, "", "kube-system"))["metadata"]["uid"])
