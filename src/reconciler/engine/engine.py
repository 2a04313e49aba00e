"""One pass over one subject, told in words: look, decide, store the claims, act, look on, store what came back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from reconciler.domain.answers import INTERNAL_ERROR, Answer, Broken, Done, Failed, Nudge, Skipped, Waiting
from reconciler.domain.clock import Clock
from reconciler.domain.errors import Conflict
from reconciler.domain.resources import Settled, Step
from reconciler.engine.acting import Acted, Actor
from reconciler.engine.answering import masked
from reconciler.engine.bugs import Bugs
from reconciler.engine.claims import Held, claim_or_hold, seen
from reconciler.engine.folding import claimed, fold, settled
from reconciler.engine.patience import Incarnation, Patience
from reconciler.engine.resolving import resolution_of, resolved
from reconciler.resilience.moments import Moment, passing

K = TypeVar("K")
S = TypeVar("S", bound=Step)
_MOST_ROUNDS = 32


class Work(Protocol[K, S]):
    """A subject with steps: a deployment, an environment, a set-up.

    The engine holds no state of its own; all of it is in the steps, and those are in the resource's status.
    """

    @property
    def subject(self) -> str:
        """Whose work it is, for logs and audit."""
        ...

    def steps(self) -> Mapping[K, S]:
        """Return all steps as they are stored."""
        ...

    def former_steps(self) -> Mapping[K, S]:
        """Return what is stored beside them: nobody looks at it any more, and the next write leaves it out."""
        ...

    async def look(self, steps: Mapping[K, S]) -> Mapping[K, Answer]:
        """Return the answers of all steps that may go now."""
        ...

    async def store(self, steps: Mapping[K, S]) -> None:
        """Write the steps in one guarded write, if anything changed. Raises Conflict when somebody wrote first."""
        ...

    async def reread(self) -> Mapping[K, S]:
        """Read the subject again from the API server and return its steps."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Carries out one pass. Nothing is changed outside without a stored claim, and no answer is stored unmasked.

    Attributes:
        mask: takes secrets out of words, which may be those of an outside system.
    """

    me: Incarnation
    clock: Clock
    actor: Actor
    patience: Patience
    most_attempts: int = 5
    mask: Callable[[str], str] = str
    bugs: Bugs = field(default_factory=Bugs)

    async def carry_out(self, work: Work[K, S]) -> None:
        """Look and act until there is nothing to do now. Raises Conflict when the subject changed meanwhile."""
        steps = dict(work.steps())
        acted: dict[K, Acted] = {}
        done: tuple[str, ...] = ()
        for _ in range(_MOST_ROUNDS):
            answers = await work.look(steps)
            steps, nudges = self._decide(work.subject, steps, answers)
            if not nudges:
                if any(_opens_more(answer) for answer in answers.values()):
                    continue
                break
            stored_at = self.clock.monotonic()
            claimed_now = tuple(nudge.what for nudge in nudges.values())
            with passing(Moment.OUTCOME, *done), passing(Moment.CLAIM, *claimed_now):
                await self._store(work, steps, acted)
            done = claimed_now
            acted = await self.actor.act_all(work.subject, nudges, steps, stored_at)
            steps = self._with_outcomes(work.subject, steps, acted)
            if any(one.answer is not None or one.is_conflict for one in acted.values()):
                break
        with passing(Moment.OUTCOME, *done):
            await self._store(work, steps, acted)
        if any(one.is_conflict for one in acted.values()):
            raise Conflict("somebody else changed it first")

    def give_up(self, subject: str, steps: Mapping[K, S]) -> dict[K, S]:
        """Write the audit to its end for steps at which nobody will look again; return them with that noted.

        What was intended there, and whose end its maker did not see, has none that anybody will find out.
        """
        return {key: self._resolve(subject, step, Skipped()) for key, step in steps.items()}

    def _decide(
        self, subject: str, steps: Mapping[K, S], answers: Mapping[K, Answer]
    ) -> tuple[dict[K, S], dict[K, Nudge]]:
        decided, nudges, now = dict(steps), dict[K, Nudge](), self.clock.now()
        for key, answer in answers.items():
            step = steps[key]
            if not isinstance(answer, Broken | Nudge):
                self.bugs.over(subject, _named(key))
            match answer:
                case Broken():
                    decided[key] = fold(step, self._wait_for(subject, key, step, answer), now, 0)
                case Done() | Skipped() | Waiting() | Failed():
                    step = self._resolve(subject, step, answer)
                    decided[key] = fold(seen(step, answer), masked(answer, self.mask), now, self.most_attempts)
                case Nudge():
                    match claim_or_hold(step, answer, now, self.me, self.patience):
                        case Held(waiting=waiting, claim=claim):
                            decided[key] = fold(step.model_copy(update={"claim": claim}), waiting, now, 0)
                        case claim:
                            self._resolve(subject, step, answer)
                            decided[key] = claimed(step, claim, self.mask(answer.what), now)
                            nudges[key] = answer
        return decided, nudges

    def _resolve(self, subject: str, step: S, answer: Answer) -> S:
        """Write to the audit how an act ended whose maker did not see it, once the answer says so."""
        found = resolution_of(step, answer)
        if found is None:
            return step
        self.actor.audit.resolved(subject, found.claim, found.result, found.facts, system=found.system)
        return resolved(step)

    def _wait_for(self, subject: str, key: K, step: S, broken: Broken) -> Waiting:
        since = step.waiting_since if step.reason == INTERNAL_ERROR else None
        waiting = self.bugs.wait_for(subject, _named(key), broken.error, since, self.clock.now(), self.patience)
        is_sooner = broken.until is not None and waiting.until is not None and broken.until < waiting.until
        return replace(waiting, until=broken.until) if is_sooner else waiting

    def _with_outcomes(self, subject: str, steps: Mapping[K, S], acted: Mapping[K, Acted]) -> dict[K, S]:
        after, now = dict(steps), self.clock.now()
        for key, one in acted.items():
            step = settled(steps[key], one.settled, one.facts)
            match one.answer:
                case Done() | Skipped() | Waiting() | Failed() as answer:
                    after[key] = fold(step, masked(answer, self.mask), now, self.most_attempts)
                case Broken() as broken:
                    after[key] = fold(step, self._wait_for(subject, key, step, broken), now, 0)
                case _:
                    after[key] = step
                    self.bugs.over(subject, _named(key))
        return after

    async def _store(self, work: Work[K, S], steps: Mapping[K, S], acted: Mapping[K, Acted]) -> None:
        """Store the steps; when somebody wrote first, store at least what came back from the acts, then say so."""
        try:
            await self._write(work, steps)
        except Conflict:
            if acted:
                fresh = dict(await work.reread())
                ours = {key: _outcome_onto(fresh[key], steps[key]) for key in acted if key in fresh}
                await self._write(work, {**fresh, **ours})
            raise

    async def _write(self, work: Work[K, S], steps: Mapping[K, S]) -> None:
        self.give_up(work.subject, work.former_steps())
        await work.store(steps)


def _named(key: object) -> str:
    """Name a step for people: `sync of api`, `folder`."""
    match key:
        case (name, component):
            return f"{name} of {component}" if component else str(name)
        case _:
            return str(key)


def _opens_more(answer: Answer) -> bool:
    """Tell whether other steps, or the next attempt of this one, may go after this answer."""
    return isinstance(answer, Done | Skipped) or (isinstance(answer, Failed) and answer.again)


def _outcome_onto(fresh: S, ours: S) -> S:
    """Put the end of our act on a step that was read again, if it still carries our claim."""
    if fresh.claim is None or ours.claim is None or fresh.claim.at != ours.claim.at or ours.state.is_end:
        return fresh
    return settled(fresh, ours.claim.settled or Settled.UNKNOWN, ours.facts).model_copy(
        update={"external_id": ours.external_id, "url": ours.url}
    )
