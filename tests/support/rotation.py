"""All systems behind credentials that change: how each is asked, who may, and some who ask all the time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from reconciler.app.connections import Connections
from reconciler.app.endpoints import Endpoints
from reconciler.app.secrets import SecretReader
from reconciler.domain.clock import SystemClock
from reconciler.domain.keys import Body
from reconciler.domain.resources import ArgoSettings, ContainerRegistry, DNSZone, JenkinsSettings, Resource
from reconciler.domain.resources.common import api_object
from reconciler.operator.cache import Cache
from reconciler.sandbox.argocd import ArgoCD
from reconciler.sandbox.dockerhub import DockerHub
from reconciler.sandbox.godaddy import GoDaddy
from reconciler.sandbox.jenkins import Jenkins
from reconciler.sandbox.server import Simulator
from reconciler.settings import load
from reconciler.telemetry.masking import Secrets
from reconciler.telemetry.metrics import Metrics
from support.secrets import Cluster

WORKERS = 6
Doors = Callable[[Any, str], None]


@dataclass(frozen=True)
class System:
    """How one system is asked, and who may."""

    kind: type[Resource]
    make: Callable[[], Simulator]
    spec: Mapping[str, Any]
    secret: Callable[[str], dict[str, str]]
    let_in: Doors
    shut_out: Doors
    ask: Callable[[Connections, Any], Awaitable[object]]


async def ask_jenkins(connections: Connections, settings: Any) -> object:
    return await (await connections.jobs(settings)).find_folder("freeleaps")


async def ask_argo(connections: Connections, settings: Any) -> object:
    return await (await connections.argo_projects(settings)).find_project("default")


async def ask_registry(connections: Connections, settings: Any) -> object:
    return await (await connections.images(settings)).find_repository("acme/shop-api")


async def ask_dns(connections: Connections, settings: Any) -> object:
    return await (await connections.records(settings)).find_record_set("acme.example", "TXT", "api")


def jenkins_shuts_out(jenkins: Jenkins, token: str) -> None:
    jenkins.doors.tokens.discard(token)


def argo_lets_in(argo: ArgoCD, token: str) -> None:
    argo.accounts.tokens["reconciler", token] = token


def argo_shuts_out(argo: ArgoCD, token: str) -> None:
    argo.accounts.tokens.pop(("reconciler", token), None)


def hub_shuts_out(hub: DockerHub, token: str) -> None:
    hub.account.access_tokens.discard(token)
    hub.account.revoke_all()


def dns_lets_in(dns: GoDaddy, token: str) -> None:
    dns.other_keys.add(("key", token))


def dns_shuts_out(dns: GoDaddy, token: str) -> None:
    dns.other_keys.discard(("key", token))


class PowerDnsDoor(Simulator):
    """As much of PowerDNS' HTTP API as who may come in is about: an empty zone behind keys.

    The real one has a single key, which it reads at its start: who rotates keys has a proxy before it that knows more
    than one. What it answers to is tests/integration/test_powerdns.py's.
    """

    name = "powerdns"

    def __init__(self) -> None:
        super().__init__()
        self.keys: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        server = "/api/v1/servers/localhost"
        return [web.get(server, self._answer), web.get(f"{server}/zones/{{zone}}", self._answer)]

    async def _answer(self, request: web.Request) -> web.Response:
        if request.headers.get("X-API-Key") not in self.keys:
            return web.Response(status=401, text="Unauthorized")
        return web.json_response({"id": "localhost", "name": "acme.example.", "kind": "Native", "rrsets": []})


SYSTEMS = {
    "jenkins": System(
        JenkinsSettings,
        Jenkins,
        {"projectRef": "shop"},
        lambda token: {"username": "reconciler", "token": token},
        lambda jenkins, token: jenkins.doors.tokens.add(token),
        jenkins_shuts_out,
        ask_jenkins,
    ),
    "argocd": System(
        ArgoSettings,
        ArgoCD,
        {"projectRef": "shop"},
        lambda token: {"token": token},
        argo_lets_in,
        argo_shuts_out,
        ask_argo,
    ),
    "registry": System(
        ContainerRegistry,
        lambda: DockerHub(namespace="acme", username="acme"),
        {"namespace": "acme"},
        lambda token: {"username": "acme", "password": token},
        lambda hub, token: hub.account.access_tokens.add(token),
        hub_shuts_out,
        ask_registry,
    ),
    "dns": System(
        DNSZone,
        lambda: GoDaddy(limit_per_minute=None),
        {"domain": "acme.example"},
        lambda token: {"key": "key", "secret": token},
        dns_lets_in,
        dns_shuts_out,
        ask_dns,
    ),
    "powerdns": System(
        DNSZone,
        PowerDnsDoor,
        {"provider": "PowerDNS", "domain": "acme.example"},
        lambda token: {"key": token},
        lambda door, token: door.keys.add(token),
        lambda door, token: door.keys.discard(token),
        ask_dns,
    ),
}


class Rotation:
    """One system, the settings that lead to it, the Secret they name, and some who ask all the time."""

    def __init__(self, system: System, simulator: Simulator, **variables: str) -> None:
        self.system, self.simulator = system, simulator
        self.cluster, self.cache, masking = Cluster(), Cache(), Secrets()
        environ = {
            "RABBITMQ_HOST": "mq",
            "RABBITMQ_PASSWORD": "hush-hush",
            "JENKINS_ENDPOINT": "none",
            "ARGOCD_ENDPOINT": "none",
            "DOCKER_HUB_ENDPOINT": simulator.url,
            "GODADDY_STARTS_FULL": "false",
            **variables,
        }
        settings, clock = load(environ), SystemClock()
        unlimited = settings.godaddy.model_copy(update={"requests_per_minute": 100_000})
        settings = settings.model_copy(update={"godaddy": unlimited})
        self.connections = Connections(
            settings,
            Endpoints(settings.outside, clock, masking.mask, Metrics()),
            SecretReader(self.cluster, clock, masking.learn, self.cache),
            clock,
            mask=masking.mask,
            build_changed=lambda _: None,
            application_changed=lambda _, __: None,
        )
        spec = {**system.spec, "endpoint": simulator.url, "credentialsRef": {"name": "ci"}}
        body: Body = api_object(system.kind, "own", "space", spec)
        self.settings: Any = system.kind(body)
        self.calls = [0] * WORKERS
        self.failures: list[BaseException] = []
        self._called = asyncio.Condition()

    def write(self, token: str) -> None:
        """Change the Secret; the watch tells of it."""
        self.cache.remember(self.cluster.write(**self.system.secret(token)))

    async def ask(self) -> object:
        return await self.system.ask(self.connections, self.settings)

    async def keep_asking(self, worker: int) -> None:
        """Ask without an end."""
        while True:
            try:
                await self.ask()
            except Exception as error:  # noqa: BLE001 - each failed call is what this is about
                self.failures.append(error)
            await asyncio.sleep(0)  # one that fails at once must let the others go on
            async with self._called:
                self.calls[worker] += 1
                self._called.notify_all()

    async def more_calls(self) -> None:
        """Wait until each of them has begun and ended a call from now on."""
        enough = [count + 2 for count in self.calls]
        await self.until(lambda: all(count >= least for count, least in zip(self.calls, enough, strict=True)))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds after a call."""
        async with self._called:
            await self._called.wait_for(holds)

    def uses(self, token: str) -> bool:
        """Tell whether a credential is the one in use."""
        (login,) = self.connections._logins.values()
        return login._used is not None and token in login._used.values.values()

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """Have it asked all the time inside of this."""
        asking = [asyncio.create_task(self.keep_asking(worker)) for worker in range(WORKERS)]
        try:
            yield
        finally:
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)
