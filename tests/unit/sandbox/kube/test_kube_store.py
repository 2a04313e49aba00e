"""The store's history, ages as kubectl prints them, and the bodies kubectl sends in protobuf."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.sandbox.kube.errors import ApiError
from reconciler.sandbox.kube.protobuf import decode
from reconciler.sandbox.kube.resources import json_path
from reconciler.sandbox.kube.store import Bucket, Event, Store
from reconciler.sandbox.kube.tables import age
from reconciler.sandbox.kube.times import microseconds, whole_seconds


def put(store: Store, bucket: Bucket, name: str, **more: Any) -> int:
    return store.put(bucket, ("ns", name), {"metadata": {"name": name, "uid": name}, **more}, None).revision


def test_a_snapshot_is_what_was_there_then() -> None:
    store = Store(100)
    bucket = store.bucket("things")
    put(store, bucket, "b", v=1)
    then = put(store, bucket, "a", v=1)
    put(store, bucket, "c", v=1)
    put(store, bucket, "b", v=2)
    store.remove(bucket, ("ns", "a"))
    assert [(entry.key[1], entry.obj["v"]) for entry in bucket.at(then, None)] == [("a", 1), ("b", 1)]
    assert [entry.key[1] for entry in bucket.entries("ns")] == ["b", "c"]


def test_history_forgets_the_oldest_and_says_so() -> None:
    store = Store(10)
    bucket = store.bucket("things")
    revisions = [put(store, bucket, f"n{number}") for number in range(30)]
    assert len(bucket.history) <= 10
    assert bucket.floor >= revisions[15]
    assert [event.revision for event in bucket.since(bucket.floor)] == revisions[revisions.index(bucket.floor) + 1 :]


def test_a_deletion_carries_the_last_state_and_its_own_revision() -> None:
    store = Store(10)
    bucket = store.bucket("things")
    put(store, bucket, "a", v=1)
    seen: list[Event] = []
    bucket.listeners.add(seen.append)
    event = store.remove(bucket, ("ns", "a"))
    assert seen == [event]
    assert event.last_state()["v"] == 1
    assert event.last_state()["metadata"]["resourceVersion"] == str(store.revision)
    assert event.line().startswith(b'{"type":"DELETED"')


def test_owners_are_indexed_as_long_as_they_own() -> None:
    store = Store(10)
    bucket = store.bucket("things")
    owned = {"metadata": {"name": "a", "uid": "a", "ownerReferences": [{"uid": "owner"}]}}
    store.put(bucket, ("ns", "a"), owned, None)
    assert store.dependents == {"owner": {("things", ("ns", "a"))}}
    put(store, bucket, "a")
    assert store.dependents == {}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (179, "2m59s"),
        (600, "10m"),
        (10_800, "3h"),
        (11_100, "3h5m"),
        (28_800, "8h"),
        (172_800, "2d"),
        (180_000, "2d2h"),
        (691_200, "8d"),
        (63_072_000, "2y"),
        (-5, "<invalid>"),
    ],
)
def test_ages_are_written_as_kubectl_does(seconds: int, text: str) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert age((now - timedelta(seconds=seconds)).isoformat(), now) == text


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (".status.phase", "Ready"),
        ('.status.conditions[?(@.type=="Ready")].status', "True"),
        (".status.list[1]", "b"),
        (".status.list[-1]", "b"),
        (".metadata.labels['a.b/c']", "d"),
        (".status.missing.deeper", None),
    ],
)
def test_printer_columns_read_paths(path: str, value: Any) -> None:
    obj = {
        "metadata": {"labels": {"a.b/c": "d"}},
        "status": {
            "phase": "Ready",
            "list": ["a", "b"],
            "conditions": [{"type": "Other", "status": "False"}, {"type": "Ready", "status": "True"}],
        },
    }
    assert json_path(path)(obj) == value


def test_times_are_read_as_go_reads_them() -> None:
    assert whole_seconds("2026-01-01T01:00:00.5+01:00") == "2026-01-01T00:00:00Z"
    assert microseconds("2026-01-01T00:00:00.000001+00:00") == "2026-01-01T00:00:00.000001Z"
    for wrong in ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.123Z", "now", 7):
        with pytest.raises(ApiError, match="parsing time"):
            microseconds(wrong)


def message(*fields: tuple[int, bytes]) -> bytes:
    return b"".join(bytes([number << 3 | 2, len(raw)]) + raw for number, raw in fields)


def envelope(kind: bytes, raw: bytes) -> bytes:
    return b"k8s\x00" + message((1, message((1, b"v1"), (2, kind))), (2, raw))


def test_a_secret_is_read_from_protobuf() -> None:
    metadata = message((1, b"s"), (11, message((1, b"app"), (2, b"x"))))
    raw = message((1, metadata), (2, message((1, b"k"), (2, b"\x00\xff"))), (3, b"Opaque"))
    assert decode(envelope(b"Secret", raw)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "labels": {"app": "x"}},
        "data": {"k": base64.b64encode(b"\x00\xff").decode()},
        "type": "Opaque",
    }


@pytest.mark.parametrize(("body", "code"), [(b"{}", 400), (envelope(b"Pod", b""), 415), (b"k8s\x00\x0a\xff", 400)])
def test_other_protobuf_is_refused(body: bytes, code: int) -> None:
    with pytest.raises(ApiError) as refused:
        decode(body)
    assert refused.value.code == code
