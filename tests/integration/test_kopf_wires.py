"""Each measured trap of Kopf on the wire to the API server: what is cut, delayed, frozen or refused loses nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reconciler.agenda.resync import Resync
from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.clients.kubernetes.credentials import TokenFile
from reconciler.domain.errors import OutcomeUnknown
from reconciler.domain.health import Condition
from reconciler.domain.keys import CUSTOM_RESOURCE_DEFINITION
from reconciler.operator.cache import Change
from support.clusters import BOAT, a_boat, a_cluster, define, until
from support.meddler import Meddle, Meddler, Once, status
from support.proxy import CuttableLine
from support.shells import QUICK, World, a_world, key

BOATS = BOAT.path("default")


def is_list(request: web.BaseRequest) -> bool:
    return request.path == BOATS and request.method == "GET" and "watch" not in request.query


def is_watch(request: web.BaseRequest) -> bool:
    return request.path == BOATS and "watch" in request.query


@asynccontextmanager
async def behind(meddle: Meddle, *before: str, **options: Any) -> AsyncIterator[World]:
    """Run a shell that sees its API server through somebody who meddles; `before` are there from the beginning."""
    async with a_cluster(BOAT) as (api, client), Meddler(api.url) as meddler:
        for name in before:
            await client.create(BOAT, "default", a_boat(name))
        meddler.meddle = meddle
        async with a_world(cluster=(api, client), server=meddler.url, **options) as world:
            yield world


@asynccontextmanager
async def over_a_line(**options: Any) -> AsyncIterator[tuple[World, CuttableLine]]:
    """Run a shell whose connections to its API server can be frozen and counted."""
    async with a_cluster(BOAT) as (api, client):
        line = CuttableLine(api.url)
        await line.start()
        try:
            async with a_world(cluster=(api, client), server=line.url, **options) as world:
                yield world, line
        finally:
            await line.stop()


async def cut_in_the_middle(request: web.BaseRequest) -> web.StreamResponse:
    """Answer with half of what was promised."""
    answer = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "4096"})
    await answer.prepare(request)
    await answer.write(b'{"kind": "BoatList", "items": [{"metadata": ')
    assert request.transport is not None
    request.transport.abort()
    return answer


async def streamed(request: web.BaseRequest, *events: dict[str, Any]) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    for event in events:
        await answer.write(json.dumps(event).encode() + b"\n")
    return answer


async def test_a_list_that_is_cut_is_read_again_as_a_whole() -> None:
    meddle = Once(is_list, cut_in_the_middle)
    async with behind(meddle, "a", "b", "c") as world:
        await until(lambda: world.cache.count("Boat") == 3)

    assert meddle.happened


async def test_a_page_that_expired_ends_a_life_and_the_next_sees_everything() -> None:
    async def expired(request: web.BaseRequest) -> web.StreamResponse:
        return web.json_response(status(410, "Expired"), status=410)

    meddle = Once(lambda request: "continue" in request.query, expired)
    async with behind(meddle, *"abcde", tuning=replace(QUICK, page=2)) as world:
        await until(lambda: world.cache.count("Boat") == 5)
        await world.shell.watching()
        await world.create("later")
        await until(lambda: world.knows("later"))

    assert meddle.happened


@pytest.mark.parametrize("code", [410, 500, 504])
async def test_an_error_in_the_stream_costs_at_most_a_life(code: int) -> None:
    async def ends_badly(request: web.BaseRequest) -> web.StreamResponse:
        return await streamed(request, {"type": "ERROR", "object": status(code, "Any")})

    meddle = Once(is_watch, ends_badly)
    async with behind(meddle, "before") as world:
        await until(lambda: meddle.happened)
        await world.create("later")
        await until(lambda: world.knows("later") and world.knows("before"))


async def test_what_is_said_to_be_gone_without_a_deletion_is_found_again_by_the_resync() -> None:
    async with a_cluster(BOAT) as (api, client), Meddler(api.url) as meddler:
        boat = await client.create(BOAT, "default", a_boat("a"))

        async def says_it_left(request: web.BaseRequest) -> web.StreamResponse:
            return await streamed(request, {"type": "DELETED", "object": boat})

        meddler.meddle = Once(is_watch, says_it_left)
        async with a_world(cluster=(api, client), server=meddler.url) as world:
            await until(lambda: bool(world.changes) and world.changes[-1].after is None)
            await Resync(client, world.cache, [BOAT], namespaces=["default"]).once()

            assert world.knows()


@pytest.mark.parametrize("namespaces", [[], ["default"]], ids=["all", "named"])
async def test_an_api_that_lists_no_namespaces_and_no_definitions_is_no_obstacle(namespaces: list[str]) -> None:
    async def forbidden(request: web.BaseRequest) -> web.StreamResponse | None:
        if request.path.rpartition("/")[2] not in {"namespaces", "customresourcedefinitions"}:
            return None
        return web.json_response(status(403, "Forbidden"), status=403)

    async with behind(forbidden, "a", namespaces=namespaces) as world:
        await world.shell.watching()
        await until(world.knows)


async def test_a_kind_that_may_not_be_listed_is_told_and_not_waited_for_in_silence() -> None:
    may_list: list[str] = []

    async def forbidden(request: web.BaseRequest) -> web.StreamResponse | None:
        return None if may_list or request.path != BOATS else web.json_response(status(403, "Forbidden"), status=403)

    async with behind(forbidden, "a") as world:
        await until(lambda: "403" in world.shell.state().detail)
        assert world.shell.state().state is not Condition.OK
        may_list.append("from now on")

        await until(world.knows)


async def test_a_definition_that_was_removed_and_came_back_is_watched_again() -> None:
    async with a_world() as world:
        await world.shell.watching()
        await world.client.delete(CUSTOM_RESOURCE_DEFINITION, "", f"{BOAT.plural}.{BOAT.group}")
        await until(lambda: world.shell.deaths > 0)
        assert world.shell.state().state is not Condition.OK
        await define(world.client, BOAT)
        await world.create()

        await until(world.knows)


async def test_a_watch_on_a_dead_connection_is_given_up_for_a_new_one() -> None:
    tuning = replace(QUICK, silence=timedelta(seconds=0.5))
    async with over_a_line(tuning=tuning) as (world, line):
        await world.shell.watching()
        line.freeze()
        await world.create()

        await until(world.knows)


async def test_slow_answers_lose_nothing() -> None:
    async with a_world() as world:
        world.api.faults.latency = 0.1
        await asyncio.gather(*(world.create(f"b{number}") for number in range(10)))
        world.api.faults.cut_watches()
        await world.create("later")

        await until(lambda: world.cache.count("Boat") == 11)


async def test_a_burst_opens_no_connection_per_object() -> None:
    async with over_a_line() as (world, line):
        await world.shell.watching()
        before = line.opened
        await asyncio.gather(*(world.create(f"b{number}") for number in range(100)))
        await until(lambda: world.cache.count("Boat") == 100)

        assert line.opened - before < 5


async def test_a_token_renewed_under_load_loses_nothing(tmp_path: Path) -> None:
    token = tmp_path / "token"
    async with a_cluster(BOAT) as (api, _):
        token.write_text(api.token)
        renewing = Credentials(server=api.url, token_file=TokenFile(token))
        client = Kubernetes(renewing)
        async with a_world(cluster=(api, client), credentials=renewing) as world:
            await world.shell.watching()
            for life in range(4):
                api.token = f"token-{life}"
                token.write_text(api.token)
                api.faults.cut_watches()
                await asyncio.gather(*(world.create(f"b{life}-{number}") for number in range(25)))

            await until(lambda: world.cache.count("Boat") == 100)
            deaths = world.shell.deaths
        await client.close()

    assert deaths == 0


async def test_a_cancellation_that_leaks_from_a_listener_costs_one_event_at_most() -> None:
    leaks = [True]

    def leak(_: Change) -> None:
        if leaks.pop() if leaks else False:
            raise asyncio.CancelledError

    async with a_world() as world:
        await world.shell.watching()
        world.cache.subscribe(leak)
        await world.create("a")
        await until(lambda: not leaks)
        await world.client.patch_status(BOAT, "default", "a", {"status": {"phase": "x"}}, None)
        await until(lambda: (world.cache.read(key("a")) or {}).get("status") == {"phase": "x"})
        await world.create("b")

        await until(lambda: world.knows("b"))


async def test_a_write_whose_answer_is_lost_is_unknown_and_seen_by_the_watch() -> None:
    async with over_a_line() as (world, line):
        await world.shell.watching()
        created = await world.create()
        async with a_client(line.url, world.api.token) as client:
            line.hold_answers()
            version = created["metadata"]["resourceVersion"]
            writing = asyncio.create_task(
                client.patch_status(BOAT, "default", "a", {"status": {"phase": "applied"}}, version)
            )
            await until(lambda: is_applied(world.client))
            line.cut()

            with pytest.raises(OutcomeUnknown):
                await writing
        await until(lambda: (world.cache.read(key()) or {}).get("status") == {"phase": "applied"})


async def is_applied(client: Kubernetes) -> bool:
    return "status" in await client.get(BOAT, "default", "a")


@asynccontextmanager
async def a_client(server: str, token: str) -> AsyncIterator[Kubernetes]:
    client = Kubernetes(Credentials(server=server, token=token))
    yield client
    await client.close()
