"""Sweeping: what one look at a leftover does. Its step, claim and next look stand in its own ConfigMap."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciler.domain.annotations import RECONCILE_AT
from reconciler.domain.answers import Answer
from reconciler.domain.clock import Clock
from reconciler.domain.errors import CircuitOpen, NotFound
from reconciler.domain.keys import Body, Key, key_of
from reconciler.domain.leftovers import Leftover, leftover_of
from reconciler.domain.resources import SetupStep, StepState
from reconciler.engine.engine import Engine
from reconciler.engine.looking import answers_of
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store
from reconciler.removal.going import Look
from reconciler.removal.looks import Looks

_log = logging.getLogger(__name__)
_STEP = "sweep"
_LONGEST_WAIT = timedelta(minutes=2)
"""Between two looks at a system that is away; a sweep is asked for sooner by the annotation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweeper:
    """Looks at leftovers."""

    store: Store
    engine: Engine
    clock: Clock
    patience: Patience
    looks: Looks

    async def look(self, key: Key) -> datetime | None:
        """Remove what is left, if it is time or somebody asks; return when to look again."""
        known = self.store.read(key)
        if known is None:
            return None
        if (due := _due(known)) is not None and self.clock.now() < due:
            return due
        try:
            body = await self.store.fetch(key)
        except NotFound:
            return None
        leftover = leftover_of(body)
        if leftover is None:
            _log.warning("%s cannot be read: correct or delete it", key)
            return None
        patience = replace(self.patience, longest=_LONGEST_WAIT)
        work = SweepWork(body, leftover, self.looks, store=self.store, clock=self.clock, patience=patience)
        await self.engine.carry_out(work)
        if not work.is_complete():
            return work.next_look()
        await self.store.delete(work.body)
        _log.info("swept: %s", leftover.thing, extra={"leftover": key.name})
        return None


def _due(body: Body) -> datetime | None:
    """Return until when nothing is to be done; None when it is time.

    Whom an open breaker turned away it calls when the system is back, and sends to find out: then it is time.
    """
    leftover = leftover_of(body)
    if leftover is None or _token(body) != leftover.handled or leftover.step.reason == CircuitOpen.__name__:
        return None
    return leftover.step.next_look_at


def _token(body: Body) -> str:
    return str((body["metadata"].get("annotations") or {}).get(RECONCILE_AT, ""))


class SweepWork:
    """One sweep of one leftover. Implements `engine.engine.Work`."""

    def __init__(
        self, body: Body, leftover: Leftover, looks: Looks, *, store: Store, clock: Clock, patience: Patience
    ) -> None:
        self.body = body
        self._leftover = leftover
        self._attempts = leftover.attempts + 1
        self._token = _token(body)
        self._look = looks.sweeping(leftover.thing)
        self._store = store
        self._clock = clock
        self._patience = patience

    @property
    def subject(self) -> str:
        """Name the leftover."""
        return f"Leftover/{self.body['metadata']['name']}"

    def steps(self) -> dict[str, SetupStep]:
        """Return the one step; one that failed before is tried anew."""
        step = self._leftover.step
        return {_STEP: step.model_copy(update={"state": StepState.PENDING}) if step.state.is_end else step}

    def former_steps(self) -> dict[str, SetupStep]:
        """Return none: there is one step."""
        return {}

    async def look(self, steps: Mapping[str, SetupStep]) -> Mapping[str, Answer]:
        """Look at what is left."""
        step, now = steps[_STEP], self._clock.now()
        if step.state.is_end:
            return {}
        return await answers_of({_STEP: _asked(self._look, step, now)}, steps, now, self._patience, self.subject)

    async def store(self, steps: Mapping[str, SetupStep]) -> None:
        """Write how it stands; what is gone is not written, its record goes as well."""
        step = steps[_STEP]
        why = step.waiting_for or step.message or self._leftover.why
        self._leftover = replace(self._leftover, step=step, why=why, attempts=self._attempts, handled=self._token)
        entries = self._leftover.entries()
        if step.state is not StepState.DONE and entries != self.body.get("data"):
            self.body = await self._store.patch(self.body, {"data": entries})

    async def reread(self) -> dict[str, SetupStep]:
        """Read the leftover from the API server."""
        self.body = await self._store.fetch(key_of(self.body))
        self._leftover = leftover_of(self.body) or self._leftover
        return self.steps()

    def is_complete(self) -> bool:
        """Tell whether nothing is left."""
        return self._leftover.step.state is StepState.DONE

    def next_look(self) -> datetime:
        """Return when to look again."""
        return self._leftover.step.next_look_at or self._clock.now() + _LONGEST_WAIT


async def _asked(look: Look, step: SetupStep, now: datetime) -> Answer:
    return await look(step, now)
