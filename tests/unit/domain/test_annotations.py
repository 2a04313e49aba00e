"""Annotations that steer: a request is handled once, a state lasts as long as it says so."""

import pytest

from reconciler.domain.annotations import EXTEND, PAUSED, asked, is_set, with_request, with_state


@pytest.mark.parametrize(
    ("token", "handled", "open_token"),
    [
        (None, {}, None),
        ("1", {}, "1"),
        ("1", {EXTEND: "1"}, None),
        ("2", {EXTEND: "1"}, "2"),
        ("", {}, ""),
        (None, {EXTEND: "1"}, None),
    ],
)
def test_a_request_is_open_until_its_token_is_echoed(
    token: str | None, handled: dict[str, str], open_token: str | None
) -> None:
    annotations = {} if token is None else {EXTEND: token}
    assert asked(annotations, handled, EXTEND) == open_token
    assert asked(annotations, with_request(handled, annotations, EXTEND), EXTEND) is None


def test_a_request_that_is_taken_off_and_put_on_again_is_not_made_twice() -> None:
    handled = with_request(with_request({}, {EXTEND: "24h"}, EXTEND), {}, EXTEND)
    assert asked({EXTEND: "24h"}, handled, EXTEND) is None


def test_a_token_of_any_length_is_handled_once() -> None:
    annotations = {EXTEND: "x" * 5000}
    handled = with_request({}, annotations, EXTEND)
    assert asked(annotations, handled, EXTEND) is None
    assert len(handled[EXTEND]) == 256


@pytest.mark.parametrize(("value", "is_on"), [("true", True), ("false", False), ("True", False), ("", False)])
def test_a_state_lasts_while_it_is_true_and_its_echo_goes_with_it(value: str, *, is_on: bool) -> None:
    annotations = {PAUSED: value}
    assert is_set(annotations, PAUSED) is is_on
    handled = with_state({EXTEND: "1", PAUSED: "true"}, annotations, PAUSED)
    assert handled == ({EXTEND: "1", PAUSED: "true"} if is_on else {EXTEND: "1"})
