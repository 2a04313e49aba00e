"""DevOpsReconcile: a DeploymentRecord is created, once."""

from datetime import datetime, timedelta

from reconciler.domain.errors import AlreadyExists, Busy, Invalid
from reconciler.domain.keys import DEPLOYMENT_RECORD, Body
from reconciler.domain.messages import ReconcilePayload, Request
from reconciler.domain.names import FINALIZER, record_name
from reconciler.domain.resources import DeploymentRecord, DeploymentRecordSpec
from reconciler.domain.resources.common import api_object
from reconciler.intake.outcomes import Outcome, Stored, Unchanged
from reconciler.intake.ports import Resources
from reconciler.intake.rules import invalid, is_too_old, reused, too_old

_KIND = DEPLOYMENT_RECORD.kind
_COMPARED = {
    "operation_id": "operation_id",
    "project_ref": "project",
    "environment": "environment",
    "revision": "revision",
    "components": "components",
    "parameters": "parameters",
    "ttl": "ttl",
    "force": "force",
    "requested_by": "requested_by",
}
"""Fields of the record that come from the payload, by their name there."""


class ReconcileIntake:
    """Stores requests to deploy. A project that is not there is no reason to refuse: the operator waits for it."""

    def __init__(self, resources: Resources, *, namespace: str, window: timedelta) -> None:
        """Say where records are made and how far back an `operation_id` is known."""
        self._resources = resources
        self._namespace = namespace
        self._window = window

    async def accept(self, request: Request, payload: ReconcilePayload, now: datetime) -> Outcome:
        """Store the record, or say why not. Raises what `Resources` raises where it cannot be done now."""
        name = record_name(payload.operation_id)
        wanted = specification(request, payload, now)
        known = await self._resources.find(_KIND, self._namespace, name)
        if known is None and is_too_old(request, now, self._window):
            return too_old(request, self._window)
        if known is None:
            try:
                await self._resources.create(_KIND, self._namespace, self._record(name, wanted))
            except AlreadyExists:
                known = await self._resources.find(_KIND, self._namespace, name)
            except Invalid as error:
                return invalid(request, error)
            else:
                return Stored(name)
        if known is None:
            raise Busy(f"{name} was there and is gone again")
        field = first_difference(known, wanted)
        return reused(request, field) if field else Unchanged("it is stored already")

    def _record(self, name: str, wanted: DeploymentRecordSpec) -> Body:
        # With its finalizer from the start: there is no moment at which it could vanish unseen.
        return api_object(DeploymentRecord, name, self._namespace, wanted.dump(), finalizers=[FINALIZER])


def specification(request: Request, payload: ReconcilePayload, now: datetime) -> DeploymentRecordSpec:
    """Write the record's spec; `requestedAt` is the message's moment, now where there is none or it is to come."""
    return DeploymentRecordSpec(
        operation_id=payload.operation_id,
        project_ref=payload.project,
        environment=payload.environment,
        components=payload.components,
        revision=payload.revision,
        parameters=payload.parameters,
        ttl=payload.ttl,
        requested_at=request.requested_at(now),
        requested_by=payload.requested_by,
        force=payload.force,
        traceparent=request.traceparent,
    )


def first_difference(known: Body, wanted: DeploymentRecordSpec) -> str:
    """Name the payload's field in which a stored record differs, empty where it is the same request.

    The moment of sending and the trace are not content; `cancel` may have been set since.
    """
    stored = DeploymentRecord(known)
    for attribute, field in _COMPARED.items():
        ours = getattr(wanted, attribute)
        theirs = stored.operation_id if attribute == "operation_id" else getattr(stored.spec, attribute)
        if ours != theirs:
            return field
    return ""
