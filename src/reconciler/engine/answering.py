"""Errors turned into answers, in this one place."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from reconciler.domain.answers import Answer, Done, Failed, Skipped, Waiting
from reconciler.domain.errors import (
    AlreadyExists,
    Busy,
    CircuitOpen,
    Conflict,
    Invalid,
    Missing,
    NotFound,
    ReconcilerError,
    Refused,
    Unavailable,
)
from reconciler.domain.resources import Step
from reconciler.engine.folding import is_same_wait
from reconciler.engine.patience import Patience


def answer_for(error: ReconcilerError, step: Step, now: datetime, patience: Patience, salt: str = "") -> Answer:
    """Say what an expected error means for a step. A Conflict is not one: it ends the pass and rises."""
    reason = type(error).__name__
    since = step.waiting_since if not step.reason or is_same_wait(step.reason, reason) else None
    match error:
        case CircuitOpen(retry_after=retry_after):
            # A few are sent to look at the next probe, and all when the breaker closes: this is at the latest.
            until = max(patience.latest_look(now, salt), now + (retry_after or patience.shortest))
            what = f"{error.system} to answer: {error.message}; looked at at once when it is back"
            return Waiting(what, until, reason=reason, system=error.system)
        case Unavailable(retry_after=retry_after):
            until = patience.next_look(since, now, salt)
            if retry_after is not None:
                until = now + max(retry_after, patience.shortest)  # a "0" must not become a tight loop
            what = f"{error.system or 'a system'} to answer: {error.message}"
            return Waiting(what, until, reason=reason, system=error.system)
        case Busy():
            until = patience.next_look(since, now, salt)
            return Waiting(error.message, until, reason=reason, system=error.system)
        case AlreadyExists():
            what, until = f"a second look: {error.message}", patience.next_look(since, now, salt)
            return Waiting(what, until, reason=reason, system=error.system)
        case Refused():
            remedy = "check the credentials and rights; it is looked at again every 5 minutes"
            # The first time soon: a Secret that was refused is read again. `since` is known from the second on.
            until = now + (patience.shortest if since is None else patience.person)
            return Waiting(error.message, until, remedy=remedy, reason=reason, system=error.system)
        case Missing():
            until = patience.next_look(since, now, salt)
            return Waiting(error.message, until, reason=reason, remedy="create what is named")
        case Invalid() | NotFound():
            return Failed(reason, error.message)
        case _:
            raise error


async def answer_of(looking: Awaitable[Answer], step: Step, now: datetime, patience: Patience, salt: str) -> Answer:
    """Await a look and return its answer, or the answer that its error means. Conflicts and bugs rise."""
    try:
        return await looking
    except Conflict:
        raise
    except ReconcilerError as error:
        return answer_for(error, step, now, patience, salt)


def masked(answer: Done | Skipped | Waiting | Failed, mask: Callable[[str], str]) -> Done | Skipped | Waiting | Failed:
    """Return an answer without secrets: its words may be those of an outside system, which may quote anything."""
    match answer:
        case Waiting():
            return replace(answer, what=mask(answer.what), remedy=mask(answer.remedy))
        case Done() | Skipped() | Failed():
            return replace(answer, message=mask(answer.message))
