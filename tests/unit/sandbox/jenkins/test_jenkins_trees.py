"""The `tree=` parameter of the simulated Jenkins."""

from typing import Any

import pytest

from reconciler.sandbox.jenkins.trees import Exposed, MalformedTreeError, read_tree, render

THING = {
    "_class": "Thing",
    "name": "x",
    "numbers": [{"value": number, "more": {"deep": number * 10}} for number in range(5)],
    "nothing": None,
}


def expose(thing: Any) -> Exposed | None:
    if not isinstance(thing, dict):
        return None
    return {name: (lambda value=value: value) for name, value in thing.items()}


def shown(tree: str) -> Any:
    return render(THING, read_tree(tree), expose)


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("{0,2}", [0, 1]),
        ("{3,9}", [3, 4]),
        ("{3,}", [3, 4]),
        ("{,1}", [0]),
        ("{2}", [2]),
        ("{9,12}", []),
    ],
)
def test_a_range_is_half_open(part: str, values: list[int]) -> None:
    assert [each["value"] for each in shown(f"numbers[value]{part}")["numbers"]] == values


def test_only_what_is_wanted_is_shown_and_the_class_always() -> None:
    assert shown("name") == {"_class": "Thing", "name": "x"}


def test_fields_nest_and_unknown_ones_are_left_out() -> None:
    assert shown("numbers[more[deep],what]{1,2},nobody")["numbers"] == [{"more": {"deep": 10}}]


def test_null_stays_null_and_a_star_is_everything() -> None:
    assert shown("nothing[a]")["nothing"] is None
    assert shown("*").keys() == THING.keys()


@pytest.mark.parametrize("tree", ["a[b", "a]", "", ",a", "a{1,2", "a{}", "a{x,y}", "a[]", "a b"])
def test_what_cannot_be_read_is_malformed(tree: str) -> None:
    with pytest.raises(MalformedTreeError):
        read_tree(tree)
