"""Kopf in its shell against the API in this process: what it sees, and what it survives."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from reconciler.agenda.resync import Resync
from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.clients.kubernetes.credentials import TokenFile
from reconciler.domain.health import Condition
from reconciler.domain.keys import SECRET, Key
from reconciler.operator.cache import Cache
from reconciler.operator.login import KopfCall
from reconciler.operator.shell import Shell
from support.clusters import BOAT, CREW, a_boat, a_cluster, define, until
from support.shells import QUICK, World, a_world, key


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world() as made:
        await made.shell.watching()
        yield made


async def test_what_was_there_before_and_what_comes_later_is_remembered() -> None:
    async with a_cluster(BOAT) as (api, client):
        await client.create(BOAT, "default", a_boat("before"))
        cache = Cache()
        shell = Shell(Credentials(server=api.url, token=api.token), cache, [BOAT], tuning=QUICK)
        running = asyncio.create_task(shell.run())
        await shell.watching()
        await client.create(BOAT, "default", a_boat("later"))

        await until(lambda: cache.count("Boat") == 2)
        await shell.stop()
        await running


async def test_changes_and_deletions_are_seen(world: World) -> None:
    await world.create()
    await until(world.knows)

    await world.client.patch_status(BOAT, "default", "a", {"status": {"phase": "x"}}, None)
    await until(lambda: (world.cache.read(key()) or {}).get("status") == {"phase": "x"})
    await world.client.delete(BOAT, "default", "a")
    await until(lambda: not world.knows())

    assert world.changes[-1].after is None


async def test_kopf_writes_nothing(world: World) -> None:
    await world.create()
    await until(world.knows)
    await world.client.delete(BOAT, "default", "a")
    await until(lambda: not world.knows())

    assert {call.verb for call in world.calls} == {"GET"}


async def test_its_state_says_that_it_watches(world: World) -> None:
    state = world.shell.state()

    assert (state.state, state.detail) == (Condition.OK, "1 watches")
    assert state.since is not None


async def test_an_outage_longer_than_kopfs_patience_kills_it_and_it_lives_again(world: World) -> None:
    world.api.faults.fail_next(100_000, 503)
    world.api.faults.cut_watches()
    await until(lambda: world.shell.deaths >= 2)
    outage = world.shell.state()
    world.api.faults._failures.clear()

    await world.create()
    await until(world.knows)
    await world.shell.watching()

    assert outage.state in {Condition.FAILED, Condition.DEGRADED}
    assert world.shell.state().state is Condition.OK


async def test_an_outage_shorter_than_its_patience_kills_nothing() -> None:
    async with a_world(tuning=replace(QUICK, patience=timedelta(seconds=30))) as world:
        await world.shell.watching()
        world.api.faults.fail_next(5, 503)
        world.api.faults.cut_watches()
        await until(lambda: world.shell.state().state is Condition.DEGRADED)
        await until(lambda: world.shell.state().state is Condition.OK)

        assert world.shell.deaths == 0


async def test_an_api_that_cannot_be_reached_is_shown_and_waited_for(world: World) -> None:
    world.api.faults.down = True
    await until(lambda: world.shell.state().state is Condition.DEGRADED)
    detail = world.shell.state().detail
    world.api.faults.down = False

    await world.create()
    await until(world.knows)

    assert "does not answer as it should: " in detail


async def test_an_expired_watch_is_begun_again_with_a_list(world: World) -> None:
    world.api.faults.expire_watches()
    await world.create()

    await until(world.knows)


async def test_cut_watches_are_opened_again(world: World) -> None:
    for number in range(3):
        world.api.faults.cut_watches()
        await world.create(f"b{number}")

    await until(lambda: world.cache.count("Boat") == 3)


async def test_a_cut_line_costs_at_most_a_life(world: World) -> None:
    world.api.faults.cut_line()
    await world.create("half")
    await until(lambda: world.knows("half"))
    await world.create("whole")

    await until(lambda: world.knows("whole"))


async def test_an_api_in_trouble_is_lived_through(world: World) -> None:
    world.api.faults.fail_next(8, 500)
    world.api.faults.cut_watches()
    await until(lambda: not world.api.faults._failures)
    await world.create()

    await until(world.knows)


async def test_a_deletion_that_no_watch_told_of_is_found_by_the_resync(world: World) -> None:
    await world.create("gone")
    await world.create("stays")
    await until(lambda: world.cache.count("Boat") == 2)
    resync = Resync(world.client, world.cache, [BOAT], namespaces=["default"])
    await world.shell.stop()
    await world.client.delete(BOAT, "default", "gone")

    found = await resync.once()

    assert (found.gone, found.different) == (1, 0)
    assert not world.knows("gone")
    assert world.changes[-1].key == key("gone")


async def test_each_life_that_watches_is_told_of_so_that_a_resync_may_follow() -> None:
    lives: list[int] = []
    async with a_world(began=lambda: lives.append(1)) as world:
        await until(lambda: len(lives) == 1)
        world.api.faults.fail_next(100_000, 503)
        world.api.faults.cut_watches()
        await until(lambda: world.shell.deaths >= 1)
        world.api.faults._failures.clear()

        await until(lambda: len(lives) == 2)


async def test_a_kind_that_is_missing_is_named_and_watched_once_it_is_there() -> None:
    tuning = replace(QUICK, watching_within=timedelta(seconds=1))
    async with a_world(BOAT, CREW, defined=(BOAT,), tuning=tuning) as world:
        await until(lambda: world.shell.deaths >= 1)
        assert "crews" in world.shell._supervisor.last_death
        await define(world.client, CREW)

        await world.shell.watching()


async def test_every_namespace_is_watched_when_none_is_named() -> None:
    async with a_world(namespaces=[]) as world:
        await world.shell.watching()
        await world.client.create(BOAT, "kube-system", a_boat(metadata={"namespace": "kube-system"}))

        await until(lambda: world.cache.read(Key("Boat", "kube-system", "a")) is not None)


async def test_a_refused_token_is_not_asked_with_in_a_hot_loop() -> None:
    async with a_cluster(BOAT) as (api, _):
        calls: list[KopfCall] = []
        shell = Shell(Credentials(server=api.url, token="wrong"), Cache(), [BOAT], tuning=QUICK, observe=calls.append)
        running = asyncio.create_task(shell.run())
        await until(lambda: shell.deaths >= 1)
        await shell.stop()
        await running

        assert len(calls) < 100


async def test_a_renewed_token_costs_no_life(tmp_path: Path) -> None:
    async with a_cluster(BOAT) as (api, _):
        token = tmp_path / "token"
        token.write_text(api.token)
        cache = Cache()
        shell = Shell(Credentials(server=api.url, token_file=TokenFile(token)), cache, [BOAT], tuning=QUICK)
        running = asyncio.create_task(shell.run())
        await shell.watching()

        api.token = "renewed"
        token.write_text("renewed")
        api.faults.cut_watches()
        renewed = Kubernetes(Credentials(server=api.url, token=api.token))
        await renewed.create(BOAT, "default", a_boat())
        await until(lambda: cache.count("Boat") == 1)
        await renewed.close()
        await shell.stop()
        await running

        assert shell.deaths == 0


async def test_secrets_are_watched_and_only_their_versions_kept() -> None:
    async with a_world(BOAT, SECRET, defined=(BOAT,)) as world:
        await world.shell.watching()
        await world.client.create(SECRET, "default", {"metadata": {"name": "s"}, "stringData": {"token": "hunter2"}})
        await until(lambda: world.cache.count("Secret") == 1)

        kept = world.cache.read(Key("Secret", "default", "s"))
        assert "hunter2" not in str(kept)
        assert "aHVudGVyMg" not in str(kept)


async def test_stopping_is_quick_and_our_signal_handlers_are_put_back() -> None:
    installed: list[int] = []
    async with a_world(install_signals=lambda: installed.append(1)) as world:
        await world.shell.watching()
        async with asyncio.timeout(5):
            await world.shell.stop()

    assert installed == [1]


async def test_a_burst_uses_a_bounded_number_of_connections_and_loses_nothing(world: World) -> None:
    await asyncio.gather(*(world.create(f"b{number}") for number in range(200)))

    await until(lambda: world.cache.count("Boat") == 200)
    assert world.count("GET") < 50
