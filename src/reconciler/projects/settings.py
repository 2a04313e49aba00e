"""Settings: what one look at a settings resource does, whatever its kind."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import ValidationError

from reconciler.domain.answers import Answer, Waiting
from reconciler.domain.clock import Clock
from reconciler.domain.drift import DriftRules
from reconciler.domain.errors import Missing, ReconcilerError
from reconciler.domain.keys import Body, Key, key_of
from reconciler.domain.names import FINALIZER
from reconciler.domain.outside.builds import GitLogin
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import (
    ArgoSettings,
    ContainerRegistry,
    DeletionPolicy,
    DevOpsProject,
    DNSZone,
    Environment,
    GitCredential,
    JenkinsSettings,
    Resource,
)
from reconciler.domain.resources.settings import SettingsStatus
from reconciler.domain.urls import longest_prefix
from reconciler.domain.wanted import marker_of
from reconciler.domain.words import cut
from reconciler.engine.engine import Engine
from reconciler.engine.invalid import readable, tell_invalid
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store
from reconciler.projects.access import (
    GitLogins,
    GitSetup,
    ImageRepositories,
    RegistrySetup,
    Zones,
    ZoneSetup,
)
from reconciler.projects.argocd import ArgoProjects, ArgoRemoval, ArgoSetup
from reconciler.projects.jenkins import JenkinsRemoval, JenkinsSetup, Jobs
from reconciler.projects.polls import Polls, next_poll
from reconciler.projects.setup import SetupLook, SetupWork
from reconciler.resilience.errand import sweeping

RECONCILE_AT = "freeleaps.com/reconcile-at"
_POLL = timedelta(seconds=300)


class Systems(Protocol):
    """The outside systems that settings name. Each method raises Missing when a Secret or a key of it is not there."""

    async def jobs(self, settings: JenkinsSettings) -> Jobs:
        """Return the jobs of a build server."""
        ...

    async def argo_projects(self, settings: ArgoSettings) -> ArgoProjects:
        """Return the projects of a deployment tool."""
        ...

    async def image_repositories(self, settings: ContainerRegistry) -> ImageRepositories:
        """Return the repositories of a registry."""
        ...

    async def zones(self, settings: DNSZone) -> Zones:
        """Return the zones of a DNS account."""
        ...

    async def default_git_login(self, url: str, identity: str) -> GitLogin | None:
        """Return the operator's own git login, where it has one that is for this address."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Looks at settings resources."""

    store: Store
    engine: Engine
    clock: Clock
    patience: Patience
    systems: Systems
    logins: GitLogins
    owner: str
    rules: DriftRules = field(default_factory=DriftRules)
    interval: timedelta = timedelta(seconds=300)
    polls: Polls = field(default_factory=Polls)

    async def look(self, key: Key) -> datetime | None:
        """Bring in order what the settings own outside; return when to look again."""
        body = self.store.read(key)
        if body is None:
            return None
        try:
            resource = _KINDS[key.kind](body)
        except ValidationError as error:
            await tell_invalid(self.store, body, error, self.clock.now())
            return None
        if resource.is_deleting:
            return await self._remove(resource)
        if resource.is_paused:
            return None
        resource.body = await self.store.ensure_finalizer(body)
        with sweeping() if _is_settled(resource) else nullcontext():
            return await self._compare(resource)

    async def _compare(self, resource: Resource) -> datetime | None:
        """Compare what the settings own with what is wanted, if it is time or something else is wanted than before."""
        work = self._work(resource, await self._looks(resource, self._set_up))
        key, every = key_of(resource.body), self._interval_of(resource)
        token, now = resource.metadata.annotations.get(RECONCILE_AT), self.clock.now()
        if token is not None:
            work.handled = {RECONCILE_AT: token}
        is_asked_for = token not in (None, work.status.handled.get(RECONCILE_AT))
        work.poll = self.polls.is_due(key, every, now, work.status.checked_at) or is_asked_for
        await self.engine.carry_out(work)
        if not work.is_done:
            return work.status.next_look_at
        if work.poll:
            self.polls.took(key, now)
        return next_poll(key, every, now)

    def _work(self, resource: Resource, looks: Sequence[SetupLook]) -> SetupWork:
        status = SettingsStatus.model_validate(resource.body.get("status") or {})
        return SetupWork(
            resource, status, looks, store=self.store, clock=self.clock, patience=self.patience, rules=self.rules
        )

    async def _carry_out(self, resource: Resource, looks: Sequence[SetupLook]) -> datetime | None:
        work = self._work(resource, looks)
        await self.engine.carry_out(work)
        return work.status.next_look_at

    def _interval_of(self, resource: Resource) -> timedelta:
        return resource.spec.poll_interval if isinstance(resource, JenkinsSettings) else self.interval

    async def _looks(
        self, resource: Resource, of: Callable[[Resource], Awaitable[Sequence[SetupLook]]]
    ) -> Sequence[SetupLook]:
        """Return the steps; what keeps us from even making them is the answer of a first step of its own."""
        try:
            return await of(resource)
        except ReconcilerError as error:
            return [SetupLook("access", _raising(error))]

    async def _set_up(self, resource: Resource) -> Sequence[SetupLook]:
        match resource:
            case JenkinsSettings():
                project = self._project(resource, resource.spec.project_ref)
                if project is None:
                    return [_waits_for_project(resource.spec.project_ref)]
                login = await self._login(project)
                jobs = await self.systems.jobs(resource)
                return _for(project, JenkinsSetup(jobs, resource, project, login, self._marker(resource)).looks())
            case ArgoSettings():
                project = self._project(resource, resource.spec.project_ref)
                if project is None:
                    return [_waits_for_project(resource.spec.project_ref)]
                login = await self._login(project)
                tool = await self.systems.argo_projects(resource)
                environments = self._environments(project)
                marker = self._marker(resource)
                return _for(project, ArgoSetup(tool, resource, project, environments, login, marker).looks())
            case ContainerRegistry():
                registry = await self.systems.image_repositories(resource)
                note = f"Made by {self._marker(resource).text()}"
                return RegistrySetup(registry, resource, self._users_of(resource), note).looks()
            case DNSZone():
                return ZoneSetup(await self.systems.zones(resource), resource).looks()
            case GitCredential():
                return GitSetup(self.logins, resource).looks()
            case _:
                raise TypeError(f"{resource.kind} is not a settings kind")

    async def _remove(self, resource: Resource) -> datetime | None:
        """Remove what is ours outside, once nobody uses the settings any more; then let the resource go."""
        self.polls.forget(key_of(resource.body))
        if FINALIZER not in resource.metadata.finalizers:
            return None
        if users := self._still_used_by(resource):
            status = SettingsStatus.model_validate(resource.body.get("status") or {})
            text = f"{', '.join(users[:5])} to be gone"
            await self.store.write_status(resource.body, status.model_copy(update={"waiting_for": cut(text)}).dump())
            return self.clock.now() + _POLL
        looks = await self._looks(resource, self._tear_down)
        next_look = await self._carry_out(resource, looks) if looks else None
        steps = {step["name"]: step for step in (resource.body.get("status") or {}).get("steps", [])}
        if all(steps.get(look.name, {}).get("state") == "Done" for look in looks):
            await self.store.remove_finalizer(resource.body)
            return None
        return next_look

    async def _tear_down(self, resource: Resource) -> Sequence[SetupLook]:
        if self._is_orphaned(resource):
            return []
        match resource:
            case JenkinsSettings():
                return JenkinsRemoval(await self.systems.jobs(resource), resource, self._marker(resource)).looks()
            case ArgoSettings():
                tool = await self.systems.argo_projects(resource)
                return ArgoRemoval(tool, resource, self._marker(resource)).looks()
            case _:
                return []

    def _is_orphaned(self, resource: Resource) -> bool:
        reference = (resource.body.get("spec") or {}).get("projectRef", "")
        project = self._project(resource, reference)
        return project is not None and project.spec.deletion_policy is DeletionPolicy.ORPHAN

    def _still_used_by(self, resource: Resource) -> list[str]:
        match resource:
            case JenkinsSettings() | ArgoSettings():
                name = resource.spec.project_ref
                users = self.store.list_("Environment", resource.namespace, project=name)
            case DNSZone():
                others = self._other_zones(resource)
                users = [
                    body
                    for body in self.store.list_("Environment", resource.namespace)
                    if _holds(resource, body) and not any(_holds(other, body) for other in others)
                ]
            case _:
                return []
        return [f"Environment {body['metadata']['name']}" for body in users]

    def _other_zones(self, zone: DNSZone) -> list[DNSZone]:
        """Return the zones that stay: what they hold as well does not need this one any more."""
        zones = (readable(DNSZone, body) for body in self.store.list_(DNSZone.kind, zone.namespace))
        return [other for other in zones if other and other.name != zone.name and not other.is_deleting]

    def _project(self, resource: Resource, name: str) -> DevOpsProject | None:
        return readable(DevOpsProject, self.store.read(Key(DevOpsProject.kind, resource.namespace, name)))

    def _environments(self, project: DevOpsProject) -> list[Environment]:
        bodies = self.store.list_(Environment.kind, project.namespace, project=project.name)
        return [one for body in bodies if (one := readable(Environment, body))]

    def _users_of(self, registry: ContainerRegistry) -> list[DevOpsProject]:
        bodies = self.store.list_(DevOpsProject.kind, registry.namespace)
        projects = (readable(DevOpsProject, body) for body in bodies)
        users = [
            project
            for project in projects
            if project
            and not project.is_deleting
            and (project.spec.registry.ref.name if project.spec.registry.ref else project.name) == registry.name
        ]
        return sorted(users, key=lambda project: project.name)

    async def _login(self, project: DevOpsProject) -> GitLogin | None:
        identity = f"{project.name}-git"
        credential = self._credential(project)
        named = project.spec.git.credential_ref
        if credential is None and named is not None:
            raise Missing(f"GitCredential {named.name} is not there")
        if credential is not None:
            return await self.logins.login(credential, identity)
        return await self.systems.default_git_login(project.spec.git.url, identity)

    def _credential(self, project: DevOpsProject) -> GitCredential | None:
        named = project.spec.git.credential_ref
        bodies = self.store.list_(GitCredential.kind, project.namespace)
        credentials = [one for body in bodies if (one := readable(GitCredential, body))]
        if named is not None:
            return next((one for one in credentials if one.name == named.name), None)
        by_prefix = {one.spec.url_prefix: one for one in credentials if not one.is_deleting}
        prefix = longest_prefix(project.spec.git.url, by_prefix)
        return by_prefix[prefix] if prefix is not None else None

    def _marker(self, resource: Resource) -> Marker:
        return marker_of(resource, self.owner)


_KINDS: dict[str, type[JenkinsSettings | ArgoSettings | ContainerRegistry | DNSZone | GitCredential]] = {
    kind.kind: kind for kind in (JenkinsSettings, ArgoSettings, ContainerRegistry, DNSZone, GitCredential)
}


def _holds(zone: DNSZone, environment: Body) -> bool:
    """Tell whether an environment's domain lies in a zone."""
    return f".{environment['spec'].get('domain', '')}".endswith(f".{zone.spec.domain}")


def _is_settled(resource: Resource) -> bool:
    """Tell whether nobody waits for this look: all was brought in order before, and is looked at for drift."""
    status = SettingsStatus.model_validate(resource.body.get("status") or {})
    is_ready = any(one.type == "Ready" and one.status == "True" for one in status.conditions)
    token = resource.metadata.annotations.get(RECONCILE_AT)
    is_asked_for = token not in (None, status.handled.get(RECONCILE_AT))
    return is_ready and not is_asked_for and status.observed_generation == resource.metadata.generation


def _for(project: DevOpsProject, looks: Sequence[SetupLook]) -> Sequence[SetupLook]:
    generation, policy = project.metadata.generation, project.spec.drift_policy
    return [replace(look, generation=generation, policy=policy) for look in looks]


def _waits_for_project(name: str) -> SetupLook:
    async def look() -> Answer:
        return Waiting(f"DevOpsProject {name}", reason="ProjectNotFound", remedy=f"create DevOpsProject {name}")

    return SetupLook("project", look)


def _raising(error: ReconcilerError) -> Callable[[], Awaitable[Answer]]:
    async def look() -> Answer:
        raise error

    return look
