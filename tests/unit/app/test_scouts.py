"""Who waits for a system that is away is called when it is back; meanwhile a few find out whether it is."""

import weakref
from datetime import datetime, timedelta

import pytest

from reconciler.app.endpoints import Endpoints
from reconciler.app.scouts import Scouts
from reconciler.domain.errors import CircuitOpen
from reconciler.domain.keys import Key
from reconciler.resilience.breaker import Breaker
from reconciler.resilience.errand import on_errand
from reconciler.settings import Settings
from reconciler.telemetry.metrics import Metrics
from support.moments import ManualClock

OUTSIDE = Settings().outside
WAITING = [Key("DeploymentRecord", "shop", f"op-{number}") for number in range(5)]


class GoingOn(ManualClock):
    """As real ones are: later each time."""

    def now(self) -> datetime:
        self.advance(1e-5)
        return super().now()


class Outage:
    """Two Argo CDs, one of which is away; an agenda that only remembers what was put on it."""

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.called: list[Key] = []
        self.probes: list[tuple[Key, datetime]] = []
        self.scouts = Scouts(add=self._add, clock=self.clock)
        endpoints = Endpoints(OUTSIDE, self.clock, str, Metrics(), self.scouts.turned)
        self.away, self.other = (
            endpoints.make("argocd", f"http://127.0.0.1:{port}", Settings().argocd).breaker for port in (9, 10)
        )
        self.fail(self.away)

    def _add(self, key: Key, due: datetime | None) -> None:
        if due is None:
            self.called.append(key)
        else:
            self.probes.append((key, due))

    def fail(self, breaker: Breaker) -> None:
        for _ in range(OUTSIDE.breaker_failures):
            breaker.admit().failed()

    def turn_away(self, *names: object, breaker: Breaker | None = None) -> None:
        for name in names:
            with on_errand(name), pytest.raises(CircuitOpen):
                (breaker or self.away).check()

    def look(self) -> datetime | None:
        """Let the time of the probe come."""
        key, due = self.probes[-1]
        self.clock.advance(max(0.0, (due - self.clock.now()).total_seconds()))
        return self.scouts.look(key)


def test_a_few_look_when_the_system_may_be_probed_and_those_who_waited_longest_first() -> None:
    outage = Outage()
    outage.turn_away(*WAITING)
    assert outage.called == []
    outage.look()
    assert outage.called == WAITING[:3]


def test_all_look_when_it_is_back_also_who_was_turned_away_a_moment_ago() -> None:
    outage = Outage()
    outage.turn_away(*WAITING)
    outage.look()
    with outage.away.admit():
        outage.turn_away(WAITING[1], WAITING[2])
    assert sorted(outage.called[3:]) == WAITING[1:]
    assert outage.scouts.look(outage.probes[-1][0]) is None


def test_a_probe_that_fails_is_followed_by_the_next_with_others() -> None:
    outage = Outage()
    outage.turn_away(*WAITING)
    outage.look()
    outage.away.admit().failed()
    outage.turn_away(*WAITING[:3])
    outage.look()
    assert outage.called[3:] == [WAITING[3], WAITING[4], WAITING[0]]


@pytest.mark.parametrize("is_stopped", [False, True], ids=["none asked", "who asked was stopped"])
def test_others_go_where_none_of_the_scouts_has_found_out(is_stopped: bool) -> None:  # noqa: FBT001 - a table's column
    outage = Outage()
    outage.turn_away(*WAITING)
    again = outage.look()
    assert again is not None
    assert again - outage.clock.now() == timedelta(seconds=10)
    if is_stopped:
        outage.away.admit().give_back()
    outage.clock.advance(10)
    outage.scouts.look(outage.probes[-1][0])
    assert outage.called[3:] == WAITING[3:]


def test_nobody_goes_while_a_probe_is_under_way_or_before_its_time() -> None:
    outage = Outage()
    outage.turn_away(*WAITING)
    key, due = outage.probes[-1]
    assert outage.scouts.look(key) == due
    assert outage.called == []
    outage.clock.advance((due - outage.clock.now()).total_seconds())
    call = outage.away.admit()
    outage.scouts.look(key)
    assert outage.called == []
    call.passed()


def test_nobody_is_sent_any_more_when_nobody_waits() -> None:
    outage = Outage()
    outage.turn_away(WAITING[0])
    outage.look()
    outage.clock.advance(10)
    assert outage.scouts.look(outage.probes[-1][0]) is None
    assert outage.called == WAITING[:1]


def test_who_is_turned_away_by_a_probe_that_comes_late_and_is_stopped_goes_after_it() -> None:
    outage = Outage()
    assert outage.look() is None
    outage.clock.advance(60)
    call = outage.away.admit()
    outage.turn_away(*WAITING)
    call.give_back()
    outage.look()
    assert outage.called == WAITING[:3]


def test_the_time_of_the_probe_comes_also_on_a_clock_that_goes_on_between_two_questions() -> None:
    outage = Outage(GoingOn())
    outage.turn_away(*WAITING)
    outage.look()
    assert outage.called == WAITING[:3]


def test_each_server_of_a_kind_has_scouts_of_its_own() -> None:
    outage = Outage()
    outage.fail(outage.other)
    outage.turn_away(*WAITING[:4])
    outage.turn_away(WAITING[4], breaker=outage.other)
    outage.look()
    assert outage.called == WAITING[4:]


def test_a_breaker_that_nobody_waits_for_is_forgotten() -> None:
    clock, added = ManualClock(), list[Key]()
    scouts = Scouts(add=lambda key, _: added.append(key), clock=clock)
    breaker = Breaker("address", clock=clock)
    for _ in range(OUTSIDE.breaker_failures):
        breaker.admit().failed()
    scouts.turned(breaker)
    clock.advance(OUTSIDE.breaker_open.total_seconds() * 4)
    known = weakref.ref(breaker)
    assert scouts.look(added[0]) is None
    del breaker
    assert known() is None


def test_feeds_come_back_by_themselves() -> None:
    outage = Outage()
    outage.turn_away("feed of argocd", WAITING[0])
    outage.look()
    assert outage.called == WAITING[:1]
