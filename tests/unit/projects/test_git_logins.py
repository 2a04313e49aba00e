"""Git credentials are handed on anew when their Secret is another one; they never come back to be compared."""

import pytest

from reconciler.domain.keys import Body, Key
from reconciler.domain.outside.builds import GitLogin
from reconciler.domain.resources import ArgoSettings, GitCredential, JenkinsSettings
from reconciler.reporting.happenings import happenings
from support.projects import ARGO, JENKINS, SetupWorld
from support.scene import Killed


async def set_up() -> SetupWorld:
    world = SetupWorld()
    world.add(GitCredential, "git", urlPrefix="https://git.example.com/", secretRef={"name": "git"})
    world.add(JenkinsSettings)
    world.add(ArgoSettings)
    await both(world)
    return world


async def both(world: SetupWorld) -> None:
    for key in (JENKINS, ARGO):
        await world.settings.look(key)


def handed_on(world: SetupWorld) -> tuple[list[str], list[str]]:
    jenkins = [change for change in world.jenkins.changes if "credential" in change]
    argo = [change for change in world.argo.changes if "repository" in change]
    return jenkins, argo


async def test_a_changed_secret_is_handed_on_once_and_is_no_drift() -> None:
    world = await set_up()
    first = [len(changes) for changes in handed_on(world)]
    world.accounts.git_version = "uid-1/2"
    for _ in range(3):
        await both(world)
        world.clock.advance(300)
    assert [len(changes) for changes in handed_on(world)] == [one + 1 for one in first]
    for key in (JENKINS, ARGO):
        assert world.store.status(key).get("drift", []) == []
        assert world.conditions(key)["Ready"] == ("True", "Ready")


async def test_the_operators_own_login_is_handed_on_anew_when_its_secret_changed() -> None:
    world = SetupWorld()
    world.accounts.own_login = GitLogin("shop-git", username="bot", password="first", version="uid-1/1")
    world.add(JenkinsSettings)
    world.add(ArgoSettings)
    await both(world)
    first = [len(changes) for changes in handed_on(world)]
    world.accounts.own_login = GitLogin("shop-git", username="bot", password="second", version="uid-1/2")
    for _ in range(3):
        await both(world)
        world.clock.advance(300)
    assert [len(changes) for changes in handed_on(world)] == [one + 1 for one in first]


async def test_an_unchanged_secret_is_handed_on_once() -> None:
    world = await set_up()
    first = handed_on(world)
    assert [len(changes) for changes in first] == [1, 1]
    for _ in range(3):
        world.clock.advance(300)
        await both(world)
    assert handed_on(world) == first


async def test_a_life_that_was_killed_before_it_noted_that_it_handed_it_on_does_so_again() -> None:
    world = await set_up()
    first = len(handed_on(world)[0])
    world.accounts.git_version = "uid-1/2"

    def die() -> None:
        world.jenkins.after_act = lambda: None
        raise Killed

    world.jenkins.after_act = die
    with pytest.raises(BaseExceptionGroup) as caught:
        await world.settings.look(JENKINS)
    assert caught.group_contains(Killed)
    world.begin_life()
    world.clock.advance(120)
    for _ in range(2):
        await world.settings.look(JENKINS)
    assert len(handed_on(world)[0]) == first + 2
    assert any(line.startswith("resolved") for line in world.ledger.lines)


async def test_refused_credentials_are_a_condition_and_one_event_each_way() -> None:
    world = await set_up()
    told: list[str] = []

    async def look(refusal: str) -> None:
        before = body_of(world, JENKINS)
        world.accounts.refusal = refusal
        await world.settings.look(JENKINS)
        told.extend(one.reason for one in happenings(before, body_of(world, JENKINS)) if "Credentials" in one.reason)

    words = "the new credentials in Secret ci are refused (401); the former stay in use"
    await look(words)
    await look(words)
    conditions = world.store.status(JENKINS)["conditions"]
    refused = next(one for one in conditions if one["type"] == "CredentialsRefused")
    assert (refused["status"], refused["message"]) == ("True", words)
    assert world.conditions(JENKINS)["Ready"] == ("True", "Ready")
    await look("")
    await look("")
    assert world.conditions(JENKINS)["CredentialsRefused"] == ("False", "CredentialsAccepted")
    assert told == ["CredentialsRefused", "CredentialsAccepted"]


def body_of(world: SetupWorld, key: Key) -> Body:
    body = world.store.read(key)
    assert body is not None
    return body
