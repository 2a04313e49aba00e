"""The answer to a resource whose spec cannot be read: which field, which rule, what to do. It waits for a person."""

from collections import OrderedDict
from datetime import datetime
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from reconciler.domain.conditions import kstatus
from reconciler.domain.keys import Body
from reconciler.domain.resources import Condition, Resource
from reconciler.engine.store import Store

_MOST_NAMED = 5
R = TypeVar("R", bound=Resource)


_READ: OrderedDict[tuple[type[Resource], int], tuple[Body, Resource | None]] = OrderedDict()
_KEPT = 512


def readable(kind: type[R], body: Body | None) -> R | None:
    """Return the resource, None where it is not there or its spec cannot be read: its own look says what is wrong.

    The same body gives the same resource, for as long as it is among the last that were asked for: looks by the
    hundred ask for the same project and settings. So whoever asks changes neither.
    """
    if body is None:
        return None
    key = (kind, id(body))
    kept = _READ.get(key)
    if kept is None or kept[0] is not body:  # the body is kept with it, so that its id names no other one
        kept = _READ[key] = (body, _read(kind, body))
        if len(_READ) > _KEPT:
            _READ.popitem(last=False)
    return cast("R | None", kept[1])


def _read(kind: type[R], body: Body) -> R | None:
    try:
        return kind(body)
    except ValidationError:
        return None


async def tell_invalid(store: Store, body: Body, error: ValidationError, now: datetime) -> None:
    """Write what is wrong into the status; a resource that is being deleted is let go.

    That is for kinds which have nothing outside: records, and projects, whose children take along what is theirs.
    """
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
