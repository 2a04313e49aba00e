"""The state of a part of this program or of a system around it, as `/readyz` and the page show it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Condition(StrEnum):
    """How a part is."""

    OK = "ok"
    DEGRADED = "degraded"
    """It works less well, or what it talks to is away; the program stays ready."""
    FAILED = "failed"
    """It does not work; if the part is essential the program is not ready."""
    UNKNOWN = "unknown"
    """It was not needed yet."""


@dataclass(frozen=True, slots=True)
class PartState:
    """How a part is, why (safe to show), and since when."""

    state: Condition
    detail: str = ""
    since: datetime | None = None
