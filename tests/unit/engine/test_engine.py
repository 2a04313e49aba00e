"""One pass: the claim is stored before the act, what came back is stored after it, and a conflict changes nothing."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.domain.answers import Answer, Done, Facts, Failed, Nudge, Waiting
from reconciler.domain.errors import Busy, Conflict, Invalid, OutcomeUnknown, Refused, Unavailable
from reconciler.domain.resources import Claim, Settled, Step, StepState
from reconciler.engine.acting import Actor
from reconciler.engine.answering import answer_for
from reconciler.engine.engine import Engine
from reconciler.engine.folding import fold
from reconciler.engine.patience import Incarnation, Patience
from reconciler.resilience.leave import ask_leave
from reconciler.telemetry.masking import Secrets
from support.moments import EIGHT, ManualClock

Look = Callable[[Step], Answer]


class Diary:
    """Writes down in one list what happened, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def intended(self, subject: str, nudge: Nudge, claim: Claim) -> None:
        self.lines.append(f"intended {claim.key}")

    def outcome(self, subject: str, nudge: Nudge, claim: Claim, result: str, facts: Facts) -> None:
        self.lines.append(f"outcome {result.split(':', maxsplit=1)[0]}")

    def resolved(self, subject: str, claim: Claim, result: str, facts: Facts, *, system: str = "") -> None:
        self.lines.append(f"resolved {claim.key} {result}")


class Job:
    """A subject whose steps a test scripts."""

    subject = "op-1"

    def __init__(self, diary: Diary, **looks: Look) -> None:
        self.stored: dict[str, Step] = {name: Step() for name in looks}
        self.former: dict[str, Step] = {}
        self.looks = looks
        self.diary = diary
        self.conflicts = 0
        self.writes: list[dict[str, Step]] = []

    def steps(self) -> Mapping[str, Step]:
        return self.stored

    def former_steps(self) -> Mapping[str, Step]:
        return self.former

    async def look(self, steps: Mapping[str, Step]) -> Mapping[str, Answer]:
        return {name: self.looks[name](step) for name, step in steps.items() if not step.state.is_end}

    async def store(self, steps: Mapping[str, Step]) -> None:
        if dict(steps) == self.stored and not self.former:
            return
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict("somebody wrote first")
        self.former = {}
        self.stored = dict(steps)
        self.writes.append(self.stored)
        self.diary.lines.append("stored " + ",".join(step.state for step in self.stored.values()))

    async def reread(self) -> Mapping[str, Step]:
        return self.stored


def engine(clock: ManualClock, diary: Diary, attempts: int = 5) -> Engine:
    patience = Patience()
    actor = Actor(clock=clock, audit=diary, patience=patience)
    me = Incarnation("replica-0", "life-1")
    return Engine(me=me, clock=clock, actor=actor, patience=patience, most_attempts=attempts)


def nudge_with(act: Callable[[], Awaitable[Facts]], identity: str = "op-1/api/1") -> Nudge:
    return Nudge(identity, act, "start the build", system="jenkins")


def nudge_until_done(diary: Diary, error: Exception | None = None, **facts: str) -> Look:
    """Answer with a nudge until it was acted on, then with Done."""

    async def act() -> Facts:
        diary.lines.append("act")
        if error is not None:
            raise error
        return facts

    def look(step: Step) -> Answer:
        is_done = step.claim is not None and step.claim.settled is Settled.DONE
        return Done({"digest": "sha256:1"}) if is_done else nudge_with(act)

    return look


async def test_nothing_is_done_before_its_claim_is_stored() -> None:
    diary, clock = Diary(), ManualClock()
    job = Job(diary, build=nudge_until_done(diary, externalId="queue/7"))
    await engine(clock, diary).carry_out(job)
    assert diary.lines == [
        "stored Running",
        "intended op-1/api/1",
        "act",
        "outcome Done",
        "stored Done",
    ]
    assert job.stored["build"].external_id == "queue/7"
    assert job.stored["build"].facts == {"digest": "sha256:1"}


async def test_who_leads_no_more_by_the_time_of_the_act_does_nothing_and_waits() -> None:
    diary, clock, patience = Diary(), ManualClock(), Patience()
    job = Job(diary, build=nudge_until_done(diary))
    actor = Actor(clock=clock, audit=diary, patience=patience, may_act=lambda: False)
    await Engine(me=Incarnation("frozen", "life-1"), clock=clock, actor=actor, patience=patience).carry_out(job)

    step = job.stored["build"]
    assert diary.lines == ["stored Running", "stored Waiting"]
    assert step.claim is not None
    assert step.claim.settled is Settled.NOT_SENT
    assert step.waiting_for


@pytest.mark.parametrize("is_repeatable", [False, True])
async def test_an_act_of_two_requests_sends_the_second_only_while_we_lead(is_repeatable: bool) -> None:  # noqa: FBT001
    diary, clock, patience, leads = Diary(), ManualClock(), Patience(), True

    async def act() -> Facts:
        nonlocal leads
        ask_leave()
        diary.lines.append("first")
        leads = False  # frozen here, while another replica takes over
        ask_leave()
        diary.lines.append("second")
        return {}

    nudge = replace(nudge_with(act), is_repeatable=is_repeatable)
    job = Job(diary, dns=lambda _: nudge)
    actor = Actor(clock=clock, audit=diary, patience=patience, may_act=lambda: leads)
    await Engine(me=Incarnation("frozen", "life-1"), clock=clock, actor=actor, patience=patience).carry_out(job)

    step = job.stored["dns"]
    assert diary.lines == ["stored Running", "intended op-1/api/1", "first", "outcome NotSent", "stored Waiting"]
    assert step.claim is not None
    assert step.claim.settled is Settled.NOT_SENT
    assert "does not lead" in step.waiting_for


@pytest.mark.parametrize(
    ("is_repeatable", "seconds", "is_sent"), [(False, 5, True), (False, 6, False), (True, 35, True), (True, 36, False)]
)
async def test_a_change_goes_out_only_under_a_young_claim(is_repeatable: bool, seconds: int, is_sent: bool) -> None:  # noqa: FBT001
    diary, clock = Diary(), ManualClock()

    async def act() -> Facts:
        clock.advance(seconds)  # a read, or a login, before the change
        ask_leave()
        diary.lines.append("sent")
        return {}

    def look(step: Step) -> Answer:
        is_done = step.claim is not None and step.claim.settled is Settled.DONE
        return Done() if is_done else replace(nudge_with(act), is_repeatable=is_repeatable)

    job = Job(diary, build=look)
    await engine(clock, diary).carry_out(job)
    assert ("sent" in diary.lines) is is_sent
    assert job.stored["build"].state is (StepState.DONE if is_sent else StepState.WAITING)


async def test_outside_of_an_act_nobody_asks_for_leave() -> None:
    ask_leave()


async def test_all_claims_of_a_pass_go_into_one_write() -> None:
    diary = Diary()
    job = Job(diary, api=nudge_until_done(diary), web=nudge_until_done(diary))
    await engine(ManualClock(), diary).carry_out(job)
    assert diary.lines[0] == "stored Running,Running"
    assert len(job.writes) == 2


async def test_a_conflict_at_the_claim_means_that_nothing_was_done() -> None:
    diary = Diary()
    job = Job(diary, build=nudge_until_done(diary))
    job.conflicts = 1
    with pytest.raises(Conflict):
        await engine(ManualClock(), diary).carry_out(job)
    assert diary.lines == []


async def test_what_came_back_is_stored_even_when_somebody_wrote_meanwhile() -> None:
    diary, clock = Diary(), ManualClock()
    job = Job(diary, build=nudge_until_done(diary, externalId="queue/7"))
    write = job.store

    async def store(steps: Mapping[str, Step]) -> None:
        if any(step.state is StepState.DONE for step in steps.values()) and not job.conflicts:
            job.conflicts = 1
        await write(steps)

    job.store = store  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        await engine(clock, diary).carry_out(job)
    claim = job.stored["build"].claim
    assert claim is not None


@pytest.mark.parametrize(
    ("error", "settled", "state", "reason"),
    [
        (Unavailable("refused", system="jenkins"), Settled.NOT_SENT, StepState.WAITING, "Unavailable"),
        (OutcomeUnknown("cut", system="jenkins"), Settled.UNKNOWN, StepState.WAITING, "OutcomeUnknown"),
        (Busy("another operation"), Settled.NOT_SENT, StepState.WAITING, "Busy"),
        (Refused("403"), Settled.NOT_SENT, StepState.WAITING, "Refused"),
        (Invalid("no such choice"), Settled.NOT_SENT, StepState.FAILED, "Invalid"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
async def test_an_act_that_fails_says_what_comes_next(
    error: Exception, settled: Settled, state: StepState, reason: str
) -> None:
    diary = Diary()
    job = Job(diary, build=nudge_until_done(diary, error))
    await engine(ManualClock(), diary).carry_out(job)
    step = job.stored["build"]
    assert step.claim is not None
    assert (step.claim.settled, step.state, step.reason) == (settled, state, reason)
    assert diary.lines.count("act") == 1


async def test_after_an_unknown_outcome_the_act_is_not_repeated_by_the_next_look() -> None:
    diary, clock = Diary(), ManualClock()
    job = Job(diary, build=nudge_until_done(diary, OutcomeUnknown("cut")))
    await engine(clock, diary).carry_out(job)
    clock.advance(40)
    await engine(clock, diary).carry_out(job)
    clock.advance(29)
    await engine(clock, diary).carry_out(job)
    assert diary.lines.count("act") == 1
    clock.advance(1)
    await engine(clock, diary).carry_out(job)
    assert diary.lines.count("act") == 2


async def test_a_claim_that_took_too_long_to_store_is_not_acted_on() -> None:
    diary, clock = Diary(), ManualClock()
    job = Job(diary, build=nudge_until_done(diary))
    write = job.store
    slow = iter([6.0])

    async def store(steps: Mapping[str, Step]) -> None:
        await write(steps)
        clock.advance(next(slow, 0.0))

    job.store = store  # type: ignore[method-assign]
    await engine(clock, diary).carry_out(job)
    assert diary.lines.index("act") > diary.lines.index("stored Running", 1)
    assert diary.lines.count("act") == 1


async def test_a_failure_that_may_pass_is_tried_again_as_the_next_attempt() -> None:
    diary = Diary()
    attempts: list[int] = []

    def look(step: Step) -> Answer:
        attempts.append(step.attempt)
        assert step.claim is None
        return Failed("BuildAborted", "agent lost", again=True)

    job = Job(diary, build=look)
    await engine(ManualClock(), diary, attempts=3).carry_out(job)
    step = job.stored["build"]
    assert attempts == [1, 2, 3]
    assert (step.state, step.attempt, step.reason) == (StepState.FAILED, 3, "BuildAborted")


async def test_waiting_says_what_for_since_when_and_when_it_is_looked_at_again() -> None:
    diary, clock = Diary(), ManualClock()
    until = EIGHT + timedelta(seconds=90)
    job = Job(diary, build=lambda step: Waiting("an executor", until, reason="BuildQueued", system="jenkins"))
    await engine(clock, diary).carry_out(job)
    clock.advance(60)
    await engine(clock, diary).carry_out(job)
    step = job.stored["build"]
    assert (step.waiting_for, step.waiting_since, step.next_look_at) == ("an executor", EIGHT, until)
    assert len(job.writes) == 1


async def test_a_look_before_its_time_does_not_move_the_next_one() -> None:
    diary, clock = Diary(), ManualClock()
    job = Job(diary, build=lambda step: Waiting("a build", clock.now() + timedelta(minutes=5)))
    await engine(clock, diary).carry_out(job)
    clock.advance(60)
    await engine(clock, diary).carry_out(job)
    assert (job.stored["build"].next_look_at, len(job.writes)) == (EIGHT + timedelta(minutes=5), 1)
    clock.advance(240)
    await engine(clock, diary).carry_out(job)
    assert job.stored["build"].next_look_at == EIGHT + timedelta(minutes=10)


async def test_a_retry_after_of_nothing_is_no_tight_loop() -> None:
    answer = answer_for(Unavailable("503", retry_after=timedelta(0), system="jenkins"), Step(), EIGHT, Patience())
    assert isinstance(answer, Waiting)
    assert answer.until == EIGHT + Patience().shortest


def test_a_wait_for_a_change_says_when_it_is_looked_at_anyway() -> None:
    step = fold(Step(), Waiting("the annotation to go"), EIGHT, 5)
    assert step.next_look_at == EIGHT + timedelta(minutes=5)
    assert fold(step, Waiting("the annotation to go"), EIGHT + timedelta(minutes=1), 5) == step


@pytest.mark.parametrize(
    "answer",
    [
        Waiting("the sync: cannot fetch https://bot:hunter22@git", remedy="mend hunter22"),
        Failed("SyncFailed", "cannot log in with hunter22"),
        Failed("SyncFailed", "cannot log in with hunter22", again=True),
        Done(message="was told hunter22"),
    ],
)
async def test_no_secret_that_an_outside_system_quotes_is_stored(answer: Answer) -> None:
    job = Job(diary := Diary(), sync=lambda _: answer)
    masking = replace(engine(ManualClock(), diary, attempts=2), mask=Secrets(["hunter22"]).mask)

    await masking.carry_out(job)

    assert "***" in str(job.stored)
    assert "hunter22" not in str(job.stored)


async def test_no_secret_in_what_an_act_is_refused_with_is_stored() -> None:
    job = Job(diary := Diary(), build=nudge_until_done(diary, Refused("no entry for hunter22", system="jenkins")))

    await replace(engine(ManualClock(), diary), mask=Secrets(["hunter22"]).mask).carry_out(job)

    assert "no entry for ***" in job.stored["build"].waiting_for


def of_a_former_life(step: Step, settled: Settled = Settled.UNKNOWN) -> Step:
    claim = Claim(key="op-1/api/1", replica="replica-0", incarnation="life-0", at=EIGHT, settled=settled)
    return step.model_copy(update={"claim": claim, "state": StepState.RUNNING})


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (Done({"digest": "sha256:1"}), "resolved op-1/api/1 Done"),
        (Failed("BuildFailed", "see the build"), "resolved op-1/api/1 Failed: BuildFailed"),
        (Waiting("it to end", facts={"externalId": "17"}), "resolved op-1/api/1 Found"),
    ],
    ids=["done", "failed", "still running"],
)
async def test_how_an_act_of_a_former_life_ended_is_told_once(answer: Answer, line: str) -> None:
    job = Job(diary := Diary(), build=lambda _: answer)
    job.stored["build"] = of_a_former_life(Step())
    await engine(ManualClock(), diary).carry_out(job)
    await engine(ManualClock(), diary).carry_out(job)
    assert [one for one in diary.lines if one.startswith("resolved")] == [line]


async def test_of_an_act_that_nobody_found_nothing_is_told_before_its_absence_is_proved() -> None:
    diary, clock = Diary(), ManualClock()
    job = Job(diary, build=nudge_until_done(diary))
    job.stored["build"] = of_a_former_life(Step())
    await engine(clock, diary).carry_out(job)
    for _ in range(3):
        clock.advance(35)
        await engine(clock, diary).carry_out(job)
    told = [one for one in diary.lines if not one.startswith("stored")]
    assert told == ["resolved op-1/api/1 Absent", "intended op-1/api/1", "act", "outcome Done"]


@pytest.mark.parametrize("settled", [Settled.DONE, Settled.NOT_SENT, Settled.RESOLVED])
async def test_an_act_whose_end_is_known_is_not_resolved(settled: Settled) -> None:
    job = Job(diary := Diary(), build=lambda _: Done())
    job.stored["build"] = of_a_former_life(Step(), settled)
    await engine(ManualClock(), diary).carry_out(job)
    assert diary.lines == ["stored Done"]


async def test_an_open_claim_of_a_step_that_is_no_more_gets_its_end_once_before_it_is_left_out() -> None:
    job = Job(diary := Diary(), build=lambda _: Waiting("it to end"))
    job.former["image"] = of_a_former_life(Step())
    await engine(ManualClock(), diary).carry_out(job)
    await engine(ManualClock(), diary).carry_out(job)
    assert diary.lines == ["resolved op-1/api/1 Skipped", "stored Waiting"]
