"""The slot of an environment: who may change it outside. Pure; taken and given back by guarded writes of the status."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from reconciler.domain.resources import (
    DeploymentRecord,
    Environment,
    EnvironmentPhase,
    EnvironmentStatus,
    InventoryItem,
    Running,
)
from reconciler.domain.resources.environment import Hold, Holder
from reconciler.domain.words import cut

Precedence = tuple[datetime, str]
_CREATED_WITHIN = timedelta(seconds=1)


def precedence(record: DeploymentRecord) -> Precedence:
    """Return the order of a record among those of its environment: when it was asked for, then its name.

    A request that claims to come from the future counts from the record's creation, which the API server tells in
    whole seconds: what was asked for within that second keeps its own moment, and its order among others.
    """
    created = record.metadata.created_at
    asked = record.spec.requested_at or created
    if created is not None and asked is not None and asked >= created + _CREATED_WITHIN:
        asked = created
    if asked is None:
        raise ValueError(f"{record} has neither requestedAt nor a creation time")
    return asked, record.name


def was_asked_by(record: DeploymentRecord, moment: datetime) -> bool:
    """Tell whether a record was asked for at a moment or before it.

    Of one that does not say when itself only the second of its creation is known. If the moment is within that very
    second, the first look at the record tells: what was not seen by then came after it.
    """
    asked, created = precedence(record)[0], record.metadata.created_at
    is_exact = asked != created or asked == record.spec.requested_at
    if is_exact or not asked <= moment < asked + _CREATED_WITHIN:
        return asked <= moment
    seen_at = min((stage.started_at for stage in record.status.stages if stage.started_at), default=None)
    return seen_at is not None and seen_at <= moment


def holds(environment: Environment, record: DeploymentRecord) -> bool:
    """Tell whether the record, in this incarnation, holds the slot."""
    holder = environment.status.holder
    return holder is not None and holder.uid == record.metadata.uid


def is_overtaken(status: EnvironmentStatus, record: DeploymentRecord) -> bool:
    """Tell whether something asked for later is already current, for a component that the record would change."""
    if record.spec.force:
        return False
    touched = record.spec.components or status.current
    current = [status.current[name] for name in touched if name in status.current]
    asked = precedence(record)
    return any(one.requested_at is not None and asked < (one.requested_at, one.record or "") for one in current)


def taken(
    status: EnvironmentStatus, record: DeploymentRecord, intended: Iterable[InventoryItem], now: datetime
) -> EnvironmentStatus:
    """Return the status with the slot given to the record, under a new epoch, and all it may make as intended."""
    epoch = status.epoch + 1
    holder = Holder(record=record.name, uid=record.metadata.uid, epoch=epoch, since=now)
    return status.model_copy(
        update={
            "holder": holder,
            "epoch": epoch,
            "phase": EnvironmentPhase.DEPLOYING,
            "hold": None,
            "inventory": with_intended(status.inventory, intended),
        }
    )


def put_on_hold(status: EnvironmentStatus, operation: str, reason: str, now: datetime) -> EnvironmentStatus:
    """Return the status with a hold: what was asked for until now waits for a person or a newer request."""
    return status.model_copy(update={"hold": Hold(since=now, operation=operation, reason=cut(reason))})


def given_back(status: EnvironmentStatus, now: datetime) -> EnvironmentStatus:
    """Return the status with a free slot, and since when it is free."""
    phase = EnvironmentPhase.ON_HOLD if status.hold else EnvironmentPhase.IDLE
    return status.model_copy(update={"holder": None, "phase": phase, "extension": None, "freed_at": now})


def made_current(
    status: EnvironmentStatus,
    record: DeploymentRecord,
    running: Mapping[str, Running],
    expires_at: datetime | None,
    now: datetime,
) -> EnvironmentStatus:
    """Return the status with what a deployment brought as current and the slot given back."""
    latest = precedence(record)
    if expires_at is not None and status.extension is not None:
        expires_at += status.extension
    if status.latest_requested_at is not None:
        latest = max(latest, (status.latest_requested_at, status.latest_record or ""))
    return given_back(status, now).model_copy(
        update={
            "current": {**status.current, **running},
            "inventory": [item.model_copy(update={"state": "Made"}) for item in status.inventory],
            "latest_requested_at": latest[0],
            "latest_record": latest[1],
            "expires_at": expires_at,
            "superseded_in_row": 0,
        }
    )


def with_intended(inventory: Iterable[InventoryItem], intended: Iterable[InventoryItem]) -> list[InventoryItem]:
    """Return the inventory with the intended items in it, as they are reached now; what was made before stays made.

    What is of that name at another endpoint, or in another zone, stays as well: it was made there, and goes from there.
    """
    known = {_identity(item): item for item in inventory}
    for item in intended:
        key = _identity(item)
        known[key] = item.model_copy(update={"state": known[key].state}) if key in known else item
    return list(known.values())


def _identity(item: InventoryItem) -> tuple[str, ...]:
    """Name one thing outside. An Application moves along with its AppProject, and a record with its zone."""
    return item.system, item.kind, item.name, item.place if item.kind == "Record" else item.endpoint
