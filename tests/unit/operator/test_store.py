import copy
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.domain.errors import Conflict, NotFound
from reconciler.domain.keys import Body, Key, Kind
from reconciler.operator.cache import Cache
from reconciler.operator.store import Store, merge_patch, without_nulls

KEY = Key("DeploymentRecord", "ns", "a")


def a_body(version: int = 1, *, finalizers: Sequence[str] = (), status: Body | None = None, **metadata: Any) -> Body:
    return {
        "apiVersion": "freeleaps.com/v1alpha1",
        "kind": "DeploymentRecord",
        "metadata": {
            "name": "a",
            "namespace": "ns",
            "uid": "u-1",
            "resourceVersion": str(version),
            "finalizers": list(finalizers),
            **metadata,
        },
        "status": status or {},
    }


def merged(body: Body, patch: Body) -> Body:
    body = dict(body)
    for name, value in patch.items():
        if value is None:
            body.pop(name, None)
        elif isinstance(value, dict):
            known = body.get(name)
            body[name] = merged(known if isinstance(known, dict) else {}, value)
        else:
            body[name] = value
    return body


class FakeApi:
    """One resource that versions guard."""

    def __init__(self, body: Body | None) -> None:
        self.body: Any = body
        self.sent: list[Body] = []

    async def get(self, kind: Kind, namespace: str, name: str) -> Body:
        if self.body is None:
            raise NotFound("gone")
        return copy.deepcopy(self.body)

    def server_time(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC)

    async def ask_time(self) -> datetime:
        return self.server_time()

    async def create(self, kind: Kind, namespace: str, body: Body) -> Body:
        self.body = merged(body, {"metadata": {"uid": "u-9", "resourceVersion": "1"}})
        return copy.deepcopy(self.body)

    async def patch(
        self, kind: Kind, namespace: str, name: str, patch: Body, resource_version: str | None = None
    ) -> Body:
        return self._write(patch, resource_version)

    async def patch_status(
        self, kind: Kind, namespace: str, name: str, patch: Body, resource_version: str | None
    ) -> Body:
        return self._write(patch, resource_version)

    async def json_patch(
        self, kind: Kind, namespace: str, name: str, operations: Sequence[Body], *, subresource: str = ""
    ) -> Body:
        tests = {each["path"]: each["value"] for each in operations if each["op"] == "test"}
        finalizers = operations[-1]["value"]
        if self.body is None:
            raise NotFound("gone")
        if self.body["metadata"].get("deletionTimestamp") and not finalizers:
            answer = merged(self.body, {"metadata": {"finalizers": None}})
            self.body = None
            return answer
        return self._write({"metadata": {"finalizers": finalizers}}, tests["/metadata/resourceVersion"])

    async def delete(
        self, kind: Kind, namespace: str, name: str, *, uid: str | None = None, resource_version: str | None = None
    ) -> Body | None:
        if self.body is None:
            raise NotFound("gone")
        self.body = None
        return None

    def _write(self, patch: Body, version: str | None) -> Body:
        if self.body is None:
            raise NotFound("gone")
        known = self.body["metadata"]["resourceVersion"]
        if version not in {None, known}:
            raise Conflict("newer")
        self.sent.append(patch)
        self.body = merged(self.body, patch)
        self.body["metadata"] = {**self.body["metadata"], "resourceVersion": str(int(known) + 1)}
        return copy.deepcopy(self.body)


def a_store(body: Body | None) -> tuple[Store, FakeApi]:
    api, cache = FakeApi(body), Cache()
    if body is not None:
        cache.remember(copy.deepcopy(body))
    return Store(api, cache), api


async def test_a_status_is_written_as_its_difference_and_is_in_the_cache_at_once() -> None:
    store, api = a_store(a_body(4, status={"phase": "Queued", "old": 1, "kept": {"x": 1}}))

    await store.write_status(store.read(KEY), {"phase": "Running", "kept": {"x": 1}, "nothing": None})

    assert api.sent == [{"status": {"phase": "Running", "old": None}}]
    assert store.read(KEY)["status"] == {"phase": "Running", "kept": {"x": 1}}
    assert store.read(KEY)["metadata"]["resourceVersion"] == "5"


async def test_a_status_that_does_not_differ_is_not_sent() -> None:
    store, api = a_store(a_body(status={"phase": "Queued"}))

    await store.write_status(store.read(KEY), {"phase": "Queued"})

    assert api.sent == []


async def test_a_write_on_an_old_body_is_a_conflict_and_writes_nothing() -> None:
    store, api = a_store(a_body(4))
    api.body["metadata"]["resourceVersion"] = "5"

    with pytest.raises(Conflict):
        await store.write_status(store.read(KEY), {"phase": "Running"})
    assert api.sent == []


async def test_our_finalizer_is_put_on_once_beside_others() -> None:
    store, api = a_store(a_body(finalizers=["other/one"]))

    body = await store.ensure_finalizer(store.read(KEY))
    await store.ensure_finalizer(body)

    assert api.body["metadata"]["finalizers"] == ["other/one", "freeleaps.com/reconciler"]
    assert len(api.sent) == 1


async def test_no_finalizer_is_put_on_what_is_being_deleted() -> None:
    store, api = a_store(a_body(deletionTimestamp="2026-11-23T00:00:00Z"))

    await store.ensure_finalizer(store.read(KEY))

    assert api.sent == []


async def test_taking_off_the_last_finalizer_of_a_deleted_resource_takes_it_out_of_the_cache() -> None:
    store, _ = a_store(a_body(finalizers=["freeleaps.com/reconciler"], deletionTimestamp="2026-11-23T00:00:00Z"))

    assert await store.remove_finalizer(store.read(KEY)) is None
    assert store.read(KEY) is None


async def test_taking_off_the_finalizer_of_a_living_resource_keeps_it() -> None:
    store, _ = a_store(a_body(finalizers=["freeleaps.com/reconciler", "other/one"]))

    body = await store.remove_finalizer(store.read(KEY))

    assert body["metadata"]["finalizers"] == ["other/one"]
    assert store.read(KEY)["metadata"]["finalizers"] == ["other/one"]


async def test_taking_off_a_finalizer_of_what_is_gone_is_fine() -> None:
    store, api = a_store(a_body(finalizers=["freeleaps.com/reconciler"]))
    api.body = None

    assert await store.remove_finalizer(store.read(KEY)) is None
    assert store.read(KEY) is None


async def test_only_annotations_that_differ_are_sent() -> None:
    store, api = a_store(a_body(annotations={"a": "1", "b": "2"}))

    await store.annotate(store.read(KEY), {"a": "1", "b": None, "c": "3", "d": None})

    assert api.sent == [{"metadata": {"annotations": {"b": None, "c": "3"}}}]


async def test_what_is_fetched_and_not_there_leaves_the_cache() -> None:
    store, api = a_store(a_body())
    api.body = None

    assert await store.find(KEY) is None
    assert store.read(KEY) is None


async def test_what_is_created_is_in_the_cache_at_once() -> None:
    store, _ = a_store(None)

    await store.create({"kind": "DeploymentRecord", "metadata": {"name": "a", "namespace": "ns"}})

    assert store.read(KEY)["apiVersion"] == "freeleaps.com/v1alpha1"


async def test_deleting_what_is_gone_is_fine() -> None:
    store, api = a_store(a_body())
    api.body = None

    assert await store.delete(a_body()) is None
    assert store.read(KEY) is None


plain = st.sampled_from([0, 1, "x", ""])
json_values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(st.sampled_from("abcd"), json_values, max_size=4)


@given(json_objects, json_objects)
def test_the_patch_makes_the_wanted_of_the_known(before: Body, after: Body) -> None:
    assert merged(before, merge_patch(before, after)) == after


@given(json_objects)
def test_no_difference_is_an_empty_patch(value: Body) -> None:
    assert merge_patch(value, value) == {}


def test_nulls_of_objects_are_left_out_at_any_depth() -> None:
    assert without_nulls({"a": None, "b": [{"c": None, "d": 1}]}) == {"b": [{"d": 1}]}
