"""The operator as one process: every part made, started, joined and ended in order.

Made from settings, ways to the API server and a clock; the sandbox makes the same one with other addresses.
"""

import asyncio
import logging
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from yarl import URL

from reconciler.agenda.agenda import Agenda, Looked
from reconciler.agenda.resync import Found, Resync
from reconciler.app.accepted import Accepted
from reconciler.app.connections import Connections
from reconciler.app.endpoints import Endpoints
from reconciler.app.secrets import SecretReader
from reconciler.app.signals import Signals
from reconciler.app.working import Workers, make_workers
from reconciler.clients.kubernetes import Call, Credentials, Kubernetes
from reconciler.clients.rabbitmq import ConnectionState, RabbitMQ
from reconciler.domain.clock import Clock, SystemClock, rfc3339
from reconciler.domain.errors import ReconcilerError
from reconciler.domain.health import Condition, PartState
from reconciler.domain.keys import NAMESPACE, OUR_KINDS, Key
from reconciler.domain.messages import Topology
from reconciler.engine.patience import Incarnation
from reconciler.intake.consumer import Intake
from reconciler.operator.cache import Cache, Change
from reconciler.operator.shell import Shell
from reconciler.operator.store import Store
from reconciler.reporting.announcing import Announcer
from reconciler.reporting.events import EventPoster
from reconciler.reporting.heartbeats import HeartbeatSender
from reconciler.settings import Settings
from reconciler.telemetry.logs import about
from reconciler.telemetry.loop_lag import measure_lag
from reconciler.telemetry.masking import Secrets
from reconciler.telemetry.metrics import Metrics
from reconciler.web.health import Health
from reconciler.web.server import WebServer

_log = logging.getLogger(__name__)
_OWNER_AGAIN = 2.0
_ALL_NAMESPACES = "*"


class Operator:
    """The parts, and their common life. `run` it; `stop` it from anywhere.

    Attributes:
        web: where health, metrics and the API are served, once started.
        ready: set when the first look may be made: everything was listed and our owner id is known.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        *,
        clock: Clock | None = None,
        install_signals: Callable[[], None] = lambda: None,
    ) -> None:
        """Make every part; nothing is opened yet."""
        self.settings = settings
        self.clock = clock or SystemClock()
        self.secrets = Secrets(settings.secrets())
        self.metrics = Metrics()
        self.ready = asyncio.Event()
        self.me = Incarnation(settings.kubernetes.replica or socket.gethostname(), secrets.token_hex(8))
        self._stopping = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._workers: Workers | None = None
        kubernetes = settings.kubernetes
        self.kubernetes = Kubernetes(
            credentials,
            clock=self.clock,
            timeout=kubernetes.timeout,
            connections=kubernetes.concurrency,
            observe=self._kubernetes_asked,
        )
        self.cache = Cache()
        self.store = Store(self.kubernetes, self.cache)
        self.agenda: Agenda[Key] = Agenda(
            self._look,
            clock=self.clock,
            lanes=_lanes(settings),
            lane_of=_lane_of,
            observer=self,
            describe=lambda key: {"resource": str(key)},
        )
        self.signals = Signals(self.store, self.agenda.add, self.agenda.forget)
        namespaces = () if _ALL_NAMESPACES in kubernetes.namespaces else tuple(kubernetes.namespaces)
        self.resync = Resync(
            self.kubernetes,
            self.cache,
            OUR_KINDS,
            namespaces=namespaces or (None,),
            interval=settings.agenda.resync_interval,
            clock=self.clock,
            finished=self._resynced,
        )
        self.shell = Shell(
            credentials,
            self.cache,
            OUR_KINDS,
            namespaces=namespaces,
            clock=self.clock,
            began=self.resync.soon,
            install_signals=install_signals,
        )
        self.rabbitmq = RabbitMQ(
            _amqp_url(settings),
            clock=self.clock,
            on_change=self._broker_changed,
            heartbeat=settings.rabbitmq.connection_heartbeat,
            publish_timeout=settings.rabbitmq.publish_timeout,
        )
        topology = topology_of(settings)
        self.rabbitmq.declare(topology)
        self.intake = Intake(
            resources=Accepted(self.kubernetes, self.cache),
            messenger=self.rabbitmq,
            topology=topology,
            namespace=kubernetes.own_namespace,
            clock=self.clock,
            window=settings.messages.dedupe_window,
            attempts=settings.messages.attempts,
            prefetch=settings.rabbitmq.prefetch,
            observe=self.metrics.message_settled,
        )
        self.heartbeats = HeartbeatSender(
            self.rabbitmq,
            Announcer(self.store),
            clock=self.clock,
            exchange=topology.heartbeat,
            interval=settings.messages.heartbeat_interval,
            observer=self.metrics,
            mask=self.secrets.mask,
        )
        self.events = EventPoster(self.kubernetes, clock=self.clock, replica=self.me.replica, mask=self.secrets.mask)
        self.endpoints = Endpoints(settings.outside, self.clock, self.secrets.mask, self.metrics)
        self.connections = Connections(
            settings,
            self.endpoints,
            SecretReader(self.kubernetes, self.clock, self.secrets.learn),
            self.clock,
            mask=self.secrets.mask,
            build_changed=self.signals.build_changed,
            application_changed=self.signals.application_changed,
        )
        self.health = self._health()
        self.web = WebServer(
            self.health,
            self.metrics.registry,
            self.store,
            host=settings.web.host,
            port=settings.web.port,
            mask=self.secrets.mask,
        )
        self.cache.subscribe(self._changed)

    # Life

    async def run(self) -> None:
        """Work until `stop`. Raises what ended a part that must live, after everything was ended in order."""
        await self.web.start()
        parts: Mapping[str, Awaitable[None]] = {
            "kopf": self.shell.run(),
            "resync": self.resync.run(),
            "agenda": self._agenda_after_first_list(),
            "heartbeats": self.heartbeats.run(),
            "events": self.events.run(),
            "loop lag": measure_lag(self.metrics.loop_lagged, clock=self.clock),
        }
        self._tasks = {name: asyncio.ensure_future(part) for name, part in parts.items()}
        await self.rabbitmq.start()
        await self.intake.start()
        stopping = asyncio.create_task(self._stopping.wait(), name="stopping")
        try:
            await asyncio.wait({stopping, *self._tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            await self._end()
        self._raise_first_death()

    def stop(self) -> None:
        """End in order: no new messages, looks end, heartbeats flushed, connections closed."""
        self._stopping.set()

    async def _agenda_after_first_list(self) -> None:
        """Run the agenda once everything is known: before, nobody may conclude that something is not there."""
        await self.resync.complete.wait()
        owner = await self._owner_id()
        self._workers = make_workers(self, owner)
        self.ready.set()
        _log.info("ready", extra={"replica": self.me.replica, "incarnation": self.me.id, "owner": owner})
        await self.agenda.run()

    async def _owner_id(self) -> str:
        """Return whose external objects are ours: the setting, else the uid of `kube-system`."""
        if self.settings.kubernetes.owner_id:
            return self.settings.kubernetes.owner_id
        while True:
            try:
                body = await self.kubernetes.get(NAMESPACE, "", "kube-system")
                return str(body["metadata"]["uid"])
            except ReconcilerError as error:
                _log.warning("our owner id cannot be read from namespace kube-system: %s", error)
                await asyncio.sleep(_OWNER_AGAIN)

    async def _end(self) -> None:
        shutdown = self.settings.shutdown
        deadline = self.clock.monotonic() + shutdown.total.total_seconds()
        await self.intake.stop()
        await self.agenda.stop(shutdown.looks)
        left = max(1.0, deadline - self.clock.monotonic() - _FOR_CLOSING)
        # What a broker that is away has not heard of an end, the next life tells it: no use in waiting long.
        for_beats = left / 2 if self.rabbitmq.state.connected else min(_FOR_AWAY, left / 2)
        with suppress(TimeoutError):
            async with asyncio.timeout(left):
                await self.heartbeats.flush(timedelta(seconds=for_beats))
                await self.events.flush()
        await self.shell.stop()
        for task in self._tasks.values():
            task.cancel()
        await asyncio.wait(self._tasks.values())
        await self.rabbitmq.stop()
        await self.connections.close()
        await self.kubernetes.close()
        await self.web.stop()

    def _raise_first_death(self) -> None:
        for task in self._tasks.values():
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    # Work

    async def _look(self, key: Key) -> datetime | None:
        assert self._workers is not None  # noqa: S101 - the agenda runs only after they were made
        with about(operation=key.name if key.kind == "DeploymentRecord" else "", resource=str(key)):
            return await self._workers.look(key)

    def _changed(self, change: Change) -> None:
        self.signals.changed(change)
        if change.after is None:
            self.heartbeats.removed(change.key)
            return
        self.heartbeats.changed(change.after)
        if self.ready.is_set():
            self.events.changed(change.before, change.after)
            self._count(change)

    def _count(self, change: Change) -> None:
        if change.key.kind != "DeploymentRecord" or change.after is None:
            return
        before, after = ((body or {}).get("status") or {} for body in (change.before, change.after))
        if after.get("finishedAt") and not before.get("finishedAt"):
            self.metrics.deployment_ended(after["phase"])
        known = {(one["name"], one.get("component", "")) for one in before.get("stages") or () if one.get("finishedAt")}
        for stage in after.get("stages") or ():
            started, finished = stage.get("startedAt"), stage.get("finishedAt")
            if started and finished and (stage["name"], stage.get("component", "")) not in known:
                took = datetime.fromisoformat(finished) - datetime.fromisoformat(started)
                self.metrics.stage_ended(stage["name"], stage["state"], took.total_seconds())

    def _resynced(self, _: Found) -> None:
        self.heartbeats.resume(self.store.list_("DeploymentRecord"))
        self.heartbeats.resume(self.store.list_("DevOpsProject"))
        for kind in OUR_KINDS:
            for key in self.cache.keys(kind.kind):
                self.agenda.add(key)

    # What is heard of

    def looked(self, look: Looked) -> None:
        """Hear of a look, for metrics."""
        self.metrics.look_ended(look.lane, look.outcome.value, waited=look.waited, took=look.took)
        state = self.agenda.state()
        self.metrics.agenda(due=state.depth, running=state.running, scheduled=state.scheduled, parked=state.parked)

    def _broker_changed(self, state: ConnectionState) -> None:
        self.metrics.connected("rabbitmq", is_connected=state.connected)
        if state.connected:
            self.heartbeats.broker_is_back()

    def _kubernetes_asked(self, call: Call) -> None:
        self.metrics.kubernetes_asked(call.verb, call.kind, str(call.status))

    def _health(self) -> Health:
        health = Health()
        health.register("kopf_operator", self.shell.state)
        health.register("kubernetes_api", self._kubernetes_state, essential=True)
        health.register("rabbitmq_connection", self._broker_state)
        for name, system in _SYSTEMS.items():
            health.register(name, partial(self.endpoints.state_of, system))
        health.must_live("parts", lambda: not any(task.done() for task in self._tasks.values()))
        return health

    def _kubernetes_state(self) -> PartState:
        asked = self.kubernetes.state()
        if not self.ready.is_set():
            failed = f"; {self.resync.failures} passes failed: {self.resync.problem}" if self.resync.problem else ""
            return PartState(Condition.FAILED, f"not everything is listed yet{failed}", asked.since)
        listed = f"last full list at {rfc3339(self.resync.last)}" if self.resync.last else "never listed"
        return PartState(asked.state, f"{asked.detail}; {listed}" if asked.detail else listed, asked.since)

    def _broker_state(self) -> PartState:
        state = self.rabbitmq.state
        condition = Condition.OK if state.connected else Condition.DEGRADED
        held = f"; no messages are taken: {self.intake.held_for}" if self.intake.held_for else ""
        return PartState(condition, f"{state.detail}{held}", state.since)


_FOR_CLOSING = 5.0
_FOR_AWAY = 1.0
_SYSTEMS = {"jenkins_connection": "jenkins", "argocd_connection": "argocd", "registry": "registry", "dns": "dns"}


def _lanes(settings: Settings) -> dict[str, int]:
    width = settings.agenda.look_concurrency
    return {"deployments": width, "environments": max(4, width // 4), "set-ups": max(4, width // 4)}


def _lane_of(key: Key) -> str:
    match key.kind:
        case "DeploymentRecord":
            return "deployments"
        case "Environment":
            return "environments"
        case _:
            return "set-ups"


def _amqp_url(settings: Settings) -> str:
    broker = settings.rabbitmq
    url = URL.build(
        scheme="amqps" if broker.tls else "amqp",
        user=broker.username,
        password=broker.password.get_secret_value(),
        host=broker.host,
        port=broker.port,
    )
    return f"{url}/{'%2F' if broker.vhost == '/' else broker.vhost}"


def topology_of(settings: Settings) -> Topology:
    """Return the broker's names as they are set; the delay doubles with each attempt."""
    broker, messages = settings.rabbitmq, settings.messages
    return Topology(
        exchange=broker.exchange,
        initialize=broker.initialize_queue,
        reconcile=broker.reconcile_queue,
        retry=broker.retry_queue,
        dead=broker.dead_queue,
        heartbeat=broker.heartbeat_exchange,
        retry_delays=tuple(messages.retry_delay * 2**attempt for attempt in range(messages.attempts)),
    )
