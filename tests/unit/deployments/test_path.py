"""The whole path of a deployment: each thing is done once, in order, whatever dies on the way."""

import pytest

from reconciler.domain.clock import rfc3339
from reconciler.domain.keys import Key
from reconciler.domain.resources import DNSZone, StageName, StepState
from support.scene import SPACE, Killed, World, kill_at

MORE_THAN_ALL_POINTS = 60
ZONE = Key(DNSZone.kind, SPACE, "example.com")


@pytest.mark.parametrize("components", [("api",), ("api", "web")])
async def test_a_deployment_goes_all_the_way(components: tuple[str, ...]) -> None:
    world = World(components, verify={"path": "/healthz"})
    key = world.ask()
    await world.until_ended(key, world.environment)
    outside, status = world.outside, world.record(key).status
    assert world.end_of(key) == ("Succeeded", "Deployed")
    assert [outside.jenkins.count(component) for component in components] == [1] * len(components)
    assert outside.argo.syncs == [f"shop--alpha--{component}" for component in components]
    assert outside.dns.names() == {
        one for component in components for one in (f"A {component}.alpha", f"TXT _freeleaps-a.{component}.alpha")
    }
    assert set(outside.probe.asked) == {f"https://{component}.alpha.example.com/healthz" for component in components}
    assert status.progress == 100
    assert {stage.state for stage in status.stages} == {StepState.DONE}
    assert [one.digest[:7] for one in status.artifacts] == ["sha256:"] * len(components)
    slot = world.slot().status
    assert (slot.holder, set(slot.current)) == (None, set(components))
    assert {item.state for item in slot.inventory} == {"Made"}


async def calm_run(components: tuple[str, ...] = ("api", "web")) -> tuple[World, int]:
    """Return a world after a deployment, and in how many places it could have been killed."""
    world = World(components)
    points = 0

    def count() -> None:
        nonlocal points
        points += 1

    world.store.after_write = count
    for system in world.outside.all:
        system.after_act = count
    key = world.ask()
    await world.until_ended(key)
    return world, points


async def test_all_places_where_a_kill_could_come_are_tried() -> None:
    _, points = await calm_run()
    assert 20 < points < MORE_THAN_ALL_POINTS


@pytest.mark.parametrize("point", range(1, MORE_THAN_ALL_POINTS))
@pytest.mark.parametrize("seconds_down", [1, 600])
async def test_a_kill_anywhere_doubles_nothing_and_loses_nothing(point: int, seconds_down: int) -> None:
    world = World(("api", "web"))
    kill_at(point, world.store, world.outside.all)
    key = world.ask()
    try:
        await world.until_ended(key, world.environment)
    except* Killed:
        world.begin_life()
        world.clock.advance(seconds_down)
        await world.until_ended(key, world.environment)
    assert world.end_of(key) == ("Succeeded", "Deployed")
    assert (world.outside.jenkins.count("api"), world.outside.jenkins.count("web")) == (1, 1)
    assert sorted(world.outside.argo.syncs) == ["shop--alpha--api", "shop--alpha--web"]
    assert world.holder() == ""
    assert set(world.slot().status.current) == {"api", "web"}


async def test_two_looks_start_one_build() -> None:
    world = World()
    key = world.ask()
    await world.look(key)
    await world.look(key)
    assert world.outside.jenkins.count("api") == 1


async def test_no_component_is_synced_before_all_images_are_there() -> None:
    world = World(("api", "web"))
    world.outside.registry.pushes = False
    key = world.ask()
    await world.until_waiting_in(StageName.IMAGE, key)
    await world.go_on(key, seconds=60)
    assert world.outside.argo.image_writes == []


async def test_what_comes_up_after_the_slot_was_taken_is_in_the_inventory_before_it_is_made() -> None:
    world = World()
    known, body = [], world.store.read(ZONE)
    assert body is not None
    world.store.vanish(ZONE)
    key = world.ask()
    await world.until_waiting_in(StageName.EXPOSE, key)
    await world.go_on(key, seconds=60)
    assert world.record(key).status.waiting_for == "a DNSZone that holds api.alpha.example.com"
    world.outside.dns.after_act = lambda: known.append({item.kind for item in world.slot().status.inventory})
    world.store.put(body)
    await world.until_ended(key)
    assert world.outside.dns.names() == {"A api.alpha", "TXT _freeleaps-a.api.alpha"}
    assert known[0] == {"Application", "Record"}
    world.store.remove(world.environment)
    await world.go_on(world.environment, seconds=300)
    assert (world.outside.dns.names(), world.store.read(world.environment)) == (set(), None)


async def test_nothing_is_noted_for_who_lost_the_slot_meanwhile() -> None:
    world = World()
    body = world.store.read(ZONE)
    assert body is not None
    world.store.vanish(ZONE)
    key = world.ask()
    await world.until_waiting_in(StageName.EXPOSE, key)
    other = {"record": "op-9", "uid": "uid-9", "epoch": 9, "since": rfc3339(world.clock.now())}

    def steal() -> None:
        claims = [stage.claim.key for stage in world.record(key).status.stages if stage.claim]
        if any(claim.endswith("/intended") for claim in claims) and world.holder() != "op-9":
            world.store.set_status(world.environment, holder=other)

    world.store.after_write = steal
    world.store.put(body)
    await world.go_on(key, seconds=60)
    assert world.holder() == "op-9"
    assert {item.kind for item in world.slot().status.inventory} == {"Application"}
    assert world.outside.dns.names() == set()


async def test_a_look_over_an_unchanged_world_writes_nothing_before_it_is_due() -> None:
    world = World()
    key = world.ask()
    await world.until_waiting_in(StageName.BUILD, key)
    world.clock.advance(10)
    await world.look(key)
    before = len(world.store.writes)
    for _ in range(5):
        world.clock.advance(1)
        await world.look(key)
    assert len(world.store.writes) == before


async def test_the_longest_names_are_exposed_like_any_others() -> None:
    label = "a" * 50
    world = World(("component-of-20-char",), domain=f"{label}.{label}.{label}.example.com")
    key = world.ask("o" * 128)
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"
