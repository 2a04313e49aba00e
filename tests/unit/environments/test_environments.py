"""Environments: an honest slot, an end in time and not before it, removal of what is ours and of nothing else."""

from datetime import timedelta

import pytest

from reconciler.domain.keys import Body, Key
from reconciler.domain.outside.dns import RecordSet
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import DNSZone, StageName
from reconciler.domain.resources.common import api_object
from support.moments import EIGHT
from support.outside import application
from support.scene import OWNER, SPACE, Killed, World, kill_at

FOREIGN = RecordSet("www", "A", ("198.51.100.9",), 600)


async def deployed(components: tuple[str, ...] = ("api", "web"), **environment: object) -> World:
    world = World(components, **environment)
    world.outside.dns.records = [FOREIGN]
    await world.until_ended(world.ask())
    await world.look(world.environment)
    return world


async def until_gone(world: World, *others: Key) -> None:
    for _ in range(200):
        if world.store.read(world.environment) is None:
            return
        for key in (*others, world.environment):
            await world.look(key)
        world.clock.advance(10)
    raise AssertionError("it never went")


async def test_that_nothing_is_left_is_not_believed_of_a_read_that_may_lag_behind_the_last_write() -> None:
    world = await deployed()
    world.outside.dns.stale = (world.clock.now() + timedelta(seconds=50), (FOREIGN,))
    world.store.remove(world.environment)
    await world.go_on(world.environment, seconds=30)
    assert "the last writes to show" in world.slot().status.conditions[0].message
    await until_gone(world)
    assert world.outside.dns.records == [FOREIGN]


async def test_a_mark_whose_record_may_not_show_yet_stays_until_the_last_write_must_show() -> None:
    world = await deployed()
    mark = next(record for record in world.outside.dns.records if record.type == "TXT")
    world.outside.dns.stale = (world.clock.now() + timedelta(seconds=50), (FOREIGN, mark))
    world.store.remove(world.environment)
    await world.go_on(world.environment, seconds=30)
    assert mark in world.outside.dns.records
    await until_gone(world)
    assert world.outside.dns.records == [FOREIGN]


async def test_the_slot_comes_back_from_a_record_that_has_ended_or_is_gone() -> None:
    world = World()
    key = world.ask()
    await world.look(key)
    world.store.vanish(key)
    await world.look(world.environment)
    assert world.holder() == ""
    again = world.ask("op-2")
    await world.look(again)
    world.store.set_status(again, phase="Failed")
    await world.look(world.environment)
    assert (world.holder(), world.slot().status.phase) == ("", "Idle")


async def test_the_slot_stays_with_a_record_that_goes_on() -> None:
    world = World()
    key = world.ask()
    await world.look(key)
    await world.look(world.environment)
    assert (world.holder(), world.slot().status.phase) == ("op-1", "Deploying")


async def test_the_slot_stays_with_a_record_of_which_only_a_former_one_of_its_name_is_known_yet() -> None:
    world = World()
    key = world.ask()
    former = world.store.read(key)
    world.store.vanish(key)
    world.ask()
    await world.look(key)
    world.store.lag_behind(key, former)
    await world.look(world.environment)
    assert world.holder() == "op-1"


async def test_the_slot_comes_back_from_another_record_of_the_same_name() -> None:
    world = World()
    key = world.ask()
    await world.look(key)
    world.store.vanish(key)
    world.ask()
    await world.look(world.environment)
    assert world.holder() == ""


@pytest.mark.parametrize("point", [1, 2])
async def test_a_kill_between_the_two_last_writes_keeps_what_succeeded(point: int) -> None:
    world = World()
    key = world.ask()
    await world.until_waiting_in(StageName.SYNC, key)
    world.clock.advance(60)
    seen = 0

    def kill() -> None:
        nonlocal seen
        is_last = world.slot().status.current != {}
        seen += is_last
        if is_last and seen == point:
            raise Killed

    world.store.after_write = kill
    try:
        await world.until_ended(key)
    except* Killed:
        world.begin_life()
        await world.look(world.environment)
        await world.until_ended(key)
    assert world.end_of(key) == ("Succeeded", "Deployed")
    assert world.holder() == ""


async def test_removal_takes_what_is_ours_and_nothing_foreign() -> None:
    world = await deployed()
    other = Marker(OWNER, "Environment", SPACE, "other--alpha", "uid-9")
    world.outside.argo.applications["other--alpha--api"] = application("other--alpha--api", marker=other)
    world.store.remove(world.environment)
    await until_gone(world)
    assert sorted(world.outside.argo.deleted) == ["shop--alpha--api", "shop--alpha--web"]
    assert list(world.outside.argo.applications) == ["other--alpha--api"]
    assert world.outside.dns.records == [FOREIGN]


async def test_removal_leaves_an_application_that_somebody_else_has_taken_over() -> None:
    world = await deployed(("api",))
    other = Marker("cluster-2", "Environment", SPACE, "shop--alpha", "uid-9")
    world.outside.argo.applications["shop--alpha--api"] = application("shop--alpha--api", marker=other)
    world.store.remove(world.environment)
    await until_gone(world)
    assert world.outside.argo.deleted == []


async def test_the_record_goes_before_its_mark() -> None:
    world = await deployed(("api",))
    world.store.remove(world.environment)
    await until_gone(world)
    assert world.outside.dns.changes[-2:] == ["delete A api.alpha", "delete TXT _freeleaps-a.api.alpha"]


async def test_a_zone_that_only_takes_keeps_its_records() -> None:
    world = await deployed(("api",))
    world.store.edit(Key("DNSZone", SPACE, "example.com"), policy="UpsertOnly")
    world.store.remove(world.environment)
    await until_gone(world)
    assert "A api.alpha" in world.outside.dns.names()


async def test_orphaned_things_stay() -> None:
    world = await deployed(("api",))
    world.store.edit(Key("DevOpsProject", SPACE, "shop"), deletionPolicy="Orphan")
    world.store.remove(world.environment)
    await world.look(world.environment)
    assert world.store.read(world.environment) is None
    assert world.outside.argo.deleted == []


async def test_removal_waits_for_a_deployment_that_has_begun_to_change_things() -> None:
    world = World()
    key = world.ask()
    await world.until_waiting_in(StageName.SYNC, key)
    world.store.remove(world.environment)
    await world.look(world.environment)
    assert world.outside.argo.deleted == []
    conditions = {one["type"]: one for one in world.store.status(world.environment)["conditions"]}
    assert conditions["Reconciling"]["message"] == "waits for DeploymentRecord op-1 to end"
    await until_gone(world, key)
    assert world.end_of(key) == ("Cancelled", "EnvironmentRemoved")
    assert world.outside.argo.deleted == ["shop--alpha--api"]


async def test_removal_cancels_what_is_only_built() -> None:
    world = World()
    first, second = world.ask("op-1"), world.ask("op-2")
    await world.go_on(first, second, seconds=20)
    world.store.remove(world.environment)
    await until_gone(world, first, second)
    assert world.end_of(first) == ("Cancelled", "EnvironmentRemoved")
    assert world.phase(second) == "Cancelled"
    assert world.outside.jenkins.running() == []


@pytest.mark.parametrize("point", range(1, 25))
async def test_a_kill_while_removing_strands_nothing(point: int) -> None:
    world = await deployed()
    kill_at(point, world.store, world.outside.all)
    world.store.remove(world.environment)
    try:
        await until_gone(world)
    except* Killed:
        world.begin_life()
        await until_gone(world)
    assert world.outside.argo.applications == {}
    assert world.outside.dns.records == [FOREIGN]


async def test_an_environment_expires_at_its_time_and_not_before() -> None:
    world = await deployed(ttl="1h")
    expires_at = world.slot().status.expires_at
    assert expires_at is not None
    assert await world.end_is_due() == expires_at
    world.clock.advance((expires_at - world.clock.now()).total_seconds() - 1)
    await world.look(world.environment)
    assert world.outside.argo.deleted == []
    world.clock.advance(1)
    await world.go_on(world.environment, seconds=60)
    status = world.slot().status
    assert (status.phase, status.current, status.holder, status.expires_at) == ("Expired", {}, None, None)
    assert world.outside.argo.applications == {}
    assert world.outside.dns.records == [FOREIGN]


async def test_an_expired_environment_comes_back_with_the_next_deployment() -> None:
    world = await deployed(("api",), ttl="1h")
    world.clock.advance(4000)
    await world.go_on(world.environment, seconds=60)
    await world.until_ended(world.ask("op-2"))
    await world.look(world.environment)
    assert (world.slot().status.phase, list(world.slot().status.current)) == ("Idle", ["api"])


async def test_the_api_servers_clock_decides() -> None:
    world = await deployed(("api",), ttl="1h")
    world.store.server_ahead = timedelta(hours=-1)
    world.clock.advance(4000)
    await world.look(world.environment)
    assert world.outside.argo.deleted == []


@pytest.mark.parametrize("how", ["pinned", "paused"])
async def test_what_is_pinned_or_paused_does_not_expire_and_is_not_looked_at_again_and_again(how: str) -> None:
    world = await deployed(("api",), ttl="1h")
    if how == "pinned":
        world.store.edit(world.environment, pinned=True)
    else:
        world.store.annotate(world.environment, paused="true")
    world.clock.advance(4000)
    assert await world.end_is_due() is None
    assert world.outside.argo.deleted == []


async def test_an_expiry_that_has_begun_is_brought_to_its_end() -> None:
    world = await deployed(ttl="1h")
    world.clock.advance(4000)

    def kill() -> None:
        raise Killed

    world.outside.argo.after_act = kill
    try:
        await world.look(world.environment)
    except* Killed:
        world.outside.argo.after_act = lambda: None
        world.begin_life()
    world.store.edit(world.environment, pinned=True)
    await world.go_on(world.environment, seconds=100)
    assert (world.slot().status.phase, world.holder()) == ("Expired", "")


async def test_a_preview_goes_altogether() -> None:
    world = await deployed(("api",), ttl="1h")
    body = world.store.read(world.environment)
    assert body is not None
    body["metadata"]["labels"] = {"freeleaps.com/preview": "true"}
    world.store._keep(body)
    world.clock.advance(4000)
    await until_gone(world)
    assert world.outside.argo.applications == {}


async def test_an_unchanged_environment_is_not_written_again() -> None:
    world = await deployed(("api",))
    world.clock.advance(60)
    await world.look(world.environment)
    before = len(world.store.writes)
    for _ in range(5):
        world.clock.advance(60)
        await world.look(world.environment)
    assert len(world.store.writes) == before


async def test_an_invalid_environment_says_which_field() -> None:
    world = World()
    world.store.edit(world.environment, concurrency="Maybe")
    await world.look(world.environment)
    conditions = {one["type"]: one for one in world.store.status(world.environment)["conditions"]}
    assert conditions["Stalled"]["reason"] == "InvalidSpec"
    assert "spec.concurrency" in conditions["Stalled"]["message"]


async def test_addresses_of_what_is_current_are_shown() -> None:
    world = await deployed()
    assert world.slot().status.addresses == ["https://api.alpha.example.com", "https://web.alpha.example.com"]
    assert world.clock.now() > EIGHT


@pytest.mark.parametrize(
    ("zone", "named", "reason", "says"),
    [
        ("example.com", {}, "Idle", ""),
        ("elsewhere.example", {}, "ZoneNotFound", "a DNSZone that holds api.alpha.example.com; create one"),
        ("elsewhere.example", {"zoneRef": {"name": "z"}}, "ZoneNotFound", "a DNSZone that holds api.alpha.example.com"),
        ("example.com", {"zoneRef": {"name": "other"}}, "SettingsNotFound", "DNSZone other; create it for"),
    ],
)
async def test_a_domain_that_lies_outside_every_zone_is_told_before_anything_is_deployed(
    zone: str, named: Body, reason: str, says: str
) -> None:
    world = World()
    world.store.vanish(Key("DNSZone", SPACE, "example.com"))
    world.store.put(api_object(DNSZone, "z", SPACE, {"domain": zone}))
    world.store.edit(Key("DevOpsProject", SPACE, "shop"), dns=named)
    await world.look(world.environment)
    ready = next(one for one in world.slot().status.conditions if one.type == "Ready")
    assert (ready.status, ready.reason) == ("False" if says else "True", reason)
    assert ready.message.startswith(says)


@pytest.mark.parametrize("change", [{"dnsTarget": None}, {"domain": None}])
async def test_who_wants_no_record_needs_no_zone(change: Body) -> None:
    world = World()
    world.store.vanish(Key("DNSZone", SPACE, "example.com"))
    world.store.edit(world.environment, **change)
    await world.look(world.environment)
    ready = next(one for one in world.slot().status.conditions if one.type == "Ready")
    assert (ready.status, ready.reason) == ("True", "Idle")


async def test_an_environment_is_ready_when_its_zone_comes() -> None:
    world = World()
    zone = world.store.read(Key("DNSZone", SPACE, "example.com"))
    assert zone is not None
    world.store.vanish(Key("DNSZone", SPACE, "example.com"))
    await world.look(world.environment)
    world.store.put(zone)
    await world.look(world.environment)
    ready = next(one for one in world.slot().status.conditions if one.type == "Ready")
    assert (ready.status, ready.reason, ready.message) == ("True", "Idle", "")
