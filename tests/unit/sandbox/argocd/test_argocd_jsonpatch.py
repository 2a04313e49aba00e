"""Patches as the API server applies them."""

from typing import Any

import pytest

from reconciler.sandbox.argocd.errors import ApiError, Code
from reconciler.sandbox.argocd.jsonpatch import apply_patch, merge


def patched(operation: dict[str, Any]) -> Any:
    return apply_patch({"a": {"b/c": 1}, "list": [1, 2]}, [operation])


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ({"op": "add", "path": "/a/b~1c", "value": 2}, {"a": {"b/c": 2}, "list": [1, 2]}),
        ({"op": "add", "path": "/list/-", "value": 3}, {"a": {"b/c": 1}, "list": [1, 2, 3]}),
        ({"op": "add", "path": "/list/0", "value": 3}, {"a": {"b/c": 1}, "list": [3, 1, 2]}),
        ({"op": "replace", "path": "/list/1", "value": 3}, {"a": {"b/c": 1}, "list": [1, 3]}),
        ({"op": "remove", "path": "/a"}, {"list": [1, 2]}),
        ({"op": "remove", "path": "/list/0"}, {"a": {"b/c": 1}, "list": [2]}),
        ({"op": "test", "path": "/a/b~1c", "value": 1}, {"a": {"b/c": 1}, "list": [1, 2]}),
        ({"op": "test", "path": "/a/x", "value": None}, {"a": {"b/c": 1}, "list": [1, 2]}),
    ],
)
def test_each_operation_does_what_the_standard_says(operation: dict[str, Any], expected: Any) -> None:
    assert patched(operation) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a/b~1c", "value": 2},
        {"op": "test", "path": "/a/x", "value": 1},
        {"op": "test", "path": "/nowhere/x", "value": None},
        {"op": "add", "path": "/nowhere/x", "value": 1},
        {"op": "replace", "path": "/a/x", "value": 1},
        {"op": "remove", "path": "/a/x"},
        {"op": "rename", "path": "/a"},
    ],
)
def test_what_cannot_be_applied_is_a_plain_error(operation: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match="error applying patch") as refused:
        patched(operation)
    assert refused.value.code is Code.UNKNOWN


def test_a_merge_removes_by_null_and_replaces_lists() -> None:
    assert merge({"a": {"b": 1, "c": [1, 2]}}, {"a": {"b": None, "c": [3]}}) == {"a": {"c": [3]}}
