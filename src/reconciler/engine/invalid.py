"""The answer to a resource whose spec cannot be read: which field, which rule, what to do. It waits for a person."""

from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from reconciler.domain.conditions import kstatus
from reconciler.domain.keys import Body
from reconciler.domain.resources import Condition, Resource
from reconciler.engine.store import Store

_MOST_NAMED = 5
R = TypeVar("R", bound=Resource)


def readable(kind: type[R], body: Body | None) -> R | None:
    """Return the resource, None where it is not there or its spec cannot be read: its own look says what is wrong."""
    try:
        return kind(body) if body is not None else None
    except ValidationError:
        return None


async def tell_invalid(store: Store, body: Body, error: ValidationError, now: datetime) -> None:
    """Write what is wrong into the status; a resource that is being deleted is let go: nothing was made for it."""
    if body["metadata"].get("deletionTimestamp"):
        await store.remove_finalizer(body)
        return
    await store.write_status(body, invalid_status(body, error, now))


def invalid_status(body: Body, error: ValidationError, now: datetime) -> dict[str, Any]:
    """Return the body's status with Stalled=True, InvalidSpec and the fields named."""
    status = dict(body.get("status") or {})
    generation = body["metadata"].get("generation", 0)
    old = [Condition.model_validate(condition) for condition in status.get("conditions") or []]
    conditions = kstatus(old, "Stalled", "InvalidSpec", f"correct the spec: {problems(error)}", generation, now)
    return status | {
        "observedGeneration": generation,
        "conditions": [condition.dump() for condition in conditions],
    }


def problems(error: ValidationError) -> str:
    """Name each field and its rule, without values."""
    found = [f"spec.{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return "; ".join(found[:_MOST_NAMED]) + more
