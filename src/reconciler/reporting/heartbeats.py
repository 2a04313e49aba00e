"""Heartbeats: on every stored change of an operation, every 10 s while it is active, and its last word for certain.

The shell and the writers hand in every stored body; nothing is ever waited for there. Two boxes, each with a task of
its own: beats go to the broker, and what it confirmed of last words is written into the resource. While one side is
away the newest state of each operation is kept and the other side goes on.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from random import Random
from typing import Any, Protocol

from reconciler.domain.clock import Clock
from reconciler.domain.errors import Unavailable
from reconciler.domain.keys import Body, Key
from reconciler.domain.messages import TRACEPARENT_HEADER
from reconciler.reporting.beats import Operation, OperationKey, operations_of
from reconciler.reporting.outbox import Outbox

INTERVAL = timedelta(seconds=10)
_TOLD = 4096


class Publishes(Protocol):
    """Gives a message to the broker."""

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
        """Publish and wait until the broker has it. Raises Unavailable (OutcomeUnknown among them)."""
        ...


class MarksAnnounced(Protocol):
    """Remembers in the resource which last word was confirmed."""

    async def mark_announced(self, resource: Key, operation_id: str, sequence: int) -> None:
        """Write `announced`, guarded. Raises Unavailable; that the resource is gone is no error."""
        ...


class HeartbeatObserver(Protocol):
    """Hears of beats, for metrics; must not fail and not wait."""

    def heartbeat_sent(self, outcome: str) -> None:
        """Hear of a beat: `confirmed` or `failed`."""
        ...


class _Deaf:
    def heartbeat_sent(self, outcome: str) -> None:
        """Hear nothing."""


class HeartbeatSender:
    """Sends the heartbeats of all operations that are active, or ended without everybody knowing."""

    def __init__(
        self,
        publisher: Publishes,
        announcer: MarksAnnounced,
        *,
        clock: Clock,
        exchange: str = "devops.heartbeat",
        interval: timedelta = INTERVAL,
        observer: HeartbeatObserver | None = None,
        mask: Callable[[str], str] = str,
        random: Random | None = None,
    ) -> None:
        """Make a sender; `run` does the work. `mask` hides secrets in what leaves."""
        self._mask = mask
        self._publisher = publisher
        self._announcer = announcer
        self._clock = clock
        self._exchange = exchange
        self._interval = interval
        self._observer = observer or _Deaf()
        self._operations: dict[OperationKey, Operation] = {}
        self._by_resource: dict[Key, set[OperationKey]] = {}
        self._beats = Outbox("heartbeats", self._beat, clock=clock, random=random)
        self._marks = Outbox("announcements", self._mark, clock=clock, width=16, random=random)
        self._confirmed: dict[OperationKey, int] = {}
        self._told: dict[OperationKey, tuple[str, int]] = {}

    def __len__(self) -> int:
        """Return how many operations are heard of."""
        return len(self._operations)

    @property
    def is_stuck(self) -> bool:
        """Whether the broker was away at the last attempt."""
        return self._beats.is_stuck

    def changed(self, body: Body) -> None:
        """Take a stored body, in whatever order and however often it comes."""
        for operation in operations_of(body):
            self._take(operation)

    def resume(self, bodies: Iterable[Body]) -> None:
        """Take all that is stored, at start and at each resync: what ended unannounced is announced now."""
        for body in bodies:
            self.changed(body)

    def removed(self, resource: Key) -> None:
        """Forget a resource that is gone; a last word that is under way still goes out."""
        for key in tuple(self._by_resource.get(resource, ())):
            if not self._operations[key].is_last_word:
                self._forget(key)

    def broker_is_back(self) -> None:
        """Send now what was kept."""
        self._beats.hurry()

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beats.run())
            group.create_task(self._marks.run())

    async def flush(self, within: timedelta) -> bool:
        """Wait, at the end of the process, until what is due has gone out; tell whether it has."""
        before = self._clock.monotonic()
        if not await self._beats.flush(within):
            return False
        left = within - timedelta(seconds=self._clock.monotonic() - before)
        return await self._marks.flush(max(left, timedelta(0)))

    def _take(self, operation: Operation) -> None:
        key = operation.key
        known = self._operations.get(key)
        if known is not None and known.uid != operation.uid:
            self._forget(key)  # the resource was made anew and starts at the beginning
            known = None
        if operation.is_announced or self._told.get(key) == operation.version:
            self._forget(key)
            return
        if known is not None and operation.sequence <= known.sequence:
            return
        self._operations[key] = operation
        self._by_resource.setdefault(key.resource, set()).add(key)
        self._beats.put(key)

    def _forget(self, key: OperationKey) -> None:
        self._beats.drop(key)
        self._marks.drop(key)
        self._confirmed.pop(key, None)
        if self._operations.pop(key, None) is not None:
            keys = self._by_resource[key.resource]
            keys.discard(key)
            if not keys:
                del self._by_resource[key.resource]

    async def _beat(self, key: OperationKey) -> timedelta | None:
        operation = self._operations.get(key)
        if operation is None or self._confirmed.get(key, -1) >= operation.sequence:
            return None
        await self._publish(operation)
        if not operation.is_last_word:
            return self._interval
        self._confirmed[key] = operation.sequence
        self._marks.put(key)
        return None

    async def _publish(self, operation: Operation) -> None:
        beat = operation.beat(self._clock.now())
        try:
            await self._publisher.publish(
                self._exchange,
                beat.routing_key,
                self._mask(beat.encode().decode()).encode(),
                headers={TRACEPARENT_HEADER: beat.traceparent} if beat.traceparent else None,
                message_id=beat.event_id,
                timestamp=beat.timestamp,
                mandatory=False,  # nobody may be listening; the broker's confirm is what counts
            )
        except Unavailable:
            self._observer.heartbeat_sent("failed")
            raise
        self._observer.heartbeat_sent("confirmed")

    async def _mark(self, key: OperationKey) -> timedelta | None:
        sequence = self._confirmed.get(key)
        operation = self._operations.get(key)
        if sequence is None or operation is None:
            return None
        await self._announcer.mark_announced(key.resource, key.operation_id, sequence)
        if operation is self._operations.get(key) and operation.sequence == sequence:
            self._remember_told(operation)
            self._forget(key)
        return None

    def _remember_told(self, operation: Operation) -> None:
        """Know an end by which everybody was told when its echo comes late."""
        self._told[operation.key] = operation.version
        if len(self._told) > _TOLD:
            del self._told[next(iter(self._told))]
