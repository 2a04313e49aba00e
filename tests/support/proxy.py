"""A line between a client and a server that can be cut at any moment."""

import asyncio
from contextlib import suppress

from yarl import URL


class CuttableLine:
    """Forwards bytes both ways on loopback. `cut` resets every connection; new ones are taken.

    After `hold_answers` the server hears everything and the client nothing, until the next cut. After `freeze` nobody
    hears anything on the connections of that moment, and nobody is told; new ones are as before (a gateway forgot us).
    """

    def __init__(self, target: str) -> None:
        self._target = URL(target)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._port = 0
        self._answers = asyncio.Event()
        self._answers.set()
        self._passes = asyncio.Event()
        self._passes.set()
        self._frozen: list[asyncio.Event] = []
        self.opened = 0

    @property
    def url(self) -> str:
        return str(self._target.with_port(self._port))

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        while self._writers:  # noqa: ASYNC110 - they go as soon as they see the reset
            await asyncio.sleep(0.001)

    def hold_answers(self) -> None:
        self._answers.clear()

    def freeze(self) -> None:
        self._passes.clear()
        self._frozen.append(self._passes)
        self._passes = asyncio.Event()
        self._passes.set()

    def cut(self) -> None:
        for held in (self._answers, *self._frozen):
            held.set()
        for writer in self._writers:
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._target.host, self._target.port)
        both = {writer, there_writer}
        self.opened += 1
        self._writers |= both
        try:
            passes = self._passes
            await asyncio.gather(
                _pump(reader, there_writer, passes), _pump(there_reader, writer, passes, self._answers)
            )
        finally:
            self._writers -= both


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *may_pass: asyncio.Event) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            for event in may_pass:
                await event.wait()
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
