from datetime import UTC, datetime
from typing import Any

from pamqp.commands import Basic

from reconciler.sandbox.broker.messages import Message, dead_lettered, goes_in_a_circle

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def message(**headers: Any) -> Message:
    return Message("devops", "reconcile", Basic.Properties(headers=headers or None, expiration="500"), b"{}")


def died(of: Message, queue: str, reason: str) -> Message:
    return dead_lettered(of, queue=queue, reason=reason, exchange="", routing_key="next", at=NOW)


def test_a_death_is_written_down_and_the_expiration_taken_off() -> None:
    letter = died(message(own=1), "work", "rejected")
    (death,) = letter.headers["x-death"]
    assert (letter.exchange, letter.routing_key, letter.properties.expiration) == ("", "next", None)
    assert death == {
        "reason": "rejected",
        "queue": "work",
        "count": 1,
        "time": NOW,
        "exchange": "devops",
        "routing-keys": ["reconcile"],
        "original-expiration": "500",
    }


def test_the_latest_death_stands_first_and_repeated_ones_are_counted() -> None:
    letter = died(died(died(message(), "work", "rejected"), "delay", "expired"), "work", "rejected")
    assert [(death["queue"], death["count"]) for death in letter.headers["x-death"]] == [("work", 2), ("delay", 1)]
    assert letter.headers["x-first-death-queue"] == "work"


def test_the_message_that_died_is_not_changed() -> None:
    original = message(own=1)
    died(original, "work", "rejected")
    assert original.headers == {"own": 1}
    assert original.properties.expiration == "500"


def test_a_circle_without_a_rejection_is_seen() -> None:
    assert goes_in_a_circle(died(message(), "a", "expired"), "a")
    assert goes_in_a_circle(died(died(message(), "a", "expired"), "b", "expired"), "a")


def test_a_circle_with_a_rejection_is_none() -> None:
    assert not goes_in_a_circle(died(died(message(), "work", "rejected"), "delay", "expired"), "work")
    assert not goes_in_a_circle(died(message(), "a", "expired"), "b")
