from datetime import timedelta
from typing import Any

import pytest

from reconciler.domain.annotations import PAUSED, TRACEPARENT
from reconciler.domain.errors import AlreadyExists, Busy, Conflict, Invalid
from reconciler.domain.messages import InitializePayload, Request
from reconciler.domain.names import FINALIZER
from reconciler.domain.resources import Phase
from reconciler.intake.decoder import decode
from reconciler.intake.initialize import InitializeIntake
from reconciler.intake.outcomes import Ended, Later, Outcome, Rejected, Stored, Unchanged
from support.intake import NOW, FakeResources, initialize, project_spec

KIND = "DevOpsProject"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def accept(resources: FakeResources, body: bytes, **headers: str) -> Outcome:
    request = decode(body, headers=headers)
    assert isinstance(request, Request), request
    assert isinstance(request.payload, InitializePayload)
    intake = InitializeIntake(resources, namespace="ns", window=timedelta(days=7), manager="reconciler")
    return await intake.accept(request, request.payload, NOW)


def at(moment: str) -> dict[str, Any]:
    return {"envelope_": {"timestamp": f"2026-11-{moment}Z"}}


def renamed(name: str) -> dict[str, Any]:
    return {"spec": project_spec(displayName=name)}


async def test_a_project_is_stored_with_the_operation_that_asked_for_it() -> None:
    resources = FakeResources()
    assert await accept(resources, initialize(requested_by="anna"), traceparent=TRACE) == Stored("shop")
    project = resources.only(KIND)
    assert project["metadata"]["finalizers"] == [FINALIZER]
    assert project["metadata"]["annotations"][TRACEPARENT] == TRACE
    operation = {"id": "init-1", "requestedAt": "2026-11-23T07:59:00Z", "requestedBy": "anna"}
    assert project["spec"] == project_spec() | {"operation": operation}


async def test_the_same_again_changes_nothing_even_when_a_person_changed_the_project_since() -> None:
    resources = FakeResources()
    await accept(resources, initialize())
    assert isinstance(await accept(resources, initialize()), Unchanged)
    resources.bodies[KIND, "shop"]["spec"]["displayName"] = "by hand"
    assert isinstance(await accept(resources, initialize()), Unchanged)


async def test_other_content_under_the_same_id_is_refused_by_field() -> None:
    resources = FakeResources()
    await accept(resources, initialize())
    outcome = await accept(resources, initialize(spec=project_spec(git={"url": "https://git.example.com/b.git"})))
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.field) == ("OperationIdReused", "payload.spec.git.url")


def begun(resources: FakeResources) -> None:
    """Note the project's operation, as the first look does."""
    operation = resources.bodies[KIND, "shop"]["spec"]["operation"]
    resources.bodies[KIND, "shop"]["status"] = {"operations": [operation | {"state": "Running"}]}


async def test_one_that_nobody_has_noted_yet_is_not_written_over() -> None:
    resources = FakeResources()
    await accept(resources, initialize())
    outcome = await accept(resources, initialize("init-2", **renamed("Shop"), **at("23T07:59:30")))
    assert isinstance(outcome, Later)
    assert outcome.is_attempt
    assert resources.only(KIND)["spec"]["operation"]["id"] == "init-1"


async def test_a_newer_one_replaces_spec_and_operation_and_keeps_the_rest() -> None:
    resources = FakeResources()
    await accept(resources, initialize())
    resources.bodies[KIND, "shop"]["metadata"]["labels"] = {"team": "a"}
    begun(resources)
    assert await accept(resources, initialize("init-2", **renamed("Shop"), **at("23T07:59:30"))) == Stored("shop")
    project = resources.only(KIND)
    assert (project["spec"]["displayName"], project["spec"]["operation"]["id"]) == ("Shop", "init-2")
    assert project["metadata"]["labels"] == {"team": "a"}


@pytest.mark.parametrize(("operation_id", "moment"), [("init-2", "23T07:58:00"), ("init-0", "23T07:59:00")])
async def test_one_that_is_not_newer_changes_nothing_and_is_told_so(operation_id: str, moment: str) -> None:
    resources = FakeResources()
    await accept(resources, initialize())
    outcome = await accept(resources, initialize(operation_id, **renamed("late"), **at(moment)))
    assert isinstance(outcome, Ended)
    assert (outcome.phase, outcome.reason) == (Phase.SUPERSEDED, "Superseded")
    assert "displayName" not in resources.only(KIND)["spec"]


async def test_an_operation_that_the_project_remembers_is_done() -> None:
    resources = FakeResources()
    await accept(resources, initialize("init-2"))
    ended = {"id": "init-1", "requestedAt": "2026-11-23T07:00:00Z", "state": "Succeeded"}
    resources.bodies[KIND, "shop"]["status"] = {"operations": [ended]}
    assert isinstance(await accept(resources, initialize("init-1", **at("23T07:00:00"))), Unchanged)


async def test_a_project_made_by_hand_is_taken_over() -> None:
    resources = FakeResources()
    await resources.create(KIND, "ns", {"metadata": {"name": "shop", "namespace": "ns"}, "spec": project_spec()})
    assert await accept(resources, initialize(**renamed("Shop"))) == Stored("shop")
    assert resources.only(KIND)["spec"]["operation"]["id"] == "init-1"


def owned_by_argo(resources: FakeResources, fields: dict[str, Any]) -> None:
    resources.bodies[KIND, "shop"]["metadata"]["managedFields"] = [
        {"manager": "argocd-controller", "operation": "Update", "fieldsV1": {"f:spec": fields}}
    ]


async def test_a_field_that_gitops_owns_is_not_overwritten() -> None:
    resources = FakeResources()
    await accept(resources, initialize(**renamed("from git")))
    owned_by_argo(resources, {"f:displayName": {}})
    outcome = await accept(resources, initialize("init-2", **renamed("other"), **at("23T07:59:30")))
    assert isinstance(outcome, Ended)
    assert (outcome.phase, outcome.reason) == (Phase.FAILED, "OwnedByOther")
    assert "argocd-controller" in outcome.message
    assert "spec.displayName" in outcome.message
    assert resources.only(KIND)["spec"]["displayName"] == "from git"


async def test_a_field_that_gitops_owns_and_that_stays_is_no_obstacle() -> None:
    resources = FakeResources()
    await accept(resources, initialize())
    begun(resources)
    owned_by_argo(resources, {"f:git": {"f:url": {}}})
    assert isinstance(await accept(resources, initialize("init-2", **renamed("x"), **at("23T07:59:30"))), Stored)
    assert "managedFields" not in resources.only(KIND)["metadata"]


async def test_a_message_older_than_the_window_is_too_old() -> None:
    outcome = await accept(FakeResources(), initialize(**at("01T08:00:00")))
    assert isinstance(outcome, Rejected)
    assert outcome.reason == "TooOld"


@pytest.mark.parametrize("failure", [Conflict("changed"), AlreadyExists("there")])
async def test_somebody_faster_is_looked_at_again(failure: Exception) -> None:
    resources = FakeResources()
    await accept(resources, initialize())
    begun(resources)

    class Contended(FakeResources):
        tries = 0

        async def replace(self, kind: str, namespace: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
            self.tries += 1
            if self.tries < 3:
                raise failure
            return await super().replace(kind, namespace, name, body)

    contended = Contended()
    contended.bodies = resources.bodies
    assert isinstance(await accept(contended, initialize("init-2", **at("23T07:59:30"))), Stored)
    begun(contended)
    contended.tries = -10
    with pytest.raises(Busy):
        await accept(contended, initialize("init-3", **at("23T07:59:40")))


async def test_a_project_that_is_being_deleted_is_waited_for_and_that_is_no_attempt() -> None:
    resources = FakeResources()
    await accept(resources, initialize())
    resources.bodies[KIND, "shop"]["metadata"]["deletionTimestamp"] = "2026-11-23T07:59:59Z"
    outcome = await accept(resources, initialize(operation_id="init-2", **at("23T07:59:30")))
    assert isinstance(outcome, Later)
    assert (outcome.message, outcome.is_attempt) == ("project shop is being deleted", False)


async def test_a_project_on_pause_is_waited_for_and_that_is_no_attempt() -> None:
    resources = FakeResources()
    await accept(resources, initialize())
    resources.bodies[KIND, "shop"]["metadata"]["annotations"][PAUSED] = "true"
    outcome = await accept(resources, initialize(operation_id="init-2", **at("23T07:59:30")))
    assert isinstance(outcome, Later)
    assert (outcome.message, outcome.is_attempt) == ("init-1 is not begun: the project is on pause", False)


async def test_a_trace_goes_with_its_operation() -> None:
    resources = FakeResources()
    await accept(resources, initialize(), traceparent=TRACE)
    begun(resources)
    await accept(resources, initialize("init-2", **at("23T07:59:30")))
    assert TRACEPARENT not in resources.only(KIND)["metadata"]["annotations"]


async def test_what_the_api_server_refuses_is_refused_by_field() -> None:
    resources = FakeResources()
    resources.refusal = Invalid("spec.components: too many", field="spec.components", status=422)
    outcome = await accept(resources, initialize())
    assert isinstance(outcome, Rejected)
    assert (outcome.reason, outcome.field) == ("InvalidResource", "spec.components")
