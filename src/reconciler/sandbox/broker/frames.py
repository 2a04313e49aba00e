"""Bytes to frames and back; pamqp does the marshalling."""

import asyncio
import struct

from pamqp import frame, header
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.exceptions import PAMQPException
from pamqp.header import ContentHeader

from reconciler.sandbox.broker.errors import SessionError

FRAME_MAX = 131_072
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
_HEAD = struct.Struct(">BHI")
_OVERHEAD = 8


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, frame.FrameTypes]:
    """Return the next channel number and frame; raises `SessionError` for what is no frame.

    Raises `asyncio.IncompleteReadError` at the end of the stream.
    """
    head = await reader.readexactly(_HEAD.size)
    _, channel, size = _HEAD.unpack(head)
    if size > FRAME_MAX:
        raise SessionError(501, f"FRAME_ERROR - frame of {size} bytes is larger than {FRAME_MAX}")
    rest = await reader.readexactly(size + 1)
    try:
        _, _, read = frame.unmarshal(head + rest)
    # pamqp lets errors of its decoders through for malformed tables.
    except (PAMQPException, ValueError, TypeError, LookupError, struct.error) as error:
        raise SessionError(502, "SYNTAX_ERROR - a frame that cannot be read") from error
    return channel, read


def content(channel: int, method: Frame, properties: Basic.Properties, body: bytes, frame_max: int) -> bytes:
    """Marshal a method that carries a message: method, header and as many body frames as `frame_max` asks for."""
    parts = [
        frame.marshal(method, channel),
        frame.marshal(header.ContentHeader(body_size=len(body), properties=properties), channel),
    ]
    step = frame_max - _OVERHEAD
    parts += [frame.marshal(ContentBody(body[at : at + step]), channel) for at in range(0, len(body), step)]
    return b"".join(parts)


__all__ = ["FRAME_MAX", "PROTOCOL_HEADER", "ContentBody", "ContentHeader", "content", "read_frame"]
