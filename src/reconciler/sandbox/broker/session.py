"""One connection: greeting, channels, heartbeats, and the end of each."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TypeVar

from pamqp import frame
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic, Connection
from pamqp.commands import Channel as ChannelMethods
from pamqp.common import FieldTable
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from reconciler.sandbox.broker.channel import Channel
from reconciler.sandbox.broker.errors import AmqpError, ChannelError, SessionError, not_implemented
from reconciler.sandbox.broker.faults import Faults
from reconciler.sandbox.broker.frames import FRAME_MAX, PROTOCOL_HEADER, content, read_frame
from reconciler.sandbox.broker.vhost import VirtualHost

CHANNEL_MAX = 2047
HEARTBEAT = 60
_LONGEST_BODY = 128 * 1024 * 1024
_USER = ("guest", "guest")
_PROPERTIES: FieldTable = {
    "product": "RabbitMQ",
    "version": "3.10.8",
    "platform": "reconciler sandbox",
    "capabilities": {
        "publisher_confirms": True,
        "exchange_exchange_bindings": False,
        "basic.nack": True,
        "consumer_cancel_notify": True,
        "connection.blocked": True,
        "consumer_priorities": False,
        "authentication_failure_close": True,
        "per_consumer_qos": True,
        "direct_reply_to": False,
    },
}


_F = TypeVar("_F", bound=Frame)


class _ClosedError(Exception):
    """The conversation is over."""


@dataclass
class _Incoming:
    """A message that is being received: its method, then its header, then its body in pieces."""

    method: Basic.Publish
    header: ContentHeader | None = None
    pieces: list[bytes] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """How many bytes are still to come."""
        size = self.header.body_size if self.header else 1
        return size - sum(map(len, self.pieces))


class Session:
    """The server's side of one connection.

    Attributes:
        is_starved: its consumers are given nothing more: a fault.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, vhost: VirtualHost, faults: Faults
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._vhost = vhost
        self._faults = faults
        self._channels: dict[int, Channel] = {}
        self._closing: set[int] = set()
        self._incoming: dict[int, _Incoming] = {}
        self._held: list[bytes] = []
        self._frame_max = FRAME_MAX
        self._heartbeat = 0
        self._ended = False
        self.is_starved = False

    async def run(self) -> None:
        """Talk until one side ends it; whatever happens, the client's messages go back and its queues go."""
        try:
            await self._greet()
            async with asyncio.TaskGroup() as tasks:
                beating = tasks.create_task(self._beat())
                try:
                    await self._converse()
                finally:
                    beating.cancel()
        except* (OSError, EOFError, _ClosedError, TimeoutError):
            pass  # The client is gone: nothing is owed to it.
        except* SessionError as refused:
            self.send(0, Connection.Close(*_first(refused), 0, 0))
        finally:
            self._end()
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    def cut(self) -> None:
        """Reset the connection."""
        self._writer.transport.abort()

    def _end(self) -> None:
        self._ended = True
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()
        self._vhost.drop_owned_by(self)

    # To the client.

    def send(self, channel: int, method: Frame) -> None:
        """Send a method."""
        self._write(frame.marshal(method, channel))

    def send_content(self, channel: int, method: Frame, properties: Basic.Properties, body: bytes) -> None:
        """Send a method with a message."""
        self._write(content(channel, method, properties, body, self._frame_max))

    def _write(self, octets: bytes) -> None:
        if self._ended or self._writer.is_closing():
            return
        if self._faults.is_frozen:
            self._held.append(octets)
        else:
            self._writer.write(octets)

    def flush(self) -> None:
        """Send what was held back while the broker was frozen."""
        held, self._held = self._held, []
        for octets in held:
            self._write(octets)

    # The greeting.

    async def _greet(self) -> None:
        greeting = await self._reader.readexactly(len(PROTOCOL_HEADER))
        await self._faults.pass_through()
        if greeting != PROTOCOL_HEADER:
            self._write(PROTOCOL_HEADER)
            raise _ClosedError
        self.send(0, Connection.Start(0, 9, _PROPERTIES, "PLAIN AMQPLAIN", "en_US"))
        self._check_login(await self._expect(Connection.StartOk))
        self.send(0, Connection.Tune(CHANNEL_MAX, FRAME_MAX, HEARTBEAT))
        tuned = await self._expect(Connection.TuneOk)
        self._frame_max = min(tuned.frame_max or FRAME_MAX, FRAME_MAX)
        self._heartbeat = tuned.heartbeat
        opened = await self._expect(Connection.Open)
        if opened.virtual_host != "/":
            raise SessionError(530, f"NOT_ALLOWED - vhost {opened.virtual_host} not found")
        self.send(0, Connection.OpenOk())

    async def _expect(self, kind: type[_F]) -> _F:
        _, read = await read_frame(self._reader)
        await self._faults.pass_through()
        if not isinstance(read, kind):
            raise SessionError(503, f"COMMAND_INVALID - expected {kind.name}")
        return read

    @staticmethod
    def _check_login(answer: Connection.StartOk) -> None:
        if answer.mechanism != "PLAIN":
            raise SessionError(403, f"ACCESS_REFUSED - mechanism {answer.mechanism} is not offered")
        if tuple(answer.response.split("\0")[1:]) != _USER:
            raise SessionError(403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN.")

    # The conversation.

    async def _converse(self) -> None:
        patience = self._heartbeat * 2 or None
        while True:
            async with asyncio.timeout(patience):
                number, read = await read_frame(self._reader)
            await self._faults.pass_through()
            self._take(number, read)
            await self._writer.drain()

    async def _beat(self) -> None:
        if not self._heartbeat:
            return
        while True:
            await asyncio.sleep(self._heartbeat / 2)
            if not self._faults.is_frozen:
                self._write(Heartbeat().marshal())

    def _take(self, number: int, read: frame.FrameTypes) -> None:
        if isinstance(read, Heartbeat):
            return
        if number == 0:
            self._take_connection_method(read)
            return
        try:
            self._take_channel_frame(number, read)
        except ChannelError as refused:
            self._close_channel(number)
            self._closing.add(number)
            self.send(number, ChannelMethods.Close(refused.code, refused.text, 0, 0))

    def _take_connection_method(self, read: frame.FrameTypes) -> None:
        match read:
            case Connection.Close():
                self._end_orderly()
            case Connection.CloseOk():
                raise _ClosedError
            case Connection.UpdateSecret():
                self.send(0, Connection.UpdateSecretOk())
            case _:
                raise SessionError(503, "COMMAND_INVALID - not a method of channel 0")

    def _end_orderly(self) -> None:
        for number in tuple(self._channels):
            self._close_channel(number)
        self.send(0, Connection.CloseOk())
        raise _ClosedError

    def _take_channel_frame(self, number: int, read: frame.FrameTypes) -> None:
        match read:
            case ChannelMethods.CloseOk():
                self._closing.discard(number)
            case ChannelMethods.Close():
                self._close_channel(number)
                self.send(number, ChannelMethods.CloseOk())
            case _ if number in self._closing:
                pass  # What was sent before the client heard that its channel is closed.
            case ChannelMethods.Open():
                self._open_channel(number)
            case _ if number not in self._channels:
                raise SessionError(504, f"CHANNEL_ERROR - expected 'channel.open' on channel {number}")
            case Basic.Publish():
                self._incoming[number] = _Incoming(read)
            case ContentHeader() | ContentBody():
                self._receive(number, read)
            case Frame():
                self._channels[number].handle(read)
            case _:
                raise not_implemented("a frame of that kind")

    def _open_channel(self, number: int) -> None:
        if number in self._channels:
            raise SessionError(504, f"CHANNEL_ERROR - second 'channel.open' on channel {number}")
        self._channels[number] = Channel(number, vhost=self._vhost, line=self, drops_confirm=self._faults.takes_confirm)
        self.send(number, ChannelMethods.OpenOk())

    def _close_channel(self, number: int) -> None:
        self._incoming.pop(number, None)
        if (channel := self._channels.pop(number, None)) is not None:
            channel.close()

    def _receive(self, number: int, read: ContentHeader | ContentBody) -> None:
        incoming = self._incoming.get(number)
        if incoming is None:
            raise SessionError(505, "UNEXPECTED_FRAME - content without a method")
        if isinstance(read, ContentHeader):
            if read.body_size > _LONGEST_BODY:
                raise ChannelError(406, f"PRECONDITION_FAILED - message size {read.body_size} is larger than allowed")
            incoming.header = read
        else:
            incoming.pieces.append(read.value)
        if incoming.header is not None and incoming.missing <= 0:
            del self._incoming[number]
            body = b"".join(incoming.pieces)
            self._channels[number].publish(incoming.method, incoming.header.properties, body)


def _first(group: BaseExceptionGroup[SessionError]) -> tuple[int, str]:
    """Return code and text of the first refusal in a group."""
    refused: BaseException = group
    while isinstance(refused, BaseExceptionGroup):
        refused = refused.exceptions[0]
    if not isinstance(refused, AmqpError):
        raise TypeError(refused)
    return refused.code, refused.text
