"""The operator as one process: every part made, started, joined and ended in order.

Of several replicas one works: what works is a `Shift`, begun and dropped with the lead; everything here lives on, so
that a replica that stands by knows all there is, shows it, and can take over at once.

Made from settings, ways to the API server and a clock; the sandbox makes the same one with other addresses.
"""

import asyncio
import logging
import math
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from reconciler.agenda.agenda import Agenda
from reconciler.agenda.resync import Found, Resync
from reconciler.app.broker import amqp_url, topology_of
from reconciler.app.canaries import LABEL as CANARY_LABEL
from reconciler.app.canaries import MessageCanary, ResourceCanary, canary_key, remove_quietly
from reconciler.app.connections import LIMITED
from reconciler.app.crew import Crew, first_of
from reconciler.app.endpoints import Strain
from reconciler.app.lifeline import Canary, Lifeline
from reconciler.app.shift import Shift
from reconciler.app.signals import Signals
from reconciler.clients.kubernetes import Call, Credentials, Kubernetes, change_and_hear
from reconciler.clients.rabbitmq import ConnectionState, RabbitMQ
from reconciler.domain.clock import Clock, SystemClock, rfc3339
from reconciler.domain.errors import ReconcilerError
from reconciler.domain.health import Condition, PartState
from reconciler.domain.keys import CONFIG_MAP, NAMESPACE, WATCHED, Key
from reconciler.domain.leftovers import is_leftover_key
from reconciler.operator.cache import Cache, Change, Source
from reconciler.operator.leadership import Leadership, Terms
from reconciler.operator.shell import Shell
from reconciler.operator.store import Store
from reconciler.reporting.audit_chain import HEAD_ANNOTATION, beginning_of
from reconciler.resilience.breaker import State
from reconciler.resilience.limiter import LimiterState
from reconciler.settings import Settings
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
        self.replica = settings.kubernetes.replica or socket.gethostname()
        self._stopping = asyncio.Event()
        self._crew = Crew()
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
        self.signals = Signals(self.store, self._add, self._forget)
        namespaces = () if _ALL_NAMESPACES in kubernetes.namespaces else tuple(kubernetes.namespaces)
        self.resync = Resync(
            self.kubernetes,
            self.cache,
            WATCHED,
            namespaces=namespaces or (None,),
            interval=settings.agenda.resync_interval,
            clock=self.clock,
            finished=self._resynced,
        )
        self.shell = Shell(
            credentials,
            self.cache,
            WATCHED,
            labelled={CONFIG_MAP: CANARY_LABEL},
            namespaces=namespaces,
            clock=self.clock,
            began=self.resync.soon,
            install_signals=install_signals,
        )
        self.rabbitmq = RabbitMQ(
            amqp_url(settings),
            clock=self.clock,
            on_change=self._broker_changed,
            heartbeat=settings.rabbitmq.connection_heartbeat,
            publish_timeout=settings.rabbitmq.publish_timeout,
        )
        self.rabbitmq.declare(topology_of(settings))
        # The Lease has a connection of its own: it must not wait behind looks.
        self._for_lease = Kubernetes(credentials, clock=self.clock, connections=1, observe=self._kubernetes_asked)
        self.leadership = Leadership(
            self._for_lease,
            f"{self.replica}_{secrets.token_hex(4)}",
            namespace=kubernetes.own_namespace,
            terms=Terms(kubernetes.lease_duration, kubernetes.lease_renewal),
            clock=self.clock,
            changed=self.metrics.leads,
            notes=self._notes,
            first_notes=self._first_notes,
        )
        self.shift = Shift(self)
        self.metrics.work_is(heard_of=lambda: len(self.shift.heartbeats), left=self._leftovers)
        interval = settings.proof.interval
        self._canary_key = canary_key(self.replica, kubernetes.own_namespace, namespaces)
        self._canary = ResourceCanary(
            self.kubernetes,
            self._canary_key,
            self.clock,
            change_and_hear=partial(
                change_and_hear, credentials, CONFIG_MAP, self._canary_key.namespace, self._canary_key.name
            ),
            restart=self.shell.restart,
        )
        self._changes = self._lifeline("changes", self._canary, interval)
        message_canary = MessageCanary(self.rabbitmq)
        self._messages = self._lifeline("messages", message_canary, interval)
        message_canary.heard = self._messages.arrived
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
        self._crew.begin(
            kopf=self.shell.run(),
            resync=self.resync.run(),
            shifts=self._work_in_shifts(),
            leadership=self._stand_for_the_lead(),
            loop_lag=measure_lag(self.metrics.loop_lagged, clock=self.clock),
            proof_of_changes=self._changes.run(),
            proof_of_messages=self._messages.run(),
        )
        await self.rabbitmq.start()
        try:
            await first_of(self._stopping.wait(), self._crew.one_ended())
        finally:
            await self._end()
        self._crew.raise_first_death()

    def stop(self) -> None:
        """End in order: no new messages, looks end, heartbeats flushed, connections closed."""
        self._stopping.set()

    @property
    def agenda(self) -> Agenda[Key]:
        """The agenda of this shift, or of the next one while we stand by."""
        return self.shift.agenda

    async def _work_in_shifts(self) -> None:
        """Work whenever we lead, once everything is known: before, nobody may conclude that something is not there."""
        await self.resync.complete.wait()
        owner = await self._owner_id()
        self.ready.set()
        _log.info("ready", extra={"replica": self.replica, "owner": owner})
        while True:
            await self.leadership.leading()
            self.resync.soon()
            await first_of(self.leadership.ceased(), self.shift.work(owner))
            await self.shift.drop()
            self.shift = Shift(self)
            self.shift.measure()

    async def _stand_for_the_lead(self) -> None:
        await self.ready.wait()
        await self.leadership.run()

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
        await self._crew.dismiss("shifts")
        await self.shift.end(deadline - _FOR_CLOSING)
        with suppress(TimeoutError):
            async with asyncio.timeout(_FOR_LEASE):
                await self.leadership.stop()
        await self.shell.stop()
        await self._crew.dismiss()
        await remove_quietly(self._canary, _FOR_CANARY)
        await self.rabbitmq.stop()
        await self._for_lease.close()
        await self.kubernetes.close()
        await self.web.stop()

    # Work

    def _changed(self, change: Change) -> None:
        if change.key.kind == CONFIG_MAP.kind and not is_leftover_key(change.key):
            self._hear_canary(change)
            return
        self.signals.changed(change)
        self.shift.changed(change)
        if self.shift.is_working:
            self._count(change)

    def _hear_canary(self, change: Change) -> None:
        """Let our own canary go on to the agenda; a replica that stands by has none that runs."""
        if change.key != self._canary_key or change.after is None or not self._canary.is_ours(change.after):
            return
        if self.shift.is_working:
            self.shift.add(change.key)
        else:
            self.canary_came()

    def canary_came(self) -> None:
        """Note that a change came the whole way."""
        self._changes.arrived()

    def _lifeline(self, name: str, canary: Canary, interval: timedelta) -> Lifeline:
        restarted = self.metrics.part_restarted
        lifeline = Lifeline(name, canary, interval=interval, clock=self.clock, restarted=restarted)
        self.metrics.proof_is(name, lambda: lifeline.proof.age)
        return lifeline

    def _add(self, key: Key) -> None:
        self.shift.add(key)

    def _forget(self, key: Key) -> None:
        self.shift.forget(key)

    def _count(self, change: Change) -> None:
        if change.key.kind == CONFIG_MAP.kind and (change.before is None or change.after is None):
            self._count_leftover(change)
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

    def _count_leftover(self, change: Change) -> None:
        """Count what was left behind and what has gone since; after a start what was known before is no news."""
        if change.source is Source.OWN_WRITE:
            body = change.after or change.before or {}
            self.metrics.leftover((body.get("data") or {}).get("system", ""), "left" if change.after else "gone")

    def _leftovers(self) -> int:
        return sum(map(is_leftover_key, self.cache.keys(CONFIG_MAP.kind))) if self.shift.is_working else 0

    def _resynced(self, _: Found) -> None:
        self.shift.resynced()

    def _notes(self) -> dict[str, str]:
        """Return what the Lease is to say: where the audit stands, of a shift that works under this very lead."""
        head = self.shift.chain.head if self.shift.term == self.leadership.term else None
        return {HEAD_ANNOTATION: head.text()} if head else {}

    def _first_notes(self) -> dict[str, str]:
        """Return what a Lease is to say on which no audit stands yet: where the one of the shift that comes begins."""
        return {HEAD_ANNOTATION: beginning_of(self.shift.chain.name).text()}

    # What is heard of

    def _broker_changed(self, state: ConnectionState) -> None:
        self.metrics.connected("rabbitmq", is_connected=state.connected)
        if state.connected:
            self.shift.heartbeats.broker_is_back()

    def _kubernetes_asked(self, call: Call) -> None:
        self.metrics.kubernetes_asked(call.verb, call.kind, str(call.status))

    def _health(self) -> Health:
        health = Health()
        health.register("kopf_operator", self.shell.state)
        health.register("kubernetes_api", self._kubernetes_state, essential=True)
        health.register("rabbitmq_connection", self._broker_state)
        health.register("leadership", self.leadership.state)
        for name, system in _SYSTEMS.items():
            ask = partial(self._system_state, system)
            health.register(name, ask)
            self.metrics.connected_while(system, partial(_is_ok, ask))
            self._measure_strain(system)
        self.metrics.connected_while("kubernetes", partial(_is_ok, self._kubernetes_state))
        health.must_live("parts", lambda: self._crew.lives)
        for lifeline in (self._changes, self._messages):
            health.register(f"{lifeline.name}_come_through", lifeline.state)
            health.must_live(f"{lifeline.name}_come_through", partial(_is_alive, lifeline))
        return health

    def _measure_strain(self, system: str) -> None:
        def breaker() -> str:
            strain = self.shift.endpoints.strain_on(system)
            return (strain.breaker if strain else State.CLOSED).value

        def measured(of: Callable[[Strain], float]) -> Callable[[], float]:
            return lambda: of(strain) if (strain := self.shift.endpoints.strain_on(system)) else 0.0

        def limited(of: Callable[[LimiterState], float]) -> Callable[[], float]:
            return measured(lambda strain: of(strain.limit) if strain.limit else math.nan)

        self.metrics.breaker_is(system, breaker)
        self.metrics.permits_are(
            system,
            in_use=measured(lambda strain: strain.permits_taken),
            waiting=measured(lambda strain: strain.permits_waiting),
        )
        if system in LIMITED:
            self.metrics.limiter_is(
                system,
                left=limited(lambda limit: limit.left),
                free_in=limited(lambda limit: limit.free_in),
                waiting=limited(lambda limit: limit.waiting),
            )

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
        held = f"; no messages are taken: {why}" if (why := self.shift.intake.held_for) else ""
        return PartState(condition, f"{state.detail}{held}", state.since)

    def _system_state(self, system: str) -> PartState:
        return self.shift.endpoints.state_of(system)


_FOR_CLOSING = 5.0


def _is_alive(lifeline: Lifeline) -> bool:
    return lifeline.is_alive


def _is_ok(ask: Callable[[], PartState]) -> bool:
    return ask().state is Condition.OK


_FOR_LEASE = 2.0
_FOR_CANARY = timedelta(seconds=1)
_SYSTEMS = {"jenkins_connection": "jenkins", "argocd_connection": "argocd", "registry": "registry", "dns": "dns"}
