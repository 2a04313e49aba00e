"""Polls: every resource at a moment of its own within its interval, the same after a restart."""

from datetime import timedelta

from reconciler.domain.keys import Key
from reconciler.engine.polls import TOLD_AGAIN, Polls, next_poll
from support.moments import EIGHT

EVERY = timedelta(seconds=300)
SHOP = Key("JenkinsSettings", "devops", "shop")


def test_polls_come_once_in_an_interval() -> None:
    first = next_poll(SHOP, EVERY, EIGHT)
    assert EIGHT < first <= EIGHT + EVERY
    assert next_poll(SHOP, EVERY, first) == first + EVERY


def test_a_thousand_resources_are_spread_over_the_interval() -> None:
    moments = [next_poll(SHOP._replace(name=f"p{number}"), EVERY, EIGHT) - EIGHT for number in range(1000)]
    tenths = [sum(tenth * EVERY / 10 < one <= (tenth + 1) * EVERY / 10 for one in moments) for tenth in range(10)]
    assert sum(tenths) == 1000
    assert all(60 <= count <= 140 for count in tenths)


def test_one_is_due_once_per_interval() -> None:
    polls, first = Polls(), next_poll(SHOP, EVERY, EIGHT)
    polls.took(SHOP, EIGHT)
    assert not polls.is_due(SHOP, EVERY, first - timedelta(seconds=1), EIGHT)
    assert polls.is_due(SHOP, EVERY, first, EIGHT)
    polls.took(SHOP, first)
    assert not polls.is_due(SHOP, EVERY, first + timedelta(seconds=1), EIGHT)


def test_after_a_start_each_waits_for_its_own_moment() -> None:
    polls, moment = Polls(), next_poll(SHOP, EVERY, EIGHT)
    assert not polls.is_due(SHOP, EVERY, EIGHT, EIGHT - timedelta(minutes=30))
    assert polls.is_due(SHOP, EVERY, moment, EIGHT - timedelta(minutes=30))


def test_what_nobody_has_compared_for_an_hour_is_due_at_once() -> None:
    assert Polls().is_due(SHOP, EVERY, EIGHT, EIGHT - TOLD_AGAIN)
    assert Polls().is_due(SHOP, EVERY, EIGHT, None)
