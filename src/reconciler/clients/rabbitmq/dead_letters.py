"""The queue of the dead letters, held in hand: taken one by one without being settled, and given back in order.

While letters are held nobody else sees them; new ones come behind them. Whatever ends the connection, a kill included,
gives them back. A quorum queue counts how often a message was given back, and brokers from 4.0 on drop a message
without a word after 20 times: before that a letter is put anew, with a confirm, and only then the old one is settled.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

import aio_pika
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity
from yarl import URL

from reconciler.clients.rabbitmq.connection import sendable
from reconciler.clients.rabbitmq.failures import GOODBYE, LOST, SYSTEM, outcome_of, reason_of
from reconciler.clients.rabbitmq.unreadable import reading_anything
from reconciler.domain.errors import NotFound, Unavailable

RETURNS = "x-delivery-count"
_MOST_RETURNS = 15
_SOON = 0.02
_PATIENCE = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter in hand, as the broker gives it."""

    body: bytes
    headers: Mapping[str, Any]
    content_type: str
    message_id: str
    timestamp: datetime | None
    message: AbstractIncomingMessage

    @property
    def returns(self) -> int:
        """How often it was given back before, as far as the queue counts that."""
        count = self.headers.get(RETURNS)
        return count if isinstance(count, int) else 0


class DeadLetters:
    """Use it as a context; `take` letters, `settle` or `send` some, and the others go back at the end, in order.

    Raises Unavailable when the broker does not answer, NotFound when there is no such queue.
    """

    def __init__(self, url: str, queue: str, *, patience: timedelta = _PATIENCE) -> None:
        """Open nothing yet; `patience` is for each answer of the broker."""
        self._url = URL(url)
        self._name = queue
        self._patience = patience.total_seconds()
        self._held: list[Letter] = []
        self._reading = contextlib.ExitStack()
        self._connection: AbstractConnection
        self._channel: AbstractChannel
        self._queue: AbstractQueue

    async def __aenter__(self) -> Self:
        self._reading.enter_context(reading_anything())
        try:
            async with asyncio.timeout(self._patience):
                self._connection = await aio_pika.connect(self._url)
                self._channel = await self._connection.channel(on_return_raises=True)
                self._queue = await self._channel.declare_queue(self._name, passive=True)
        except ChannelNotFoundEntity as error:
            self._reading.close()
            await self._connection.close()
            raise NotFound(f"there is no queue {self._name} at {self._url.host}:{self._url.port}") from error
        except LOST as error:
            self._reading.close()
            raise self._away(error) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if any(letter.returns >= _MOST_RETURNS for letter in self._held):
                await self._put_anew()
        finally:
            with contextlib.suppress(*LOST):  # The end of the connection gives back what is held, in any case.
                async with asyncio.timeout(GOODBYE.total_seconds()):
                    await self._give_back()
            with contextlib.suppress(*LOST):
                async with asyncio.timeout(GOODBYE.total_seconds()):
                    await self._connection.close()
            self._reading.close()

    async def take(self) -> Letter | None:
        """Take the oldest letter that is not held; None when there is none."""
        try:
            async with asyncio.timeout(self._patience):
                message = await self._queue.get(fail=False)
        except LOST as error:
            raise self._away(error) from error
        if message is None:
            return None
        letter = Letter(
            body=message.body,
            headers=message.headers or {},
            content_type=message.content_type or "",
            message_id=message.message_id or "",
            timestamp=message.timestamp,
            message=message,
        )
        self._held.append(letter)
        return letter

    async def settle(self, letter: Letter) -> None:
        """Take a letter off the queue for good."""
        try:
            async with asyncio.timeout(self._patience):
                await letter.message.ack()
        except LOST as error:
            raise self._away(error) from error
        self._held.remove(letter)

    async def send(self, letter: Letter, exchange: str, routing_key: str, headers: Mapping[str, Any]) -> None:
        """Publish a letter with these headers, wait until a queue has it, and only then settle it.

        Raises Unavailable when no queue took it (OutcomeUnknown when nothing was heard); it is a dead letter still.
        """
        with outcome_of(exchange, routing_key):
            async with asyncio.timeout(self._patience):
                # A channel of its own: a refusal ends it, and with it would go back all that is held.
                async with self._connection.channel(on_return_raises=True) as channel:
                    target = (
                        await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
                    )
                    await target.publish(_copy(letter, headers), routing_key, mandatory=True)
        await self.settle(letter)

    async def _give_back(self) -> None:
        """Give back what is held, and wait until it can be taken again: the next command shall see it."""
        await self._channel.close()
        async with self._connection.channel() as channel:
            while await _count(channel, self._name) < len(self._held):  # noqa: ASYNC110 - the broker tells nobody
                await asyncio.sleep(_SOON)

    async def _put_anew(self) -> None:
        """Put all that is held anew, in its order: none is lost to a queue's limit, none overtakes another."""
        for letter in tuple(self._held):
            kept = {name: value for name, value in letter.headers.items() if name != RETURNS}
            await self.send(letter, "", self._name, kept)

    def _away(self, error: BaseException) -> Unavailable:
        return Unavailable(f"RabbitMQ: {reason_of(error, self._url)}", system=SYSTEM)


async def _count(channel: AbstractChannel, name: str) -> int:
    """Return how many messages of a queue nobody holds."""
    found = await channel.declare_queue(name, passive=True)
    return found.declaration_result.message_count or 0


def _copy(letter: Letter, headers: Mapping[str, Any]) -> Message:
    message = letter.message
    return Message(
        letter.body,
        headers=sendable(dict(headers)),
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        priority=message.priority,
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
        delivery_mode=DeliveryMode.PERSISTENT,
    )
