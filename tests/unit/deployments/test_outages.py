"""Outages and lost answers on the way of a deployment: look before anything else, and do nothing twice."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from reconciler.domain.errors import CircuitOpen, Missing, OutcomeUnknown, RateLimited, Refused, Unavailable
from reconciler.domain.keys import Key
from reconciler.domain.outside.builds import Build, BuildKey, JobPath
from reconciler.domain.resources import ArgoSettings, StageName
from reconciler.resilience.breaker import Breaker, Rules
from reconciler.resilience.limiter import Limiter
from support.moments import EIGHT
from support.scene import SPACE, Killed, World


def once(error: Exception) -> Callable[[], None]:
    """Return what raises the first time it is called: the change has taken effect, its answer is lost."""
    errors = iter([error])

    def lose() -> None:
        if (lost := next(errors, None)) is not None:
            raise lost

    return lose


@pytest.mark.parametrize("system", ["jenkins", "argo", "dns"])
async def test_an_answer_that_is_lost_doubles_nothing(system: str) -> None:
    world = World()
    getattr(world.outside, system).after_act = once(OutcomeUnknown("connection lost", system=system))
    key = world.ask()
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"
    assert world.outside.jenkins.count("api") == 1
    assert world.outside.argo.syncs == ["shop--alpha--api"]


async def test_settings_that_change_meanwhile_take_no_proof_of_absence_away() -> None:
    world, sent = World(), list[object]()

    async def lose(*arguments: object, **_: object) -> None:
        sent.append(arguments)
        raise OutcomeUnknown("connection lost", system="argocd")

    world.outside.argo.start_sync = lose  # type: ignore[assignment,method-assign]
    key = world.ask()
    while not sent:
        await world.look(key)
        world.clock.advance(1)
    world.store.edit(Key(ArgoSettings.kind, SPACE, "shop"), credentialsRef={"name": "other"})
    await world.go_on(key, seconds=60, every=1)
    assert len(sent) == 1
    await world.go_on(key, seconds=60, every=1)
    assert len(sent) == 2


async def test_a_lost_answer_to_a_sync_starts_no_second_one() -> None:
    world = World()
    key = world.ask()
    await world.until_waiting_in(StageName.BUILD, key)
    lose = once(OutcomeUnknown("connection lost", system="argocd"))
    world.outside.argo.after_act = lambda: lose() if world.outside.argo.syncs else None
    await world.until_ended(key)
    assert (world.phase(key), world.outside.argo.syncs) == ("Succeeded", ["shop--alpha--api"])


async def test_a_build_that_was_never_begun_is_begun_when_its_absence_is_proved() -> None:
    world = World()
    world.outside.jenkins.outage = OutcomeUnknown("connection lost", system="jenkins")
    key = world.ask()
    await world.look(key)
    world.outside.jenkins.outage = None
    await world.go_on(key, seconds=60)
    assert world.outside.jenkins.count("api") == 0
    await world.until_ended(key)
    assert (world.phase(key), world.outside.jenkins.count("api")) == ("Succeeded", 1)


async def test_a_cancel_right_after_a_kill_leaves_no_build_behind() -> None:
    world = World()

    def kill() -> None:
        raise Killed

    world.outside.jenkins.after_act = kill
    key = world.ask()
    try:
        await world.look(key)
    except* Killed:
        world.outside.jenkins.after_act = lambda: None
        world.begin_life()
    late, world.outside.jenkins.builds = world.outside.jenkins.builds, []
    world.store.edit(key, cancel=True)
    await world.go_on(key, seconds=20)
    assert world.phase(key) == "Running", "the request may still be on its way"
    world.outside.jenkins.builds = late
    await world.until_ended(key)
    assert world.phase(key) == "Cancelled"
    assert world.outside.jenkins.running() == []


@pytest.mark.parametrize("system", ["jenkins", "registry", "argo", "dns", "probe"])
@pytest.mark.parametrize(
    "error",
    [
        Unavailable("timeout"),
        RateLimited("429", retry_after=timedelta(seconds=90)),
        Refused("401"),
        Missing("Secret jenkins is not there"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_outage_is_waited_for_and_work_goes_on_after_it(system: str, error: Exception) -> None:
    world = World(verify={"path": "/"})
    fake = getattr(world.outside, system)
    fake.outage = error
    key = world.ask()
    await world.go_on(key, seconds=240)
    status = world.record(key).status
    assert (status.phase, status.reason) == ("Running", type(error).__name__)
    assert status.waiting_for
    assert status.next_look_at is not None
    fake.outage = None
    await world.until_ended(key)
    assert (world.phase(key), world.outside.jenkins.count("api")) == ("Succeeded", 1)


async def test_a_limit_is_obeyed_to_the_second() -> None:
    world = World()
    world.outside.jenkins.outage = RateLimited("429", retry_after=timedelta(seconds=90), system="jenkins")
    assert await world.look(world.ask()) == EIGHT + timedelta(seconds=90)


async def test_an_open_breaker_and_a_limit_of_our_own_say_until_when_in_the_status() -> None:
    world = World()
    breaker = Breaker("jenkins", rules=Rules(failures=1, jitter=0), clock=world.clock)
    breaker.admit().failed()
    limiter = Limiter(60, timedelta(minutes=1), name="jenkins", clock=world.clock, slack=0)
    key, told = world.ask(), []
    for ask in (breaker.check, limiter.reserve):
        with pytest.raises(Unavailable) as caught:
            ask()
        world.outside.jenkins.outage = caught.value
        await world.look(key)
        status = world.record(key).status
        told.append((status.reason, status.waiting_for, status.next_look_at))
    assert [reason for reason, _, _ in told] == ["CircuitOpen", "RateLimited"]
    assert told[1][2] == EIGHT + timedelta(minutes=1)
    assert "breaker open, next probe at 2026-11-23T08:01:00Z" in told[0][1]
    assert "our own limit of 60 requests in 60 s to jenkins is used up until 2026-11-23T08:01:00Z" in told[1][1]


async def test_waits_grow_with_an_outage_up_to_a_minute() -> None:
    world = World()
    world.outside.jenkins.outage = Unavailable("refused", system="jenkins")
    key, waits = world.ask(), []
    for _ in range(14):
        due = await world.look(key)
        assert due is not None
        waits.append((due - world.clock.now()).total_seconds())
        world.clock.advance(waits[-1])
    assert waits[0] < 5
    assert 60 <= waits[-1] <= 72
    assert sorted(waits[1:]) == waits[1:]


async def test_who_is_called_when_a_system_is_back_hardly_looks_by_itself_and_is_one_wait_with_those_who_ask() -> None:
    world = World()
    key, waits = world.ask(), []
    for number in range(4):
        refused = Unavailable("refused", system="jenkins")
        closed = CircuitOpen("not asked", retry_after=timedelta(seconds=30), system="jenkins")
        world.outside.jenkins.outage = closed if number else refused
        due = await world.look(key)
        assert due is not None
        waits.append((due - world.clock.now()).total_seconds())
        world.clock.advance(waits[-1])
    assert waits[0] < 5
    assert all(300 <= wait <= 360 for wait in waits[1:])
    build = next(stage for stage in world.record(key).status.stages if stage.name == StageName.BUILD)
    assert build.waiting_since == EIGHT
    assert build.waiting_for.endswith("looked at at once when it is back")


async def test_the_shared_list_is_enough_while_a_build_runs() -> None:
    world = World()
    jenkins = world.outside.jenkins

    def latest(path: JobPath, key: BuildKey, since: object) -> Build | None:
        found = next((one for one in jenkins.builds if one.key == key), None)
        return jenkins._as_seen(found) if found else None

    jenkins.latest = latest  # type: ignore[method-assign]
    key = world.ask()
    await world.until_ended(key)
    assert (world.phase(key), jenkins.searches) == ("Succeeded", 0)
