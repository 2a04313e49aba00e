"""What becomes of errors that nobody expected: logged, counted, tried again, and in the end waited on for a person.

A bug in one step is that step's alone: the others of the same pass go on, and the deadlines, which no step's code takes
part in, end it like any other wait.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from reconciler.domain.answers import INTERNAL_ERROR, Waiting
from reconciler.domain.conditions import kstatus
from reconciler.domain.keys import Body
from reconciler.domain.resources import Condition
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store

_log = logging.getLogger(__name__)
_MOST_KNOWN = 10_000


def _unheard(_: str) -> None:
    """Hear nothing."""


@dataclass(frozen=True, slots=True)
class Bugs:
    """Unexpected errors in a row, by whose they are and where they were met.

    They are counted in memory: after a restart, perhaps of a mended program, the count begins anew.

    Attributes:
        limit: so many in a row, and a person is asked for.
        met: told the kind of each error; for metrics.
    """

    limit: int = 5
    met: Callable[[str], None] = _unheard
    _in_a_row: OrderedDict[tuple[str, str], int] = field(default_factory=OrderedDict)

    def note(self, subject: str, where: str, error: BaseException) -> int:
        """Log and count one; return how many it makes in a row."""
        count = self._in_a_row[subject, where] = self._in_a_row.pop((subject, where), 0) + 1
        if len(self._in_a_row) > _MOST_KNOWN:
            self._in_a_row.popitem(last=False)
        self.met(type(error).__name__)
        _log.error("%s: %s failed unexpectedly, %d in a row", subject, where, count, exc_info=error)
        return count

    def over(self, subject: str, where: str) -> None:
        """Forget what was counted: it worked."""
        self._in_a_row.pop((subject, where), None)

    def wait_for(
        self, subject: str, where: str, error: BaseException, since: datetime | None, now: datetime, patience: Patience
    ) -> Waiting:
        """Note an error, and return the wait that it means: soon again, then for a person.

        Args:
            subject: whose step it is.
            where: which step.
            error: what was raised.
            since: when it began; None for now.
            now: the time.
            patience: how soon is soon.
        """
        count = self.note(subject, where, error)
        kind = type(error).__name__
        if count < self.limit:
            until = patience.next_look(since, now, f"{subject}/{where}")
            return Waiting(f"another try: {where} failed unexpectedly ({kind})", until, reason=INTERNAL_ERROR)
        what = f"this program to be mended: {where} failed unexpectedly ({kind}) {count} times in a row"
        return Waiting(what, now + patience.person, remedy=remedy(subject, patience.person), reason=INTERNAL_ERROR)


def remedy(subject: str, again: timedelta) -> str:
    """Say what a person can do about a bug."""
    return (
        f"report the log lines of {subject} at level error, and update this program or delete what it fails at; "
        f"it is tried again every {again}"
    )


async def tell_broken(store: Store, body: Body, error: BaseException, now: datetime, again: timedelta) -> None:
    """Write into the status that every look at a resource fails unexpectedly, and what a person can do."""
    status: dict[str, Any] = dict(body.get("status") or {})
    metadata = body["metadata"]
    generation = metadata.get("generation", 0)
    old = [Condition.model_validate(condition) for condition in status.get("conditions") or []]
    kind, name = body["kind"], metadata["name"]
    text = f"every look fails unexpectedly ({type(error).__name__}); {remedy(f'{kind}/{name}', again)}"
    # Not `observedGeneration`: nothing of the spec was acted on.
    conditions = kstatus(old, "Stalled", INTERNAL_ERROR, text, generation, now)
    await store.write_status(body, status | {"conditions": [condition.dump() for condition in conditions]})
