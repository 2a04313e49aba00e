"""What is done about drift: put right, reported or fought over. Pure; a status keeps one entry for each step."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.domain.changes import Change
from reconciler.domain.resources.drift import LONGEST_CHANGE, MOST_DRIFT, Drift, DriftState

_FIRST_PART = 4
"""The first pause in a fight is this part of the window; each next one is twice as long."""


@dataclass(frozen=True, slots=True)
class DriftRules:
    """When a repair is called a fight.

    Attributes:
        repairs: so many in a row are done at once; then there is a pause before each.
        window: a repair that lasts longer than this was no part of a fight; also the longest pause.
    """

    repairs: int = 3
    window: timedelta = timedelta(hours=1)

    def pause_until(self, entry: Drift) -> datetime:
        """Return when the same may be put right again."""
        too_many = entry.times - self.repairs
        if too_many < 0:
            return entry.at
        doublings = min(too_many, _FIRST_PART)
        pause: timedelta = self.window / _FIRST_PART * 2**doublings
        return entry.at + min(pause, self.window)

    def goes_on(self, entry: Drift, now: datetime) -> bool:
        """Tell whether a drift found now belongs to the row of repairs before it."""
        return entry.times > 0 and now <= self.pause_until(entry) + self.window


def drift_of(entries: Sequence[Drift], step: str) -> Drift | None:
    """Return what is known of a step."""
    return next((one for one in entries if one.step == step), None)


def as_repair(entries: Sequence[Drift], step: str, change: Change, now: datetime, rules: DriftRules) -> list[Drift]:
    """Return the entries with one more repair of a step begun."""
    before = drift_of(entries, step)
    times = before.times + 1 if before and rules.goes_on(before, now) else 1
    return _with(entries, _entry(step, change, DriftState.FOUND, now, times))


def as_reported(entries: Sequence[Drift], step: str, change: Change, now: datetime) -> list[Drift]:
    """Return the entries with a step's drift told and left alone; the same told again changes nothing."""
    return _same_or(entries, _entry(step, change, DriftState.REPORTED, now, 0))


def as_fought(entries: Sequence[Drift], before: Drift, change: Change) -> list[Drift]:
    """Return the entries with a step left alone for a while; when it was put right last is kept."""
    return _same_or(entries, _entry(before.step, change, DriftState.FOUGHT, before.at, before.times))


def as_wanted(entries: Sequence[Drift], step: str, now: datetime, *, was_ours: bool) -> list[Drift]:
    """Return the entries with a step seen to be as wanted.

    Args:
        entries: all that are known.
        step: its name.
        now: when it was seen.
        was_ours: our act may have put it right; else somebody else has, and nothing is left to tell.
    """
    before = drift_of(entries, step)
    if before is None or before.state is DriftState.REPAIRED:
        return list(entries)
    if before.state is DriftState.FOUND and was_ours:
        return _with(entries, before.model_copy(update={"state": DriftState.REPAIRED, "at": now}))
    if before.state is DriftState.FOUGHT:
        # The row of repairs goes on where it is undone again.
        return _with(entries, before.model_copy(update={"state": DriftState.REPAIRED}))
    return [one for one in entries if one.step != step]


def standing(entries: Sequence[Drift]) -> list[Drift]:
    """Return what is not as wanted and stays so for now."""
    return [one for one in entries if one.state in (DriftState.REPORTED, DriftState.FOUGHT)]


def left_standing(entries: Sequence[Drift]) -> str:
    """Say what is not as wanted and stays so for now; empty when nothing is."""
    left = standing(entries)
    more = f", and {len(left) - 1} more" if len(left) > 1 else ""
    return f"{left[0].change}{more}" if left else ""


def _entry(step: str, change: Change, state: DriftState, at: datetime, times: int) -> Drift:
    return Drift(step=step, change=change.text()[:LONGEST_CHANGE], state=state, at=at, times=times)


def _same_or(entries: Sequence[Drift], entry: Drift) -> list[Drift]:
    before = drift_of(entries, entry.step)
    is_same = before is not None and (before.state, before.change) == (entry.state, entry.change)
    return list(entries) if is_same else _with(entries, entry)


def _with(entries: Sequence[Drift], entry: Drift) -> list[Drift]:
    """Put an entry last; of too many the oldest go, those that are history before those that stand."""
    kept = [*(one for one in entries if one.step != entry.step), entry]
    while len(kept) > MOST_DRIFT:
        kept.remove(next((one for one in kept if one.state is DriftState.REPAIRED), kept[0]))
    return kept
