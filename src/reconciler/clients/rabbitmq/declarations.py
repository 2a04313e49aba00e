"""What is declared at every connect."""

import logging
from datetime import timedelta
from typing import Any

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelPreconditionFailed

from reconciler.domain.messages import Topology

_LOG = logging.getLogger(__name__)
_QUORUM: dict[str, Any] = {"x-queue-type": "quorum"}


async def declare(connection: AbstractConnection, topology: Topology) -> None:
    """Declare exchanges and queues, with no more arguments than must be: the rest belongs to policies (FACTS 5.1)."""
    async with connection.channel() as channel:
        await channel.declare_exchange(topology.exchange, ExchangeType.TOPIC, durable=True)
        await channel.declare_exchange(topology.heartbeat, ExchangeType.TOPIC, durable=True)
    await _declare_ours_or_theirs(connection, topology.dead, {})
    safety_net = {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": topology.dead,
        "x-delivery-limit": topology.delivery_limit,
    }
    for name in topology.bindings:
        await _declare_ours_or_theirs(connection, name, safety_net)
    async with connection.channel() as channel:
        for name, keys in topology.bindings.items():
            queue = await channel.get_queue(name, ensure=False)
            for key in keys:
                await queue.bind(topology.exchange, key)
        for delay in dict.fromkeys(topology.retry_delays):
            await _declare_delay(channel, topology.retry_name(delay), delay)


async def _declare_ours_or_theirs(connection: AbstractConnection, name: str, arguments: dict[str, Any]) -> None:
    """Declare a queue; one that somebody declared in another way before is taken as it is."""
    try:
        async with connection.channel() as channel:
            await channel.declare_queue(name, durable=True, arguments=_QUORUM | arguments)
    except ChannelPreconditionFailed as error:
        async with connection.channel() as channel:
            await channel.declare_queue(name, passive=True)
        _LOG.warning("queue %s is not declared as expected and is used as it is: %s", name, error)


async def _declare_delay(channel: AbstractChannel, name: str, delay: timedelta) -> None:
    """Declare where messages wait. The routing key names the queue that the default exchange brings them back to."""
    exchange = await channel.declare_exchange(name, ExchangeType.FANOUT, durable=True)
    waits: dict[str, Any] = {"x-message-ttl": delay // timedelta(milliseconds=1), "x-dead-letter-exchange": ""}
    queue = await channel.declare_queue(name, durable=True, arguments=_QUORUM | waits)
    await queue.bind(exchange)
