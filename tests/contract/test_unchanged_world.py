"""Two passes over an unchanged world change nothing: the real clients against the simulators, as these normalise."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from reconciler.app.connections import Connections
from reconciler.app.endpoints import Endpoints
from reconciler.app.secrets import SecretReader
from reconciler.domain.errors import Conflict
from reconciler.domain.keys import Body, Key, Kind
from reconciler.domain.resources import ArgoSettings, ContainerRegistry, DNSZone, GitCredential, JenkinsSettings
from reconciler.domain.resources.common import api_object
from reconciler.engine.acting import Actor
from reconciler.engine.engine import Engine
from reconciler.engine.patience import Incarnation, Patience
from reconciler.environments.environments import make_environments
from reconciler.projects.settings import Settings
from reconciler.projects.tear_down import TearDown
from reconciler.sandbox.world import DOMAIN, World
from reconciler.settings import load
from reconciler.telemetry.metrics import Metrics
from support.moments import ManualClock
from support.scene import OWNER, REVISION, SPACE, Ledger, environment, leaving_of, looks_of, project
from support.store import MemoryStore

LOGIN = {"username": "Ym90", "password": "czNjcmV0"}
LOG_INS = {"POST /v2/auth/token"}
KINDS = (JenkinsSettings, ArgoSettings, ContainerRegistry, DNSZone, GitCredential)


class Secrets:
    """Any Secret, always the same."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Body:
        return {"metadata": {"name": name, "uid": "u", "resourceVersion": "1"}, "data": LOGIN}


class Pass:
    """A replica's set-ups over the simulators."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        settings = load(world.environ())
        endpoints = Endpoints(settings.outside, self.clock, str, Metrics())
        self.connections = Connections(
            settings,
            endpoints,
            SecretReader(Secrets(), self.clock, lambda _: None),
            self.clock,
            mask=str,
            build_changed=lambda _: None,
            application_changed=lambda _line, _name: None,
        )
        patience = Patience()
        actor = Actor(clock=self.clock, audit=Ledger(), patience=patience)
        engine = Engine(me=Incarnation("r", "1"), clock=self.clock, actor=actor, patience=patience)
        self.environments = make_environments(
            store=self.store,
            engine=engine,
            clock=self.clock,
            patience=patience,
            looks=looks_of(self.connections, self.store),
            leaving=leaving_of(engine, self.store, self.clock),
            systems=self.connections,
            owner=OWNER,
        )
        self.settings = Settings(
            store=self.store,
            engine=engine,
            clock=self.clock,
            patience=patience,
            systems=self.connections,
            logins=self.connections,
            tear_down=TearDown(
                store=self.store,
                engine=engine,
                clock=self.clock,
                patience=patience,
                looks=looks_of(self.connections, self.store),
                leaving=leaving_of(engine, self.store, self.clock),
                owner=OWNER,
            ),
            owner=OWNER,
        )

    def add(self, name: str, **jenkins: Any) -> None:
        """Add a project with settings of its own."""
        git = {"url": f"https://git.{DOMAIN}/acme/{name}.git"}
        self.store.put(project(("api", "web"), name, git=git))
        alpha = environment("alpha", projectRef=name)
        self.store.put({**alpha, "metadata": {**alpha["metadata"], "name": f"{name}--alpha"}})
        for kind, spec in (
            (JenkinsSettings, {"projectRef": name, **jenkins}),
            (ArgoSettings, {"projectRef": name}),
            (ContainerRegistry, {"namespace": "acme"}),
            (DNSZone, {"domain": DOMAIN}),
        ):
            self.store.put(api_object(kind, name, SPACE, spec))

    def add_preview(self, name: str) -> None:
        """Add a preview of the shop in which something is current."""
        body = environment(name, domain=f"{name}.{DOMAIN}")
        running = {"image": f"docker.io/acme/shop-api:1@sha256:{'0' * 64}", "revision": REVISION, "operation": name}
        self.store.put({**body, "status": {"phase": "Idle", "current": {"api": running}}})

    async def look_at_environments(self) -> None:
        for body in list(self.store.list_("Environment", SPACE)):
            with suppress(Conflict):  # look again at once, says the next turn
                await self.environments.look(Key("Environment", SPACE, body["metadata"]["name"]))

    async def look_at_all(self) -> None:
        for kind in KINDS:
            for body in list(self.store.list_(kind.kind, SPACE)):
                await self.settings.look(Key(kind.kind, SPACE, body["metadata"]["name"]))

    def requests(self) -> dict[str, Counter[str]]:
        world = self.world
        systems = {"jenkins": world.jenkins, "argocd": world.argocd, "registry": world.dockerhub, "dns": world.godaddy}
        return {name: Counter(system.requests) for name, system in systems.items()}

    def not_ready(self) -> list[str]:
        bodies = [body for kind in KINDS for body in self.store.list_(kind.kind, SPACE)]
        return [f"{b['kind']}: {b['status'].get('waitingFor')}" for b in bodies if b["status"].get("waitingFor")]


@pytest.fixture
async def passing() -> AsyncIterator[Pass]:
    world = World()
    await world.start()
    it = Pass(world)
    yield it
    await it.connections.close()
    await world.stop()


INLINE = {"pipeline": {"inline": "node {\r\n  echo 'ä & <b>'\n}\n"}, "folder": "teams/acme/deep"}
PLAIN: dict[str, Any] = {"parameters": {"TARGET": "x", "ANOTHER": "y"}}


@pytest.mark.parametrize("jenkins", [PLAIN, INLINE], ids=["from git", "inline"])
async def test_two_passes_over_an_unchanged_world_change_nothing(passing: Pass, jenkins: dict[str, Any]) -> None:
    passing.store.put(
        api_object(GitCredential, "git", SPACE, {"urlPrefix": f"https://git.{DOMAIN}", "secretRef": {"name": "git"}})
    )
    passing.add("shop", **jenkins)
    await passing.look_at_all()
    assert passing.not_ready() == []
    writes, before = list(passing.store.writes), passing.requests()
    for _ in range(2):
        passing.clock.advance(300)
        await passing.look_at_all()
    after = passing.requests()
    asked = {name: after[name] - before[name] for name in after}
    assert passing.store.writes == writes
    assert {one for counts in asked.values() for one in counts if not one.startswith(("GET", "HEAD"))} <= LOG_INS
    assert all(asked.values()), "each system was looked at"


async def test_what_jenkins_itself_adds_to_a_job_is_no_drift(passing: Pass) -> None:
    passing.add("shop")
    await passing.look_at_all()
    job = passing.world.jenkins.root.find(["freeleaps", "shop"])
    assert job is not None
    assert job.configuration is not None
    tree = job.configuration.root
    tree.set("plugin", "workflow-job@1500")
    ET.SubElement(tree.find("properties"), "hudson.plugins.SomethingElse").text = "true"  # type: ignore[arg-type]
    ET.SubElement(tree, "keepDependencies").text = "false"
    passing.clock.advance(300)
    writes = list(passing.store.writes)
    await passing.look_at_all()
    assert passing.store.writes == writes


async def test_a_pass_over_many_projects_shares_its_lists(passing: Pass) -> None:
    names = [f"p{number}" for number in range(20)]
    for name in names:
        passing.add(name)
    await passing.look_at_all()
    assert passing.not_ready() == []
    before = passing.requests()
    passing.clock.advance(300)
    await passing.look_at_all()
    after = passing.requests()
    counts = {name: sum((after[name] - before[name]).values()) for name in after}
    assert counts["jenkins"] == 20 + 1, "one for each job, one for the folder"
    assert counts["argocd"] == 2, "projects, repositories"
    assert counts["registry"] <= 4, "a log-in, access at two doors, repositories"
    assert counts["dns"] == 1
    assert sum(counts.values()) <= 4 * len(names)


async def test_idle_previews_share_one_list_of_applications_and_one_read_of_the_zone(passing: Pass) -> None:
    passing.add("shop")
    for number in range(6):
        passing.add_preview(f"pr-{number}")
    await passing.look_at_all()
    for _ in range(12):  # what is current there is made first
        await passing.look_at_environments()
        passing.clock.advance(60)
    writes, before = list(passing.store.writes), passing.requests()
    passing.clock.advance(300)
    await passing.look_at_environments()
    after = passing.requests()
    asked = {name: after[name] - before[name] for name in after}
    assert passing.store.writes == writes
    assert sum(asked["argocd"].values()) == 1
    assert sum(asked["dns"].values()) == 1
    assert not asked["jenkins"]
    assert not asked["registry"]
