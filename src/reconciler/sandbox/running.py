"""A sandbox that runs: the world, the operator in it, and a back office, in this process and on one event loop.

Where a story ends the operator as a kill does, it lives in a process of its own instead.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, TextIO

from reconciler.app.operator import Operator
from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.domain.keys import Body, Key, Kind
from reconciler.operator.cache import Cache, Change
from reconciler.sandbox.apart import NotReady, OperatorProcess
from reconciler.sandbox.office import BackOffice
from reconciler.sandbox.onlooker import Onlooker
from reconciler.sandbox.world import NAMESPACE, World
from reconciler.settings import load
from reconciler.telemetry.logs import set_up_logs

Level = Literal["debug", "info", "warning", "error", "critical"]
_READY_WITHIN = 30.0


class Sandbox:
    """Use it as a context: inside, everything is up and ready.

    Attributes:
        world: the simulated systems, their faults and counters.
        operator: the real one, unless it lives apart.
        office: who sends messages and hears heartbeats.
        kubernetes: a person's own way to the API server.
    """

    operator: Operator
    office: BackOffice
    kubernetes: Kubernetes

    def __init__(
        self,
        world: World,
        *,
        port_base: int = 0,
        variables: Mapping[str, str] | None = None,
        log_level: Level = "warning",
        log_stream: TextIO | None = None,
        install_signals: Callable[[], None] = lambda: None,
        apart: bool = False,
    ) -> None:
        """Make it; nothing is started yet.

        Args:
            world: where the operator is to live.
            port_base: the operator's HTTP port; the simulated systems take those that follow. 0: free ones.
            variables: settings beside those that lead into the world.
            log_level: of everything that is told in this process.
            log_stream: where; default standard error.
            install_signals: puts the program's signal handlers back after Kopf took them.
            apart: the operator lives in a process of its own, so that it can be killed.
        """
        self.world = world
        self._port_base = port_base
        self._variables = dict(variables or {})
        self._log: tuple[Level, TextIO | None] = log_level, log_stream
        self._install_signals = install_signals
        self._apart = apart
        self._onlooker: Onlooker | None = None
        self._process: OperatorProcess | None = None
        self._running: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.world.start(self._port_base + 1 if self._port_base else 0)
        self.kubernetes = Kubernetes(self._credentials())
        try:
            await (self._start_apart() if self._apart else self._start_operator())
            self.office = BackOffice(self.world.rabbitmq)
            await self._open_office()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._stop_operator()
            await self.office.close()
        finally:
            await self._stop()

    async def ended(self) -> None:
        """Wait for the operator's end. Raises what it died of."""
        if self._running is not None:
            await asyncio.shield(self._running)

    @property
    def is_up(self) -> bool:
        """Whether the operator lives."""
        if self._process is not None:
            return self._process.is_up
        return self._running is not None and not self._running.done()

    async def crash(self) -> None:
        """Kill the operator that lives apart, and begin its next life. Raises NotReady."""
        assert self._process is not None  # noqa: S101 - a story that kills says that it lives apart
        await self._process.kill()
        await self._process.start()

    def read(self, kind: str, name: str) -> Body | None:
        """Return a resource of the operator's namespace as the operator, or who looks on beside it, knows it."""
        return self._known.read(Key(kind, NAMESPACE, name))

    async def edit(self, kind: str, name: str, patch: Body) -> None:
        """Change a resource of the operator's namespace as a person does."""
        await self.kubernetes.patch(kind, NAMESPACE, name, patch)

    async def delete(self, kind: str, name: str) -> None:
        """Delete a resource of the operator's namespace as a person does."""
        await self.kubernetes.delete(kind, NAMESPACE, name)

    def names(self, kind: Kind) -> tuple[str, ...]:
        """Return the names of all resources of a kind in the operator's namespace."""
        return tuple(key.name for key in self._known.keys(kind.kind, NAMESPACE))

    async def until(self, is_so: Callable[[], object]) -> None:
        """Wait until something about the resources is so."""
        while not is_so():
            self._changed.clear()
            await self._changed.wait()

    @property
    def _known(self) -> Cache:
        return self._onlooker.cache if self._onlooker else self.operator.cache

    def _credentials(self) -> Credentials:
        return Credentials.from_kubeconfig(Path(self.world.kubeconfig))

    async def _start_apart(self) -> None:
        self._onlooker = Onlooker(self._credentials(), self._wake)
        self._onlooker.start()
        self._process = OperatorProcess({**self.world.environ(), **self._variables})
        await self._process.start()

    async def _start_operator(self) -> None:
        variables = {**self.world.environ(), "RECONCILER_HTTP_PORT": str(self._port_base), **self._variables}
        settings = load(variables)
        self.operator = Operator(settings, self._credentials(), install_signals=self._install_signals)
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
            await asyncio.wait({ready})

    async def _open_office(self) -> None:
        """Connect the back office, and see the operator connected. Raises NotReady."""
        try:
            async with asyncio.timeout(_READY_WITHIN):
                if not self._apart:
                    await self.operator.rabbitmq.connected()
                await self.office.open()
        except TimeoutError as error:
            await self.office.close()
            why = "no connection" if self._apart else self.operator.rabbitmq.state.detail
            raise NotReady(f"RabbitMQ: {why}") from error

    async def _stop(self) -> None:
        """End what is left, the world last."""
        await self._stop_operator()
        if self._onlooker is not None:
            await self._onlooker.stop()
        await self.kubernetes.close()
        await self.world.stop()

    async def _stop_operator(self) -> None:
        if self._process is not None:
            await self._process.stop()
        if self._running is None:
            return
        self.operator.stop()
        running, self._running = self._running, None
        await running

    def _wake(self, _: Change) -> None:
        self._changed.set()
