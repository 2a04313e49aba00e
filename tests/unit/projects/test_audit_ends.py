"""What a killed life intended has an end in the audit, also where its step is looked at no more."""

from typing import Any

import pytest

from reconciler.domain.keys import Key
from reconciler.domain.resources import ContainerRegistry, GitCredential, JenkinsSettings
from support.projects import JENKINS, PROJECT, REGISTRY, SetupWorld
from support.scene import Killed, kill_at

MORE_THAN_ALL_POINTS = 9


async def killed(point: int, key: Key = JENKINS, **spec: Any) -> SetupWorld:
    """Return a world in which a life was killed while it set something up, and another has begun."""
    world = SetupWorld()
    world.add(GitCredential, "git", urlPrefix="https://git.example.com", secretRef={"name": "git"})
    world.add({"JenkinsSettings": JenkinsSettings, "ContainerRegistry": ContainerRegistry}[key.kind], **spec)
    kill_at(point, world.store, world.all)
    try:
        await world.settings.look(key)
    except* Killed:
        world.begin_life()
    kill_at(-1, world.store, world.all)
    return world


def without_end(world: SetupWorld) -> list[str]:
    """Return what was intended and of which nothing says how it ended."""
    lines = world.ledger.lines
    intended = [line.split(" ", 1)[1] for line in lines if line.startswith("intended")]
    ended = [line.split(" ", 1)[1] for line in lines if not line.startswith("intended")]
    return [what for what in intended if not any(end.startswith(what) for end in ended)]


@pytest.mark.parametrize("point", range(1, MORE_THAN_ALL_POINTS))
async def test_what_a_killed_life_intended_has_an_end_when_something_else_is_wanted_by_now(point: int) -> None:
    world = await killed(point)
    world.store.edit(JENKINS, folder="teams/new", job="two")
    await world.settings.look(JENKINS)
    assert without_end(world) == []
    said = list(world.ledger.lines)
    world.clock.advance(300)
    await world.settings.look(JENKINS)
    assert world.ledger.lines == said


@pytest.mark.parametrize("point", range(1, MORE_THAN_ALL_POINTS))
async def test_what_a_killed_life_intended_has_an_end_when_it_cannot_be_looked_at_any_more(point: int) -> None:
    world = await killed(point)
    world.accounts.secrets.clear()
    world.store.edit(JENKINS, job="two")
    await world.settings.look(JENKINS)
    assert "Secret git is not there" in world.store.status(JENKINS)["waitingFor"]
    assert without_end(world) == []


@pytest.mark.parametrize("point", range(1, MORE_THAN_ALL_POINTS))
@pytest.mark.parametrize("deletion", ["removed", "kept", "unreadable"])
async def test_what_a_killed_life_intended_has_an_end_when_its_settings_are_gone(point: int, deletion: str) -> None:
    world = await killed(point)
    if deletion == "kept":
        world.store.edit(PROJECT, deletionPolicy="Orphan")
    if deletion == "unreadable":
        world.store.edit(JENKINS, pollInterval="soon")
    world.store.remove(JENKINS)
    for _ in range(5):
        await world.settings.look(JENKINS)
        world.clock.advance(400)
    assert (world.store.read(JENKINS), without_end(world)) == (None, [])


@pytest.mark.parametrize("point", range(1, 5))
async def test_what_a_killed_life_intended_has_an_end_when_the_registry_it_set_up_is_gone(point: int) -> None:
    world = await killed(point, REGISTRY, namespace="acme")
    world.store.remove(REGISTRY)
    await world.settings.look(REGISTRY)
    assert (world.store.read(REGISTRY), without_end(world)) == (None, [])
