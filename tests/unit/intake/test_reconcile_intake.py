from datetime import timedelta
from typing import Any

import pytest

from reconciler.domain.errors import AlreadyExists, Invalid, Unavailable
from reconciler.domain.messages import ReconcilePayload, Request
from reconciler.domain.names import FINALIZER, record_name
from reconciler.intake.decoder import decode
from reconciler.intake.outcomes import Outcome, Rejected, Stored, Unchanged
from reconciler.intake.reconcile import ReconcileIntake
from support.intake import NOW, REVISION, FakeResources, reconcile

KIND = "DeploymentRecord"


async def accept(resources: FakeResources, body: bytes, **headers: str) -> Outcome:
    request = decode(body, headers=headers)
    assert isinstance(request, Request), request
    assert isinstance(request.payload, ReconcilePayload)
    intake = ReconcileIntake(resources, namespace="ns", window=timedelta(days=7))
    return await intake.accept(request, request.payload, NOW)


async def test_a_record_is_stored_with_everything_that_was_asked_for() -> None:
    resources = FakeResources()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = reconcile("op-81f3", ttl="72h", parameters={"FLAG": "on"}, force=True)
    assert await accept(resources, body, traceparent=trace) == Stored("op-81f3")
    record = resources.only(KIND)
    assert record["metadata"]["name"] == "op-81f3"
    assert record["metadata"]["namespace"] == "ns"
    assert record["metadata"]["finalizers"] == [FINALIZER]
    assert record["spec"] == {
        "operationId": "op-81f3",
        "projectRef": "shop",
        "environment": "alpha",
        "components": ["api"],
        "revision": REVISION,
        "parameters": {"FLAG": "on"},
        "ttl": "3d",
        "requestedAt": "2026-11-23T07:59:00Z",
        "requestedBy": "anna@example.com",
        "force": True,
        "cancel": False,
        "traceparent": trace,
    }


async def test_an_id_that_cannot_be_a_name_gets_one_made_of_it() -> None:
    resources = FakeResources()
    assert await accept(resources, reconcile("OP:1")) == Stored(record_name("OP:1"))
    assert resources.only(KIND)["spec"]["operationId"] == "OP:1"


async def test_the_same_request_again_changes_nothing() -> None:
    resources = FakeResources()
    await accept(resources, reconcile())
    later = reconcile(envelope_={"timestamp": "2026-11-23T07:59:30Z", "event_id": "e-2"})
    assert isinstance(await accept(resources, later), Unchanged)
    assert [verb for verb, _, _ in resources.calls].count("create") == 1


async def test_the_same_request_after_a_cancel_and_without_optional_fields_is_the_same() -> None:
    resources = FakeResources()
    body = reconcile(components=..., requested_by=...)
    await accept(resources, body)
    stored = resources.bodies[KIND, "op-1"]["spec"]
    stored["cancel"] = True
    for absent in ("components", "parameters", "force"):
        del stored[absent]
    assert isinstance(await accept(resources, body), Unchanged)


@pytest.mark.parametrize(
    ("other", "field"),
    [
        ({"revision": "f" * 40}, "payload.revision"),
        ({"environment": "beta"}, "payload.environment"),
        ({"project": "other"}, "payload.project"),
        ({"components": ["api", "web"]}, "payload.components"),
        ({"components": ...}, "payload.components"),
        ({"parameters": {"A": "b"}}, "payload.parameters"),
        ({"ttl": "1h"}, "payload.ttl"),
        ({"force": True}, "payload.force"),
        ({"requested_by": "bob"}, "payload.requested_by"),
    ],
    ids=str,
)
async def test_other_content_under_the_same_id_is_refused_by_field(other: dict[str, Any], field: str) -> None:
    resources = FakeResources()
    await accept(resources, reconcile())
    outcome = await accept(resources, reconcile(**other))
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.field) == ("OperationIdReused", field)


async def test_a_message_older_than_the_window_is_too_old_unless_it_is_known() -> None:
    old = reconcile(envelope_={"timestamp": "2026-11-16T07:59:59Z"})
    resources = FakeResources()
    outcome = await accept(resources, old)
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.field) == ("TooOld", "timestamp")
    await accept(resources, reconcile())
    assert isinstance(await accept(resources, old), Unchanged)


async def test_a_message_just_within_the_window_is_stored() -> None:
    body = reconcile(envelope_={"timestamp": "2026-11-16T08:00:00Z"})
    assert isinstance(await accept(FakeResources(), body), Stored)


async def test_a_race_with_another_delivery_is_the_same_request() -> None:
    class Racing(FakeResources):
        async def create(self, kind: str, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
            await super().create(kind, namespace, body)
            raise AlreadyExists("it was faster")

    assert isinstance(await accept(Racing(), reconcile()), Unchanged)


async def test_what_the_api_server_refuses_is_refused_by_field() -> None:
    resources = FakeResources()
    resources.refusal = Invalid("spec.environment: must be shorter", field="spec.environment", status=422)
    outcome = await accept(resources, reconcile())
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.field) == ("InvalidResource", "spec.environment")
    assert not resources.bodies


async def test_an_api_server_that_is_away_is_no_outcome() -> None:
    resources = FakeResources()
    resources.failing = Unavailable("connection refused")
    with pytest.raises(Unavailable):
        await accept(resources, reconcile())
