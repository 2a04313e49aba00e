"""DevOpsInitialize: a project's spec and the operation that asked for it are written together, guarded."""

import copy
import hashlib
from datetime import datetime, timedelta
from typing import Any

import orjson

from reconciler.domain.annotations import TRACEPARENT
from reconciler.domain.errors import AlreadyExists, Busy, Conflict, Invalid
from reconciler.domain.keys import PROJECT, Body
from reconciler.domain.messages import InitializePayload, Request
from reconciler.domain.names import FINALIZER, GROUP
from reconciler.domain.resources import DevOpsProject, DevOpsProjectSpec, Phase
from reconciler.domain.resources.common import api_object
from reconciler.domain.resources.devops_project import OperationRequest
from reconciler.intake.decoder import subject_of
from reconciler.intake.managers import changes, foreign_owner
from reconciler.intake.outcomes import Ended, Later, Outcome, Stored, Unchanged
from reconciler.intake.ports import Resources
from reconciler.intake.rules import invalid, is_too_old, reused, too_old

CONTENT_ANNOTATION = f"{GROUP}/operation-content"
"""SHA-256 of what `spec.operation` was sent with: tells a second delivery from other content under the same id."""
_KIND = PROJECT.kind
_TRIES = 5


class InitializeIntake:
    """Stores projects as they are asked for; what a GitOps tool owns is left to it."""

    def __init__(self, resources: Resources, *, namespace: str, window: timedelta, manager: str) -> None:
        """Say where projects are; `manager` is the name under which our own writes stand in managedFields."""
        self._resources = resources
        self._namespace = namespace
        self._window = window
        self._manager = manager

    async def accept(self, request: Request, payload: InitializePayload, now: datetime) -> Outcome:
        """Store the project, or say why not. Raises what `Resources` raises where it cannot be done now."""
        try:
            for _ in range(_TRIES):
                known = await self._resources.find(_KIND, self._namespace, payload.project)
                try:
                    if known is None:
                        return await self._create(request, payload, now)
                    return await self._change(known, request, payload, now)
                except (AlreadyExists, Conflict):
                    continue  # Somebody was faster: look again.
        except Invalid as error:
            return invalid(request, error)
        raise Busy(f"project {payload.project} is written by others all the time")

    async def _create(self, request: Request, payload: InitializePayload, now: datetime) -> Outcome:
        if is_too_old(request, now, self._window):
            return too_old(request, self._window)
        spec = _specification(request, payload, now)
        body = api_object(
            DevOpsProject,
            payload.project,
            self._namespace,
            spec,
            annotations=_annotations(request, payload),
            finalizers=[FINALIZER],
        )
        await self._resources.create(_KIND, self._namespace, body)
        return Stored(payload.project)

    async def _change(self, known: Body, request: Request, payload: InitializePayload, now: datetime) -> Outcome:
        project = DevOpsProject(known)
        current = project.spec.operation
        if current is not None and current.id == payload.operation_id:
            return _repeated(project, request, payload)
        if any(operation.id == payload.operation_id for operation in project.status.operations):
            return Unchanged("it was done before, and something newer came since")
        if is_too_old(request, now, self._window):
            return too_old(request, self._window)
        if current is not None and not _is_newer(request.requested_at(now), payload.operation_id, current):
            message = f"{current.id} of {current.requested_at:%Y-%m-%d %H:%M:%S} is newer"
            return Ended(subject_of(request), Phase.SUPERSEDED, "Superseded", message)
        if project.is_deleting:
            # A deletion ends, within its deadline: to wait for it is no attempt.
            return Later("Busy", f"project {payload.project} is being deleted", subject_of(request), is_attempt=False)
        if (taken := self._owned_by_other(project, payload)) is not None:
            return Ended(subject_of(request), Phase.FAILED, "OwnedByOther", taken)
        if current is not None and all(operation.id != current.id for operation in project.status.operations):
            # Nobody has noted it yet: written over now, it would never come to its end. A pause is no attempt.
            why = "is not begun: the project is on pause" if project.is_paused else "was accepted a moment ago"
            return Later("Busy", f"{current.id} {why}", subject_of(request), is_attempt=not project.is_paused)
        await self._write(known, request, payload, now)
        return Stored(payload.project)

    def _owned_by_other(self, project: DevOpsProject, payload: InitializePayload) -> str | None:
        changed = changes(_content(project.spec), _content(payload.spec))
        owner = foreign_owner(project.body, changed, own=self._manager)
        if owner is None:
            return None
        manager, path = owner
        return f"spec.{'.'.join(path)} is owned by {manager}; change it there, or take the field out of its hands"[:256]

    async def _write(self, known: Body, request: Request, payload: InitializePayload, now: datetime) -> None:
        body = copy.deepcopy(known)
        body["spec"] = _specification(request, payload, now)
        metadata = body["metadata"]
        metadata.pop("managedFields", None)  # Left out they stay; sent back they could be wrong by now.
        former = {name: said for name, said in (metadata.get("annotations") or {}).items() if name != TRACEPARENT}
        metadata["annotations"] = {**former, **_annotations(request, payload)}
        await self._resources.replace(_KIND, self._namespace, payload.project, body)


def _is_newer(requested_at: datetime, operation_id: str, current: OperationRequest) -> bool:
    return (requested_at, operation_id) > (current.requested_at, current.id)


def _repeated(project: DevOpsProject, request: Request, payload: InitializePayload) -> Outcome:
    """Answer an id that is the project's current operation."""
    if project.metadata.annotations.get(CONTENT_ANNOTATION) == _digest(payload):
        return Unchanged("it is stored already")
    differing = next(changes(_content(project.spec), _content(payload.spec)), None)
    if differing is None:
        return Unchanged("it is stored already")
    return reused(request, ".".join(("spec", *differing)))


def _content(spec: DevOpsProjectSpec) -> dict[str, Any]:
    """Return a spec with all defaults, without the operation that asked for it."""
    return spec.model_copy(update={"operation": None}).dump()


def _digest(payload: InitializePayload) -> str:
    return hashlib.sha256(orjson.dumps(_content(payload.spec), option=orjson.OPT_SORT_KEYS)).hexdigest()


def _specification(request: Request, payload: InitializePayload, now: datetime) -> dict[str, Any]:
    operation = OperationRequest(
        id=payload.operation_id, requested_at=request.requested_at(now), requested_by=payload.requested_by
    )
    asked = payload.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
    return {**asked, "operation": operation.dump()}


def _annotations(request: Request, payload: InitializePayload) -> dict[str, str]:
    annotations = {CONTENT_ANNOTATION: _digest(payload)}
    if request.traceparent:
        annotations[TRACEPARENT] = request.traceparent
    return annotations
