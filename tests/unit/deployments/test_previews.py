"""Previews: as many as a project may have, each with addresses and an end of its own, however many there are."""

import asyncio
import json
from datetime import timedelta
from typing import Any

from reconciler.domain.keys import Body, Key
from reconciler.domain.outside.builds import BuildState
from reconciler.domain.resources import Environment
from reconciler.domain.resources.environment import EnvironmentPhase
from support.scene import SPACE, World

PROJECT = Key("DevOpsProject", SPACE, "shop")
TTL = timedelta(hours=3)


def with_previews(**template: Any) -> World:
    world = World()
    own = {"ttl": "3h", "domain": "{environment}.example.com", "dnsTarget": "192.0.2.1"}
    world.store.edit(PROJECT, preview={**own, **template})
    return world


def key_of(name: str) -> Key:
    return Key("Environment", SPACE, f"shop--{name}")


def ask(world: World, name: str) -> Key:
    return world.ask(f"op-{name}", environment=name)


def previews(world: World) -> list[Body]:
    bodies = world.store.list_("Environment", SPACE, project="shop")
    return [body for body in bodies if Environment(body).is_preview]


async def test_two_hundred_previews_are_made_and_the_next_is_refused_with_what_to_do() -> None:
    world = with_previews()
    for number in range(200):
        await world.look(ask(world, f"pr-{number}"))
    assert len(previews(world)) == 200
    world.store.set_status(key_of("pr-7"), expiresAt="2026-11-24T08:00:00Z")
    one_more = ask(world, "pr-200")
    await world.look(one_more)
    status = world.record(one_more).status
    assert (status.phase, status.reason, len(previews(world))) == ("Failed", "TooManyPreviews", 200)
    assert status.message.startswith(
        "project shop has 200 previews and may have 200, the next of them ends at 2026-11-24"
    )
    assert status.message.endswith("expire or delete one, or raise spec.preview.max")
    assert max(len(json.dumps(body)) for body in previews(world)) < 8 * 1024


async def test_a_preview_that_exists_is_deployed_to_however_many_there_are() -> None:
    world = with_previews(max=1)
    await world.until_ended(ask(world, "pr-1"))
    again = world.ask("op-again", environment="pr-1")
    await world.until_ended(again)
    assert world.phase(again) == "Succeeded"


async def test_a_preview_that_is_being_deleted_makes_place_for_another() -> None:
    world = with_previews(max=1)
    await world.until_ended(ask(world, "pr-1"))
    world.store.remove(key_of("pr-1"))
    second = ask(world, "pr-2")
    await world.until_ended(second)
    assert world.phase(second) == "Succeeded"


async def test_two_looks_at_once_do_not_both_take_the_last_place() -> None:
    world = with_previews(max=1)
    keys = [ask(world, f"pr-{number}") for number in range(3)]
    await asyncio.gather(*(world.look(key) for key in keys))
    assert len(previews(world)) == 1
    assert sorted(world.record(key).status.reason for key in keys) == ["EnvironmentNotFound", *["TooManyPreviews"] * 2]


async def test_declared_environments_do_not_count() -> None:
    world = with_previews(max=1)
    world.add_environment("beta")
    await world.look(ask(world, "pr-1"))
    assert [body["metadata"]["name"] for body in previews(world)] == ["shop--pr-1"]


async def test_each_preview_has_a_domain_and_a_namespace_of_its_own() -> None:
    world = with_previews(domain="{environment}.{project}.example.com", namespace="pr-{project}-{environment}")
    keys = [ask(world, name) for name in ("pr-1", "pr-2")]
    await world.until_ended(*keys)
    assert [world.phase(key) for key in keys] == ["Succeeded", "Succeeded"]
    specs = [body["spec"] for body in previews(world)]
    assert [spec["domain"] for spec in specs] == ["pr-1.shop.example.com", "pr-2.shop.example.com"]
    assert [spec["namespace"] for spec in specs] == ["pr-shop-pr-1", "pr-shop-pr-2"]
    assert all("max" not in spec for spec in specs)


async def test_previews_with_one_domain_for_all_wait_for_a_person_with_the_owner_named() -> None:
    world = with_previews(domain="example.com")
    first, second = ask(world, "pr-1"), ask(world, "pr-2")
    await world.until_ended(first)
    await world.go_on(second, seconds=300)
    status = world.record(second).status
    assert status.waiting_for == "A api belongs to Environment/devops/shop--pr-1 of cluster-1"
    assert {stage.reason for stage in status.stages if stage.remedy} == {"NameTaken"}


async def test_names_that_make_no_valid_environment_end_the_deployment_with_the_field() -> None:
    world = with_previews(namespace="a-namespace-that-is-too-long-with-names-{environment}-of-it")
    key = ask(world, "a-long-preview-name1")
    await world.look(key)
    assert world.end_of(key) == ("Failed", "InvalidSpec")
    assert "makes no environment a-long-preview-name1: spec.namespace" in world.record(key).status.message


async def test_each_preview_goes_at_its_end_and_leaves_nothing() -> None:
    world = with_previews()
    keys = [ask(world, f"pr-{number}") for number in range(4)]
    await world.until_ended(*keys, every=30)
    assert len(world.outside.argo.applications) == 4
    world.clock.advance(TTL.total_seconds())
    await world.go_on(*(key_of(f"pr-{number}") for number in range(4)), seconds=120, every=10)
    assert (previews(world), world.outside.argo.applications, world.outside.dns.records) == ([], {}, [])


async def test_a_preview_whose_deployment_failed_goes_too() -> None:
    world = with_previews()
    world.outside.jenkins.results["api"] = [BuildState.FAILED]
    record = ask(world, "pr-1")
    await world.until_ended(record)
    await world.look(key_of("pr-1"))
    environment = Environment(previews(world)[0])
    assert (world.phase(record), environment.status.expires_at) == ("Failed", world.clock.now() + TTL)
    world.clock.advance(TTL.total_seconds())
    await world.go_on(key_of("pr-1"), seconds=60)
    assert previews(world) == []


async def test_a_preview_that_was_never_deployed_to_goes_too() -> None:
    world = with_previews()
    record = ask(world, "pr-1")
    await world.look(record)
    world.store.edit(record, cancel=True)
    await world.look(record)
    assert await world.look(key_of("pr-1")) is not None
    assert Environment(previews(world)[0]).status.expires_at == world.clock.now() + TTL
    world.clock.advance(TTL.total_seconds())
    await world.go_on(key_of("pr-1"), seconds=60)
    assert previews(world) == []


async def test_a_preview_does_not_end_while_a_deployment_waits_for_what_it_needs() -> None:
    world = with_previews(ttl="1h")
    world.store.vanish(Key("JenkinsSettings", SPACE, "shop"))
    record = ask(world, "pr-1")
    await world.go_on(record, key_of("pr-1"), seconds=7200, every=600)
    assert (len(previews(world)), Environment(previews(world)[0]).status.expires_at) == (1, None)
    world.store.edit(record, cancel=True)
    await world.look(record)
    await world.look(key_of("pr-1"))
    assert Environment(previews(world)[0]).status.expires_at == world.clock.now() + timedelta(hours=1)


async def test_an_empty_preview_can_be_expired_by_hand() -> None:
    world = with_previews(ttl="300d")
    record = ask(world, "pr-1")
    await world.look(record)
    world.store.edit(record, cancel=True)
    await world.look(record)
    await world.look(key_of("pr-1"))
    world.store.annotate(key_of("pr-1"), expire="now")
    await world.go_on(key_of("pr-1"), seconds=60)
    assert previews(world) == []


async def test_what_an_expiry_left_in_a_preview_does_not_make_it_expire_again() -> None:
    world = with_previews()
    record = ask(world, "pr-1")
    await world.look(record)
    world.store.edit(record, cancel=True)
    await world.look(record)
    world.store.set_status(key_of("pr-1"), phase=EnvironmentPhase.EXPIRED)
    await world.look(key_of("pr-1"))
    assert Environment(previews(world)[0]).status.expires_at is None
