"""How one thing goes: found, still ours, asked to go, seen to be gone. Each kind says how it is found and deleted."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from reconciler.domain.answers import Answer, Done, Facts, Nudge, Waiting
from reconciler.domain.names import shortened
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import Settled, SetupStep
from reconciler.domain.things import Thing

Look = Callable[[SetupStep, datetime], Awaitable[Answer]]
"""Looks at one step, at a moment."""
Whose = Callable[[Marker | None], bool]
"""Tells by its marker whether a thing may be removed."""

SOON = timedelta(seconds=3)
_READ_LAG = timedelta(seconds=60)
_LONGEST_IDENTITY = 320


@dataclass(frozen=True, slots=True)
class Found:
    """A thing that is there.

    Attributes:
        is_going: it was asked to go already.
        is_busy: something runs on it that is to be ended first.
        note: what keeps it.
        place: what it is really within.
    """

    marker: Marker | None
    is_going: bool = False
    is_busy: bool = False
    note: str = ""
    place: str = ""


class Removable(Protocol):
    """One thing outside, of whatever kind."""

    async def find(self) -> Found | None:
        """Return it as it is now; None when there is nothing to remove."""
        ...

    async def delete(self, found: Found) -> None:
        """Ask for its deletion; it is fine when it is gone."""
        ...


def going(thing: Thing, open_: Callable[[], Awaitable[Removable]], is_ours: Whose) -> Look:
    """Return how a thing goes; `open_` connects to where it is, at each look."""

    async def look(step: SetupStep, now: datetime) -> Answer:
        removable = await open_()
        found = await removable.find()
        if found is None or not is_ours(found.marker):
            return Done()
        identity = identity_of(thing.marker, f"{thing.kind}/{thing.name}")
        if found.is_going or was_just_done(step, identity, now):
            what = f"{thing} to be gone {found.note}".strip()
            return Waiting(what, now + SOON, reason="Removing", system=thing.system)

        async def act() -> Facts:
            there = await removable.find()  # right before: somebody may have taken it over since the look
            if there is not None and is_ours(there.marker):
                await removable.delete(there)
            return {}

        return Nudge(identity, act, f"remove {thing}", system=thing.system, is_repeatable=True)

    return look


def identity_of(marker: Marker, what: str) -> str:
    """Name the removal of something, for its claim."""
    return shortened(f"{marker.kind}/{marker.uid}/remove/{what}", _LONGEST_IDENTITY)


def was_just_done(step: SetupStep, identity: str, now: datetime) -> bool:
    """Tell whether the same was done so lately that it may not show yet."""
    claim = step.claim
    is_done = claim is not None and claim.key == identity and claim.settled is Settled.DONE
    return is_done and claim is not None and now < claim.at + _READ_LAG
