"""Drift: an object of ours that somebody changed outside, as a status tells of it."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from reconciler.domain.resources.common import Model, Moment
from reconciler.domain.resources.step import LONGEST_STEP_NAME

MOST_DRIFT = 20
LONGEST_CHANGE = 512


class DriftState(StrEnum):
    """What has come of it."""

    FOUND = "Found"
    """It is being put right."""
    REPAIRED = "Repaired"
    """It is as wanted again; kept as history."""
    REPORTED = "Reported"
    """It stands as somebody left it: `driftPolicy: Report`."""
    FOUGHT = "Fought"
    """It was put right and changed again too often: it is left alone for a while."""


class Drift(Model):
    """One object that was as wanted and is not any more.

    Attributes:
        step: of the set-up that looks after it.
        change: what would make it as wanted again, as a plan prints it.
        at: when it was found, or put right, last.
        times: repairs in a row, none of which lasted.
    """

    step: Annotated[str, StringConstraints(max_length=LONGEST_STEP_NAME)]
    change: Annotated[str, StringConstraints(max_length=LONGEST_CHANGE)]
    state: DriftState
    at: Moment
    times: int = Field(default=0, ge=0, le=1_000_000)
