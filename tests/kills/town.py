"""The town of the kill matrix: the sandbox's systems, a real RabbitMQ, and operators that are born and killed."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika

from kills.lives import Lives, lives
from reconciler.app.broker import topology_of
from reconciler.domain.keys import OUR_KINDS, named
from reconciler.sandbox.argocd.controller import Pace
from reconciler.sandbox.world import World
from reconciler.settings import load
from support.town import IMPATIENT, Town, people

_NAMES = ("EXCHANGE", "INITIALIZE_QUEUE", "RECONCILE_QUEUE", "RETRY_QUEUE", "DEAD_QUEUE", "HEARTBEAT_EXCHANGE")
_QUICK = {
    "JENKINS_TIMEOUT": "2s",
    "RECONCILER_REPLICA": "killed-0",
    "RECONCILER_MESSAGE_RETRY_DELAY": "500ms",
    "RECONCILER_RESYNC_INTERVAL": "20s",
}


@asynccontextmanager
async def a_town_to_kill_in(broker: str, folder: Path) -> AsyncIterator[tuple[Town, Lives]]:
    """Open the town; `broker` is the URL of a real RabbitMQ, which others may use too."""
    world = World(rabbitmq=broker)
    world.jenkins.pace.build = 0.4
    world.argocd.controller.pace = Pace(sync=0.2)
    world.godaddy.limit_per_minute = None  # each life counts anew, which is another promise
    unique = f"kills{secrets.token_hex(3)}"
    await world.start()
    try:
        queues = {f"RABBITMQ_{name}": f"{unique}.{name.lower()}" for name in _NAMES}
        environ = {**world.environ(), **IMPATIENT, **_QUICK, **queues}
        async with people(world, environ, broker) as town, lives(environ, folder) as born:
            yield town, born
    finally:
        await world.stop()


async def depths(town: Town, broker: str) -> dict[str, int]:
    """Return how many messages each queue of the operator has; nobody may hold any."""
    topology = topology_of(load(town.environ))
    names = [*topology.bindings, *map(topology.retry_name, topology.retry_delays), topology.dead]
    async with await aio_pika.connect(broker) as connection:
        channel = await connection.channel()
        queues = [await channel.declare_queue(name, passive=True) for name in names]
        return {queue.name: queue.declaration_result.message_count or 0 for queue in queues}


async def left_over(town: Town) -> list[str]:
    """Return in words what is left in the API server: resources of ours but for ended records, and leftovers."""
    engineer = town.engineer
    found = []
    for kind in OUR_KINDS:
        bodies, _ = await engineer.api.list_(kind, engineer.namespace)
        for body in bodies:
            status = body.get("status") or {}
            if kind.kind != "DeploymentRecord":
                found.append(f"{kind.kind} {body['metadata']['name']} is left")
            elif status.get("announced", -1) < status.get("sequence", 0):
                found.append(f"{body['metadata']['name']} is not marked as announced")
    maps, _ = await engineer.api.list_(named("ConfigMap"), engineer.namespace)
    found += [f"leftover {one['metadata']['name']}" for one in maps if "freeleaps.com/leftover" in str(one["metadata"])]
    return found
