"""What is told of an environment's life: a warning before its end, in an Event and in a heartbeat that arrives."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from reconciler.reporting.announcing import with_announced
from reconciler.reporting.beats import operations_of
from reconciler.reporting.happenings import happenings

NOW = datetime(2026, 11, 23, 8, 0, 5, tzinfo=UTC)
NINE, TEN = "2026-11-23T09:00:00Z", "2026-11-23T10:00:00Z"


def environment(**status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "freeleaps.com/v1alpha1",
        "kind": "Environment",
        "metadata": {"name": "shop--alpha", "namespace": "ns", "uid": "u1"},
        "spec": {"projectRef": "shop", "name": "alpha"},
        "status": {"phase": "Idle", "expiresAt": NINE, **status},
    }


def warned(sequence: int = 1, announced: int = 0) -> dict[str, Any]:
    return {"expiresAt": NINE, "sequence": sequence, "announced": announced}


def reasons(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [happening.reason for happening in happenings(before, after)]


def test_a_warning_is_one_heartbeat_about_the_environment_itself() -> None:
    (operation,) = operations_of(environment(warned=warned()))
    assert (operation.is_last_word, operation.is_announced) == (True, False)
    beat = operation.beat(NOW)
    assert beat.routing_key == "shop.alpha.-"
    said = orjson.loads(beat.encode())["payload"]
    assert (said["type"], said["phase"], said["stage"]) == ("DevOpsEnvironment", "Running", "lifetime")
    assert (said["waiting_for"], said["next_look_at"]) == (f"its end at {NINE}", NINE)
    assert "reconciler extend shop--alpha 24h" in said["message"]


def test_a_warning_is_told_until_the_broker_has_it_and_then_no_more() -> None:
    body = environment(warned=warned())
    body["status"] = with_announced(body, "-", 1)
    (operation,) = operations_of(body)
    assert operation.is_announced
    body["status"]["warned"] = warned(2, 1)
    (operation,) = operations_of(body)
    assert not operation.is_announced


def test_an_environment_that_was_not_warned_says_nothing() -> None:
    assert list(operations_of(environment())) == []


def test_a_warning_is_one_event_that_says_what_to_do() -> None:
    (happening,) = happenings(environment(), environment(warned=warned()))
    assert (happening.reason, happening.is_warning) == ("ExpiresSoon", True)
    assert f"expires at {NINE}" in happening.message
    assert reasons(environment(warned=warned()), environment(warned=warned(announced=1))) == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, {"expiresAt": TEN}, ["LifetimeChanged"]),
        ({"holder": {"record": "op-2"}}, {"expiresAt": TEN}, []),
        ({}, {"pinned": True}, ["Pinned"]),
        ({"pinned": True}, {"pinned": False}, ["Unpinned"]),
        ({}, {"refusals": {"freeleaps.com/extend": "too late"}}, ["Refused"]),
        (
            {"refusals": {"a": "no"}, "handled": {"a": "1"}},
            {"refusals": {"a": "no"}, "handled": {"a": "2"}},
            ["Refused"],
        ),
        ({"refusals": {"a": "no"}, "handled": {"a": "1"}}, {"refusals": {"a": "no"}, "handled": {"a": "1"}}, []),
        ({"cleanup": {"passes": 1}}, {"cleanup": {"passes": 1, "restingUntil": TEN}}, ["CleanupTimeout"]),
        ({"cleanup": {"passes": 1, "restingUntil": TEN}}, {"cleanup": {"passes": 2}}, []),
    ],
)
def test_what_happens_to_a_life_is_told_once(before: dict[str, Any], after: dict[str, Any], told: list[str]) -> None:
    assert reasons(environment(**before), environment(**after)) == told
