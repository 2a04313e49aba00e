"""The broker's outside: a port on loopback, its faults, its counters."""

import asyncio
import socket
from collections import Counter

from reconciler.domain.clock import Clock, SystemClock
from reconciler.sandbox.broker.faults import Faults
from reconciler.sandbox.broker.session import Session
from reconciler.sandbox.broker.vhost import VirtualHost


class Broker:
    """An AMQP 0-9-1 broker for user `guest` with password `guest` on the virtual host `/`.

    Everything is in memory: queues and messages survive cut connections and an outage, not `stop`.

    Attributes:
        faults: the weather.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._vhost = VirtualHost(clock or SystemClock())
        self._sessions: dict[Session, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None
        self._address: tuple[str, int] | None = None
        self.faults = Faults(
            close=self._close, reopen=self._listen, cut=self._cut, flush=self._flush, starve=self._starve
        )

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; port 0 takes a free one."""
        self._address = (host, port)
        await self._listen()

    async def stop(self) -> None:
        """End all connections and listen no more."""
        await self._close()
        self.faults.thaw()
        tasks = list(self._sessions.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for queue in self._vhost.queues.values():
            queue.purge()

    @property
    def url(self) -> str:
        """Where clients connect to, credentials included."""
        host, port = self._bound()
        return f"amqp://guest:guest@{host}:{port}/"

    @property
    def published(self) -> Counter[str]:
        """How many messages clients published, by exchange."""
        return self._vhost.published

    @property
    def delivered(self) -> Counter[str]:
        """How many deliveries there were, repeated ones too, by queue."""
        return self._vhost.delivered

    @property
    def acknowledged(self) -> Counter[str]:
        """How many deliveries were acknowledged, by queue."""
        return self._vhost.acknowledged

    def depth(self, queue: str) -> int:
        """Count the messages of a queue, ready or handed out and not settled; 0 where there is no such queue."""
        known = self._vhost.queues.get(queue)
        return known.depth if known else 0

    def ready(self, queue: str) -> int:
        """Count the messages of a queue that nobody was handed; 0 where there is no such queue."""
        known = self._vhost.queues.get(queue)
        return len(known) if known else 0

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._sessions)

    def _bound(self) -> tuple[str, int]:
        if self._address is None:
            raise RuntimeError("the broker was not started")
        return self._address

    async def _listen(self) -> None:
        host, port = self._bound()
        self._server = await asyncio.start_server(self._talk, host, port, family=socket.AF_INET)
        self._address = (host, self._server.sockets[0].getsockname()[1])

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            await asyncio.sleep(0)
            self._server = None

    def _cut(self) -> None:
        for session in tuple(self._sessions):
            session.cut()

    def _starve(self) -> None:
        for session in self._sessions:
            session.is_starved = True

    def _flush(self) -> None:
        for session in self._sessions:
            session.flush()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        session = Session(reader, writer, vhost=self._vhost, faults=self.faults)
        if task is not None:
            self._sessions[session] = task
        try:
            await session.run()
        except asyncio.CancelledError:
            writer.transport.abort()  # Only `stop` cancels; the stream server would log it as an error.
        finally:
            self._sessions.pop(session, None)
