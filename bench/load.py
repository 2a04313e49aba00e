"""The load: projects are set up and revisions deployed by messages, and heartbeats are heard."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage

from reconciler.domain.resources import Phase

_ENVIRONMENTS = 50
_LONGEST = 300.0
_ENDS = {phase.value for phase in Phase if phase.is_end}


@dataclass(frozen=True)
class Place:
    """Where something can be deployed to."""

    project: str
    environment: str


@dataclass
class Told:
    """What was heard of one operation; moments are monotonic seconds."""

    sent_at: float
    accepted_at: float = 0.0
    first_at: float | None = None
    ended_at: float | None = None
    phase: str = ""
    reason: str = ""
    stage: str = ""
    beats: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def latency(self) -> float:
        """Seconds from the message's acceptance by the broker to the first heartbeat."""
        return (self.first_at or float("inf")) - self.accepted_at


class Load:
    """Sends messages and hears heartbeats."""

    def __init__(self, exchange: AbstractExchange) -> None:
        self._exchange = exchange
        self.operations: dict[str, Told] = {}
        self._number = 0
        self._run = f"{time.time_ns() // 1_000_000:x}"

    async def hear(self, message: AbstractIncomingMessage) -> None:
        """Take a heartbeat."""
        now = time.monotonic()
        beat = json.loads(message.body)["payload"]
        told = self.operations.get(beat["operation_id"])
        if told is None:
            return
        told.beats += 1
        told.first_at = told.first_at or now
        told.phase, told.reason, told.stage = beat["phase"], beat["reason"], beat["stage"]
        if beat["phase"] in _ENDS and told.ended_at is None:
            told.ended_at = now
            told.ended.set()

    async def set_up(self, environments: int) -> list[Place]:
        """Set projects up with so many environments in all; return where something can be deployed to."""
        places = [Place(f"p{n // _ENVIRONMENTS}", f"e{n % _ENVIRONMENTS}") for n in range(environments)]
        names = dict.fromkeys(place.project for place in places)
        told = [
            await self._send("DevOpsInitialize", f"init-{name}", name=name, spec=_project(name, places))
            for name in names
        ]
        async with asyncio.timeout(_LONGEST):
            for one in told:
                await one.ended.wait()
        return places

    async def deploy(self, place: Place) -> Told:
        """Ask for one deployment."""
        self._number += 1
        revision = f"{self._number:040x}"
        name = f"op-{self._run}-{self._number}"
        return await self._send(
            "DevOpsReconcile", name, project=place.project, environment=place.environment, revision=revision
        )

    async def deploy_all(self, places: list[Place], *, in_flight: int) -> list[Told]:
        """Deploy once to each place in turn, never more than `in_flight` at once; return when all have ended."""
        told: list[Told] = []
        waiting: Iterator[Place] = iter(places)

        async def one_after_the_other() -> None:
            for place in waiting:
                one = await self.deploy(place)
                told.append(one)
                await one.ended.wait()

        async with asyncio.timeout(_LONGEST), asyncio.TaskGroup() as group:
            for _ in range(min(in_flight, len(places))):
                group.create_task(one_after_the_other())
        return told

    async def _send(self, event: str, operation_id: str, **payload: Any) -> Told:
        told = self.operations[operation_id] = Told(time.monotonic())
        body = {
            "event_type": event,
            "event_id": f"{event}-{operation_id}",
            "timestamp": datetime.now(UTC).isoformat(),
            "payload": {"operation_id": operation_id, **payload},
        }
        await self._exchange.publish(aio_pika.Message(json.dumps(body).encode()), event)
        told.accepted_at = time.monotonic()
        return told


@asynccontextmanager
async def loading(environ: Mapping[str, str]) -> AsyncIterator[Load]:
    """Connect to the broker and hear all heartbeats until the end of the block."""
    url = f"amqp://guest:guest@{environ['RABBITMQ_HOST']}:{environ['RABBITMQ_PORT']}/"
    connection = await aio_pika.connect(url)
    async with connection:
        hearing, sending = await connection.channel(), await connection.channel()
        heartbeats = await hearing.declare_exchange("devops.heartbeat", aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await hearing.declare_queue(exclusive=True)
        await queue.bind(heartbeats, "#")
        load = Load(await sending.declare_exchange("devops", aio_pika.ExchangeType.TOPIC, durable=True))
        await queue.consume(load.hear, no_ack=True)
        yield load


def percentile(values: list[float], share: float) -> float:
    """Return the value below which a share of them is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _project(name: str, places: list[Place]) -> dict[str, Any]:
    environments = [
        {"name": p.environment, "domain": f"{p.environment}.{name}.acme.example", "dnsTarget": "203.0.113.7"}
        for p in places
        if p.project == name
    ]
    return {
        "displayName": name,
        "git": {"url": f"https://git.acme.example/{name}.git"},
        "components": [{"name": "api", "port": 8080}],
        "environments": environments,
    }
