"""Pruning, defaulting and validation, and what they leave untouched."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconciler.sandbox.kube.schema import compile_schema, fit
from reconciler.sandbox.kube.trees import MISSING, graft
from reconciler.sandbox.kube.validate import validate

OBJECT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "size": {"type": "integer", "default": 3, "maximum": 9},
        "note": {"type": "string", "nullable": True},
        "parts": {
            "type": "array",
            "items": {"type": "object", "properties": {"port": {"type": "integer", "default": 80}}},
        },
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "deep": {"type": "object", "default": {}, "properties": {"x": {"type": "string", "default": "y"}}},
    },
}
NODE = compile_schema(OBJECT)


def fitted(value: Any, old: Any = MISSING) -> tuple[Any, list[str]]:
    unknown: list[str] = []
    return fit(value, old, NODE, "", unknown), unknown


def test_unknown_fields_go_and_are_named() -> None:
    value, unknown = fitted({"bogus": 1, "parts": [{"bogus": 2}], "free": {"any": 1}})
    assert value == {"size": 3, "parts": [{"port": 80}], "free": {"any": 1}, "deep": {"x": "y"}}
    assert unknown == ["bogus", "parts[0].bogus"]


def test_nulls_stay_only_where_they_may() -> None:
    value, _ = fitted({"note": None, "size": None, "free": {"a": None}})
    assert value == {"note": None, "size": 3, "free": {"a": None}, "deep": {"x": "y"}}


def test_a_complete_value_is_returned_as_it_is() -> None:
    value = {"size": 1, "deep": {"x": "z"}}
    assert fitted(value)[0] is value


def test_whole_floats_are_integers() -> None:
    assert fitted({"size": 2.0, "deep": {"x": "z"}})[0]["size"] == 2
    assert isinstance(fitted({"size": 2.0})[0]["size"], int)


def test_what_is_the_same_object_is_not_looked_at_again() -> None:
    old = {"size": 99}
    assert validate(old, old, NODE) == []
    assert [cause.field for cause in validate(old, MISSING, NODE)] == ["size"]


def test_rules_are_skipped_after_violations_of_the_schema() -> None:
    node = compile_schema({**OBJECT, "x-kubernetes-validations": [{"rule": "false", "message": "never"}]})
    assert [cause.message for cause in validate({}, MISSING, node)] == ["Invalid value: never"]
    broken = validate({"size": "x"}, MISSING, node)
    assert [cause.field for cause in broken] == ["size", "<nil>"]


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text("ab", max_size=2),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text("abc", max_size=2), below, max_size=3),
    max_leaves=12,
)


@given(JSON_VALUES, JSON_VALUES)
def test_a_graft_is_the_new_value_and_shares_what_it_can(old: Any, new: Any) -> None:
    grafted = graft(new, old)
    assert repr(_sorted(grafted)) == repr(_sorted(new))
    assert graft(grafted, old) is grafted or grafted == graft(grafted, old)


@given(JSON_VALUES)
def test_an_equal_value_grafts_to_the_old_one(value: Any) -> None:
    copied = _copied(value)
    assert graft(copied, value) is value


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value
