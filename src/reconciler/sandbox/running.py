"""A sandbox that runs: the world, the operator in it, and a back office, in this process and on one event loop."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TextIO

from reconciler.app.operator import Operator
from reconciler.clients.kubernetes import Credentials
from reconciler.domain.keys import Body, Key
from reconciler.operator.cache import Change
from reconciler.sandbox.office import BackOffice
from reconciler.sandbox.world import NAMESPACE, World
from reconciler.settings import load
from reconciler.telemetry.logs import set_up_logs

Level = Literal["debug", "info", "warning", "error", "critical"]
_READY_WITHIN = 30.0


class NotReady(Exception):
    """The operator did not become ready in time, or ended before."""


class Sandbox:
    """Use it as a context: inside, everything is up and ready.

    Attributes:
        world: the simulated systems, their faults and counters.
        operator: the real one.
        office: who sends messages and hears heartbeats.
    """

    operator: Operator
    office: BackOffice

    def __init__(
        self,
        world: World,
        *,
        port_base: int = 0,
        variables: Mapping[str, str] | None = None,
        log_level: Level = "warning",
        log_stream: TextIO | None = None,
        install_signals: Callable[[], None] = lambda: None,
    ) -> None:
        """Make it; nothing is started yet.

        Args:
            world: where the operator is to live.
            port_base: the operator's HTTP port; the simulated systems take those that follow. 0: free ones.
            variables: settings beside those that lead into the world.
            log_level: of everything that is told in this process.
            log_stream: where; default standard error.
            install_signals: puts the program's signal handlers back after Kopf took them.
        """
        self.world = world
        self._port_base = port_base
        self._variables = dict(variables or {})
        self._log: tuple[Level, TextIO | None] = log_level, log_stream
        self._install_signals = install_signals
        self._running: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.world.start(self._port_base + 1 if self._port_base else 0)
        try:
            await self._start_operator()
            self.office = BackOffice(self.world.rabbitmq)
            await self._open_office()
        except BaseException:
            await self._stop_operator()
            await self.world.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._stop_operator()
            await self.office.close()
        finally:
            await self.world.stop()

    async def ended(self) -> None:
        """Wait for the operator's end. Raises what it died of."""
        if self._running is not None:
            await asyncio.shield(self._running)

    @property
    def is_up(self) -> bool:
        """Whether the operator lives."""
        return self._running is not None and not self._running.done()

    def read(self, kind: str, name: str) -> Body | None:
        """Return a resource of the operator's namespace as the operator knows it."""
        return self.operator.cache.read(Key(kind, NAMESPACE, name))

    async def until(self, is_so: Callable[[], object]) -> None:
        """Wait until something about the resources is so."""
        while not is_so():
            self._changed.clear()
            await self._changed.wait()

    async def _start_operator(self) -> None:
        variables = {**self.world.environ(), "RECONCILER_HTTP_PORT": str(self._port_base), **self._variables}
        settings = load(variables)
        credentials = Credentials.from_kubeconfig(Path(self.world.kubeconfig))
        self.operator = Operator(settings, credentials, install_signals=self._install_signals)
        level, stream = self._log
        set_up_logs(self.operator.secrets, level=level, format_=settings.log.format, stream=stream)
        self.operator.cache.subscribe(self._wake)
        self._running = asyncio.create_task(self.operator.run(), name="operator")
        ready = asyncio.create_task(self.operator.ready.wait(), name="ready")
        try:
            await asyncio.wait({ready, self._running}, timeout=_READY_WITHIN, return_when=asyncio.FIRST_COMPLETED)
            if self._running.done():
                self._running.result()
            if not self.operator.ready.is_set():
                raise NotReady(f"the operator is not ready after {_READY_WITHIN:.0f} s")
        finally:
            ready.cancel()

    async def _open_office(self) -> None:
        """Connect the back office, and see the operator connected. Raises NotReady."""
        try:
            async with asyncio.timeout(_READY_WITHIN):
                await self.operator.rabbitmq.connected()
                await self.office.open()
        except TimeoutError as error:
            await self.office.close()
            raise NotReady(f"RabbitMQ: {self.operator.rabbitmq.state.detail}") from error

    async def _stop_operator(self) -> None:
        if self._running is None:
            return
        self.operator.stop()
        running, self._running = self._running, None
        await running

    def _wake(self, _: Change) -> None:
        self._changed.set()
