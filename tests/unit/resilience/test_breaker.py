import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule
from interlock._state_machine import StateMachine
from interlock.config import Config
from interlock.outcome import Outcome
from interlock.window import WindowType

from reconciler.domain.errors import CircuitOpen, Invalid, NotSent, OutcomeUnknown, RateLimited, Unavailable
from reconciler.resilience.breaker import Breaker, Call, Rules, State


class HandClock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


def breaker_of(clock: HandClock, **rules: Any) -> Breaker:
    return Breaker("shopd", rules=Rules(**{"jitter": 0.0, **rules}), clock=clock)


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.admit().failed()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


def test_so_many_failures_in_a_row_open_it(clock: HandClock) -> None:
    breaker = breaker_of(clock)
    fail(breaker, 4)
    breaker.admit().passed()
    fail(breaker, 4)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN


def test_a_rate_of_failures_in_the_window_opens_it(clock: HandClock) -> None:
    breaker = breaker_of(clock, failures=100, calls=10, rate=0.5)
    for _ in range(5):
        breaker.admit().passed()
    fail(breaker, 4)
    assert breaker.state is State.CLOSED
    fail(breaker)
    assert breaker.state is State.OPEN


def test_failures_before_the_window_are_forgotten(clock: HandClock) -> None:
    breaker = breaker_of(clock, failures=100, calls=4, rate=0.5, window=timedelta(seconds=30))
    fail(breaker, 3)
    clock.seconds += 31
    fail(breaker)
    assert breaker.state is State.CLOSED


def test_an_open_breaker_says_when_it_probes_next(clock: HandClock) -> None:
    breaker = breaker_of(clock)
    assert breaker.next_probe_at is None
    fail(breaker, 5)
    clock.seconds += 20
    assert breaker.next_probe_at == clock.now() + timedelta(seconds=40)
    with pytest.raises(CircuitOpen) as caught:
        breaker.admit()
    assert caught.value.retry_after == timedelta(seconds=40)
    assert caught.value.system == "shopd"


def test_jitter_only_lengthens(clock: HandClock) -> None:
    breaker = Breaker("shopd", rules=Rules(failures=1, jitter=0.1), clock=clock, random=Random(7))  # noqa: S311 - no secret
    fail(breaker)
    assert breaker.next_probe_at is not None
    assert timedelta(seconds=60) < breaker.next_probe_at - clock.now() <= timedelta(seconds=66)


def test_looking_whether_it_is_open_takes_no_probe(clock: HandClock) -> None:
    breaker = breaker_of(clock, failures=1)
    fail(breaker)
    clock.seconds += 60
    breaker.check()
    breaker.check()
    assert breaker.state is State.OPEN
    breaker.admit()
    with pytest.raises(CircuitOpen):
        breaker.check()


@pytest.mark.parametrize(("probe", "state"), [("passed", State.CLOSED), ("failed", State.OPEN)])
def test_one_probe_decides(clock: HandClock, probe: str, state: State) -> None:
    breaker = breaker_of(clock, failures=1)
    fail(breaker)
    clock.seconds += 60
    getattr(breaker.admit(), probe)()
    assert breaker.state is state


def test_a_given_back_probe_leaves_its_place(clock: HandClock) -> None:
    breaker = breaker_of(clock, failures=1)
    fail(breaker)
    clock.seconds += 60
    breaker.admit().give_back()
    breaker.admit().passed()
    assert breaker.state is State.CLOSED


def test_a_probe_that_was_not_sent_leaves_its_place(clock: HandClock) -> None:
    breaker = breaker_of(clock, failures=1)
    fail(breaker)
    clock.seconds += 60
    with pytest.raises(NotSent), breaker.admit():
        raise NotSent("this replica does not lead any more")
    assert (breaker.state, breaker.may_be_probed) == (State.HALF_OPEN, True)


def test_a_result_from_before_says_nothing_about_now(clock: HandClock) -> None:
    breaker = breaker_of(clock, failures=1)
    slow_good, slow_bad = breaker.admit(), breaker.admit()
    fail(breaker)
    clock.seconds += 60
    probe = breaker.admit()
    slow_good.passed()
    assert breaker.state is State.HALF_OPEN
    slow_bad.failed()
    assert breaker.state is State.HALF_OPEN
    probe.passed()
    assert breaker.state is State.CLOSED


def test_a_call_is_settled_once(clock: HandClock) -> None:
    breaker = breaker_of(clock, failures=2)
    call = breaker.admit()
    call.failed()
    call.failed()
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize(
    ("error", "opens"),
    [
        (Unavailable("no connection"), True),
        (OutcomeUnknown("lost"), True),
        (Unavailable("500", status=500), True),
        (Unavailable("408", status=408), False),
        (RateLimited("429", status=429), False),
        (Invalid("400", status=400), False),
        (ValueError("a bug of ours"), False),
        (asyncio.CancelledError(), False),
    ],
)
def test_only_what_says_that_the_system_is_unwell_counts(clock: HandClock, error: BaseException, opens: bool) -> None:  # noqa: FBT001 - a table's column
    breaker = breaker_of(clock, failures=1)
    with pytest.raises(type(error)), breaker.admit():
        raise error
    assert (breaker.state is State.OPEN) is opens


def test_listeners_hear_every_change(clock: HandClock) -> None:
    heard: list[tuple[str, State, State]] = []
    breaker = breaker_of(clock, failures=1)
    breaker.listen(lambda *change: heard.append(change))
    fail(breaker)
    clock.seconds += 60
    breaker.admit().passed()
    assert heard == [
        ("shopd", State.CLOSED, State.OPEN),
        ("shopd", State.OPEN, State.HALF_OPEN),
        ("shopd", State.HALF_OPEN, State.CLOSED),
    ]


async def test_exactly_one_of_fifty_at_once_gets_through_half_open(clock: HandClock) -> None:
    breaker = breaker_of(clock, failures=1)
    fail(breaker)
    clock.seconds += 60
    asked, answer = 0, asyncio.Event()

    async def ask() -> None:
        nonlocal asked
        with breaker.admit():
            asked += 1
            await answer.wait()

    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(_refused(ask)) for _ in range(50)]
        await asyncio.sleep(0)
        answer.set()
    assert asked == 1
    assert sum(task.result() for task in asking) == 49
    assert breaker.state is State.CLOSED


async def _refused(ask: Any) -> bool:
    try:
        await ask()
    except CircuitOpen:
        return True
    return False


class AgainstInterlock(RuleBasedStateMachine):
    """Ours and interlock-cb, asked the same at the same times, answer the same."""

    ours: Breaker
    theirs: StateMachine
    calls: Bundle[tuple[Call, int]] = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.arrange()

    def arrange(self) -> None:
        raise NotImplementedError

    @rule(target=calls)
    def admit(self) -> Any:
        admitted = self.theirs.acquire()
        try:
            call = self.ours.admit()
        except CircuitOpen:
            assert not admitted
            return None
        assert admitted
        return call, self.theirs.generation

    @rule(call=consumes(calls), failed=st.booleans())
    def settle(self, call: tuple[Call, int] | None, failed: bool) -> None:  # noqa: FBT001 - hypothesis hands it over by name
        if call is not None:
            (call[0].failed if failed else call[0].passed)()
            self.theirs.record(Outcome.FAILURE if failed else Outcome.SUCCESS, generation=call[1])

    @rule(call=consumes(calls))
    def cancel(self, call: tuple[Call, int] | None) -> None:
        if call is not None:
            call[0].give_back()
            self.theirs.release_probe(generation=call[1])

    @rule(failures=st.lists(st.booleans(), min_size=1, max_size=8))
    def ask_at_once(self, failures: list[bool]) -> None:
        for failed in failures:
            self.settle(self.admit(), failed=failed)

    @rule(seconds=st.sampled_from([0.25, 1.0, 5.0, 9.0, 10.0, 11.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.clock.seconds += seconds

    @invariant()
    def same_state(self) -> None:
        assert self.ours.state.value.replace("-", "_") == str(self.theirs.state.value).lower().replace("-", "_")
        left = self.theirs.retry_after()
        if left is not None:
            assert self.ours.next_probe_at == self.clock.now() + timedelta(seconds=left)


class InARow(AgainstInterlock):
    """Five failures in a row are a full window of five failures."""

    def arrange(self) -> None:
        self.ours = breaker_of(self.clock, calls=10**9)
        self.theirs = StateMachine(
            config=Config(
                window_type=WindowType.COUNT_BASED,
                window_size=5,
                minimum_number_of_calls=5,
                failure_rate_threshold=1.0,
                permitted_calls_in_half_open=1,
                slow_call_duration_threshold=10**9,
            ),
            clock=self.clock,
        )


class ByRate(AgainstInterlock):
    """Half of at least eight calls in ten seconds."""

    def arrange(self) -> None:
        self.ours = breaker_of(self.clock, failures=10**9, calls=8, rate=0.5, window=timedelta(seconds=10))
        self.theirs = StateMachine(
            config=Config(
                window_type=WindowType.TIME_BASED,
                window_size=10,
                minimum_number_of_calls=8,
                failure_rate_threshold=0.5,
                permitted_calls_in_half_open=1,
                slow_call_duration_threshold=10**9,
            ),
            clock=self.clock,
        )


TestInARow = InARow.TestCase
TestByRate = ByRate.TestCase
TestInARow.settings = TestByRate.settings = settings(max_examples=100, stateful_step_count=40)
