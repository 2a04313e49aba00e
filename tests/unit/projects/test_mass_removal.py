"""So many environments at once are removed only when a person says so: once, each time."""

from reconciler.domain.keys import Body
from support.projects import PROJECT, SPACE, SetupWorld


def declared(*names: str) -> list[Body]:
    return [{"name": name} for name in names]


async def a_world(*names: str) -> SetupWorld:
    world = SetupWorld(environments=declared(*names))
    await world.look_at_all()
    return world


def staying(world: SetupWorld) -> list[str]:
    bodies = world.store.list_("Environment", SPACE)
    return [body["spec"]["name"] for body in bodies if not body["metadata"].get("deletionTimestamp")]


async def test_a_confirmation_counts_for_one_removal_only() -> None:
    world = await a_world("a", "b", "c", "d", "e")
    world.store.edit(PROJECT, environments=declared("d", "e"))
    world.store.annotate(PROJECT, confirm_removal="1")
    await world.look_at_all()
    assert staying(world) == ["d", "e"]
    world.store.edit(PROJECT, environments=[])
    await world.look_at_all()
    assert staying(world) == ["d", "e"]
    assert world.conditions(PROJECT)["Stalled"] == ("True", "RemovalNotConfirmed")
    world.store.annotate(PROJECT, confirm_removal="2")
    await world.look_at_all()
    assert staying(world) == []


async def test_a_confirmation_from_before_there_was_anything_to_confirm_does_not_count() -> None:
    world = await a_world("a", "b")
    world.store.annotate(PROJECT, confirm_removal="1")
    await world.look_at_all()
    world.store.edit(PROJECT, environments=[])
    await world.look_at_all()
    assert staying(world) == ["a", "b"]


async def test_the_only_environment_goes_without_a_question() -> None:
    world = await a_world("a")
    world.store.edit(PROJECT, environments=[])
    await world.look_at_all()
    assert staying(world) == []


async def test_who_puts_them_back_is_asked_no_more() -> None:
    world = await a_world("a", "b")
    world.store.edit(PROJECT, environments=[])
    await world.look_at_all()
    world.store.edit(PROJECT, environments=declared("a", "b"))
    await world.look_at_all()
    assert world.conditions(PROJECT)["Ready"] == ("True", "Ready")
    assert staying(world) == ["a", "b"]
