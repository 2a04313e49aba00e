"""Lifetimes: an end is moved later by what people do, and never earlier; it is warned of once."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.domain.lifetimes import (
    NoDuration,
    after_pause,
    after_pin,
    end_of,
    extended,
    extension_of,
    is_to_warn,
    moments,
)
from support.moments import EIGHT

HOUR = timedelta(hours=1)
spans = st.timedeltas(timedelta(0), timedelta(days=400))


@pytest.mark.parametrize(
    ("token", "by"), [("24h", 24 * HOUR), ("7d/ticket-12", 168 * HOUR), ("1h30m/a/b", 1.5 * HOUR), (" 1h /x", HOUR)]
)
def test_an_extension_is_a_duration_with_any_token_behind_it(token: str, by: timedelta) -> None:
    assert extension_of(token) == by


@pytest.mark.parametrize("token", ["", "tomorrow", "/x", "-1h", "1.5h", "0s", "999999999d", "36501d"])
def test_what_is_no_sensible_duration_extends_nothing(token: str) -> None:
    with pytest.raises(NoDuration):
        extension_of(token)


@pytest.mark.parametrize("ttl", [None, timedelta(0), timedelta(days=999_999_999)])
def test_no_life_ends_without_a_time_to_live_that_can_be_lived_through(ttl: timedelta | None) -> None:
    assert end_of(EIGHT, ttl) is None


@given(left=spans, by=spans, paused=spans, warn=spans)
def test_nothing_that_people_do_makes_an_end_come_earlier(
    left: timedelta, by: timedelta, paused: timedelta, warn: timedelta
) -> None:
    end = EIGHT + left
    assert extended(end, by, EIGHT) == end + by
    assert extended(EIGHT - left, by, EIGHT) >= EIGHT + by
    assert after_pause(end, EIGHT - paused, EIGHT) == end + paused
    unpinned = after_pin(end, EIGHT, warn)
    assert unpinned is not None
    assert unpinned >= max(end, EIGHT + warn)


def test_an_end_that_there_is_not_stays_away() -> None:
    assert after_pause(None, EIGHT, EIGHT + HOUR) is None
    assert after_pin(None, EIGHT, HOUR) is None


@pytest.mark.parametrize(
    ("minutes_left", "was_warned", "is_due"),
    [(61, False, False), (60, False, True), (1, False, True), (1, True, False)],
)
def test_an_end_is_warned_of_once_and_not_too_early(minutes_left: int, *, was_warned: bool, is_due: bool) -> None:
    end = EIGHT + timedelta(minutes=minutes_left)
    assert is_to_warn(end, end if was_warned else EIGHT, EIGHT, HOUR) is is_due


def test_after_the_warning_only_the_end_is_due() -> None:
    assert list(moments(EIGHT, None, HOUR)) == [EIGHT - HOUR, EIGHT]
    assert list(moments(EIGHT, EIGHT, HOUR)) == [EIGHT]
