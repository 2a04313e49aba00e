"""What a look would do, for a plan: its change, or why nobody can tell. Nothing is done."""

from collections.abc import Coroutine
from datetime import datetime
from typing import Any

from reconciler.domain.answers import Answer, Broken, Done, Failed, Nudge, Skipped, Waiting
from reconciler.domain.changes import Change
from reconciler.domain.plans import Untold
from reconciler.domain.resources import SetupStep
from reconciler.engine.looking import answers_of
from reconciler.engine.patience import Patience


async def foretold(
    resource: str, name: str, looking: Coroutine[Any, Any, Answer], now: datetime, patience: Patience
) -> Change | Untold | None:
    """Return what a look would change; None: nothing.

    Args:
        resource: whose it is, `DNSZone shop`.
        name: of the step.
        looking: the look.
        now: the time.
        patience: how soon is soon.
    """
    answers = await answers_of({name: looking}, {name: SetupStep(name=name)}, now, patience, name)
    match answers[name]:
        case Done() | Skipped():
            return None
        case Nudge(change=Change() as change):
            return change
        case Nudge(what=what):
            return Untold(resource, what)
        case Waiting(what=what, remedy=remedy):
            return Untold(resource, f"{what}; {remedy}" if remedy else what)
        case Failed(reason=reason, message=message):
            return Untold(resource, f"{reason}: {message}")
        case Broken(error=error):
            raise error
