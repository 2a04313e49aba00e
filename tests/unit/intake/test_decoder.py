import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.domain.messages import EventType, InitializePayload, ReconcilePayload, Request
from reconciler.intake.decoder import decode, subject_of
from reconciler.intake.outcomes import Rejected
from support.intake import NOW, REVISION, initialize, project_spec, reconcile

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def read(body: bytes, **options: Any) -> Request:
    request = decode(body, **options)
    assert isinstance(request, Request), request
    return request


def refused(body: bytes, **options: Any) -> Rejected:
    rejected = decode(body, **options)
    assert isinstance(rejected, Rejected), rejected
    return rejected


@given(st.binary(max_size=300))
def test_any_bytes_give_an_answer(body: bytes) -> None:
    assert isinstance(decode(body), Request | Rejected)


@given(JSON)
def test_any_json_gives_an_answer(document: Any) -> None:
    assert isinstance(decode(orjson.dumps(document)), Request | Rejected)


@given(
    envelope=st.fixed_dictionaries(
        {},
        optional={
            "event_type": JSON | st.sampled_from(["DevOpsReconcile", "DevOpsInitialize"]),
            "event_id": JSON,
            "timestamp": JSON | st.from_regex(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", fullmatch=True),
            "payload": JSON | st.dictionaries(st.sampled_from(["operation_id", "project", "spec", "ttl"]), JSON),
            "specversion": JSON | st.just("1.0"),
            "id": st.just("1"),
            "source": st.just("/s"),
            "type": JSON | st.just("DevOpsReconcile"),
            "time": JSON,
            "data": JSON,
            "data_base64": JSON,
            "datacontenttype": JSON,
            "traceparent": JSON,
        },
    )
)
def test_any_envelope_gives_an_answer(envelope: dict[str, Any]) -> None:
    answer = decode(orjson.dumps(envelope))
    assert isinstance(answer, Request | Rejected)
    if isinstance(answer, Rejected):
        assert answer.reason
        assert answer.rule
        assert answer.remedy


def test_a_reconcile_message_is_read() -> None:
    request = read(reconcile(ttl="72h", parameters={"FLAG": "on"}, force=True))
    payload = request.payload
    assert isinstance(payload, ReconcilePayload)
    assert (payload.project, payload.environment, payload.revision) == ("shop", "alpha", REVISION)
    assert (payload.ttl, payload.parameters, payload.force) == (timedelta(hours=72), {"FLAG": "on"}, True)
    assert request.sent_at == datetime(2026, 11, 23, 7, 59, tzinfo=UTC)


@pytest.mark.parametrize("key", ["project", "name"])
def test_an_initialize_message_is_read(key: str) -> None:
    payload = read(initialize(**({"project": ...} | {key: "shop"}))).payload
    assert isinstance(payload, InitializePayload)
    assert payload.project == "shop"
    assert payload.spec.git.url == "https://git.example.com/shop.git"


def cloud_event(**attributes: Any) -> bytes:
    plain = orjson.loads(reconcile())
    event = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/back-office",
        "type": "com.freeleaps.DevOpsReconcile",
        "time": "2026-11-23T07:59:00+00:00",
        "data": plain["payload"],
    } | attributes
    return orjson.dumps({key: value for key, value in event.items() if value is not ...})


def test_a_cloud_event_says_the_same() -> None:
    plain = read(reconcile())
    assert read(cloud_event()) == plain
    assert read(cloud_event(), content_type="application/cloudevents+json; charset=utf-8") == plain
    payload = base64.b64encode(orjson.dumps(orjson.loads(cloud_event())["data"])).decode()
    assert read(cloud_event(data=..., data_base64=payload)) == plain


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": ...}, "id"),
        ({"source": ""}, "source"),
        ({"type": 7}, "type"),
        ({"type": "com.freeleaps.Else"}, "event_type"),
        ({"datacontenttype": "application/xml"}, "datacontenttype"),
        ({"data": ..., "data_base64": "%%"}, "data_base64"),
        ({"data": "text"}, "payload"),
    ],
)
def test_a_cloud_event_that_is_none_is_refused_by_field(attributes: dict[str, Any], field: str) -> None:
    assert refused(cloud_event(**attributes)).field == field


def test_a_content_type_of_cloud_events_asks_for_its_attributes() -> None:
    assert refused(reconcile(), content_type="application/cloudevents+json").field == "specversion"


@pytest.mark.parametrize(
    ("body", "reason", "field"),
    [
        (b"", "NotJson", ""),
        (b"{", "NotJson", ""),
        (b"\xff\xfe{}", "NotJson", ""),
        (b"[" * 100_00, "NotJson", ""),
        (b"[]", "NotJson", ""),
        (b"{}", "UnknownType", "event_type"),
        (reconcile(envelope_={"event_type": "Else"}), "UnknownType", "event_type"),
        (reconcile(envelope_={"event_type": ["DevOpsReconcile"]}), "UnknownType", "event_type"),
        (reconcile(envelope_={"event_id": 7}), "InvalidShape", "event_id"),
        (reconcile(envelope_={"payload": "x"}), "InvalidShape", "payload"),
        (reconcile(envelope_={"timestamp": "yesterday"}), "InvalidShape", "timestamp"),
        (reconcile(envelope_={"timestamp": "2026-11-23T08:00:00"}), "InvalidShape", "timestamp"),
        (reconcile(envelope_={"timestamp": "2026-13-40T08:00:00Z"}), "InvalidShape", "timestamp"),
        (reconcile(envelope_={"timestamp": "0001-01-01T00:00:00+23:59"}), "InvalidShape", "timestamp"),
        (reconcile(operation_id=...), "InvalidShape", "payload.operation_id"),
        (reconcile(operation_id="a b"), "InvalidShape", "payload.operation_id"),
        (reconcile(operation_id="x" * 129), "InvalidShape", "payload.operation_id"),
        (reconcile(project="Shop"), "InvalidShape", "payload.project"),
        (reconcile(project="a--b"), "InvalidShape", "payload.project"),
        (reconcile(environment="x" * 21), "InvalidShape", "payload.environment"),
        (reconcile(revision="main"), "InvalidShape", "payload.revision"),
        (reconcile(revision=REVISION[:12]), "InvalidShape", "payload.revision"),
        (reconcile(components="api"), "InvalidShape", "payload.components"),
        (reconcile(components=["api"] * 21), "InvalidShape", "payload.components"),
        (reconcile(component=["api"]), "InvalidShape", "payload.component"),
        (reconcile(ttl="soon"), "InvalidShape", "payload.ttl"),
        (reconcile(parameters={"DB_PASSWORD": "x"}), "InvalidShape", "payload.parameters"),
        (reconcile(parameters={"FLAG": "x" * 1025}), "InvalidShape", "payload.parameters.FLAG"),
        (reconcile(parameters={f"F{n}": "" for n in range(33)}), "InvalidShape", "payload.parameters"),
        (initialize(spec=...), "InvalidShape", "payload.spec"),
        (initialize(spec=project_spec(componets=[])), "InvalidShape", "payload.spec.componets"),
        (initialize(spec=project_spec(dns={"traget": "x"})), "InvalidShape", "payload.spec.dns.traget"),
        (
            initialize(spec=project_spec(components=[{"name": "a"}, {"name": "b", "ports": 1}])),
            "InvalidShape",
            "payload.spec.components.1.ports",
        ),
        (initialize(spec=project_spec(components=[])), "InvalidShape", "payload.spec.components"),
        (
            initialize(spec=project_spec(git={"url": "https://user:pw@git.example.com/x"})),
            "InvalidShape",
            "payload.spec.git.url",
        ),
    ],
    ids=repr,
)
def test_what_can_never_be_accepted_names_its_field(body: bytes, reason: str, field: str) -> None:
    rejected = refused(body)
    assert (rejected.reason, rejected.field) == (reason, field)
    assert rejected.remedy


def test_a_body_over_64_kib_is_too_large_and_still_says_whom_to_answer() -> None:
    rejected = refused(reconcile(requested_by="x" * 300 * 1024))
    assert rejected.reason == "TooLarge"
    assert rejected.subject is not None
    assert rejected.subject.operation_id == "op-1"
    assert refused(b"x" * 300 * 1024).subject is None
    assert refused(reconcile(requested_by="x" * 2 * 1024 * 1024)).subject is None


def test_exactly_64_kib_are_taken() -> None:
    body = reconcile()
    assert isinstance(decode(body + b" " * (64 * 1024 - len(body))), Request)
    assert refused(body + b" " * (64 * 1024 - len(body) + 1)).reason == "TooLarge"


def test_no_refusal_repeats_a_value() -> None:
    rejected = refused(reconcile(parameters={"API_TOKEN": "hunter2"}, revision="hunter2"))
    assert "hunter2" not in f"{rejected}"


def test_the_subject_is_what_can_be_read() -> None:
    subject = refused(reconcile(project=7, environment="-" * 80, revision="x")).subject
    assert subject is not None
    assert (subject.project, subject.environment, subject.type) == ("-", "-", EventType.RECONCILE)
    assert refused(reconcile(operation_id="a b")).subject is None
    assert refused(cloud_event(source=7)).subject == subject_of(read(cloud_event()))


def test_the_trace_comes_from_the_header_or_the_event() -> None:
    assert read(reconcile(), headers={"traceparent": TRACE}).traceparent == TRACE
    assert read(reconcile(), headers={"traceparent": TRACE.encode()}).traceparent == TRACE
    assert read(cloud_event(traceparent=TRACE)).traceparent == TRACE
    assert read(reconcile(), headers={"traceparent": "nonsense"}).traceparent == ""


def test_precedence_is_the_messages_moment_unless_it_is_to_come_or_missing() -> None:
    assert read(reconcile()).requested_at(NOW) == NOW - timedelta(minutes=1)
    assert read(reconcile(envelope_={"timestamp": "2027-01-01T00:00:00Z"})).requested_at(NOW) == NOW
    without = reconcile(envelope_={"timestamp": ...})
    assert read(without).requested_at(NOW) == NOW
    earlier = NOW - timedelta(hours=1)
    assert read(without, timestamp=earlier).requested_at(NOW) == earlier
    assert read(without, timestamp=earlier.replace(tzinfo=None)).requested_at(NOW) == earlier


def test_nine_digits_of_a_second_are_cut() -> None:
    request = read(reconcile(envelope_={"timestamp": "2026-11-23T07:59:00.123456789Z"}))
    assert request.sent_at == datetime(2026, 11, 23, 7, 59, 0, 123456, tzinfo=UTC)
