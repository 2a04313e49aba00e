"""The only place where something is changed outside: claimed nudges, side by side, each audited before and after."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

from reconciler.domain.answers import INTERNAL_ERROR, Answer, Broken, Facts, Nudge
from reconciler.domain.clock import Clock
from reconciler.domain.errors import Conflict, NotSent, OutcomeUnknown, ReconcilerError
from reconciler.domain.resources import Claim, Settled, Step
from reconciler.engine.answering import answer_for
from reconciler.engine.patience import Patience
from reconciler.resilience.leave import under
from reconciler.resilience.moments import Moment, passing

K = TypeVar("K")


class Audit(Protocol):
    """Writes two lines for each change outside: before it, and after it or when its end was found out."""

    def intended(self, subject: str, nudge: Nudge, claim: Claim) -> None:
        """Write what is about to be done."""
        ...

    def outcome(self, subject: str, nudge: Nudge, claim: Claim, result: str, facts: Facts) -> None:
        """Write how it ended."""
        ...

    def resolved(self, subject: str, claim: Claim, result: str, facts: Facts, *, system: str = "") -> None:
        """Write how something ended whose maker did not see it."""
        ...


@dataclass(frozen=True, slots=True)
class Acted:
    """How an act ended: what came back, or the answer that its error means."""

    settled: Settled
    facts: Facts
    answer: Answer | None = None
    is_conflict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Does claimed nudges.

    Attributes:
        clock: tells how old a claim is.
        audit: written around each act.
        patience: how old it may be.
        may_act: asked right before each request that changes something; a replica that was frozen finds out here that
            it leads no more.
    """

    clock: Clock
    audit: Audit
    patience: Patience
    may_act: Callable[[], bool] = lambda: True

    async def act_all(
        self, subject: str, nudges: Mapping[K, Nudge], steps: Mapping[K, Step], stored_at: float
    ) -> dict[K, Acted]:
        """Do all nudges side by side.

        Args:
            subject: whose nudges they are, for the audit.
            nudges: what to do, by step.
            steps: the steps with the stored claims.
            stored_at: monotonic seconds just before the claims were written.
        """
        async with asyncio.TaskGroup() as group:
            tasks = {
                key: group.create_task(self._act(subject, nudge, steps[key], stored_at))
                for key, nudge in nudges.items()
            }
        return {key: task.result() for key, task in tasks.items()}

    async def _act(self, subject: str, nudge: Nudge, step: Step, stored_at: float) -> Acted:
        claim = step.claim
        assert claim is not None  # noqa: S101 - the engine stores a claim before it acts
        if self.clock.monotonic() - stored_at > self.patience.send.total_seconds():
            return Acted(Settled.NOT_SENT, {})
        try:
            self._may_still_act(nudge, stored_at)
        except NotSent as error:
            return Acted(Settled.NOT_SENT, {}, self._answer(error, step, nudge))
        self.audit.intended(subject, nudge, claim)
        try:
            with passing(Moment.ACT, nudge.what), under(lambda: self._may_still_act(nudge, stored_at)):
                facts = await nudge.act()
        except Conflict as error:
            self.audit.outcome(subject, nudge, claim, f"Conflict: {error.message}", {})
            return Acted(Settled.NOT_SENT, {}, is_conflict=True)
        except ReconcilerError as error:
            self.audit.outcome(subject, nudge, claim, f"{type(error).__name__}: {error.message}", {})
            how = Settled.UNKNOWN if isinstance(error, OutcomeUnknown) else Settled.NOT_SENT
            return Acted(how, {}, self._answer(error, step, nudge))
        except (Exception, asyncio.CancelledError) as error:  # a bug; it must not take the acts beside it down
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            self.audit.outcome(subject, nudge, claim, f"{INTERNAL_ERROR}: {type(error).__name__}", {})
            return Acted(Settled.UNKNOWN, {}, Broken(error))
        self.audit.outcome(subject, nudge, claim, "Done", facts)
        return Acted(Settled.DONE, facts)

    def _may_still_act(self, nudge: Nudge, stored_at: float) -> None:
        """Raise NotSent when we do not lead, or the claim is too old to send a change under it.

        An act that may be repeated proves nothing by its claim's age: it has the time of a read before its change.
        """
        if not self.may_act():
            raise NotSent("this replica does not lead any more", system="kubernetes")
        longest = self.patience.send + (self.patience.request if nudge.is_repeatable else timedelta())
        if self.clock.monotonic() - stored_at > longest.total_seconds():
            raise NotSent(f"the claim to {nudge.what} is too old to act on", system=nudge.system)

    def _answer(self, error: ReconcilerError, step: Step, nudge: Nudge) -> Answer:
        return answer_for(error, step, self.clock.now(), self.patience, nudge.identity)
