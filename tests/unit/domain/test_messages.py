from datetime import UTC, datetime, timedelta

import orjson
import pytest

from reconciler.domain.messages import EventType, Heartbeat, Link, Topology, traceparent_of
from reconciler.domain.resources import Phase

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOW = datetime(2026, 11, 23, 8, 0, 0, 250000, tzinfo=UTC)


def beat(**more: object) -> Heartbeat:
    known = {
        "operation_id": "op.81f3",
        "type": EventType.RECONCILE,
        "project": "shop",
        "environment": "alpha",
        "phase": Phase.RUNNING,
        "timestamp": NOW,
    }
    return Heartbeat.model_validate(known | more)


def test_a_heartbeat_is_written_in_the_common_envelope_with_every_field() -> None:
    sent = beat(
        deployment="op-81f3",
        sequence=7,
        stage="build",
        component="api",
        state="Waiting",
        progress=25,
        message="building",
        waiting_for="the build",
        next_look_at=NOW + timedelta(seconds=5),
        links=[Link(name="build", url="https://jenkins.example.com/1")],
        started_at=NOW,
        traceparent=TRACE,
    )
    envelope = orjson.loads(sent.encode())
    payload = envelope.pop("payload")
    assert envelope == {
        "event_type": "DevOpsReconcileJobHeartbeat",
        "event_id": sent.event_id,
        "timestamp": "2026-11-23T08:00:00.250000Z",
    }
    assert payload == {
        "operation_id": "op.81f3",
        "type": "DevOpsReconcile",
        "project": "shop",
        "environment": "alpha",
        "deployment": "op-81f3",
        "sequence": 7,
        "phase": "Running",
        "stage": "build",
        "component": "api",
        "state": "Waiting",
        "progress": 25,
        "reason": "",
        "message": "building",
        "waiting_for": "the build",
        "next_look_at": "2026-11-23T08:00:05.250000Z",
        "links": [{"name": "build", "url": "https://jenkins.example.com/1"}],
        "started_at": "2026-11-23T08:00:00.250000Z",
        "timestamp": "2026-11-23T08:00:00.250000Z",
        "traceparent": TRACE,
    }


def test_a_dot_in_an_id_does_not_split_the_routing_key() -> None:
    assert beat().routing_key == "shop.alpha.op_81f3"
    assert orjson.loads(beat().encode())["payload"]["operation_id"] == "op.81f3"


def test_two_beats_of_one_change_have_ids_of_their_own() -> None:
    assert beat().event_id == beat().event_id
    assert beat().event_id != beat(timestamp=NOW + timedelta(seconds=10)).event_id


@pytest.mark.parametrize("progress", [-1, 101])
def test_progress_is_a_percentage(progress: int) -> None:
    with pytest.raises(ValueError, match="progress"):
        beat(progress=progress)


def test_each_attempt_waits_where_its_delay_is_and_the_last_delay_is_for_all_that_follow() -> None:
    topology = Topology(retry_delays=(timedelta(milliseconds=1500), timedelta(minutes=2)))
    assert [topology.retry_for(attempt) for attempt in (1, 2, 3, 99)] == [
        "devops.retry.1500ms",
        "devops.retry.120s",
        "devops.retry.120s",
        "devops.retry.120s",
    ]


def test_each_work_queue_takes_its_word_and_its_event_type() -> None:
    assert Topology().bindings == {
        "devops.initialize": ("initialize", "DevOpsInitialize"),
        "devops.reconcile": ("reconcile", "DevOpsReconcile"),
    }


@pytest.mark.parametrize("value", [TRACE, TRACE.encode(), bytearray(TRACE.encode())])
def test_a_trace_context_is_read_from_text_and_bytes(value: object) -> None:
    assert traceparent_of(value) == TRACE


@pytest.mark.parametrize("value", [None, 7, "", "00-xyz", TRACE.upper(), TRACE + "\n", b"\xff"])
def test_what_is_no_trace_context_is_left_out(value: object) -> None:
    assert traceparent_of(value) == ""
