"""Takes messages off their queues and settles each: acknowledged only after what it asks for is stored or answered."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

from reconciler.domain.clock import Clock
from reconciler.domain.errors import RateLimited, ReconcilerError, Unavailable
from reconciler.domain.keys import DEPLOYMENT_RECORD, PROJECT
from reconciler.domain.messages import (
    ATTEMPT_HEADER,
    EXCHANGE_HEADER,
    FIELD_HEADER,
    MESSAGE_HEADER,
    REASON_HEADER,
    REMEDY_HEADER,
    ROUTING_KEY_HEADER,
    TRACEPARENT_HEADER,
    EventType,
    Heartbeat,
    InitializePayload,
    Request,
    Topology,
)
from reconciler.domain.names import record_name
from reconciler.domain.resources import DevOpsProject, Phase
from reconciler.intake.decoder import decode, subject_of
from reconciler.intake.initialize import InitializeIntake
from reconciler.intake.outcomes import Ended, Later, Outcome, Rejected, Stored, Subject, Unchanged
from reconciler.intake.ports import Delivery, Messenger, Resources, Subscription
from reconciler.intake.reconcile import ReconcileIntake
from reconciler.resilience.backoff import Backoff

_LOG = logging.getLogger(__name__)
_BROKERS_OWN = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count")
_LONGEST_HEADER = 256
_MOST_RETURNS = 5
"""A message that went back so often waits elsewhere, where its returns count anew: at the broker's delivery limit it
would be a dead letter of which nobody is told. It comes to that where reads are answered and writes are not."""
_BACKOFF = Backoff(floor=timedelta(milliseconds=200), longest=timedelta(seconds=15))

Probe = Callable[[], Awaitable[object]]


class Intake:
    """The consumer of both work queues.

    While the API server does not answer at all, nothing is taken and no attempt counted; it is asked from time to time,
    and after an answer messages are taken again.

    Args:
        window: how far back an operation_id is known (the dedupe window).
        attempts: how often a message may wait before it is a dead letter.
        manager: the name under which our own writes stand in managedFields.
        observe: hears of every settled message: its type (empty where unknown) and what became of it.
    """

    def __init__(
        self,
        *,
        resources: Resources,
        messenger: Messenger,
        topology: Topology,
        namespace: str,
        clock: Clock,
        window: timedelta = timedelta(days=7),
        attempts: int = 10,
        prefetch: int = 20,
        manager: str = "freeleaps-devops-reconciler",
        backoff: Backoff = _BACKOFF,
        random: Random | None = None,
        observe: Callable[[str, str], None] = lambda _type, _outcome: None,
    ) -> None:
        self._resources = resources
        self._messenger = messenger
        self._topology = topology
        self._namespace = namespace
        self._clock = clock
        self._attempts = attempts
        self._prefetch = prefetch
        self._backoff = backoff
        self._random = random or Random()  # noqa: S311 - jitter
        self._observe = observe
        self._reconcile = ReconcileIntake(resources, namespace=namespace, window=window)
        self._initialize = InitializeIntake(resources, namespace=namespace, window=window, manager=manager)
        self._subscriptions: list[Subscription] = []
        self._hold: asyncio.Task[None] | None = None
        self._held_for = ""
        self._once_more: tuple[str, Probe] | None = None
        self._silences = 0

    @property
    def held_for(self) -> str:
        """Why no messages are taken, empty while they are."""
        return self._held_for

    async def start(self) -> None:
        """Take messages from now on."""
        for queue in self._topology.bindings:
            handle = partial(self.handle, queue)
            self._subscriptions.append(await self._messenger.consume(queue, handle, prefetch=self._prefetch))

    async def stop(self, grace: timedelta = timedelta(seconds=10)) -> None:
        """Take no more, let what runs end within `grace`, then cancel it and give it back."""
        if self._hold is not None:
            self._hold.cancel()
            await asyncio.gather(self._hold, return_exceptions=True)
        await asyncio.gather(*(subscription.stop(grace) for subscription in self._subscriptions))

    async def handle(self, queue: str, delivery: Delivery) -> None:
        """Store what a message of `queue` asks for, and settle it."""
        read = decode(
            delivery.body,
            content_type=delivery.content_type,
            headers=delivery.headers,
            timestamp=delivery.timestamp,
        )
        subject = subject_of(read) if isinstance(read, Request) else read.subject
        try:
            outcome = await self._outcome(read, subject)
            answer = await self._is_owed_an_end(outcome, subject)
        except Unavailable as error:
            is_silence = _nobody_answers(error)
            if is_silence and _returns(delivery) < _MOST_RETURNS:
                self._hold_until(error.message, partial(self._knows, subject))
                return
            outcome, answer = Later("Unavailable", error.message, subject, is_attempt=not is_silence), False
        try:
            outcome = self._limited(delivery, outcome)
            await self._settle(queue, delivery, outcome, tell=answer)
            self._report(subject, delivery, outcome)
            self._silences = 0  # Not after a mere probe: the broker counts how often messages go back.
        except Unavailable as error:  # Of the broker: the message is not settled and comes again.
            self._hold_until(error.message, _nothing)

    # Deciding.

    async def _outcome(self, read: Request | Rejected, subject: Subject | None) -> Outcome:
        if isinstance(read, Rejected):
            return read
        try:
            return await self._accept(read)
        except Unavailable as error:
            if _nobody_answers(error):
                raise
            return Later("Unavailable", error.message, subject)
        except ReconcilerError as error:
            return Later(type(error).__name__, error.message, subject)
        except Exception as error:  # noqa: BLE001 - a bug: logged, tried again, and kept as a dead letter
            _LOG.exception("operation %s could not be stored", read.payload.operation_id)
            return Later("InternalError", type(error).__name__, subject)

    async def _accept(self, request: Request) -> Outcome:
        now = self._clock.now()
        if isinstance(request.payload, InitializePayload):
            return await self._initialize.accept(request, request.payload, now)
        return await self._reconcile.accept(request, request.payload, now)

    async def _is_owed_an_end(self, outcome: Outcome, subject: Subject | None) -> bool:
        """Tell whether the sender must be told an end: an operation that is stored gets it from the operator."""
        if not isinstance(outcome, Rejected | Later) or subject is None:
            return False
        try:
            return not await self._knows(subject)
        except Unavailable:
            raise
        except Exception:  # noqa: BLE001 - whatever it was, one answer too many is better than none
            return True

    async def _knows(self, subject: Subject | None) -> bool:
        """Tell whether an operation is stored, under the same id, whatever else the message says."""
        if subject is None or subject.type is EventType.RECONCILE:
            name = record_name(subject.operation_id) if subject else "-"
            return await self._resources.find(DEPLOYMENT_RECORD.kind, self._namespace, name) is not None
        body = await self._resources.find(PROJECT.kind, self._namespace, subject.project)
        if body is None:
            return False
        project = DevOpsProject(body)
        known = {operation.id for operation in project.status.operations}
        if project.spec.operation is not None:
            known.add(project.spec.operation.id)
        return subject.operation_id in known

    # Settling.

    def _limited(self, delivery: Delivery, outcome: Outcome) -> Outcome:
        """Turn the last attempt's `Later` into a rejection."""
        if isinstance(outcome, Later) and outcome.is_attempt and _attempts(delivery) >= self._attempts:
            remedy = f"it was tried {self._attempts} times; when the cause is gone, send it again"
            return Rejected(outcome.reason, "", outcome.message, remedy, outcome.subject)
        return outcome

    async def _settle(self, queue: str, delivery: Delivery, outcome: Outcome, *, tell: bool) -> None:
        match outcome:
            case Stored() | Unchanged():
                pass
            case Ended(subject, phase, reason, message):
                await self._tell(subject, phase, reason, message)
            case Later(is_attempt=is_attempt):
                await self._send_to_wait(queue, delivery, _attempts(delivery) + is_attempt)
            case Rejected():
                await self._send_to_the_dead(delivery, outcome)
                if tell and outcome.subject is not None:
                    await self._tell(outcome.subject, Phase.FAILED, outcome.reason, outcome.message)
        await delivery.ack()

    async def _send_to_wait(self, queue: str, delivery: Delivery, attempt: int) -> None:
        await self._messenger.publish(
            self._topology.retry_for(max(1, attempt)),
            queue,
            delivery.body,
            headers={**_kept(delivery), ATTEMPT_HEADER: attempt},
            message_id=delivery.message_id,
            content_type=delivery.content_type,
            timestamp=delivery.timestamp,
        )

    async def _send_to_the_dead(self, delivery: Delivery, rejected: Rejected) -> None:
        why = {
            REASON_HEADER: rejected.reason,
            FIELD_HEADER: rejected.field[:_LONGEST_HEADER],
            REMEDY_HEADER: rejected.remedy[:_LONGEST_HEADER],
            MESSAGE_HEADER: rejected.message,
        }
        await self._messenger.publish(
            "",
            self._topology.dead,
            delivery.body,
            headers={**_kept(delivery), **why},
            message_id=delivery.message_id,
            content_type=delivery.content_type,
            timestamp=delivery.timestamp,
        )

    async def _tell(self, subject: Subject, phase: Phase, reason: str, message: str) -> None:
        """Send the last word on an operation that was never stored."""
        beat = Heartbeat(
            operation_id=subject.operation_id,
            type=subject.type,
            project=subject.project,
            environment=subject.environment,
            phase=phase,
            progress=100,
            reason=reason,
            message=message,
            timestamp=self._clock.now(),
            traceparent=subject.traceparent,
        )
        await self._messenger.publish(
            self._topology.heartbeat,
            beat.routing_key,
            beat.encode(),
            headers={TRACEPARENT_HEADER: subject.traceparent} if subject.traceparent else None,
            message_id=beat.event_id,
            mandatory=False,
        )

    def _report(self, subject: Subject | None, delivery: Delivery, outcome: Outcome) -> None:
        name = type(outcome).__name__
        operation = subject.operation_id if subject else f"with id {delivery.message_id or 'none'}"
        match outcome:
            case Rejected() | Ended() | Later():
                _LOG.warning("message %s: %s, %s: %s", operation, name, outcome.reason, outcome.message)
            case Stored(name=what) | Unchanged(why=what):
                _LOG.info("message %s: %s, %s", operation, name, what)
        self._observe(subject.type.value if subject else "", name)

    # Holding.

    def _hold_until(self, why: str, probe: Probe) -> None:
        """Take no messages until `probe` gets an answer; what is not settled goes back once."""
        if self._hold is None or self._hold.done():
            self._hold = asyncio.create_task(self._hold_on(why, probe), name="intake on hold")
            self._held_for = why
        elif not self._held_for:  # messages are being taken again: this one came already, and must go back as well
            self._once_more = why, probe

    async def _hold_on(self, why: str, probe: Probe) -> None:
        self._once_more = why, probe
        while self._once_more is not None:
            (self._held_for, probe), self._once_more = self._once_more, None
            await self._wait_for_an_answer(probe)

    async def _wait_for_an_answer(self, probe: Probe) -> None:
        _LOG.warning("no messages are taken: %s", self._held_for)
        await self._each(lambda subscription: subscription.pause())
        while True:
            self._silences += 1
            await asyncio.sleep(self._backoff.delay(self._silences, self._random).total_seconds())
            try:
                await probe()
            except Unavailable as error:
                if not _nobody_answers(error):
                    break
                self._held_for = error.message
            except (ReconcilerError, ValueError):
                break  # It answers, whatever it says.
            except Exception:  # noqa: BLE001 - a bug here must not keep messages out for ever
                _LOG.exception("the probe failed unexpectedly; messages are taken again")
                break
            else:
                break
        self._held_for = ""
        _LOG.info("messages are taken again")
        await self._each(lambda subscription: subscription.resume())

    async def _each(self, change: Callable[[Subscription], Awaitable[None]]) -> None:
        """Change all subscriptions; whatever comes of one, the others and what follows must not be left out."""
        ends = await asyncio.gather(*map(change, self._subscriptions), return_exceptions=True)
        for error in filter(None, ends):
            _LOG.warning("a queue could not be left or taken up: %s", error, exc_info=error)


async def _nothing() -> None:
    """Probe nothing: the broker has its own way back, and one delay is enough."""


def _nobody_answers(error: Unavailable) -> bool:
    """Tell silence from an answer that says no: a status is an answer."""
    return error.status is None and not isinstance(error, RateLimited)


def _attempts(delivery: Delivery) -> int:
    count = delivery.headers.get(ATTEMPT_HEADER, 0)
    return count if isinstance(count, int) and count >= 0 else 0


def _returns(delivery: Delivery) -> int:
    """Return how often a message went back to its queue, as a quorum queue counts."""
    count = delivery.headers.get("x-delivery-count", 0)
    return count if isinstance(count, int) else 0


def _kept(delivery: Delivery) -> Mapping[str, Any]:
    """Return the sender's headers and where the message was first sent to."""
    headers = {name: value for name, value in delivery.headers.items() if not name.startswith(_BROKERS_OWN)}
    headers.setdefault(EXCHANGE_HEADER, delivery.exchange)
    headers.setdefault(ROUTING_KEY_HEADER, delivery.routing_key)
    return headers
