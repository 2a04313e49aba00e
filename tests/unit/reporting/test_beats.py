from datetime import UTC, datetime
from typing import Any

import orjson

from reconciler.domain.annotations import TRACEPARENT
from reconciler.domain.messages import Heartbeat
from reconciler.reporting.beats import operations_of

NOW = datetime(2026, 11, 23, 8, 0, 5, tzinfo=UTC)


def record(name: str = "op-1", **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "freeleaps.com/v1alpha1",
        "kind": "DeploymentRecord",
        "metadata": {"name": name, "namespace": "ns", "uid": "u1"},
        "spec": {
            "projectRef": "shop",
            "environment": "alpha",
            "revision": "0" * 40,
            "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
        },
        "status": status,
    }


def project(asked: str | None, *operations: dict[str, Any], **status: Any) -> dict[str, Any]:
    spec = {"operation": {"id": asked, "requestedAt": "2026-11-23T08:00:00Z"}} if asked else {}
    return {
        "apiVersion": "freeleaps.com/v1alpha1",
        "kind": "DevOpsProject",
        "metadata": {"name": "shop", "namespace": "ns", "uid": "u2"},
        "spec": spec,
        "status": {"operations": list(operations), **status},
    }


def beat(body: dict[str, Any]) -> Heartbeat:
    (operation,) = operations_of(body)
    return operation.beat(NOW)


def stage(name: str, state: str, component: str = "api", **more: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "component": component, **more}


def test_a_record_without_status_is_pending() -> None:
    said = beat(record())
    assert (said.phase, said.sequence, said.progress, said.stage) == ("Pending", 0, 0, "")


def test_a_running_record_tells_its_open_stage_what_it_waits_for_and_when_it_looks_again() -> None:
    stages = [stage("queue", "Done", ""), stage("build", "Waiting"), stage("image", "Pending")]
    said = beat(
        record(
            phase="Running",
            sequence=4,
            stages=stages,
            progress=33,
            waitingFor="building",
            nextLookAt="2026-11-23T08:00:10Z",
            startedAt="2026-11-23T08:00:00Z",
        )
    )
    assert (said.stage, said.component, said.state) == ("build", "api", "Waiting")
    assert (said.progress, said.waiting_for, said.sequence) == (33, "building", 4)
    assert said.next_look_at == datetime(2026, 11, 23, 8, 0, 10, tzinfo=UTC)
    assert said.routing_key == "shop.alpha.op-1"
    assert said.traceparent.startswith("00-")


def test_a_failed_stage_is_told_before_those_under_way() -> None:
    stages = [stage("build", "Running", "web"), stage("build", "Failed", "api")]
    said = beat(record(phase="Failed", reason="BuildFailed", message="see it", stages=stages))
    assert (said.component, said.reason, said.message) == ("api", "BuildFailed", "see it")


def test_progress_is_100_at_an_end_only() -> None:
    assert beat(record(phase="Running", progress=100)).progress == 99
    assert beat(record(phase="Cancelled", progress=20)).progress == 100


def test_a_success_has_no_reason() -> None:
    assert beat(record(phase="Succeeded", reason="Deployed")).reason == ""


def test_links_lead_to_build_address_and_application() -> None:
    artifacts = [{"component": "api", "buildUrl": "https://j/1", "address": "https://api.example.com"}]
    stages = [stage("sync", "Done", url="https://argo/app")]
    links = {link.name: link.url for link in beat(record(phase="Running", artifacts=artifacts, stages=stages)).links}
    assert links == {
        "build/api": "https://j/1",
        "address/api": "https://api.example.com",
        "application/api": "https://argo/app",
    }


def test_the_operation_id_is_the_one_of_the_spec() -> None:
    body = record("x-1234")
    body["spec"]["operationId"] = "Op 1.2"
    assert beat(body).operation_id == "Op 1.2"


def test_a_projects_operation_has_no_environment_and_its_steps_as_stages() -> None:
    steps = [{"name": "jenkins", "state": "Done"}, {"name": "argocd", "state": "Waiting", "waitingFor": "Argo CD"}]
    steps += [{"name": "registry", "state": "Pending"}, {"name": "dns", "state": "Pending"}]
    said = beat(project("init-1", {"id": "init-1", "state": "Running", "sequence": 2}, steps=steps))
    assert (said.environment, said.stage, said.progress, said.waiting_for) == ("-", "argocd", 25, "Argo CD")
    assert said.routing_key == "shop.-.init-1"
    assert said.type == "DevOpsInitialize"


def test_the_set_up_of_a_project_goes_on_with_the_trace_of_who_asked_for_it() -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    body = project("init-2", {"id": "init-1", "state": "Succeeded", "sequence": 2}, {"id": "init-2", "sequence": 1})
    body["metadata"]["annotations"] = {TRACEPARENT: trace}
    assert [(one.key.operation_id, one.beat(NOW).traceparent) for one in operations_of(body)] == [
        ("init-1", ""),
        ("init-2", trace),
    ]


def test_a_projects_operation_that_nobody_looked_at_yet_is_pending() -> None:
    assert beat(project("init-1")).phase == "Pending"


def test_an_older_operation_of_a_project_tells_its_own_end_only() -> None:
    old = {"id": "init-1", "state": "Superseded", "sequence": 3, "message": "init-2 came first"}
    steps = [{"name": "jenkins", "state": "Waiting", "waitingFor": "Jenkins"}]
    said = {one.key.operation_id: one.beat(NOW) for one in operations_of(project("init-2", old, steps=steps))}
    assert (said["init-1"].phase, said["init-1"].stage, said["init-1"].message) == (
        "Superseded",
        "",
        "init-2 came first",
    )
    assert said["init-2"].phase == "Pending"


def test_other_kinds_have_no_operations() -> None:
    assert not list(operations_of({"kind": "Environment", "metadata": {"name": "a"}, "spec": {}}))


def test_a_beat_goes_out_in_the_envelope_of_all_messages() -> None:
    sent = orjson.loads(beat(record(phase="Running", sequence=1)).encode())
    assert sent["event_type"] == "DevOpsReconcileJobHeartbeat"
    assert set(sent["payload"]) >= {
        "operation_id", "type", "project", "environment", "deployment", "sequence", "phase", "stage", "component",
        "state", "progress", "message", "waiting_for", "next_look_at", "links", "started_at", "timestamp",
        "traceparent",
    }  # fmt: skip
