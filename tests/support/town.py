"""A world to run an operator in, and its people: the back office at the broker, the engineer at the API server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aio_pika
import orjson
from aio_pika.abc import AbstractIncomingMessage

from reconciler.app.operator import Operator
from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.domain.errors import NotFound
from reconciler.domain.keys import Body, named
from reconciler.domain.names import API_VERSION, record_name
from reconciler.sandbox.world import NAMESPACE, World
from reconciler.settings import load
from support.clusters import until

REVISION = "4be1c05d" * 5
PATIENCE = 40.0
SHOP: dict[str, Any] = {
    "git": {"url": "https://git.acme.example/shop.git"},
    "components": [{"name": "api", "port": 8080}],
    "environments": [{"name": "alpha", "domain": "alpha.acme.example", "dnsTarget": "203.0.113.7"}],
}


@dataclass
class BackOffice:
    """Sends messages, and keeps every heartbeat it hears."""

    url: str
    exchange: str = "devops"
    heartbeat_exchange: str = "devops.heartbeat"
    beats: list[dict[str, Any]] = field(default_factory=list)
    _connection: aio_pika.abc.AbstractRobustConnection | None = None
    _out: aio_pika.abc.AbstractExchange | None = None
    _sent: int = 0

    async def start(self) -> None:
        """Connect, declare what both sides declare, and listen."""
        self._connection = await aio_pika.connect_robust(self.url, reconnect_interval=0.2)
        channel = await self._connection.channel(on_return_raises=True)
        topic = aio_pika.ExchangeType.TOPIC
        self._out = await channel.declare_exchange(self.exchange, topic, durable=True)
        heartbeats = await channel.declare_exchange(self.heartbeat_exchange, topic, durable=True)
        queue = await channel.declare_queue("", exclusive=False, durable=True, auto_delete=False)
        await queue.bind(heartbeats, "#")
        await queue.consume(self._heard)

    async def stop(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            await self._connection.close()

    async def send(self, event_type: str, payload: Mapping[str, Any]) -> None:
        """Send a message of the back office, again until somebody has bound a queue for it."""
        self._sent += 1
        event = {
            "event_type": event_type,
            "event_id": f"event-{self._sent}",
            "timestamp": datetime.now(UTC).isoformat(),
            "payload": payload,
        }
        await until(lambda: self._took(orjson.dumps(event), event_type), PATIENCE)

    async def _took(self, body: bytes, event_type: str) -> bool:
        assert self._out is not None, "the office is closed"
        try:
            await self._out.publish(aio_pika.Message(body, delivery_mode=2), event_type)
        except aio_pika.exceptions.PublishError:
            return False
        return True

    async def initialize(self, name: str = "shop", spec: Mapping[str, Any] = SHOP, operation: str = "op-init") -> None:
        """Ask for a project."""
        await self.send("DevOpsInitialize", {"operation_id": operation, "name": name, "spec": dict(spec)})

    async def deploy(self, operation: str, project: str = "shop", environment: str = "alpha", **more: Any) -> None:
        """Ask for a deployment."""
        payload = {"operation_id": operation, "project": project, "environment": environment, "revision": REVISION}
        await self.send("DevOpsReconcile", payload | more)

    def heard_of(self, operation: str) -> list[dict[str, Any]]:
        """Return the heartbeats of an operation."""
        return [beat for beat in self.beats if beat["operation_id"] == operation]

    def ends_of(self, operation: str) -> list[str]:
        """Return the phases in which an operation was said to have ended."""
        ends = {"Succeeded", "Failed", "Cancelled", "Superseded", "RolledBack"}
        return [beat["phase"] for beat in self.heard_of(operation) if beat["phase"] in ends]

    async def end_of(self, operation: str) -> str:
        """Wait until the end of an operation was told, and return it."""
        await until(lambda: bool(self.ends_of(operation)), PATIENCE)
        return self.ends_of(operation)[0]

    async def _heard(self, message: AbstractIncomingMessage) -> None:
        async with message.process():
            self.beats.append(orjson.loads(message.body)["payload"])


@dataclass
class Engineer:
    """Writes and reads resources."""

    api: Kubernetes
    namespace: str = NAMESPACE

    async def apply(self, kind: str, name: str, spec: Mapping[str, Any], **metadata: Any) -> Body:
        """Create a resource of ours."""
        whole = {"name": name, "namespace": self.namespace, **metadata}
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": whole, "spec": dict(spec)}
        return await self.api.create(named(kind), self.namespace, body)

    async def secret(self, name: str, **values: str) -> None:
        """Create a Secret."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": self.namespace},
            "stringData": values,
        }
        await self.api.create(named("Secret"), self.namespace, body)

    async def deploy(self, name: str, environment: str = "alpha", project: str = "shop", **more: Any) -> Body:
        """Create a record as somebody with kubectl does."""
        spec = {"projectRef": project, "environment": environment, "revision": REVISION, **more}
        return await self.apply("DeploymentRecord", record_name(name), spec)

    async def read(self, kind: str, name: str) -> Body:
        """Return a resource, empty where it is not there (yet)."""
        with suppress(NotFound):
            return await self.api.get(named(kind), self.namespace, name)
        return {}

    async def delete(self, kind: str, name: str) -> None:
        """Ask for a resource to go."""
        await self.api.delete(named(kind), self.namespace, name)

    async def until(self, kind: str, name: str, holds: Callable[[Body], Any], within: float = PATIENCE) -> Body:
        """Wait until a resource is as wanted, and return it."""
        body: Body = {}
        try:
            async with asyncio.timeout(within):
                while True:
                    body = await self.read(kind, name)
                    if body and holds(body):
                        return body
                    await asyncio.sleep(0.03)
        except TimeoutError:
            raise AssertionError(f"{kind} {name} did not come to be so: {body.get('status')}") from None

    async def ready(self, kind: str = "DevOpsProject", name: str = "shop") -> Body:
        """Wait until a resource is Ready as it was last changed."""
        return await self.until(kind, name, is_ready)

    async def stalled(self, kind: str, name: str, *words: str) -> Body:
        """Wait until a resource waits with all these words in its message."""
        return await self.until(kind, name, lambda body: all(word in message_of(body) for word in words))

    async def ended(self, name: str) -> Body:
        """Wait until a deployment has ended."""
        return await self.until("DeploymentRecord", name, lambda body: status_of(body).get("finishedAt"))

    async def gone(self, kind: str, name: str) -> None:
        """Wait until a resource is not there any more."""

        async def is_gone() -> bool:
            return not await self.read(kind, name)

        await until(is_gone, PATIENCE)


def status_of(body: Body) -> dict[str, Any]:
    """Return the status, empty where there is none yet."""
    return body.get("status") or {}


def condition_of(body: Body, name: str = "Ready") -> dict[str, Any]:
    """Return a condition, empty where there is none yet."""
    conditions: list[dict[str, Any]] = status_of(body).get("conditions") or []
    return next((one for one in conditions if one["type"] == name), {})


def message_of(body: Body) -> str:
    """Return what the Ready condition says while it is not."""
    ready = condition_of(body)
    return f"{ready.get('reason')}: {ready.get('message')}" if ready.get("status") == "False" else ""


def is_ready(body: Body) -> bool:
    """Tell whether a resource is Ready at its present generation."""
    is_seen = status_of(body).get("observedGeneration") == body["metadata"]["generation"]
    return is_seen and condition_of(body).get("status") == "True"


def stage_of(body: Body, name: str, component: str = "api") -> dict[str, Any]:
    """Return a stage of a deployment, empty where it has none of that name."""
    stages: list[dict[str, Any]] = status_of(body).get("stages") or []
    return next((one for one in stages if one["name"] == name and one.get("component", "") == component), {})


@dataclass
class Town:
    """The world, the office and the engineer."""

    world: World
    environ: dict[str, str]
    office: BackOffice
    engineer: Engineer

    @asynccontextmanager
    async def operator(self, **variables: str) -> AsyncIterator[Operator]:
        """Run an operator in this process."""
        environ = self.environ | variables
        operator = Operator(load(environ), Credentials.from_kubeconfig(Path(environ["KUBECONFIG"])))
        living = asyncio.create_task(operator.run())
        try:
            await asyncio.wait({living, asyncio.ensure_future(_started(operator))}, return_when=asyncio.FIRST_COMPLETED)
            yield operator
        finally:
            operator.stop()
            async with asyncio.timeout(PATIENCE):
                await living


async def _started(operator: Operator) -> None:
    async with asyncio.timeout(PATIENCE):
        await operator.ready.wait()


IMPATIENT = {
    "JENKINS_WATCH_INTERVAL": "200ms",
    "RECONCILER_BREAKER_OPEN": "1s",
    "RECONCILER_LOG_FORMAT": "json",
}
"""Variables that make an operator quick to notice what a test does."""


@asynccontextmanager
async def a_town(**variables: str) -> AsyncIterator[Town]:
    """Run a whole simulated world."""
    world = World()
    await world.start()
    try:
        async with people(world, {**world.environ(), **IMPATIENT, **variables}, world.broker.url) as town:
            yield town
    finally:
        world.kube.faults.down = False
        await world.stop()


@asynccontextmanager
async def people(world: World, environ: dict[str, str], broker: str) -> AsyncIterator[Town]:
    """Let the people of a world in: it may have real parts, which the variables name."""
    names = {"exchange": "RABBITMQ_EXCHANGE", "heartbeat_exchange": "RABBITMQ_HEARTBEAT_EXCHANGE"}
    office = BackOffice(broker, **{name: environ[key] for name, key in names.items() if key in environ})
    await office.start()
    kubernetes = Kubernetes(Credentials.from_kubeconfig(Path(environ["KUBECONFIG"])))
    try:
        yield Town(world, environ, office, Engineer(kubernetes))
    finally:
        await kubernetes.close()
        await office.stop()
