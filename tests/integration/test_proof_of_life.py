"""Ways that are up and dead: a watch that says nothing any more, a consumer that is given nothing; and outages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

import pytest

from reconciler.app.canaries import LABEL, MessageCanary, ResourceCanary, canary_key
from reconciler.app.lifeline import Lifeline
from reconciler.clients.kubernetes import Credentials, Kubernetes, change_and_hear
from reconciler.clients.rabbitmq import Delivery, RabbitMQ
from reconciler.domain.clock import SystemClock
from reconciler.domain.keys import CONFIG_MAP, Key
from reconciler.domain.messages import Topology
from reconciler.operator.cache import Cache, Change
from reconciler.operator.shell import Shell, Tuning
from reconciler.resilience.backoff import Backoff
from reconciler.sandbox.broker import Broker
from reconciler.sandbox.kube import KubeApi
from support.clusters import BOAT, a_boat, a_cluster, until

INTERVAL = timedelta(seconds=0.5)
LONG_LATE = 6 * INTERVAL.total_seconds()
"""Seconds without a proof: twice as long as a part is waited for before it is begun anew."""
SOON = Backoff(first=timedelta(seconds=0.1), longest=timedelta(seconds=0.1), floor=timedelta(seconds=0.1))
PATIENT = Tuning(longest_pause=timedelta(seconds=0.2), reconnect_pause=timedelta(seconds=0.05))


@dataclass
class Watched:
    api: KubeApi
    client: Kubernetes
    cache: Cache
    lifeline: Lifeline
    restarted: list[str] = field(default_factory=list)

    def knows(self, name: str) -> bool:
        return self.cache.read(Key(BOAT.kind, "default", name)) is not None


@asynccontextmanager
async def watched(replica: str = "pod-0") -> AsyncIterator[Watched]:
    async with a_cluster(BOAT) as (api, client):
        cache, clock = Cache(), SystemClock()
        credentials = Credentials(server=api.url, token=api.token)
        shell = Shell(
            credentials,
            cache,
            (BOAT,),
            labelled={CONFIG_MAP: LABEL},
            namespaces=["default"],
            tuning=PATIENT,
            backoff=SOON,
        )
        key = canary_key(replica, "elsewhere", ("default",))
        fresh = partial(change_and_hear, credentials, CONFIG_MAP, key.namespace, key.name)
        canary = ResourceCanary(client, key, clock, change_and_hear=fresh, restart=shell.restart)
        restarted: list[str] = []
        lifeline = Lifeline("changes", canary, interval=INTERVAL, clock=clock, restarted=restarted.append)

        def hear(change: Change) -> None:
            if change.key == key and change.after is not None and canary.is_ours(change.after):
                lifeline.arrived()

        cache.subscribe(hear)
        running = [asyncio.create_task(shell.run()), asyncio.create_task(lifeline.run())]
        try:
            await until(lambda: lifeline.proof.last is not None)
            yield Watched(api, client, cache, lifeline, restarted)
        finally:
            api.faults.down = False
            running[1].cancel()
            await shell.stop()
            await asyncio.gather(*running, return_exceptions=True)


async def test_watches_that_fell_silent_are_noticed_and_begun_anew() -> None:
    async with watched() as world:
        world.restarted.clear()
        world.api.faults.freeze_watches()
        await world.client.create(BOAT, "default", a_boat("a"))
        await until(lambda: world.knows("a"))
        assert world.restarted
        proved = world.lifeline.proof.last
        await until(lambda: world.lifeline.proof.last not in (None, proved))
        assert world.lifeline.is_alive


async def test_an_api_server_that_is_away_restarts_nothing() -> None:
    async with watched() as world:
        world.restarted.clear()
        world.api.faults.down = True
        await until(lambda: "fresh connection" in world.lifeline.state().detail)
        await until(lambda: world.lifeline.proof.age > LONG_LATE)
        assert world.lifeline.is_alive
        assert world.restarted == []
        world.api.faults.down = False
        proved = world.lifeline.proof.last
        await until(lambda: world.lifeline.proof.last not in (None, proved))


async def test_canaries_that_a_killed_replica_left_are_removed() -> None:
    async with watched() as world:
        stale = {
            "name": "devops-reconciler-canary-pod-9",
            "labels": {LABEL: "true"},
            "annotations": {"freeleaps.com/canary-sent-at": "2026-01-01T00:00:00Z"},
        }
        await world.client.create(CONFIG_MAP, "default", {"metadata": stale})
        key = canary_key("pod-1", "default", ())
        canary = ResourceCanary(world.client, key, SystemClock(), change_and_hear=_never, restart=lambda _: None)
        await canary.send()
        bodies, _ = await world.client.list_(CONFIG_MAP, "default", label_selector=LABEL)
        names = sorted(body["metadata"]["name"] for body in bodies)
        assert names == ["devops-reconciler-canary-pod-0", "devops-reconciler-canary-pod-1"]
        await canary.remove()
        assert await world.client.find(CONFIG_MAP, "default", key.name) is None


async def _never(_: object) -> None:
    raise AssertionError("nothing is late here")


TOPOLOGY = Topology(exchange="devops", initialize="in", reconcile="re", retry="again", dead="dead", heartbeat="beats")


@dataclass
class Connected:
    broker: Broker
    rabbitmq: RabbitMQ
    lifeline: Lifeline
    taken: list[bytes]
    restarted: list[str]


@asynccontextmanager
async def connected() -> AsyncIterator[Connected]:
    broker, clock = Broker(), SystemClock()
    await broker.start()
    rabbitmq = RabbitMQ(
        broker.url, clock=clock, reconnect_after=timedelta(milliseconds=20), connect_timeout=timedelta(seconds=2)
    )
    rabbitmq.declare(TOPOLOGY)
    canary = MessageCanary(rabbitmq)
    restarted: list[str] = []
    taken: list[bytes] = []
    lifeline = Lifeline("messages", canary, interval=INTERVAL, clock=clock, restarted=restarted.append)
    canary.heard = lifeline.arrived

    async def take(delivery: Delivery) -> None:
        taken.append(delivery.body)
        await delivery.ack()

    await rabbitmq.start()
    await rabbitmq.connected()
    await rabbitmq.consume(TOPOLOGY.reconcile, take, prefetch=5)
    running = asyncio.create_task(lifeline.run())
    try:
        await until(lambda: lifeline.proof.last is not None)
        yield Connected(broker, rabbitmq, lifeline, taken, restarted)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await rabbitmq.stop()
        await broker.stop()


async def test_consumers_that_are_given_nothing_any_more_are_noticed_and_begun_anew() -> None:
    async with connected() as world:
        world.restarted.clear()
        world.broker.faults.starve_consumers()
        await world.rabbitmq.publish("", TOPOLOGY.reconcile, b"work")
        await until(lambda: world.taken == [b"work"])
        assert world.restarted
        proved = world.lifeline.proof.last
        await until(lambda: world.lifeline.proof.last not in (None, proved))
        assert world.lifeline.is_alive


@pytest.mark.parametrize("how", ["down", "frozen"])
async def test_a_broker_that_is_away_or_frozen_restarts_nothing(how: str) -> None:
    async with connected() as world:
        world.restarted.clear()
        if how == "down":
            await world.broker.faults.down()
        else:
            world.broker.faults.freeze()
        await until(lambda: "fresh connection" in world.lifeline.state().detail)
        await until(lambda: world.lifeline.proof.age > LONG_LATE)
        assert world.lifeline.is_alive
        assert world.restarted == []
        proved = world.lifeline.proof.last
        if how == "down":
            await world.broker.faults.up()
        else:
            world.broker.faults.thaw()
        await until(lambda: world.lifeline.proof.last not in (None, proved))


async def test_the_queue_of_our_own_goes_with_its_connection() -> None:
    async with connected() as world:
        own = [queue for queue in world.broker._vhost.queues if queue.startswith("amq.gen")]
        assert len(own) == 1
        world.broker.faults.cut_connections()
        await until(lambda: not set(own) & set(world.broker._vhost.queues))
