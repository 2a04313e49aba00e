"""One shift: everything that works, from the moment this replica leads until it ceases to.

A shift is a new incarnation, and what it is made of knows nothing of the one before: meanwhile another replica may have
worked, and used up a provider's limit. It works once, and ends in order (`end`) or at once (`drop`).
"""

import logging
import secrets
from asyncio import gather, timeout
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from reconciler.agenda.agenda import Agenda, Looked
from reconciler.app.accepted import Accepted
from reconciler.app.broker import topology_of
from reconciler.app.connections import Connections
from reconciler.app.crew import Crew
from reconciler.app.endpoints import Endpoints
from reconciler.app.scouts import KIND as SCOUTS
from reconciler.app.scouts import Scouts
from reconciler.app.secrets import SecretReader
from reconciler.app.working import Workers, make_workers
from reconciler.clients.rabbitmq import RabbitMQ
from reconciler.deployments.retention import retention_key
from reconciler.domain.errors import Unavailable
from reconciler.domain.keys import CONFIG_MAP, OUR_KINDS, Key
from reconciler.domain.leftovers import is_leftover_key
from reconciler.engine.patience import Incarnation
from reconciler.intake.consumer import Intake
from reconciler.leftovers.listing import LeftoverList, listing_key
from reconciler.operator.cache import Change
from reconciler.operator.leadership import Leadership
from reconciler.reporting.announcing import Announcer
from reconciler.reporting.audit_chain import HEAD_ANNOTATION, Chain, Head
from reconciler.reporting.events import EventPoster
from reconciler.reporting.heartbeats import HeartbeatSender
from reconciler.resilience.errand import on_errand
from reconciler.settings import Settings
from reconciler.telemetry.logs import about

if TYPE_CHECKING:
    from reconciler.app.operator import Operator

_log = logging.getLogger(__name__)
_AT_ONCE = timedelta(0)
_FOR_AWAY = 1.0
_SET = timedelta(seconds=5)
"""Clocks whose difference moved by less were not set: the API server tells its time in whole seconds."""


class Shift:
    """The working parts.

    Attributes:
        me: the incarnation that signs the claims.
        chain: of what it writes to the audit.
        term: of the lead in which it works; 0 before.
        is_working: between the begin of `work` and its end; else nothing is heard, looked at or told.
    """

    def __init__(self, parts: "Operator") -> None:
        """Make the parts; nothing is opened yet."""
        settings, clock = self.settings, self.clock = parts.settings, parts.clock
        self.metrics = parts.metrics
        self.store, self.signals, self.secrets = parts.store, parts.signals, parts.secrets
        topology = topology_of(settings)
        self.me = Incarnation(parts.replica, secrets.token_hex(8))
        self.chain = Chain(self.me.id)
        self.term = 0
        self.is_working = False
        self._ahead: timedelta | None = None
        self._parts = parts
        self._crew = Crew()
        self._workers: Workers | None = None
        self.agenda: Agenda[Key] = Agenda(
            self._look,
            clock=clock,
            lanes=lanes_of(settings),
            lane_of=lane_of,
            observer=self,
            describe=lambda key: {"resource": str(key)},
        )
        self.intake = Intake(
            resources=Accepted(parts.kubernetes, parts.cache),
            messenger=parts.rabbitmq,
            topology=topology,
            namespace=settings.kubernetes.own_namespace,
            clock=clock,
            window=settings.messages.dedupe_window,
            attempts=settings.messages.attempts,
            prefetch=settings.rabbitmq.prefetch,
            observe=parts.metrics.message_settled,
        )
        self.heartbeats = HeartbeatSender(
            _WhileLeading(parts.rabbitmq, parts.leadership),
            Announcer(parts.store),
            clock=clock,
            exchange=topology.heartbeat,
            interval=settings.messages.heartbeat_interval,
            observer=parts.metrics,
            mask=parts.secrets.mask,
        )
        self.events = EventPoster(parts.kubernetes, clock=clock, replica=self.me.replica, mask=parts.secrets.mask)
        self.leftovers = LeftoverList(lists=parts.kubernetes, memory=parts.cache, clock=clock)
        self._scouts = Scouts(add=self.add, clock=clock)
        self.endpoints = Endpoints(settings.outside, clock, parts.secrets.mask, parts.metrics, self._scouts.turned)
        self.connections = Connections(
            settings,
            self.endpoints,
            SecretReader(parts.kubernetes, clock, parts.secrets.learn, parts.cache),
            clock,
            mask=parts.secrets.mask,
            build_changed=parts.signals.build_changed,
            application_changed=parts.signals.application_changed,
        )

    # Life

    async def work(self, owner: str) -> None:
        """Look at everything that is known, tell of it, and take messages, until a part dies. Raises what it died of.

        Whoever cancels it calls `end` or `drop` next.
        """
        leadership = self._parts.leadership
        self.term = leadership.term
        self.chain.follow(Head.read(leadership.found.get(HEAD_ANNOTATION)))
        self._workers = make_workers(self, owner, may_act=lambda: leadership.is_leading)
        self.is_working = True
        self.resynced()
        for place in self._parts.cache.places("DeploymentRecord"):
            self.agenda.add(retention_key(*place))
        self._crew.begin(agenda=self.agenda.run(), heartbeats=self.heartbeats.run(), events=self.events.run())
        await self.intake.start()
        _log.info("working", extra={"replica": self.me.replica, "incarnation": self.me.id})
        await self._crew.one_ended()
        self._crew.raise_first_death()

    async def end(self, deadline: float) -> None:
        """End in order, until then (monotonic): no new messages and looks, those that run end, heartbeats flushed."""
        if self.is_working:
            looks = self.settings.shutdown.looks
            await gather(self.intake.stop(looks), self.agenda.stop(looks))
            await self._flush(max(1.0, deadline - self.clock.monotonic()))
        await self._close()

    async def drop(self) -> None:
        """Drop everything at once: looks and acts are cancelled, messages given back, nothing more is told."""
        self.is_working = False
        await gather(self.agenda.stop(_AT_ONCE), self.intake.stop(_AT_ONCE))
        await self._close()

    async def _flush(self, left: float) -> None:
        # What a broker that is away has not heard of an end, the next life tells it: no use in waiting long.
        for_beats = left / 2 if self._parts.rabbitmq.state.connected else min(_FOR_AWAY, left / 2)
        with suppress(TimeoutError):
            async with timeout(left):
                await self.heartbeats.flush(timedelta(seconds=for_beats))
                await self.events.flush()

    async def _close(self) -> None:
        self.is_working = False
        await self._crew.dismiss()
        await self.connections.close()

    # What is heard of

    def add(self, key: Key, due: datetime | None = None) -> None:
        """Look at a resource, now or when it is due."""
        if self.is_working:
            self.agenda.add(key, due)

    def forget(self, key: Key) -> None:
        """Look at a resource no more."""
        if self.is_working:
            self.agenda.forget(key)

    def changed(self, change: Change) -> None:
        """Tell of a resource that is another one than before."""
        if not self.is_working:
            return
        if change.after is None:
            self.heartbeats.removed(change.key)
            return
        self.heartbeats.changed(change.after)
        self.events.changed(change.before, change.after)

    def resynced(self) -> None:
        """Look at everything that is not at rest, and tell what is not announced yet.

        What is at rest has its place in the agenda, if anything is planned for it. It is looked at when the shift
        begins, and when one of the clocks was set: plans were made by the difference of ours to the API server's.
        """
        if not self.is_working:
            return
        self.heartbeats.resume(self.store.list_("DeploymentRecord"))
        self.heartbeats.resume(self.store.list_("DevOpsProject"))
        self.heartbeats.resume(self.store.list_("Environment"))
        awake_only = not self._was_a_clock_set()
        for kind in OUR_KINDS:
            for key in self._parts.cache.keys(kind.kind, awake_only=awake_only):
                self.agenda.add(key)
        self.agenda.add(listing_key(self.settings.kubernetes.own_namespace))
        for key in filter(is_leftover_key, self._parts.cache.keys(CONFIG_MAP.kind)):
            self.agenda.add(key)

    def _was_a_clock_set(self) -> bool:
        """Tell whether ours and the API server's differ by another span than when all plans were made."""
        ahead = self.store.server_now() - self.clock.now()
        if self._ahead is not None and abs(ahead - self._ahead) < _SET:
            return False
        self._ahead = ahead
        return True

    def looked(self, look: Looked) -> None:
        """Hear of a look, for metrics."""
        self._parts.metrics.look_ended(look.lane, look.outcome.value, waited=look.waited, took=look.took)
        self.measure()

    def measure(self) -> None:
        """Note how full the agenda is."""
        state = self.agenda.state()
        self._parts.metrics.agenda(
            due=state.depth, running=state.running, scheduled=state.scheduled, parked=state.parked
        )

    async def _look(self, key: Key) -> datetime | None:
        if key.kind == CONFIG_MAP.kind and not is_leftover_key(key):
            self._parts.canary_came()
            return None
        if key.kind == SCOUTS:
            return self._scouts.look(key)
        assert self._workers is not None  # noqa: S101 - the agenda runs only after they were made
        if not self._parts.leadership.is_leading:
            raise Unavailable("this replica does not lead any more", system="kubernetes")
        operation = key.name if key.kind == "DeploymentRecord" else ""
        with about(operation=operation, resource=str(key)), on_errand(key):
            return await self._workers.look(key)


@dataclass(frozen=True, slots=True)
class _WhileLeading:
    """Publishes only while we lead: who wakes from a freeze has nothing to say before it knows that it was away."""

    rabbitmq: RabbitMQ
    leadership: Leadership

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        headers: Mapping[str, Any] | None = None,
        message_id: str = "",
        timestamp: datetime | None = None,
        mandatory: bool = True,
    ) -> None:
        """Publish and wait until the broker has it. Raises Unavailable."""
        if not self.leadership.is_leading:
            raise Unavailable("this replica does not lead any more", system="kubernetes")
        await self.rabbitmq.publish(
            exchange,
            routing_key,
            body,
            headers=headers,
            message_id=message_id,
            timestamp=timestamp,
            mandatory=mandatory,
        )


def lanes_of(settings: Settings) -> dict[str, int]:
    """Return the lanes of the agenda, and how many looks at once each allows."""
    width = settings.agenda.look_concurrency
    narrow = max(4, width // 4)
    return {"deployments": width, "environments": narrow, "set-ups": narrow, "leftovers": 4, "canary": 1, "scouts": 1}


def lane_of(key: Key) -> str:
    """Return the lane in which a resource is looked at."""
    match key.kind:
        case "DeploymentRecord":
            return "deployments"
        case "Environment":
            return "environments"
        case _ if is_leftover_key(key) or key.kind == listing_key("").kind:
            return "leftovers"
        case CONFIG_MAP.kind:
            return "canary"
        case _ if key.kind == SCOUTS:
            return "scouts"
        case _:
            return "set-ups"
