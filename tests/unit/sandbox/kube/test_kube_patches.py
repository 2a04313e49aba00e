"""Patches and selectors, and field sets: pure functions by table and by property."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.sandbox.kube.errors import ApiError
from reconciler.sandbox.kube.fieldsets import difference, everything, intersect, paths, subtract, union
from reconciler.sandbox.kube.patch import PatchFailed, json_patch, merge_patch, strategic_patch
from reconciler.sandbox.kube.selectors import selector


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": [1]}, {"a": [2, 3]}, {"a": [2, 3]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": "b"}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches_follow_the_rfc(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


def test_a_merge_patch_shares_what_it_does_not_name() -> None:
    target = {"kept": {"a": 1}, "changed": {"b": 1}}
    patched = merge_patch(target, {"changed": {"b": 2}})
    assert patched["kept"] is target["kept"]
    assert target["changed"] == {"b": 1}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/zz"},
        {"op": "add", "path": "/no/parent", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "move", "from": "/zz", "path": "/a"},
        {"op": "frobnicate", "path": "/a"},
        {"path": "/a"},
        {"op": "add", "path": "a", "value": 1},
        "text",
    ],
)
def test_a_json_patch_that_does_not_apply_changes_nothing(operation: Any) -> None:
    document = {"a": 1, "list": [1]}
    with pytest.raises(PatchFailed):
        json_patch(document, [{"op": "add", "path": "/b", "value": 1}, operation])
    assert document == {"a": 1, "list": [1]}


def test_strategic_patches_merge_lists_by_key() -> None:
    target = {"metadata": {"ownerReferences": [{"uid": "1", "name": "a"}], "finalizers": ["x"]}}
    patch = {"metadata": {"ownerReferences": [{"uid": "2"}, {"uid": "1", "name": "b"}], "finalizers": ["x", "y"]}}
    merged = strategic_patch(target, patch)["metadata"]
    assert merged == {"ownerReferences": [{"uid": "1", "name": "b"}, {"uid": "2"}], "finalizers": ["x", "y"]}
    assert strategic_patch({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 2}}) == {"a": {"c": 2}}


@pytest.mark.parametrize(
    ("labels", "fields", "selected"),
    [
        ("app=x", "", True),
        ("app==x,tier!=db", "", True),
        ("app in (x, y)", "", True),
        ("app notin (x)", "", False),
        ("app,!tier", "", True),
        ("size > 3", "", True),
        ("size<3", "", False),
        ("app>3", "", False),
        ("example.com/a=b", "", True),
        ("", "metadata.name=n", True),
        ("", "metadata.name!=n", False),
        ("app=x", "metadata.name=other", False),
    ],
)
def test_selectors_select(labels: str, fields: str, *, selected: bool) -> None:
    obj = {"metadata": {"name": "n", "labels": {"app": "x", "size": "4", "example.com/a": "b"}}}
    selects = selector(labels, fields, frozenset({"metadata.name"}), {})
    assert selects is not None
    assert selects(obj) is selected


@pytest.mark.parametrize(("labels", "fields"), [("a b", ""), ("a>x", ""), ("=", ""), ("", "spec.x=1"), ("", "bad")])
def test_selectors_that_cannot_be_read_are_bad_requests(labels: str, fields: str) -> None:
    with pytest.raises(ApiError) as refused:
        selector(labels, fields, frozenset({"metadata.name"}), {})
    assert refused.value.code == 400


TREES = st.recursive(
    st.integers(0, 3),
    lambda below: st.dictionaries(st.sampled_from("abc"), below, max_size=3),
    max_leaves=10,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), TREES, min_size=1, max_size=3)


@given(OBJECTS, OBJECTS)
def test_field_sets_are_sets(left: dict[str, Any], right: dict[str, Any]) -> None:
    first, second = everything(left, None), everything(right, None)
    assert set(paths(union(first, second))) == set(paths(first)) | set(paths(second))
    assert set(paths(intersect(first, second) or {})) == set(paths(first)) & set(paths(second))
    assert set(paths(subtract(first, second) or {})) == set(paths(first)) - set(paths(second))


@given(OBJECTS, OBJECTS)
def test_differences_name_what_is_new_and_what_is_gone(old: dict[str, Any], new: dict[str, Any]) -> None:
    changed, removed = difference(old, new, None)
    before, after = set(paths(everything(old, None))), set(paths(everything(new, None)))
    assert after - before <= set(paths(changed or {}))
    if old == new:
        assert (changed, removed) == (None, None)
