"""What a stage may say after a look: one value carries the whole truth. Add a case, and mypy lists every `match`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from reconciler.domain.changes import Change
from reconciler.domain.resources import Place

Facts = Mapping[str, str]
"""What came back from the world and is worth keeping: `externalId`, `url`, `digest`, `image`, `address`, ..."""


@dataclass(frozen=True, slots=True)
class Done:
    """The stage has what it looked for."""

    facts: Facts = field(default_factory=dict)
    message: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """There is nothing to look for: no port, no check asked for, stopped before it began."""

    message: str = ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing to do now.

    Attributes:
        what: what is waited for, a phrase that completes "waiting for ...".
        until: when to look again at the latest; None: as soon as something changes (a resync looks anyway).
        remedy: what a person must do; empty when it will end by itself.
        reason: CamelCase, for conditions.
        facts: what was learned meanwhile.
        system: the outside system that is waited for, empty if none: an outage of it shows here.
    """

    what: str
    until: datetime | None = None
    remedy: str = ""
    reason: str = "Waiting"
    facts: Facts = field(default_factory=dict)
    system: str = ""


@dataclass(frozen=True, slots=True)
class Nudge:
    """What would be done, and under which identity. Nothing is done before the engine has stored the claim.

    Attributes:
        identity: the same for every look that would do the same thing; a finished act is never done again under it.
        act: does it and returns what came back. A request or a few, each bounded by the client's timeout; right before
            each that changes something it is asked whether we still may.
        what: for people and the audit: "start build of api".
        system: the outside system that is changed.
        settle: seconds until a search surely finds what was asked for (quiet period, read lag).
        before: what was there, for the audit.
        is_repeatable: doing it twice under the same identity is the same as doing it once (a PUT, a guarded write).
        change: what it does to which object, where that is known before: printed as a plan, told as drift.
        place: what it is done in, where its effect is to be found only there: kept with the claim.
    """

    identity: str
    act: Callable[[], Awaitable[Facts]]
    what: str
    system: str = ""
    settle: float = 0.0
    before: str = ""
    is_repeatable: bool = False
    change: Change | None = None
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """It has ended badly and will not change by itself.

    Attributes:
        reason: CamelCase (`BuildFailed`, `DeadlineExceeded`).
        message: for a person, masked, at most 256 characters of a provider's words.
        again: one more attempt may help (an aborted build, a lost agent); the engine counts attempts.
        facts: what was learned.
    """

    reason: str
    message: str
    again: bool = False
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Broken:
    """The look itself failed with an error that nobody expected: a bug. No stage says so; the engine finds out.

    Attributes:
        error: what was raised.
        until: look again no later than that; None: whenever it seems best.
    """

    error: BaseException
    until: datetime | None = None


INTERNAL_ERROR = "InternalError"
"""The reason of a wait that a bug is the cause of."""

Answer = Done | Skipped | Waiting | Nudge | Failed | Broken
