"""The life of an environment: extended, pinned, paused, warned of, ended on request; removed in passes."""

from datetime import datetime, timedelta

import pytest

from reconciler.domain.errors import Unavailable
from reconciler.domain.keys import Key
from reconciler.domain.outside.builds import BuildState
from reconciler.domain.resources import StageName
from reconciler.environments.lifetime import Lifetimes
from support.scene import World

HOUR = timedelta(hours=1)
EXTEND, EXPIRE, PINNED = "freeleaps.com/extend", "freeleaps.com/expire", "freeleaps.com/pinned"


async def living(ttl: str = "3h", **spec: object) -> World:
    """Return a world in which something runs that ends in three hours."""
    world = World(ttl=ttl, **spec)
    await world.until_ended(world.ask())
    await world.look(world.environment)
    return world


def ends(world: World) -> datetime:
    expires_at = world.slot().status.expires_at
    assert expires_at is not None
    return expires_at


def refusal(world: World, annotation: str) -> str:
    return world.slot().status.refusals.get(annotation, "")


async def stuck(world: World) -> None:
    """Begin an expiry that cannot end."""
    world.outside.argo.outage = Unavailable("away", system="argocd")
    world.clock.advance(4 * 3600)
    await world.look(world.environment)
    assert world.slot().status.phase == "Expiring"


async def test_an_extension_moves_the_end_once_and_is_echoed() -> None:
    world = await living()
    before = ends(world)
    world.store.annotate(world.environment, extend="24h/ticket-12")
    await world.look(world.environment)
    await world.look(world.environment)
    assert ends(world) == before + 24 * HOUR
    assert world.slot().status.handled[EXTEND] == "24h/ticket-12"
    world.store.annotate(world.environment, extend="24h/ticket-13")
    await world.look(world.environment)
    assert ends(world) == before + 48 * HOUR


async def test_what_is_asked_before_the_removal_begins_wins_even_after_the_end() -> None:
    world = await living()
    world.clock.advance(4 * 3600)
    world.store.annotate(world.environment, extend="2h")
    await world.look(world.environment)
    assert ends(world) == world.clock.now() + 2 * HOUR
    assert world.outside.argo.deleted == []


async def test_who_asks_while_the_slot_is_taken_for_the_removal_is_heard() -> None:
    world = await living()
    world.clock.advance(4 * 3600)
    asked = False

    async def somebody_extends() -> None:
        nonlocal asked
        if not asked:
            asked = True
            world.store.annotate(world.environment, extend="2h")

    world.store.before_write = somebody_extends
    await world.look(world.environment)
    assert asked
    assert (world.slot().status.holder, world.outside.argo.deleted) == (None, [])


@pytest.mark.parametrize(("annotation", "value"), [(EXTEND, "24h"), (PINNED, "true")])
async def test_after_the_removal_began_it_is_too_late_and_said_so(annotation: str, value: str) -> None:
    world = await living()
    await stuck(world)
    world.store.annotate(world.environment, **{annotation.partition("/")[2]: value})
    await world.look(world.environment)
    assert refusal(world, annotation).startswith("too late: its removal began at ")
    assert world.slot().status.handled[annotation] == value
    world.outside.argo.outage = None
    await world.go_on(world.environment, seconds=400)
    assert world.slot().status.phase == "Expired"


@pytest.mark.parametrize(
    ("value", "words"), [("tomorrow", "'tomorrow' must be a duration"), ("36500d", "longer than 100 years")]
)
async def test_an_extension_that_makes_no_sense_is_refused_in_words(value: str, words: str) -> None:
    world = await living()
    before = ends(world)
    world.store.annotate(world.environment, extend=value)
    await world.look(world.environment)
    assert words in refusal(world, EXTEND)
    assert ends(world) == before
    world.store.annotate(world.environment, extend="1h")
    await world.look(world.environment)
    assert refusal(world, EXTEND) == ""


async def test_an_extension_during_a_deployment_is_added_to_the_end_that_it_sets() -> None:
    world = await living()
    key = world.ask("op-2")
    await world.until_waiting_in(StageName.SYNC, key)
    world.store.annotate(world.environment, extend="24h")
    await world.look(world.environment)
    await world.until_ended(key)
    finished = world.record(key).status.finished_at
    assert finished is not None
    assert (ends(world), world.slot().status.extension) == (finished + 27 * HOUR, None)


async def test_an_extension_during_a_deployment_that_fails_counts_from_the_end_as_it_was() -> None:
    world = await living()
    before = ends(world)
    world.outside.jenkins.results["api"] = [BuildState.FAILED]
    key = world.ask("op-2")
    await world.look(key)
    world.store.annotate(world.environment, extend="24h")
    await world.look(world.environment)
    await world.until_ended(key, world.environment)
    assert world.phase(key) == "Failed"
    assert (ends(world), world.slot().status.extension) == (before + 24 * HOUR, None)


async def test_what_has_no_end_cannot_be_extended() -> None:
    world = World()
    world.store.annotate(world.environment, extend="1h")
    await world.look(world.environment)
    assert "it has no end" in refusal(world, EXTEND)


@pytest.mark.parametrize("how", ["spec", "annotation"])
async def test_what_was_pinned_lives_on_when_unpinned_until_people_could_be_warned(how: str) -> None:
    world = await living()
    pin(world, how, on=True)
    await world.look(world.environment)
    assert world.slot().status.pinned
    world.clock.advance(10 * 3600)
    await world.look(world.environment)
    pin(world, how, on=False)
    await world.look(world.environment)
    assert ends(world) == world.clock.now() + HOUR
    assert world.outside.argo.deleted == []
    world.clock.advance(3601)
    await world.go_on(world.environment, seconds=60)
    assert world.slot().status.phase == "Expired"


def pin(world: World, how: str, *, on: bool) -> None:
    if how == "spec":
        world.store.edit(world.environment, pinned=on)
    else:
        world.store.annotate(world.environment, pinned="true" if on else "false")


async def test_a_deployment_to_a_pinned_environment_sets_an_end_that_counts_once_it_is_unpinned() -> None:
    world = await living(pinned=True)
    world.clock.advance(10 * 3600)
    assert await world.end_is_due() is None
    world.store.edit(world.environment, pinned=False)
    assert await world.look(world.environment) is not None
    assert ends(world) > world.clock.now()


async def test_on_pause_the_clock_of_a_life_stands_still() -> None:
    world = await living()
    before = ends(world)
    world.store.annotate(world.environment, paused="true")
    assert await world.end_is_due() is None
    world.clock.advance(50 * 3600)
    world.store.annotate(world.environment, paused="false")
    await world.look(world.environment)
    assert ends(world) == before + 50 * HOUR
    assert world.slot().status.paused_since is None


async def test_an_expiry_stands_still_on_pause_and_goes_on_after_it() -> None:
    world = await living()
    await stuck(world)
    world.outside.argo.outage = None
    world.store.annotate(world.environment, paused="true")
    await world.go_on(world.environment, seconds=400)
    assert (world.slot().status.phase, world.outside.argo.deleted) == ("Expiring", [])
    world.store.annotate(world.environment, paused="false")
    await world.go_on(world.environment, seconds=400)
    assert world.slot().status.phase == "Expired"


async def test_an_end_is_warned_of_once_and_again_when_it_was_moved() -> None:
    world = await living()
    assert await world.end_is_due() == ends(world) - HOUR
    assert world.slot().status.warned is None
    world.clock.advance(2 * 3600)
    for _ in range(2):
        await world.look(world.environment)
        warned = world.slot().status.warned
        assert warned is not None
        assert (warned.expires_at, warned.sequence) == (ends(world), 1)
    assert await world.end_is_due() == ends(world)
    world.store.annotate(world.environment, extend="3h")
    assert await world.end_is_due() == ends(world) - HOUR
    world.clock.advance(3 * 3600)
    await world.look(world.environment)
    warned = world.slot().status.warned
    assert warned is not None
    assert warned.sequence == 2


async def test_nobody_is_warned_while_a_deployment_is_about_to_move_the_end() -> None:
    world = await living()
    world.clock.advance(2.5 * 3600)
    await world.look(world.ask("op-2"))
    assert await world.end_is_due() == ends(world)
    assert world.slot().status.warned is None


async def test_what_is_asked_to_expire_ends_now() -> None:
    world = await living()
    world.store.annotate(world.environment, expire="now")
    await world.go_on(world.environment, seconds=120)
    assert (world.slot().status.phase, world.slot().status.handled[EXPIRE]) == ("Expired", "now")
    assert world.outside.argo.applications == {}


async def test_what_has_no_ttl_can_be_asked_to_expire_too() -> None:
    world = World()
    await world.until_ended(world.ask())
    world.store.annotate(world.environment, expire="now")
    await world.go_on(world.environment, seconds=120)
    assert world.slot().status.phase == "Expired"


async def test_an_expiry_on_request_is_refused_where_it_would_surprise() -> None:
    empty = World()
    empty.store.annotate(empty.environment, expire="1")
    await empty.look(empty.environment)
    assert refusal(empty, EXPIRE) == "nothing runs there"
    world = await living()
    world.store.annotate(world.environment, expire="1", pinned="true")
    await world.look(world.environment)
    assert refusal(world, EXPIRE) == "it is pinned; unpin it first"
    world.store.annotate(world.environment, expire="2", pinned="false", paused="true")
    await world.look(world.environment)
    assert refusal(world, EXPIRE).startswith("it is on pause")
    world.store.annotate(world.environment, paused="false")
    await world.look(world.ask("op-2"))
    world.store.annotate(world.environment, expire="3")
    await world.look(world.environment)
    assert refusal(world, EXPIRE).startswith("DeploymentRecord op-2 is being deployed")
    assert world.outside.argo.deleted == []


async def test_what_is_not_gone_in_time_rests_says_so_and_is_tried_in_the_next_pass() -> None:
    world = await living()
    world.begin_life(Lifetimes(cleanup_timeout=timedelta(seconds=30), between_passes=timedelta(minutes=7)))
    await stuck(world)
    await world.go_on(world.environment, seconds=45)
    cleanup = world.slot().status.cleanup
    assert cleanup is not None
    assert cleanup.resting_until is not None
    assert await world.look(world.environment) == cleanup.resting_until
    conditions = {one["type"]: one for one in world.store.status(world.environment)["conditions"]}
    assert conditions["Reconciling"]["reason"] == "CleanupTimeout"
    assert "not gone in 30s, tried again: remove application shop--alpha--api" in conditions["Reconciling"]["message"]
    writes = len(world.store.writes)
    world.clock.advance(60)
    await world.look(world.environment)
    assert len(world.store.writes) == writes
    world.outside.argo.outage = None
    world.clock.advance(420)
    await world.go_on(world.environment, seconds=100)
    assert (world.slot().status.phase, world.slot().status.cleanup) == ("Expired", None)


async def test_skipped_kinds_stay_and_are_removed_when_the_environment_is_deleted() -> None:
    world = await living()
    world.begin_life(Lifetimes(skip=frozenset({"Record"})))
    world.clock.advance(4 * 3600)
    await world.go_on(world.environment, seconds=100)
    status = world.slot().status
    assert (status.phase, [item.kind for item in status.inventory]) == ("Expired", ["Record"])
    assert world.outside.argo.applications == {}
    assert "A api.alpha" in world.outside.dns.names()
    world.store.remove(world.environment)
    for _ in range(60):
        await world.look(world.environment)
        world.clock.advance(10)
    assert world.store.read(world.environment) is None
    assert world.outside.dns.names() == set()


async def test_a_preview_that_leaves_something_behind_stays_to_remember_it() -> None:
    world = World(ttl="3h")
    preview(world, world.environment)
    world.begin_life(Lifetimes(skip=frozenset({"Application"})))
    await world.until_ended(world.ask())
    world.clock.advance(4 * 3600)
    await world.go_on(world.environment, seconds=200)
    assert (world.slot().status.phase, list(world.outside.argo.applications)) == ("Expired", ["shop--alpha--api"])


def preview(world: World, key: Key) -> None:
    body = world.store.read(key)
    assert body is not None
    body["metadata"]["labels"] = {"freeleaps.com/preview": "true"}
    world.store._keep(body)


async def test_what_expired_while_nobody_ran_is_ended_at_the_first_look() -> None:
    world = await living()
    world.clock.advance(50 * 3600)
    world.begin_life()
    await world.go_on(world.environment, seconds=10)
    assert (world.slot().status.phase, world.slot().status.warned) == ("Expired", None)
