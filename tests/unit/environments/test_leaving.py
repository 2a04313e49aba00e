"""Deletions that end: at the deadline what is left outside is on record, and a deleted namespace hangs for nobody."""

from datetime import timedelta

import pytest

from reconciler.domain.errors import Missing, Refused, Unavailable
from reconciler.domain.keys import Body, Key
from reconciler.domain.leftovers import LABEL, leftover_of
from reconciler.domain.resources import DNSZone, StageName
from reconciler.domain.resources.common import api_object
from support.outside import application
from support.scene import OPERATOR, SPACE, Killed, World, kill_at

DEADLINE = timedelta(minutes=30)
DOWN = Unavailable("connection refused", system="argocd")


async def deployed(components: tuple[str, ...] = ("api",)) -> World:
    world = World(components)
    await world.until_ended(world.ask())
    await world.look(world.environment)
    return world


async def look_for(world: World, minutes: float) -> None:
    """Look at the environment once a minute, until it is gone or the time is up."""
    for _ in range(int(minutes)):
        if world.store.read(world.environment) is None:
            return
        await world.look(world.environment)
        world.clock.advance(60)


def leftovers(world: World) -> list[Body]:
    return list(world.store.list_("ConfigMap", OPERATOR))


def listed(world: World) -> set[str]:
    return {f"{body['data']['kind']} {body['data']['name']}" for body in leftovers(world)}


async def test_a_deletion_ends_at_its_deadline_and_what_is_left_is_on_record() -> None:
    world = await deployed()
    uid = world.slot().metadata.uid
    world.outside.argo.outage = DOWN
    world.store.remove(world.environment)
    await look_for(world, 29)
    assert (world.store.read(world.environment) is None, leftovers(world)) == (False, [])
    await look_for(world, 3)
    assert world.store.read(world.environment) is None
    (body,) = leftovers(world)
    told = body["data"]
    assert body["metadata"]["labels"] == {LABEL: "argocd"}
    assert (told["kind"], told["name"], told["place"]) == ("Application", "shop--alpha--api", "shop")
    assert (told["uid"], told["endpoint"], told["credentialsRef"]) == (uid, "https://argo.own", "")
    assert "connection refused" in told["why"]
    leftover = leftover_of(body)
    assert leftover is not None
    assert leftover.thing.marker.uid == uid
    assert world.outside.dns.records == [], "what could go has gone"


async def test_what_is_left_is_on_record_with_the_secret_that_its_settings_name_by_then() -> None:
    world = await deployed()
    world.outside.argo.outage = DOWN
    world.store.remove(world.environment)
    world.store.edit(Key("ArgoSettings", SPACE, "shop"), credentialsRef={"name": "argo-login"})
    await look_for(world, 32)
    (body,) = leftovers(world)
    assert body["data"]["credentialsRef"] == f"{SPACE}/argo-login"


async def test_what_stays_is_shown_before_the_resource_goes() -> None:
    world = await deployed()
    world.outside.argo.outage = DOWN
    world.store.remove(world.environment)
    shown: list[dict[str, object]] = []

    def note() -> None:
        if world.store.read(world.environment) is not None:
            shown.append(world.store.status(world.environment))

    world.store.after_write = note
    await look_for(world, 32)
    assert [item["name"] for item in shown[-1]["leftovers"]] == ["shop--alpha--api"]  # type: ignore[attr-defined]
    conditions = {one["type"]: one for one in shown[-1]["conditions"]}  # type: ignore[attr-defined]
    assert conditions["Reconciling"]["reason"] == "LeftBehind"
    assert "Application shop--alpha--api" in conditions["Reconciling"]["message"]


async def test_everything_is_tried_once_more_however_late_it_is() -> None:
    world = await deployed()
    world.store.remove(world.environment)
    world.clock.advance(7200)  # no operator ran
    await world.look(world.environment)
    assert world.store.read(world.environment) is None
    assert (world.outside.argo.applications, world.outside.dns.records, leftovers(world)) == ({}, [], [])


async def test_the_deadline_is_by_the_api_servers_clock() -> None:
    world = await deployed()
    world.outside.argo.outage = DOWN
    world.store.remove(world.environment)
    world.store.server_ahead = -timedelta(hours=1)
    await look_for(world, 40)
    assert world.store.read(world.environment) is not None
    world.store.server_ahead = timedelta()
    await look_for(world, 2)
    assert world.store.read(world.environment) is None


async def test_what_belongs_to_a_deleted_project_ends_with_it() -> None:
    world = await deployed()
    world.outside.argo.outage = DOWN
    world.store.remove(Key("DevOpsProject", SPACE, "shop"))
    world.clock.advance(29 * 60)
    world.store.remove(world.environment)
    await look_for(world, 3)
    assert (world.store.read(world.environment), listed(world)) == (None, {"Application shop--alpha--api"})


async def test_removal_goes_on_from_the_inventory_when_project_and_settings_are_gone() -> None:
    world = await deployed()
    for kind, name in (("DevOpsProject", "shop"), ("ArgoSettings", "shop"), ("DNSZone", "example.com")):
        world.store.vanish(Key(kind, SPACE, name))
    world.store.remove(world.environment)
    await look_for(world, 5)
    assert world.store.read(world.environment) is None
    assert (world.outside.argo.applications, world.outside.dns.records) == ({}, [])


async def test_removal_goes_on_while_paused() -> None:
    world = await deployed()
    world.store.annotate(world.environment, paused="true")
    world.store.remove(world.environment)
    await look_for(world, 5)
    assert (world.store.read(world.environment), world.outside.argo.applications) == (None, {})


async def test_credentials_that_the_settings_name_now_are_used() -> None:
    world = await deployed()
    world.store.edit(Key("ArgoSettings", SPACE, "shop"), credentialsRef={"name": "newer"})
    world.store.remove(world.environment)
    await look_for(world, 5)
    assert (SPACE, "newer") in {(where.namespace, where.secret) for where in world.outside.asked_as}


async def test_what_was_made_at_a_former_endpoint_or_in_a_former_zone_goes_from_there() -> None:
    world = World()
    await world.until_ended(world.ask())
    settings = Key("ArgoSettings", SPACE, "shop")
    world.store.edit(settings, endpoint="https://argo.new", credentialsRef={"name": "argo"})
    world.store.put(api_object(DNSZone, "alpha", SPACE, {"domain": "alpha.example.com"}))
    world.clock.advance(60)
    await world.until_ended(world.ask("op-2"))
    asked, world.outside.asked_as[:] = list[str](), []
    removable = world.outside.dns.delete_record_set

    async def noting(domain: str, kind: str, name: str) -> None:
        asked.append(domain)
        await removable(domain, kind, name)

    world.outside.dns.delete_record_set = noting  # type: ignore[method-assign]
    world.store.remove(world.environment)
    await world.go_on(world.environment, seconds=300)
    assert world.store.read(world.environment) is None
    assert {"", "https://argo.new"} <= {where.endpoint for where in world.outside.asked_as}
    assert "example.com" in asked


async def test_removal_does_not_wait_for_a_sync_but_ends_it() -> None:
    world = World()
    key = world.ask()
    await world.until_waiting_in(StageName.SYNC, key)
    await world.go_on(key, seconds=10)
    assert world.outside.argo.applications["shop--alpha--api"].is_operation_requested
    world.outside.argo.takes = timedelta(hours=9)
    world.store.remove(world.environment)
    await world.look(key)
    assert world.end_of(key) == ("Cancelled", "EnvironmentRemoved")
    await look_for(world, 5)
    assert world.store.read(world.environment) is None
    assert (world.outside.argo.terminated, world.outside.argo.applications) == (["shop--alpha--api"], {})


async def test_a_secret_that_is_missing_is_waited_for_while_the_namespace_lives() -> None:
    world = await deployed()
    world.outside.argo.outage = Missing("Secret argo")
    world.store.remove(world.environment)
    await look_for(world, 20)
    assert (world.store.read(world.environment) is None, leftovers(world)) == (False, [])


async def test_in_a_namespace_that_is_being_deleted_a_missing_secret_is_not_waited_for() -> None:
    world = await deployed()
    world.store.put({"kind": "Namespace", "metadata": {"name": SPACE, "deletionTimestamp": "2026-11-23T08:00:00Z"}})
    world.outside.argo.outage = Missing("Secret argo")
    world.store.remove(world.environment)
    await look_for(world, 2)
    assert (world.store.read(world.environment), listed(world)) == (None, {"Application shop--alpha--api"})


async def test_what_is_away_for_a_moment_is_waited_for_in_a_namespace_that_is_being_deleted_too() -> None:
    world = await deployed()
    world.store.put({"kind": "Namespace", "metadata": {"name": SPACE, "deletionTimestamp": "2026-11-23T08:00:00Z"}})
    world.outside.argo.outage = DOWN
    world.store.remove(world.environment)
    await look_for(world, 10)
    world.outside.argo.outage = None
    await look_for(world, 10)
    assert (world.store.read(world.environment), leftovers(world)) == (None, [])


@pytest.mark.parametrize("point", range(1, 13))
async def test_a_kill_while_leaving_things_behind_loses_and_doubles_none(point: int) -> None:
    world = await deployed(("api", "web"))
    world.outside.argo.outage = DOWN
    world.store.remove(world.environment)
    world.clock.advance(31 * 60)
    kill_at(point, world.store, world.outside.all)
    try:
        await look_for(world, 3)
    except* Killed:
        world.begin_life()
        await look_for(world, 3)
    assert world.store.read(world.environment) is None
    assert listed(world) == {"Application shop--alpha--api", "Application shop--alpha--web"}
    assert len(leftovers(world)) == 2


async def test_what_stays_of_an_orphan_is_said() -> None:
    world = await deployed()
    world.store.edit(Key("DevOpsProject", SPACE, "shop"), deletionPolicy="Orphan")
    world.store.remove(world.environment)
    said: list[str] = []

    def note() -> None:
        if world.store.read(world.environment) is not None:
            conditions = {one["type"]: one for one in world.store.status(world.environment)["conditions"]}
            said.append(conditions["Reconciling"]["message"])

    world.store.after_write = note
    await look_for(world, 2)
    assert said == [
        "Application shop--alpha--api, Record api.alpha.example.com stays: deletionPolicy is Orphan",
    ]
    assert "shop--alpha--api" in world.outside.argo.applications


async def test_a_foreign_application_is_no_leftover() -> None:
    world = await deployed()
    world.outside.argo.applications["shop--alpha--api"] = application("shop--alpha--api", marker=None)
    world.store.remove(world.environment)
    await look_for(world, 32)
    assert (world.store.read(world.environment), leftovers(world)) == (None, [])


async def test_an_invalid_environment_that_is_deleted_goes_and_what_it_has_is_on_record() -> None:
    world = await deployed()
    uid = world.slot().metadata.uid
    world.store.edit(world.environment, concurrency="Maybe")
    world.store.remove(world.environment)
    await world.look(world.environment)
    assert world.store.read(world.environment) is None
    assert listed(world) == {"Application shop--alpha--api", "Record api.alpha.example.com"}
    assert {body["data"]["uid"] for body in leftovers(world)} == {uid}
    assert all("its spec cannot be read: spec.concurrency" in body["data"]["why"] for body in leftovers(world))


async def test_what_a_removal_would_leave_is_not_on_record_for_an_invalid_environment() -> None:
    world = await deployed()
    world.store.edit(Key("DNSZone", SPACE, "example.com"), policy="UpsertOnly")
    world.store.edit(world.environment, concurrency="Maybe")
    world.store.remove(world.environment)
    await world.look(world.environment)
    assert listed(world) == {"Application shop--alpha--api"}


@pytest.mark.parametrize("is_valid", [True, False])
async def test_an_invalid_project_that_wants_nothing_removed_is_heard(*, is_valid: bool) -> None:
    world = await deployed()
    world.store.edit(Key("DevOpsProject", SPACE, "shop"), deletionPolicy="Orphan", components=[])
    if not is_valid:
        world.store.edit(world.environment, concurrency="Maybe")
    world.store.remove(world.environment)
    await world.look(world.environment)
    assert (world.store.read(world.environment), leftovers(world)) == (None, [])
    assert "shop--alpha--api" in world.outside.argo.applications


async def test_a_kill_while_an_invalid_environment_is_let_go_records_everything_once() -> None:
    world = await deployed()
    world.store.edit(world.environment, concurrency="Maybe")
    world.store.remove(world.environment)
    kill_at(2, world.store, [])
    with pytest.raises(Killed):
        await world.look(world.environment)
    world.store.after_write = lambda: None
    world.begin_life()
    await world.look(world.environment)
    assert (world.store.read(world.environment), len(leftovers(world))) == (None, 2)


def end_namespace(world: World, name: str) -> None:
    world.store.put({"kind": "Namespace", "metadata": {"name": name, "deletionTimestamp": "2026-11-23T08:00:00Z"}})


async def test_a_leftover_that_cannot_be_kept_hangs_nobody_when_the_operators_namespace_is_being_deleted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = await deployed()
    end_namespace(world, OPERATOR)
    world.store.refuses.add("ConfigMap")
    world.outside.argo.outage = DOWN
    world.store.remove(world.environment)
    await look_for(world, 32)
    assert (world.store.read(world.environment), leftovers(world)) == (None, [])
    assert "cannot be kept, its namespace is being deleted: Application shop--alpha--api" in caplog.text


async def test_a_leftover_that_we_may_not_record_keeps_the_resource_while_the_operators_namespace_lives() -> None:
    world = await deployed()
    world.store.refuses.add("ConfigMap")
    world.outside.argo.outage = DOWN
    world.store.remove(world.environment)
    world.clock.advance(40 * 60)
    with pytest.raises(Refused):
        await world.look(world.environment)
    assert world.store.read(world.environment) is not None
    world.store.refuses.clear()
    await world.look(world.environment)
    assert (world.store.read(world.environment), listed(world)) == (None, {"Application shop--alpha--api"})
