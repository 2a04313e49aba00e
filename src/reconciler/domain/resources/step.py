"""A step: one thing to be done outside, with its claim. Stages of deployments and steps of a set-up are made of it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from reconciler.domain.resources.common import Message, Model, Moment, Url, Word


class StepState(StrEnum):
    """How far a step is."""

    PENDING = "Pending"
    RUNNING = "Running"
    WAITING = "Waiting"
    DONE = "Done"
    FAILED = "Failed"
    SKIPPED = "Skipped"

    @property
    def is_end(self) -> bool:
        """Whether the step will not change any more."""
        return self in (StepState.DONE, StepState.FAILED, StepState.SKIPPED)


class Settled(StrEnum):
    """How a claimed act ended, as far as its maker saw; `Resolved`: he did not, and a later look found it out."""

    UNKNOWN = ""
    DONE = "Done"
    NOT_SENT = "NotSent"
    RESOLVED = "Resolved"


class Place(Model):
    """What an act is done in, and how that is reached: settings may name another when its effect is looked for."""

    endpoint: Url = Field(default="", description="Of the system; empty for the operator's own.")
    credentials: Annotated[str, StringConstraints(max_length=253)] = Field(
        default="", description="The Secret that is used; empty for the operator's own credentials."
    )
    name: Annotated[str, StringConstraints(max_length=384)] = Field(
        description="As the system knows it: `<folder>/<job>`."
    )


class Claim(Model):
    """A stored nudge: nothing is changed outside before this is written.

    Attributes:
        key: the identity of what is done.
        place: what it is done in, where its effect is to be found only there.
        incarnation: one life of one replica; nobody acts on an open claim again until its absence is proved twice.
        absent_since: when a complete search found nothing for the first time after the claim had to be visible.
        settled: how the act ended, as far as its maker saw.
    """

    key: Annotated[str, StringConstraints(max_length=320)]
    replica: Word
    incarnation: Word
    at: Moment
    place: Place | None = None
    absent_since: Moment | None = None
    settled: Settled = Settled.UNKNOWN


class Step(Model):
    """How far one step is, what it waits for and when it is looked at again."""

    state: StepState = StepState.PENDING
    started_at: Moment | None = None
    finished_at: Moment | None = None
    attempt: int = Field(default=1, ge=1, le=100)
    claim: Claim | None = None
    external_id: Word = ""
    url: Url = ""
    reason: Annotated[str, StringConstraints(max_length=64)] = ""
    message: Message = ""
    waiting_for: Message = ""
    waiting_since: Moment | None = None
    remedy: Message = ""
    system: Annotated[str, StringConstraints(max_length=32)] = ""
    next_look_at: Moment | None = None
    facts: dict[str, Annotated[str, StringConstraints(max_length=512)]] = Field(default={}, max_length=8)


LONGEST_STEP_NAME = 64


class SetupStep(Step):
    """One named step of a set-up or a removal: `folder`, `job`, `application/api`, ...

    Attributes:
        generation: of the project for which it was done last.
        wanted: a fingerprint of what it was when it was done last; what differs from the world under the same
            fingerprint was changed by somebody else.
    """

    name: Annotated[str, StringConstraints(max_length=LONGEST_STEP_NAME)]
    generation: int = 0
    wanted: Annotated[str, StringConstraints(max_length=32)] = ""
