"""Set-ups: which steps a settings resource has, whatever its kind, from the resources that speak of it.

Looking at the steps is the operator's pass (`settings.py`) and the plan (`planning.py`): both see the same.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from reconciler.domain.annotations import adopted
from reconciler.domain.answers import Answer, Waiting
from reconciler.domain.errors import Missing, ReconcilerError
from reconciler.domain.keys import Body, Key
from reconciler.domain.outside.builds import GitLogin
from reconciler.domain.resources import (
    ArgoSettings,
    ContainerRegistry,
    DevOpsProject,
    DNSZone,
    Environment,
    GitCredential,
    JenkinsSettings,
    Resource,
)
from reconciler.domain.urls import longest_prefix
from reconciler.domain.wanted import marker_of
from reconciler.engine.invalid import readable
from reconciler.engine.store import Store
from reconciler.projects.access import GitLogins, GitSetup, ImageRepositories, RegistrySetup, Zones, ZoneSetup
from reconciler.projects.argocd import ArgoProjects, ArgoSetup
from reconciler.projects.jenkins import JenkinsSetup, Jobs
from reconciler.projects.outgrown import Outgrown
from reconciler.projects.setup import SetupLook

SETTINGS_KINDS: dict[str, type[JenkinsSettings | ArgoSettings | ContainerRegistry | DNSZone | GitCredential]] = {
    kind.kind: kind for kind in (JenkinsSettings, ArgoSettings, ContainerRegistry, DNSZone, GitCredential)
}


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

    def refusal(self, settings: Resource) -> str:
        """Say that newer credentials are refused, so that the former stay in use; empty when none are."""
        ...

    async def default_git_login(self, url: str, identity: str) -> GitLogin | None:
        """Return the operator's own git login, where it has one that is for this address."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUps:
    """Makes the steps of set-ups.

    Attributes:
        store: knows the projects, environments and credentials that settings are for.
        systems: the outside systems that settings name.
        logins: the logins behind GitCredentials.
        outgrown: what settings made under a former name.
        owner: whose external objects are ours.
    """

    store: Store
    systems: Systems
    logins: GitLogins
    outgrown: Outgrown
    owner: str

    async def looks(self, resource: Resource) -> Sequence[SetupLook]:
        """Return the steps of a settings resource in order."""
        return await looks_or_why_not(self._steps(resource))

    def project_of(self, resource: Resource, name: str) -> DevOpsProject | None:
        """Return the project that settings are for, if it is there and can be read."""
        return readable(DevOpsProject, self.store.read(Key(DevOpsProject.kind, resource.namespace, name)))

    async def _steps(self, resource: Resource) -> Sequence[SetupLook]:
        match resource:
            case JenkinsSettings():
                project = self.project_of(resource, resource.spec.project_ref)
                if project is None:
                    return [_waits_for_project(resource.spec.project_ref)]
                login = await self._login(project)
                jobs = await self.systems.jobs(resource)
                marker, taken = marker_of(resource, self.owner), _adopted(resource)
                looks = JenkinsSetup(jobs, resource, project, login, marker, taken).looks()
                return _for(project, [*looks, *self.outgrown.steps(resource, project, looks)])
            case ArgoSettings():
                project = self.project_of(resource, resource.spec.project_ref)
                if project is None:
                    return [_waits_for_project(resource.spec.project_ref)]
                login = await self._login(project)
                tool = await self.systems.argo_projects(resource)
                environments, marker = self._environments(project), marker_of(resource, self.owner)
                looks = ArgoSetup(tool, resource, project, environments, login, marker, _adopted(resource)).looks()
                return _for(project, [*looks, *self.outgrown.steps(resource, project, looks)])
            case ContainerRegistry():
                registry = await self.systems.image_repositories(resource)
                marker = marker_of(resource, self.owner)
                return RegistrySetup(registry, resource, self._users_of(resource), marker).looks()
            case DNSZone():
                return ZoneSetup(await self.systems.zones(resource), resource).looks()
            case GitCredential():
                return GitSetup(self.logins, resource).looks()
            case _:
                raise TypeError(f"{resource.kind} is not a settings kind")

    def _environments(self, project: DevOpsProject) -> list[Environment]:
        bodies = self.store.list_(Environment.kind, project.namespace, project=project.name)
        return [one for body in bodies if (one := readable(Environment, body))]

    def _users_of(self, registry: ContainerRegistry) -> list[DevOpsProject]:
        # Asked of the bodies: of many projects, few are worth reading.
        bodies = filter(partial(_uses, registry.name), self.store.list_(DevOpsProject.kind, registry.namespace))
        users = (one for body in bodies if (one := readable(DevOpsProject, body)))
        return sorted((one for one in users if not one.is_deleting), key=lambda project: project.name)

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
        git = project.spec.git
        if git.credential_ref is not None:
            key = Key(GitCredential.kind, project.namespace, git.credential_ref.name)
            return readable(GitCredential, self.store.read(key))
        # Asked of the bodies: of many credentials, few are for this address.
        bodies = filter(partial(_is_for, git.url), self.store.list_(GitCredential.kind, project.namespace))
        credentials = (one for body in bodies if (one := readable(GitCredential, body)))
        by_prefix = {one.spec.url_prefix: one for one in credentials if not one.is_deleting}
        prefix = longest_prefix(git.url, by_prefix)
        return by_prefix[prefix] if prefix is not None else None


def _is_for(url: str, credential: Body) -> bool:
    prefix = (credential.get("spec") or {}).get("urlPrefix")
    return bool(prefix) and longest_prefix(url, [str(prefix)]) is not None


def _uses(registry: str, project: Body) -> bool:
    ref = ((project.get("spec") or {}).get("registry") or {}).get("ref") or {}
    return bool(ref.get("name", project["metadata"]["name"]) == registry)


async def looks_or_why_not(making: Awaitable[Sequence[SetupLook]]) -> Sequence[SetupLook]:
    """Return the steps; what keeps us from even making them is the answer of a first step of its own."""
    try:
        return await making
    except ReconcilerError as error:
        return [SetupLook("access", _raising(error))]


def _adopted(resource: JenkinsSettings | ArgoSettings) -> frozenset[str]:
    return adopted(resource.metadata.annotations, resource.status.handled)


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
