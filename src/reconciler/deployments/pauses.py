"""Times in which the clocks of a deployment stand still. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from reconciler.domain.annotations import PAUSED
from reconciler.domain.answers import Waiting
from reconciler.domain.resources import DeploymentRecord, Environment, Pause
from reconciler.domain.resources.deployment_record import MOST_PAUSES


def is_on_pause(record: DeploymentRecord, environment: Environment) -> bool:
    """Tell whether the clocks stand still; for whoever wants an end of it they run on."""
    if record.spec.cancel or record.is_deleting or environment.is_deleting:
        return False
    return record.is_paused or environment.is_paused


def on_pause(record: DeploymentRecord, environment: Environment) -> Waiting:
    """Return the wait for a pause to end, with the resource that is on pause."""
    paused = record if record.is_paused else environment
    what = f"the annotation {PAUSED} of {paused.kind} {paused.name} to go"
    return Waiting(what, reason="Paused", remedy="remove the annotation")


def noted(pauses: list[Pause], now: datetime, *, is_paused: bool) -> list[Pause]:
    """Return the pauses with one begun or ended now; the same list where nothing changes."""
    if is_paused == lasts(pauses):
        return pauses
    if not is_paused:
        return [*pauses[:-1], pauses[-1].model_copy(update={"until": now})]
    return [*_shortened(pauses), Pause(since=now)]


def lasts(pauses: Sequence[Pause]) -> bool:
    """Tell whether the clocks stand still now: no deadline comes nearer, and the end of the pause is a change."""
    return bool(pauses) and pauses[-1].until is None


def paused_since(pauses: Iterable[Pause], since: datetime, now: datetime) -> timedelta:
    """Return how much of the time since a moment was paused."""
    spans = (min(pause.until or now, now) - max(pause.since, since) for pause in pauses)
    return sum((max(span, timedelta()) for span in spans), timedelta())


def _shortened(pauses: list[Pause]) -> list[Pause]:
    """Make room for one more: the oldest two become one of their length, right before the second's end."""
    if len(pauses) < MOST_PAUSES:
        return pauses
    first, second, *rest = pauses
    if first.until is None or second.until is None:
        return pauses[1:]
    return [Pause(since=second.since - (first.until - first.since), until=second.until), *rest]
