"""`reconciler send`: a message onto the broker, as a back office does it."""

import asyncio
import json
from datetime import timedelta
from typing import BinaryIO

import click

from reconciler.clients.rabbitmq import RabbitMQ
from reconciler.domain.clock import SystemClock
from reconciler.domain.errors import Unavailable
from reconciler.domain.messages import EventType

_PATIENCE = 10.0


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--rabbitmq", envvar="AMQP_URL", required=True, metavar="URL", help="The broker; default: $AMQP_URL.")
@click.option("--exchange", default="devops", show_default=True, help="Where to.")
@click.option("--key", default="", help="Routing key; default: the message's event_type.")
def send(file: BinaryIO, rabbitmq: str, exchange: str, key: str) -> None:
    """Publish the message in FILE (`-`: standard input) and wait until the broker has it."""
    body = file.read()
    try:
        asyncio.run(_publish(rabbitmq, exchange, key or _key_of(body), body))
    except (TimeoutError, Unavailable) as error:
        raise click.ClickException(str(error) or f"the broker does not answer within {_PATIENCE:.0f} s") from error
    click.echo(f"sent {len(body)} bytes to exchange {exchange}")


async def _publish(url: str, exchange: str, key: str, body: bytes) -> None:
    connection = RabbitMQ(url, clock=SystemClock(), connect_timeout=timedelta(seconds=_PATIENCE))
    await connection.start()
    try:
        async with asyncio.timeout(_PATIENCE):
            await connection.connected()
        await connection.publish(exchange, key, body)
    finally:
        await connection.stop()


def _key_of(body: bytes) -> str:
    """Return the routing key of a message, whatever it is: bad ones may be sent too."""
    try:
        document = json.loads(body)
    except ValueError:
        return EventType.RECONCILE.value
    said = document.get("event_type") or document.get("type") if isinstance(document, dict) else None
    return said if said in set(EventType) else EventType.RECONCILE.value
