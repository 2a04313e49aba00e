"""What became of a message: a closed union, settled in one place."""

from dataclasses import dataclass

from reconciler.domain.messages import EventType
from reconciler.domain.resources import Phase


@dataclass(frozen=True, slots=True)
class Subject:
    """The operation that a message speaks of, as far as it can be read; `-` for what cannot."""

    operation_id: str
    type: EventType
    project: str = "-"
    environment: str = "-"
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """The resource is there because of this message."""

    name: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """There is nothing to do: it was done before, or something newer holds."""

    why: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The operation is over before anything was stored; its end is told, the message is done."""

    subject: Subject
    phase: Phase
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """It can never be accepted: dead letters.

    Attributes:
        reason: CamelCase.
        field: the path in the message, empty where it is the message as a whole.
        rule: what the field breaks.
        remedy: what the sender should do.
        subject: whom to tell, None where it cannot be read.
    """

    reason: str
    field: str
    rule: str
    remedy: str
    subject: Subject | None = None

    @property
    def message(self) -> str:
        """Say it in one sentence, at most 256 characters."""
        return f"{self.field}: {self.rule}; {self.remedy}"[:256] if self.field else f"{self.rule}; {self.remedy}"[:256]


@dataclass(frozen=True, slots=True)
class Later:
    """It cannot be accepted now; after the last attempt it is rejected for this reason.

    Attributes:
        is_attempt: whether it counts as one; not where it is known that what is waited for ends by itself.
    """

    reason: str
    message: str
    subject: Subject | None = None
    is_attempt: bool = True


Outcome = Stored | Unchanged | Ended | Rejected | Later
