from datetime import UTC, datetime

from reconciler.domain.health import Condition, PartState
from reconciler.web.health import Health

SINCE = datetime(2026, 11, 23, 8, tzinfo=UTC)


def part(condition: Condition, detail: str = "") -> PartState:
    return PartState(condition, detail, SINCE)


def test_a_broker_that_is_away_degrades_but_leaves_ready() -> None:
    health = Health()
    health.register("rabbitmq_connection", lambda: part(Condition.DEGRADED, "refused"))

    assert health.unready() == []
    assert health.report() == {
        "status": "ready",
        "unready": [],
        "parts": {
            "rabbitmq_connection": {"state": "degraded", "detail": "refused", "since": "2026-11-23T08:00:00Z"},
        },
    }


def test_an_essential_part_that_failed_makes_it_unready() -> None:
    health = Health()
    health.register("kopf_operator", lambda: part(Condition.FAILED), essential=True)
    health.register("registry", lambda: part(Condition.FAILED))

    assert health.unready() == ["kopf_operator"]


def test_a_part_that_cannot_tell_hides_no_other() -> None:
    def broken() -> PartState:
        raise ZeroDivisionError("with a secret in it")

    health = Health()
    health.register("broken", broken)
    health.register("fine", lambda: part(Condition.OK))

    parts = health.parts()
    assert parts["fine"].state is Condition.OK
    assert parts["broken"] == PartState(Condition.FAILED, "cannot be told: ZeroDivisionError")


def test_a_task_that_ended_is_dead() -> None:
    health = Health()
    health.must_live("agenda", lambda: False)
    health.must_live("shell", lambda: True)

    assert health.dead() == ["agenda"]
