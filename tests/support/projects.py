"""A project with its settings, and the systems that are set up for it."""

from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.domain.errors import Busy, Missing
from reconciler.domain.keys import Body, Key
from reconciler.domain.names import FINALIZER
from reconciler.domain.outside.applications import ArgoProject, ProjectShape, Repository
from reconciler.domain.outside.builds import Credential, Folder, GitLogin, Job, JobPath, JobShape
from reconciler.domain.outside.dns import Zone
from reconciler.domain.outside.images import ImageRepository
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import (
    ArgoSettings,
    ContainerRegistry,
    DNSZone,
    GitCredential,
    JenkinsSettings,
    Resource,
)
from reconciler.domain.resources.common import api_object
from reconciler.domain.things import Where
from reconciler.engine.acting import Actor
from reconciler.engine.engine import Engine
from reconciler.engine.patience import Incarnation, Patience
from reconciler.projects.children import Defaults
from reconciler.projects.projects import Projects
from reconciler.projects.removal import ProjectRemoval
from reconciler.projects.settings import Settings
from reconciler.projects.tear_down import TearDown
from reconciler.removal.argocd import RemovableApplications
from reconciler.removal.dns import RemovableRecords
from support.moments import ManualClock
from support.outside import System
from support.scene import OWNER, SPACE, Ledger, leaving_of, looks_of, project
from support.store import MemoryStore

JENKINS = Key("JenkinsSettings", SPACE, "shop")
ARGO = Key("ArgoSettings", SPACE, "shop")
REGISTRY = Key("ContainerRegistry", SPACE, "shop")
PROJECT = Key("DevOpsProject", SPACE, "shop")
ZONE = Key("DNSZone", SPACE, "example.com")


@dataclass
class JenkinsItems(System):
    """Folders, jobs and credentials; `forgets` has jobs come back as another than was written."""

    folders: dict[str, Folder] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    credentials: dict[str, Credential] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    building: set[str] = field(default_factory=set)
    questions: int = 0
    forgets: bool = False

    async def version(self) -> str:
        return "2.479"

    async def find_folder(self, path: str) -> Folder | None:
        self._asked()
        if path not in self.folders:
            return None
        held = [each for each in (*self.jobs, *self.folders) if each.rpartition("/")[0] == path]
        return replace(self.folders[path], holds=held[0] if held else "")

    async def latest_folder(self, path: str) -> Folder | None:
        return None

    async def create_folder(self, path: str, marker: Marker) -> None:
        self.folders[path] = Folder(path, marker)
        self._changed(f"folder {path}")

    async def find_job(self, path: JobPath) -> Job | None:
        self._asked()
        return self.jobs.get(f"{path.folder}/{path.name}")

    async def create_job(self, path: JobPath, shape: JobShape, marker: Marker) -> None:
        self._write(path, shape, marker)
        self._changed(f"job {path.folder}/{path.name}")

    async def update_job(self, path: JobPath, shape: JobShape, marker: Marker) -> None:
        self._write(path, shape, marker)
        self._changed(f"update {path.folder}/{path.name}")

    async def is_building(self, path: JobPath) -> bool:
        self.up()
        return f"{path.folder}/{path.name}" in self.building

    async def delete_item(self, path: str) -> None:
        self.jobs.pop(path, None)
        self.folders.pop(path, None)
        self._changed(f"delete {path}")

    async def find_credential(self, folder: str, identity: str) -> Credential | None:
        self._asked()
        return self.credentials.get(f"{folder}/{identity}")

    async def latest_credential(self, folder: str, identity: str) -> Credential | None:
        return None

    async def apply_credential(self, folder: str, login: GitLogin, marker: Marker) -> None:
        self.credentials[f"{folder}/{login.id}"] = Credential(login.id, marker)
        self._changed(f"credential {folder}/{login.id}")

    async def delete_credential(self, folder: str, identity: str) -> None:
        self.credentials.pop(f"{folder}/{identity}", None)
        self._changed(f"delete credential {folder}/{identity}")

    def _write(self, path: JobPath, shape: JobShape, marker: Marker) -> None:
        kept = JobShape("", "") if self.forgets else shape
        self.jobs[f"{path.folder}/{path.name}"] = Job(path, marker, kept, "http://jenkins/job")

    def _asked(self) -> None:
        self.up()
        self.questions += 1

    def _changed(self, what: str) -> None:
        self.up()
        self.changes.append(what)
        self.after_act()


@dataclass
class ArgoTool(System):
    """AppProjects and repositories."""

    projects: dict[str, ArgoProject] = field(default_factory=dict)
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    users: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """Applications by the repository that they come from."""
    in_use: bool = False

    async def version(self) -> str:
        return "v3.1.0"

    async def find_project(self, name: str) -> ArgoProject | None:
        self.up()
        return self.projects.get(name)

    async def latest_project(self, name: str) -> ArgoProject | None:
        return None

    async def create_project(self, shape: ProjectShape, marker: Marker) -> None:
        self.projects[shape.name] = ArgoProject(shape, marker)
        self._changed(f"project {shape.name}")

    async def update_project(self, shape: ProjectShape, marker: Marker) -> None:
        self.projects[shape.name] = ArgoProject(shape, marker)
        self._changed(f"update {shape.name}")

    async def delete_project(self, name: str) -> None:
        if self.in_use:
            raise Busy("project is referenced by 1 applications", system="argocd")
        self.projects.pop(name, None)
        self._changed(f"delete project {name}")

    async def find_repository(self, url: str, project: str) -> Repository | None:
        self.up()
        return self.repositories.get((url, project))

    async def latest_repository(self, url: str, project: str) -> Repository | None:
        return None

    async def apply_repository(self, url: str, login: GitLogin | None, project: str) -> None:
        self.repositories[url, project] = Repository(url, project)
        self._changed("repository")

    async def list_users(self, url: str, project: str) -> tuple[str, ...]:
        self.up()
        return self.users.get((url, project), ())

    async def delete_repository(self, url: str, project: str) -> None:
        self.repositories.pop((url, project), None)
        self._changed("delete repository")

    def _changed(self, what: str) -> None:
        self.changes.append(what)
        self.after_act()


@dataclass
class Repositories(System):
    """Image repositories."""

    names: dict[str, ImageRepository] = field(default_factory=dict)

    async def check_access(self) -> str:
        self.up()
        return "200 pulls left"

    async def find_repository(self, name: str) -> ImageRepository | None:
        return self.names.get(name)

    async def latest_repository(self, name: str) -> ImageRepository | None:
        return None

    async def create_repository(self, name: str, description: str) -> None:
        self.names[name] = ImageRepository(name, description)
        self.after_act()


@dataclass
class Accounts(System):
    """DNS accounts, and git logins."""

    zone: Zone | None = field(default_factory=lambda: Zone("example.com"))
    own_login: GitLogin | None = None
    secrets: set[str] = field(default_factory=lambda: {"git"})
    git_version: str = "uid-1/1"
    refusal: str = ""

    async def find_zone(self, domain: str) -> Zone | None:
        self.up()
        return self.zone

    async def login(self, credential: GitCredential, identity: str) -> GitLogin:
        if credential.spec.secret_ref.name not in self.secrets:
            raise Missing(f"Secret {credential.spec.secret_ref.name} is not there")
        return GitLogin(identity, "git", f"s3cret of {self.git_version}", version=self.git_version)


class SetupWorld:
    """One namespace with a project `shop` and a replica that sets it up."""

    def __init__(self, components: tuple[str, ...] = ("api",), **spec: Any) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self.jenkins = JenkinsItems(self.clock)
        self.argo = ArgoTool(self.clock)
        self.repositories = Repositories(self.clock)
        self.accounts = Accounts(self.clock)
        self.all: tuple[System, ...] = (self.jenkins, self.argo, self.repositories, self.accounts)
        self.ledger = Ledger()
        self.lives = 0
        self.begin_life()
        self.store.put(project(components, **spec))

    def begin_life(self) -> None:
        """Start the replica anew."""
        self.lives += 1
        patience = Patience()
        actor = Actor(clock=self.clock, audit=self.ledger, patience=patience)
        me = Incarnation("replica-0", f"life-{self.lives}")
        engine = Engine(me=me, clock=self.clock, actor=actor, patience=patience)
        leaving = leaving_of(engine, self.store, self.clock)
        self.settings = Settings(
            store=self.store,
            engine=engine,
            clock=self.clock,
            patience=patience,
            systems=Systems(self),
            logins=self.accounts,
            tear_down=TearDown(
                store=self.store,
                engine=engine,
                clock=self.clock,
                patience=patience,
                looks=looks_of(Systems(self), self.store),
                leaving=leaving,
                owner=OWNER,
            ),
            owner=OWNER,
        )
        self.projects = Projects(
            store=self.store,
            clock=self.clock,
            defaults=Defaults(registry={"namespace": "acme"}),
            removal=ProjectRemoval(store=self.store, clock=self.clock, leaving=leaving),
        )

    def add(self, kind: type, name: str = "shop", **spec: Any) -> Body:
        """Add settings that a person made."""
        if kind in (JenkinsSettings, ArgoSettings):
            spec = {"projectRef": "shop", **spec}
        return self.store.put(api_object(kind, name, SPACE, spec, finalizers=[FINALIZER]))

    async def look_at_all(self) -> None:
        """Look once at the project and all settings, as often as one change leads to another."""
        await self.projects.look(PROJECT)
        for kind in (JenkinsSettings, ArgoSettings, ContainerRegistry, DNSZone, GitCredential):
            for body in list(self.store.list_(kind.kind, SPACE)):
                await self.settings.look(Key(kind.kind, SPACE, body["metadata"]["name"]))
        if self.store.read(PROJECT) is not None:
            await self.projects.look(PROJECT)

    def conditions(self, key: Key) -> dict[str, tuple[str, str]]:
        return {one["type"]: (one["status"], one["reason"]) for one in self.store.status(key)["conditions"]}

    def made(self, key: Key) -> dict[str, str]:
        """Return the inventory: what, and whether it is intended or made."""
        inventory = self.store.status(key).get("inventory", [])
        return {f"{item['kind']} {item['name']}": item["state"] for item in inventory}


class Systems:
    """Marries the fakes to the port."""

    def __init__(self, world: SetupWorld) -> None:
        self._world = world

    async def jobs(self, settings: JenkinsSettings) -> JenkinsItems:
        return self._world.jenkins

    async def argo_projects(self, settings: ArgoSettings) -> ArgoTool:
        return self._world.argo

    async def removable_items(self, where: Where) -> JenkinsItems:
        return self._world.jenkins

    async def removable_projects(self, where: Where) -> ArgoTool:
        return self._world.argo

    async def removable_applications(self, where: Where) -> RemovableApplications:
        raise AssertionError("settings have no applications")

    async def removable_records(self, where: Where) -> RemovableRecords:
        raise AssertionError("settings have no records")

    async def image_repositories(self, settings: ContainerRegistry) -> Repositories:
        return self._world.repositories

    async def zones(self, settings: DNSZone) -> Accounts:
        return self._world.accounts

    def refusal(self, settings: Resource) -> str:
        return self._world.accounts.refusal

    async def default_git_login(self, url: str, identity: str) -> GitLogin | None:
        return self._world.accounts.own_login
