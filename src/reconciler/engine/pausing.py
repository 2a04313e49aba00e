"""A pause of what has no stages: a project or settings are not looked at while it lasts, and their clocks stand still.

Deployments and environments keep pauses themselves: they may be cancelled, and go on waiting, while one lasts.
"""

from datetime import datetime
from typing import Any

from reconciler.domain.annotations import PAUSED, is_set
from reconciler.domain.clock import rfc3339_micro
from reconciler.domain.keys import Key
from reconciler.engine.store import Store

_RUNNING = "Running"


async def is_held(store: Store, key: Key, now: datetime) -> bool:
    """Tell whether a pause keeps a resource from being looked at; deletion goes on. Raises Conflict.

    Since when it lasts is kept in the status; when it is over, the clocks of running operations go on where they stood.
    """
    body = store.read(key)
    if body is None or body["metadata"].get("deletionTimestamp"):
        return False
    status = body.get("status") or {}
    is_paused, since = is_set(body["metadata"].get("annotations") or {}, PAUSED), status.get("pausedSince")
    if is_paused and since is None:
        await store.write_status(body, {**status, "pausedSince": rfc3339_micro(now)})
    elif since is not None and not is_paused:
        await store.write_status(body, _gone_on(status, datetime.fromisoformat(since), now))
    return is_paused


def _gone_on(status: dict[str, Any], since: datetime, now: datetime) -> dict[str, Any]:
    """Return the status without the pause: what runs has begun later by as long as it lasted."""
    after = {name: value for name, value in status.items() if name != "pausedSince"}
    if "operations" in status:
        after["operations"] = [_later(one, since, now) for one in status["operations"]]
    return after


def _later(operation: dict[str, Any], since: datetime, now: datetime) -> dict[str, Any]:
    if operation.get("state") != _RUNNING or not operation.get("startedAt"):
        return operation
    started = datetime.fromisoformat(operation["startedAt"])
    return {**operation, "startedAt": rfc3339_micro(started + (now - max(since, started)))}
