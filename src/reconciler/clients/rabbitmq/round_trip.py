"""Whether a broker does its work, asked through a connection of its own that is closed at once."""

import asyncio
import contextlib

import aio_pika
from aio_pika import DeliveryMode, Message
from yarl import URL

from reconciler.clients.rabbitmq.failures import GOODBYE, LOST


async def there_and_back(url: URL) -> None:
    """Publish a message to a queue of our own and consume it. Raises what the library raises; never ends by itself."""
    connection = await aio_pika.connect(url)
    try:
        channel = await connection.channel(on_return_raises=True)
        queue = await channel.declare_queue(exclusive=True, auto_delete=True)
        arrived = asyncio.Event()

        async def take(_: object) -> None:
            arrived.set()

        await queue.consume(take, no_ack=True)
        message = Message(b"are you there?", delivery_mode=DeliveryMode.NOT_PERSISTENT)
        await channel.default_exchange.publish(message, routing_key=queue.name)
        await arrived.wait()
    finally:
        with contextlib.suppress(*LOST):
            async with asyncio.timeout(GOODBYE.total_seconds()):
                await connection.close()
