"""Writes into a resource that the last word on an operation was confirmed: `announced`, which deletion waits for."""

from dataclasses import dataclass
from typing import Any, Protocol

from reconciler.domain.errors import Conflict, NotFound, Unavailable
from reconciler.domain.keys import Body, Key
from reconciler.domain.resources import DeploymentRecord, Environment

_ATTEMPTS = 5


class StoresStatus(Protocol):
    """Reads and writes resources under guard."""

    def read(self, key: Key) -> Body | None:
        """Return the newest body known here."""
        ...

    async def fetch(self, key: Key) -> Body:
        """Return the body from the API server. Raises NotFound."""
        ...

    async def write_status(self, body: Body, status: dict[str, Any]) -> Body:
        """Write the status guarded by the body's version, if it differs. Raises Conflict, NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class Announcer:
    """Marks operations as announced."""

    store: StoresStatus

    async def mark_announced(self, resource: Key, operation_id: str, sequence: int) -> None:
        """Write `announced`, unless it is there or the resource is gone. Raises Unavailable."""
        body = self.store.read(resource)
        if body is not None and not _has_reached(body, operation_id, sequence):
            body = None  # behind, or another resource of that name: only the API server knows
        for _ in range(_ATTEMPTS):
            try:
                body = body or await self.store.fetch(resource)
                await self.store.write_status(body, with_announced(body, operation_id, sequence))
            except NotFound:
                return
            except Conflict:
                body = None
            else:
                return
        raise Unavailable(f"{resource} keeps changing", system="kubernetes")


def with_announced(body: Body, operation_id: str, sequence: int) -> dict[str, Any]:
    """Return the status with the sequence announced; a later one that is there stays.

    What has not reached the sequence is another resource, made anew under the name of the one that was announced.
    """
    status = body.get("status") or {}
    if body["kind"] == DeploymentRecord.kind:
        return _marked(status, sequence)
    if body["kind"] == Environment.kind:
        return {**status, "warned": _marked(status.get("warned") or {}, sequence)} if "warned" in status else status
    operations = [
        _marked(one, sequence) if one["id"] == operation_id else one for one in status.get("operations") or ()
    ]
    return {**status, "operations": operations}


def _has_reached(body: Body, operation_id: str, sequence: int) -> bool:
    status = body.get("status") or {}
    parts = status.get("operations") or ()
    if body["kind"] == DeploymentRecord.kind:
        parts = [status]
    elif body["kind"] == Environment.kind:
        parts = [status.get("warned") or {}]
    return any(part.get("sequence", 0) >= sequence for part in parts if part.get("id", operation_id) == operation_id)


def _marked(part: dict[str, Any], sequence: int) -> dict[str, Any]:
    if part.get("sequence", 0) < sequence:
        return part
    return {**part, "announced": max(sequence, part.get("announced", 0))}
