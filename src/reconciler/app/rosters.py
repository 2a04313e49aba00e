"""What set-ups ask, with the lists that all set-ups of one system share: a pass over a thousand costs few requests."""

from collections.abc import Mapping
from functools import partial

from reconciler.app.lines import DnsClient
from reconciler.clients.argocd import ArgoCD
from reconciler.clients.dockerhub import DockerHub
from reconciler.clients.jenkins import Jenkins
from reconciler.clients.oci import OciRegistry
from reconciler.clients.rosters import Roster
from reconciler.domain.clock import Clock
from reconciler.domain.outside.applications import ArgoProject, ProjectShape, Repository
from reconciler.domain.outside.builds import Credential, Folder, GitLogin
from reconciler.domain.outside.dns import Zone
from reconciler.domain.outside.images import ImageRepository
from reconciler.domain.ownership import Marker


class JobsRoster:
    """Folders, credentials and jobs of one Jenkins; the configuration of a job is in no list and is read for each."""

    def __init__(self, client: Jenkins, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._folders: dict[str, Roster[Folder]] = {}
        self._credentials: dict[str, Roster[Credential]] = {}
        self.version = client.version
        self.find_folder = client.find_folder
        self.find_job = client.find_job
        self.find_credential = client.find_credential
        self.create_job = client.create_job
        self.update_job = client.update_job

    async def latest_folder(self, path: str) -> Folder | None:
        """Return the folder as somebody saw it within the last minute; None: read for yourself."""
        return await self._folder(path).latest(path)

    async def latest_credential(self, folder: str, identity: str) -> Credential | None:
        """Return the credential as the folder's list has it; None: read for yourself."""
        return await self._credentials_of(folder).latest(identity)

    async def create_folder(self, path: str, marker: Marker) -> None:
        """Make a folder. Raises AlreadyExists."""
        self._folder(path).wrote(path)
        await self._client.create_folder(path, marker)

    async def delete_item(self, path: str) -> None:
        """Delete a job or folder; it is fine when it is gone."""
        self._folder(path).wrote(path)
        await self._client.delete_item(path)

    async def apply_credential(self, folder: str, login: GitLogin, marker: Marker) -> None:
        """Make the credential, or write it whole anew."""
        self._credentials_of(folder).wrote(login.id)
        await self._client.apply_credential(folder, login, marker)

    async def delete_credential(self, folder: str, identity: str) -> None:
        """Delete the credential; it is fine when it is gone."""
        self._credentials_of(folder).wrote(identity)
        await self._client.delete_credential(folder, identity)

    def _folder(self, path: str) -> Roster[Folder]:
        return self._folders.setdefault(path, Roster(partial(self._show_folder, path), clock=self._clock))

    async def _show_folder(self, path: str) -> Mapping[str, Folder]:
        found = await self._client.find_folder(path)
        return {path: found} if found else {}

    def _credentials_of(self, folder: str) -> Roster[Credential]:
        return self._credentials.setdefault(folder, Roster(partial(self._list, folder), clock=self._clock))

    async def _list(self, folder: str) -> Mapping[str, Credential]:
        return {one.id: one for one in await self._client.list_credentials(folder)}


class ProjectsRoster:
    """The AppProjects and repositories of one Argo CD."""

    def __init__(self, client: ArgoCD, clock: Clock) -> None:
        self._client = client
        self._projects = Roster(self._list_projects, clock=clock)
        self._repositories = Roster(self._list_repositories, clock=clock)
        self.version = client.version
        self.find_project = client.find_project
        self.find_repository = client.find_repository

    async def latest_project(self, name: str) -> ArgoProject | None:
        """Return the project as the list has it; None: read for yourself."""
        return await self._projects.latest(name)

    async def latest_repository(self, url: str, project: str) -> Repository | None:
        """Return the repository as the list has it; None: read for yourself."""
        return await self._repositories.latest(_known_as(url, project))

    async def create_project(self, shape: ProjectShape, marker: Marker) -> None:
        """Make a project. Raises AlreadyExists."""
        self._projects.wrote(shape.name)
        await self._client.create_project(shape, marker)

    async def update_project(self, shape: ProjectShape, marker: Marker) -> None:
        """Make the project allow what is wanted."""
        self._projects.wrote(shape.name)
        await self._client.update_project(shape, marker)

    async def delete_project(self, name: str) -> None:
        """Delete a project; it is fine when it is gone. Raises Busy while applications refer to it."""
        self._projects.wrote(name)
        await self._client.delete_project(name)

    async def apply_repository(self, url: str, login: GitLogin | None, project: str) -> None:
        """Make the repository known, or write it whole anew."""
        self._repositories.wrote(_known_as(url, project))
        await self._client.apply_repository(url, login, project)

    async def delete_repository(self, url: str, project: str) -> None:
        """Forget the repository; it is fine when it is gone."""
        self._repositories.wrote(_known_as(url, project))
        await self._client.delete_repository(url, project)

    async def _list_projects(self) -> Mapping[str, ArgoProject]:
        return {one.shape.name: one for one in await self._client.list_projects()}

    async def _list_repositories(self) -> Mapping[str, Repository]:
        return {_known_as(one.url, one.project): one for one in await self._client.list_repositories()}


class RepositoriesRoster:
    """The repositories of one registry."""

    def __init__(self, client: DockerHub | OciRegistry, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._access = Roster(self._ask_access, clock=clock)
        self._namespaces: dict[str, Roster[ImageRepository]] = {}
        self.find_repository = client.find_repository

    async def check_access(self) -> str:
        """Return what is worth knowing about the access. Raises Refused."""
        return await self._access.latest("") or await self._client.check_access()

    async def latest_repository(self, name: str) -> ImageRepository | None:
        """Return the repository as the list of its namespace has it; None: read for yourself."""
        return await self._namespace_of(name).latest(name)

    async def create_repository(self, name: str, description: str) -> None:
        """Make a repository; it is fine when it is there, or when the registry makes it at the first push."""
        self._namespace_of(name).wrote(name)
        await self._client.create_repository(name, description)

    def _namespace_of(self, name: str) -> Roster[ImageRepository]:
        namespace = name.rpartition("/")[0]
        return self._namespaces.setdefault(namespace, Roster(partial(self._list, namespace), clock=self._clock))

    async def _list(self, namespace: str) -> Mapping[str, ImageRepository]:
        if not isinstance(self._client, DockerHub):
            return {}
        return {one.name: one for one in await self._client.list_repositories(namespace)}

    async def _ask_access(self) -> Mapping[str, str]:
        return {"": await self._client.check_access()}


class ZonesRoster:
    """The zones of one DNS account; only a zone that may be used is known from before."""

    def __init__(self, client: DnsClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._zones: dict[str, Roster[Zone]] = {}

    async def find_zone(self, domain: str) -> Zone | None:
        """Return the zone, if the account has it. Raises Refused with the cause of a refusal."""
        roster = self._zones.setdefault(domain, Roster(partial(self._ask, domain), clock=self._clock))
        return await roster.latest(domain) or await self._client.find_zone(domain)

    async def _ask(self, domain: str) -> Mapping[str, Zone]:
        zone = await self._client.find_zone(domain)
        return {domain: zone} if zone is not None and not zone.problem else {}


def _known_as(url: str, project: str) -> str:
    return f"{project} {url}"
