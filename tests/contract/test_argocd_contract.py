"""Every request of the Argo CD client, and what the simulator answers, against the official description."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from reconciler.clients.argocd import ArgoCD as Client
from reconciler.domain.errors import AlreadyExists, Busy, Conflict, ReconcilerError, Refused, Unavailable
from reconciler.domain.outside.applications import ImageSetting
from reconciler.domain.outside.builds import GitLogin
from reconciler.sandbox.argocd import ArgoCD
from support.argocd import (
    DIGEST,
    GIT,
    IMAGE,
    NAME,
    NONE,
    OURS,
    PROJECT,
    SHAPE,
    connected,
    gone,
    has_settled,
    until,
)
from support.contracts import Contract, Deviation, Recorder, recording

CONTRACT = Contract(
    "argocd-swagger.json",
    deviations=(
        Deviation("GET /api/v1/applications", "response", "/items", "FACTS 1.5: items may be null", says="None"),
        Deviation(
            "POST /api/v1/applications/{name}/sync",
            "request",
            "/sourcePositions/*",
            "FACTS 1.1: JSON is Go's, int64 is a number; the description says string",
        ),
    ),
)


@pytest.fixture
async def server() -> AsyncIterator[ArgoCD]:
    simulator = ArgoCD(pickup_seconds=0.05)
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def recorder(server: ArgoCD) -> AsyncIterator[Recorder]:
    async with recording(server.url) as found:
        yield found
    CONTRACT.check(found.exchanges)


@pytest.fixture
async def client(recorder: Recorder) -> AsyncIterator[Client]:
    async with connected(recorder.url, is_by_password=True) as connection:
        yield connection


async def test_projects_and_version_are_asked_for_as_described(client: Client) -> None:
    await client.version()
    assert await client.find_project("shop") is None
    await client.create_project(PROJECT, OURS)
    with pytest.raises(AlreadyExists):
        await client.create_project(replace(PROJECT, description="other"), OURS)
    await client.update_project(PROJECT, OURS)
    await client.delete_project("shop")
    await client.delete_project("shop")


async def test_repositories_are_asked_for_as_described(client: Client, server: ArgoCD) -> None:
    assert await client.find_repository(GIT, "shop") is None
    await client.apply_repository(GIT, GitLogin("g", "bot", "secret"), "shop")
    await client.apply_repository(GIT, GitLogin("g", ssh_private_key="key"), "shop")
    assert await client.find_repository(GIT, "shop")
    assert await client.find_repository(GIT, "other") is None
    await client.delete_repository(GIT, "shop")
    server.break_repository(GIT)
    with pytest.raises(Refused):
        await client.apply_repository(GIT, None, "")


async def test_the_life_of_an_application_is_asked_for_as_described(client: Client, server: ArgoCD) -> None:
    await client.create_project(PROJECT, OURS)
    assert await client.list_applications() == ()
    assert await client.find_application("shop", NAME) is None
    await client.create_application(SHAPE, OURS, IMAGE, "e/1")
    newer = ImageSetting({"image.tag": f"new@{DIGEST}"}, (f"api=acme/api@{DIGEST}",), "main")
    await client.set_image("shop", NAME, newer, expected_epoch="e/1", epoch="e/2")
    wanted = replace(SHAPE, self_heal=True, sync_options=("PruneLast=true",))
    await client.reshape("shop", NAME, wanted, OURS, expected_epoch="e/2", epoch="e/3")
    await client.start_sync("shop", NAME, "r", revision="main", prune=True)
    with pytest.raises(Busy):
        await client.start_sync("shop", NAME, "r", revision=None, prune=True)
    assert await client.terminate("shop", NAME) is False
    await until(client, has_settled)
    await client.refresh("shop", NAME)
    assert len(await client.list_applications(["shop"])) == 1
    await client.delete_application("shop", NAME)
    await gone(client)


async def test_refusals_come_as_described(client: Client, server: ArgoCD) -> None:
    await client.create_project(PROJECT, OURS)
    await client.create_application(SHAPE, OURS, NONE, "e/1")
    server.break_git()
    with pytest.raises(Unavailable):
        await client.start_sync("shop", NAME, "r", revision=None, prune=True)
    with pytest.raises(Conflict):
        await client._patch("shop", NAME, [{"op": "test", "path": "/spec/project", "value": "x"}], "json", operation="")
    server.deny_project("shop")
    with pytest.raises(Refused):
        await client.find_application("shop", NAME)


async def test_a_running_operation_is_ended_as_described(client: Client, server: ArgoCD) -> None:
    server.retry_once(NAME)
    server.controller.pace = replace(server.controller.pace, retry=60)
    await client.create_project(PROJECT, OURS)
    await client.create_application(SHAPE, OURS, NONE, "e/1")
    await client.start_sync("shop", NAME, "r", revision=None, prune=True)
    await until(client, lambda found: found.operation is not None and found.operation.is_retrying)
    assert await client.terminate("shop", NAME)
    await until(client, has_settled)


async def test_the_stream_is_as_described(client: Client, server: ArgoCD, recorder: Recorder) -> None:
    await client.create_project(PROJECT, OURS)
    await client.create_application(SHAPE, OURS, IMAGE, "e/1")
    async with asyncio.timeout(5), aclosing(client.watch_applications(["shop"])) as events:
        await anext(events)
        await client.start_sync("shop", NAME, "r", revision=None, prune=True)
        await until(client, has_settled)
        server.stream.cut_all()
        with pytest.raises(ReconcilerError):
            [event async for event in events]
    assert any("stream" in exchange.path for exchange in recorder.exchanges)
