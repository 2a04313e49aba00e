"""Which replica is active: the one that holds a `coordination.k8s.io` Lease; the others stand by.

The rules are those of client-go. Nobody compares clocks of two machines: a holder is believed to be gone when its lease
did not change for its duration as measured here, and we stop leading when we could not renew for two thirds of ours. An
overlap would do no harm all the same: slots and claims are what keeps two writers apart.

A holder's name is `<replica>_<life>`. A replica that finds the lease held by a former life of its own takes it at once,
but only as its first act: a container that starts again does not wait for its own ghost, and of two programs that
were given the same name by mistake the younger one wins once, and then it is quiet.

The lease also carries notes (annotations) from one who leads to the next: read when it is taken, written with renewals.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from reconciler.domain.clock import Clock, SystemClock, rfc3339_micro
from reconciler.domain.errors import AlreadyExists, Conflict, ReconcilerError
from reconciler.domain.health import Condition, PartState
from reconciler.domain.keys import LEASE, Body, Kind

LEASE_NAME = "freeleaps-devops-reconciler"
_log = logging.getLogger(__name__)
_TICK = 0.001


class Leases(Protocol):
    """Where the lease is stored."""

    async def find(self, kind: Kind, namespace: str, name: str) -> Body | None:
        """Return it, if it is there."""
        ...

    async def create(self, kind: Kind, namespace: str, body: Body) -> Body:
        """Create it. Raises AlreadyExists."""
        ...

    async def replace(self, kind: Kind, namespace: str, name: str, body: Body) -> Body:
        """Put it, guarded by its version. Raises Conflict."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """The times of a lease: how long it holds, how often it is renewed or tried."""

    duration: timedelta = timedelta(seconds=15)
    every: timedelta = timedelta(seconds=3)
    """How often it is renewed, or tried; also how long one attempt may take."""

    @property
    def given_up_after(self) -> timedelta:
        """How long after the last renewal we stop leading: well before anybody else may begin."""
        return self.duration * 2 / 3


def _nothing(_: bool) -> None:  # noqa: FBT001 - the shape of the callback
    """Do nothing."""


def _no_notes() -> Mapping[str, str]:
    return {}


class Leadership:
    """Our candidacy. `run()` it as one task; `changed` is told when we begin and cease to lead.

    Attributes:
        term: counts how often we began to lead.
        found: the notes on the lease when we took it last.
    """

    def __init__(
        self,
        leases: Leases,
        identity: str,
        *,
        namespace: str,
        name: str = LEASE_NAME,
        terms: Terms | None = None,
        clock: Clock | None = None,
        changed: Callable[[bool], None] = _nothing,
        notes: Callable[[], Mapping[str, str]] = _no_notes,
        first_notes: Callable[[], Mapping[str, str]] = _no_notes,
    ) -> None:
        """Prepare.

        Args:
            leases: where the lease is.
            identity: names this replica and this life of it, with `_` between.
            namespace: of the lease.
            name: of the lease.
            terms: how long it holds.
            clock: of this machine.
            changed: told when we begin to lead, and when we cease to.
            notes: go onto the lease with renewals.
            first_notes: go onto it when it is taken, where no leader before has noted the same.
        """
        self.identity = identity
        self.term = 0
        self.found: Mapping[str, str] = {}
        self._notes, self._first_notes = notes, first_notes
        self._leases = leases
        self._namespace, self._name = namespace, name
        self._terms = terms or Terms()
        self._clock = clock or SystemClock()
        self._changed = changed
        self._led_until = 0.0
        self._seen: tuple[str, float] = ("", 0.0)
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self._led = asyncio.Event()
        self._stands_by = asyncio.Event()
        self._stands_by.set()
        self._has_tried = False
        self._fails = False
        self._state = PartState(Condition.UNKNOWN, "not a candidate yet")

    @property
    def is_leading(self) -> bool:
        """Whether we hold the lease, as of now."""
        return self._led.is_set() and self._clock.monotonic() < self._led_until

    async def leading(self) -> None:
        """Wait until we lead."""
        await self._led.wait()

    async def ceased(self) -> None:
        """Wait until we do not lead."""
        await self._stands_by.wait()

    def state(self) -> PartState:
        """Return who leads, for `/readyz`; standing by is fine."""
        return self._state

    async def run(self) -> None:
        """Take the lease when it is free and renew it, until `stop()`; give it back then."""
        self._ended.clear()
        try:
            while not self._stopping.is_set():
                await self._round()
                await self._rest()
            held, notes = self._led.is_set(), dict(self._notes())
            self._decide(leads=False, holder="nobody")
            if held:
                await self._give_back(notes)
        finally:
            self._decide(leads=False, holder="nobody")
            self._ended.set()

    async def stop(self) -> None:
        """Cease to lead, and wait until the lease is given back."""
        self._stopping.set()
        await self._ended.wait()

    async def _round(self) -> None:
        self._notice_our_end()
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._seconds_to_next()):
                holder = await self._take_or_renew()
        except (TimeoutError, ReconcilerError) as exc:
            level = logging.DEBUG if self._fails else logging.WARNING
            _log.log(level, "the lease cannot be held or read: %s %s", type(exc).__name__, exc)
            self._fails = True
            if self._led.is_set():
                self._notice_our_end()
            else:
                self._decide(leads=False, holder="")
            return
        self._has_tried, self._fails = True, False
        if holder == self.identity:
            self._led_until = began + self._terms.given_up_after.total_seconds()
            self._decide(leads=True, holder=holder)
        elif holder is not None:
            self._decide(leads=False, holder=holder)

    def _notice_our_end(self) -> None:
        """Cease to lead when our time is over, be it that we could not renew or that we were frozen."""
        if self._led.is_set() and self._clock.monotonic() >= self._led_until:
            self._decide(leads=False, holder="")

    def _seconds_to_next(self) -> float:
        """Return how long an attempt or a rest may take: no longer than we lead without renewing."""
        every = self._terms.every.total_seconds()
        if not self._led.is_set():
            return every
        return max(min(every, self._led_until - self._clock.monotonic()), _TICK)

    async def _take_or_renew(self) -> str | None:
        """Return who holds the lease after this attempt; None when somebody wrote between our read and our write."""
        lease = await self._leases.find(LEASE, self._namespace, self._name)
        try:
            if lease is None:
                lease = {"metadata": {"name": self._name, "namespace": self._namespace}}
                self.found = dict(self._first_notes())
                notes = {**self.found, **(self._notes() if self._led.is_set() else {})}
                await self._leases.create(LEASE, self._namespace, _with(lease, notes, self._claim({})))
                return self.identity
            spec = lease.get("spec") or {}
            if not self._is_ours_to_take(lease, spec):
                return str(spec["holderIdentity"])
            if not self._led.is_set():
                self.found = {**self._first_notes(), **(lease["metadata"].get("annotations") or {})}
            # Who takes it has no notes yet: those of the leader before stay.
            renewed = self._notes() if self._led.is_set() else self.found
            await self._leases.replace(LEASE, self._namespace, self._name, _with(lease, renewed, self._claim(spec)))
        except (Conflict, AlreadyExists):
            return None
        return self.identity

    def _is_ours_to_take(self, lease: Body, spec: Mapping[str, Any]) -> bool:
        holder = spec.get("holderIdentity")
        if holder in {None, "", self.identity}:
            return True
        if not self._has_tried and _replica(holder) == _replica(self.identity):
            return True
        version, now = str(lease["metadata"]["resourceVersion"]), self._clock.monotonic()
        if version != self._seen[0]:
            self._seen = (version, now)
        duration = float(spec.get("leaseDurationSeconds") or self._terms.duration.total_seconds())
        return now - self._seen[1] >= duration

    def _claim(self, spec: Mapping[str, Any]) -> Body:
        now = rfc3339_micro(self._clock.now())
        is_renewal = spec.get("holderIdentity") == self.identity
        transitions = int(spec.get("leaseTransitions") or 0)
        return {
            **spec,
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self._terms.duration.total_seconds()),
            "acquireTime": spec.get("acquireTime", now) if is_renewal else now,
            "renewTime": now,
            "leaseTransitions": transitions if is_renewal or not spec else transitions + 1,
        }

    async def _give_back(self, notes: Mapping[str, str]) -> None:
        try:
            async with asyncio.timeout(self._terms.every.total_seconds()):
                lease = await self._leases.find(LEASE, self._namespace, self._name)
                if lease is None or lease["spec"].get("holderIdentity") != self.identity:
                    return
                spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1}
                await self._leases.replace(LEASE, self._namespace, self._name, _with(lease, notes, spec))
        except (TimeoutError, ReconcilerError) as exc:
            _log.warning("the lease could not be given back; it runs out by itself: %s %s", type(exc).__name__, exc)

    def _decide(self, *, leads: bool, holder: str) -> None:
        others = f"standing by; {_replica(holder)} leads" if holder else "standing by; the lease cannot be reached"
        words = "leading" if leads else others
        condition = Condition.OK if leads or holder else Condition.DEGRADED
        if (condition, words) != (self._state.state, self._state.detail):
            self._state = PartState(condition, words, self._clock.now())
            _log.info("%s", words, extra={"replica": _replica(self.identity)})
        if leads == self._led.is_set():
            return
        if leads:
            self.term += 1
            self._stands_by.clear()
            self._led.set()
        else:
            self._led.clear()
            self._stands_by.set()
        self._changed(leads)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._seconds_to_next()):
                await self._stopping.wait()
        except TimeoutError:
            return


def _with(lease: Body, notes: Mapping[str, str], spec: Body) -> Body:
    """Return the lease with notes among its annotations and another spec."""
    metadata = lease["metadata"]
    annotations = {**(metadata.get("annotations") or {}), **notes}
    return {**lease, "metadata": {**metadata, "annotations": annotations}, "spec": spec}


def _replica(holder: str) -> str:
    """Return which replica a holder's name speaks of."""
    return holder.rpartition("_")[0] or holder
