"""How messages are settled, with fakes around the intake."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from reconciler.domain.errors import Conflict, OutcomeUnknown, RateLimited, ReconcilerError, Refused, Unavailable
from reconciler.domain.messages import ATTEMPT_HEADER, Topology
from reconciler.intake.consumer import Intake
from reconciler.resilience.backoff import Backoff
from support.intake import FakeDelivery, FakeMessenger, FakeResources, FixedClock, initialize, reconcile

TOPOLOGY = Topology()
AWAY = Unavailable("connection refused", system="kubernetes")


class World:
    """An intake with everything around it."""

    def __init__(self) -> None:
        self.resources = FakeResources()
        self.messenger = FakeMessenger()
        self.observed: list[tuple[str, str]] = []
        self.intake = Intake(
            resources=self.resources,
            messenger=self.messenger,
            topology=TOPOLOGY,
            namespace="ns",
            clock=FixedClock(),
            attempts=3,
            backoff=Backoff(first=timedelta(0), longest=timedelta(0)),
            observe=lambda type_, outcome: self.observed.append((type_, outcome)),
        )

    async def receive(self, body: bytes, queue: str = TOPOLOGY.reconcile, **properties: Any) -> FakeDelivery:
        delivery = FakeDelivery(body, **properties)
        await self.intake.handle(queue, delivery)
        return delivery

    @property
    def dead(self) -> list[Any]:
        return self.messenger.to("", TOPOLOGY.dead)

    @property
    def beats(self) -> list[Any]:
        return self.messenger.to(TOPOLOGY.heartbeat)

    @property
    def story(self) -> list[list[str]]:
        return [subscription.story for subscription in self.messenger.subscriptions.values()]

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - the fakes have no event
                await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.intake.start()
    yield world
    await world.intake.stop()


async def test_a_stored_message_is_acknowledged_and_nothing_is_published(world: World) -> None:
    assert (await world.receive(reconcile())).acknowledged
    assert world.messenger.published == []
    assert world.observed == [("DevOpsReconcile", "Stored")]


async def test_both_queues_take_both_messages(world: World) -> None:
    await world.receive(initialize(), TOPOLOGY.reconcile)
    await world.receive(reconcile(), TOPOLOGY.initialize)
    assert {kind for kind, _ in world.resources.bodies} == {"DevOpsProject", "DeploymentRecord"}


async def test_a_bad_message_goes_to_the_dead_and_its_sender_hears_of_it(world: World) -> None:
    bad = reconcile(revision="main")
    assert (await world.receive(bad, headers={"own": 1, "x-death": [], "x-delivery-count": 1})).acknowledged
    (letter,) = world.dead
    assert letter.body == bad
    assert letter.headers["x-reconciler-reason"] == "InvalidShape"
    assert letter.headers["x-reconciler-field"] == "payload.revision"
    assert letter.headers["x-reconciler-remedy"]
    assert letter.headers["x-reconciler-exchange"] == "devops"
    assert letter.headers["x-reconciler-routing-key"] == "reconcile"
    assert letter.headers["own"] == 1
    assert not any(name.startswith(("x-death", "x-delivery")) for name in letter.headers)
    assert letter.mandatory
    (beat,) = world.beats
    assert beat.routing_key == "shop.alpha.op-1"
    assert (beat.payload["phase"], beat.payload["reason"]) == ("Failed", "InvalidShape")
    assert beat.payload["progress"] == 100
    assert not beat.mandatory


async def test_a_message_nobody_can_be_told_of_only_goes_to_the_dead(world: World) -> None:
    assert (await world.receive(b"no json")).acknowledged
    assert len(world.dead) == 1
    assert world.beats == []
    assert world.resources.calls == []


async def test_a_reused_id_does_not_end_the_operation_it_belongs_to(world: World) -> None:
    await world.receive(reconcile())
    assert (await world.receive(reconcile(revision="f" * 40))).acknowledged
    assert world.dead[0].headers["x-reconciler-reason"] == "OperationIdReused"
    await world.receive(reconcile(revision="not one"))
    assert len(world.dead) == 2
    assert world.beats == []


async def test_an_end_before_the_start_is_told(world: World) -> None:
    await world.receive(initialize())
    late = initialize("init-0", envelope_={"timestamp": "2026-11-23T07:00:00Z"})
    assert (await world.receive(late)).acknowledged
    (beat,) = world.beats
    assert beat.routing_key == "shop.-.init-0"
    assert (beat.payload["phase"], beat.payload["environment"]) == ("Superseded", "-")
    assert world.dead == []


@pytest.mark.parametrize(
    "failure",
    [
        RateLimited("too many", status=429),
        Unavailable("not now", status=503),
        Refused("no rights", status=403),
        Conflict("changed"),
        RuntimeError("a bug"),
    ],
    ids=repr,
)
async def test_what_cannot_be_done_now_waits_and_comes_back(world: World, failure: Exception) -> None:
    world.resources.failures = [failure]
    delivery = await world.receive(reconcile(), headers={"own": 1}, routing_key="DevOpsReconcile")
    assert delivery.acknowledged
    (waiting,) = world.messenger.published
    assert (waiting.exchange, waiting.routing_key) == ("devops.retry.5s", "devops.reconcile")
    assert waiting.headers == {
        "own": 1,
        ATTEMPT_HEADER: 1,
        "x-reconciler-exchange": "devops",
        "x-reconciler-routing-key": "DevOpsReconcile",
    }
    again = await world.receive(waiting.body, headers=waiting.headers, exchange="", routing_key="devops.reconcile")
    assert again.acknowledged
    assert world.observed == [("DevOpsReconcile", "Later"), ("DevOpsReconcile", "Stored")]


async def test_later_attempts_wait_longer_and_the_last_is_dead(world: World) -> None:
    world.resources.failing = Refused("the operator may not create records", status=403)
    headers: dict[str, Any] = {}
    for name in ("devops.retry.5s", "devops.retry.30s", "devops.retry.120s"):
        await world.receive(reconcile(), headers=headers)
        assert world.messenger.published[-1].exchange == name
        headers = dict(world.messenger.published[-1].headers)
    assert (await world.receive(reconcile(), headers=headers, exchange="", routing_key="devops.reconcile")).acknowledged
    (letter,) = world.dead
    assert letter.headers["x-reconciler-reason"] == "Refused"
    assert "may not create" in letter.headers["x-reconciler-message"]
    assert letter.headers["x-reconciler-exchange"] == "devops"
    assert world.beats[0].payload["reason"] == "Refused"


async def test_a_strange_attempt_header_is_no_attempt(world: World) -> None:
    world.resources.failures = [Unavailable("not now", status=503)]
    await world.receive(reconcile(), headers={ATTEMPT_HEADER: "many"})
    assert world.messenger.published[0].headers[ATTEMPT_HEADER] == 1


@pytest.mark.parametrize("silence", [AWAY, OutcomeUnknown("connection lost")], ids=repr)
async def test_silence_of_the_api_server_holds_everything_and_counts_nothing(
    world: World, silence: ReconcilerError
) -> None:
    world.resources.failing = silence
    delivery = await world.receive(reconcile())
    assert not delivery.acknowledged
    assert world.messenger.published == []
    await world.until(lambda: len(world.resources.calls) > 3)
    assert world.story == [["pause"], ["pause"]]
    assert world.intake.held_for == silence.message
    world.resources.failing = None
    await world.until(lambda: world.story == [["pause", "resume"], ["pause", "resume"]])
    assert world.intake.held_for == ""
    assert (await world.receive(reconcile())).acknowledged


async def test_an_answer_that_says_no_ends_the_silence(world: World) -> None:
    world.resources.failing = AWAY
    await world.receive(reconcile())
    world.resources.failing = Refused("no rights", status=403)
    await world.until(lambda: world.story == [["pause", "resume"], ["pause", "resume"]])


async def test_a_bug_while_messages_are_held_does_not_hold_them_for_ever(world: World) -> None:
    world.resources.failing = AWAY
    await world.receive(reconcile())
    world.resources.failing = KeyError("bug")
    await world.until(lambda: world.story == [["pause", "resume"], ["pause", "resume"]])


async def test_many_messages_in_the_silence_hold_once(world: World) -> None:
    world.resources.failing = AWAY
    await asyncio.gather(*(world.receive(reconcile(f"op-{n}")) for n in range(5)))
    await world.until(lambda: world.story == [["pause"], ["pause"]])


async def test_a_bad_message_in_the_silence_waits_until_it_is_known_whom_to_answer(world: World) -> None:
    world.resources.failing = AWAY
    assert not (await world.receive(reconcile(revision="x"))).acknowledged
    assert world.dead == []


async def test_a_dead_letter_that_is_not_confirmed_leaves_the_message_where_it_is(world: World) -> None:
    world.messenger.failures = [OutcomeUnknown("no confirm came")]
    assert not (await world.receive(b"no json")).acknowledged
    await world.until(lambda: world.story == [["pause", "resume"], ["pause", "resume"]])
    assert (await world.receive(b"no json")).acknowledged
    assert len(world.dead) == 1


async def test_a_queue_that_cannot_be_left_does_not_keep_messages_out(world: World) -> None:
    stuck = world.messenger.subscriptions[TOPOLOGY.reconcile]

    async def pause() -> None:
        stuck.story.append("pause")
        raise asyncio.CancelledError  # as aiormq ends whatever waits on a connection that it gives up

    stuck.pause = pause  # type: ignore[method-assign]
    world.resources.failing = AWAY
    await world.receive(reconcile())
    world.resources.failing = None
    await world.until(lambda: world.story == [["pause", "resume"], ["pause", "resume"]])
    assert (await world.receive(reconcile())).acknowledged


async def test_a_message_that_fails_while_messages_are_being_taken_again_goes_back_as_well(world: World) -> None:
    slow, may_open = world.messenger.subscriptions[TOPOLOGY.initialize], asyncio.Event()

    async def resume() -> None:
        slow.story.append("resume")
        await may_open.wait()

    slow.resume = resume  # type: ignore[method-assign]
    world.resources.failing = AWAY
    await world.receive(reconcile())
    world.resources.failing = None
    await world.until(lambda: world.story == [["pause", "resume"], ["pause", "resume"]])
    world.resources.failing = AWAY
    assert not (await world.receive(reconcile())).acknowledged
    may_open.set()
    await world.until(lambda: world.story == [["pause", "resume", "pause"], ["pause", "resume", "pause"]])
    assert world.intake.held_for == AWAY.message


async def test_what_went_back_often_waits_where_nobody_counts_that(world: World) -> None:
    world.resources.failing = AWAY
    assert (await world.receive(reconcile(), headers={"x-delivery-count": 5})).acknowledged
    (waiting,) = world.messenger.published
    assert (waiting.exchange, waiting.headers[ATTEMPT_HEADER]) == ("devops.retry.5s", 0)
    assert world.story == [[], []]


async def test_stopping_while_on_hold_ends_the_wait() -> None:
    world = World()
    await world.intake.start()
    world.resources.failing = AWAY
    await world.receive(reconcile())
    await world.intake.stop()
    assert all(story[-1] == "stop" for story in world.story)
