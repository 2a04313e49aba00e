"""Settings that only need access: registries, zones and git credentials."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from reconciler.domain.answers import Answer, Done, Waiting
from reconciler.domain.changes import Action, Change, fingerprint
from reconciler.domain.outside.builds import GitLogin
from reconciler.domain.outside.dns import Zone
from reconciler.domain.outside.images import ImageRepository
from reconciler.domain.ownership import Marker, find_marker
from reconciler.domain.resources import ContainerRegistry, DevOpsProject, DNSZone, GitCredential, InventoryItem
from reconciler.domain.resources.settings import RegistryProvider
from reconciler.domain.wanted import repository_of
from reconciler.engine.drifting import name_taken
from reconciler.projects.setup import SetupLook, bring, step_name


class ImageRepositories(Protocol):
    """The repositories of one registry."""

    async def check_access(self) -> str:
        """Return what is worth knowing about the access. Raises Refused."""
        ...

    async def find_repository(self, name: str) -> ImageRepository | None:
        """Return the repository, if it is there."""
        ...

    async def latest_repository(self, name: str) -> ImageRepository | None:
        """Return the repository as it was within the last minute; None: ask `find_repository`."""
        ...

    async def create_repository(self, name: str, description: str) -> None:
        """Make a repository; it is fine when it is there, or when the registry makes it at the first push."""
        ...


class Zones(Protocol):
    """The zones of one DNS account."""

    async def find_zone(self, domain: str) -> Zone | None:
        """Return the zone, if the account has it. Raises Refused with the cause of a refusal."""
        ...


class GitLogins(Protocol):
    """The logins behind GitCredentials."""

    async def login(self, credential: GitCredential, identity: str) -> GitLogin:
        """Return the login under an id. Raises Missing when the Secret or a key of it is not there."""
        ...


_MOST_STEPS = 64


def repository_steps(project: DevOpsProject, registry: ContainerRegistry) -> dict[str, str]:
    """Return the repositories to be made for a project, by the names of their steps.

    Only Docker Hub makes repositories; in any other registry the first push does.
    """
    if registry.spec.provider is not RegistryProvider.DOCKER_HUB:
        return {}
    names = (repository_of(project, component.name, registry) for component in project.spec.components)
    return {step_name(f"repository {name}"): name for name in names}


@dataclass(frozen=True, slots=True)
class RegistrySetup:
    """The steps of one ContainerRegistry: access, and a repository for each component of each project that uses it."""

    registry: ImageRepositories
    settings: ContainerRegistry
    projects: Sequence[DevOpsProject]
    marker: Marker

    def looks(self) -> Sequence[SetupLook]:
        """Return the steps in order."""
        steps = [SetupLook("access", self._access, wanted=fingerprint(self.settings.spec))]
        for project in self.projects:
            policy = project.spec.drift_policy
            for step, name in repository_steps(project, self.settings).items():
                wanted = fingerprint(name)
                look = partial(self._repository, name, wanted)
                steps.append(SetupLook(step, look, self._item(name), wanted=wanted, policy=policy))
        return steps[:_MOST_STEPS]

    async def _access(self) -> Answer:
        return Done({"message": await self.registry.check_access()})

    async def _repository(self, name: str, wanted: str) -> Answer:
        latest = await self.registry.latest_repository(name)
        if latest is not None and self._is_ours(latest.description):
            return Done()
        found = await self.registry.find_repository(name)
        if found is not None:
            theirs = find_marker(found.description)
            if theirs is not None and not self.marker.is_same_owner(theirs):
                return name_taken(self.settings, "Repository", name, theirs)
            return Done()
        act = partial(self.registry.create_repository, name, f"Made by {self.marker.text()}")
        return bring(self.settings, name, act, Change("registry", "Repository", name, Action.CREATE), wanted)

    def _is_ours(self, description: str) -> bool:
        return self.marker.digest() in description or self.marker.is_same_owner(find_marker(description))

    def _item(self, name: str) -> InventoryItem:
        return InventoryItem(
            system="registry", kind="Repository", name=name, endpoint=self.settings.spec.endpoint or ""
        )


@dataclass(frozen=True, slots=True)
class ZoneSetup:
    """The one step of a DNSZone: the key may use the zone."""

    zones: Zones
    settings: DNSZone

    def looks(self) -> Sequence[SetupLook]:
        """Return the steps in order."""
        return [SetupLook("access", self._access, wanted=fingerprint(self.settings.spec))]

    async def _access(self) -> Answer:
        domain = self.settings.spec.domain
        zone = await self.zones.find_zone(domain)
        if zone is None:
            remedy = "use the key of the account that has it, or correct spec.domain"
            return Waiting(f"zone {domain}, which the account does not have", reason="ZoneNotFound", remedy=remedy)
        if zone.problem:
            return Waiting(f"zone {domain}: {zone.problem}", reason="ZoneLocked", remedy="unlock it at the provider")
        return Done()


@dataclass(frozen=True, slots=True)
class GitSetup:
    """The one step of a GitCredential: its Secret is there with the keys it needs."""

    logins: GitLogins
    settings: GitCredential

    def looks(self) -> Sequence[SetupLook]:
        """Return the steps in order."""
        return [SetupLook("secret", self._secret, wanted=fingerprint(self.settings.spec))]

    async def _secret(self) -> Answer:
        await self.logins.login(self.settings, self.settings.name)
        return Done()
