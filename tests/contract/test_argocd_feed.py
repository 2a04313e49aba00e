"""The feed over the real client: many wait on one stream and one list, through cuts and outages."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.clients import feeds
from reconciler.clients.argocd import ArgoCD as Client
from reconciler.clients.feeds import ApplicationFeed
from reconciler.clients.jenkins import Jenkins
from reconciler.domain.outside.applications import Application
from reconciler.projects.argocd import ArgoProjects
from reconciler.resilience.backoff import Backoff
from reconciler.sandbox.argocd import ArgoCD
from reconciler.sandbox.weather import Weather
from support.argocd import IMAGE, NAME, OURS, PROJECT, SHAPE, connected

QUICK = Backoff(first=timedelta(milliseconds=20), longest=timedelta(milliseconds=50))
STREAM, LIST = "GET /api/v1/stream/applications", "GET /api/v1/applications"


def married(client: Client, jenkins: Jenkins) -> tuple[feeds.Applications, ArgoProjects, feeds.Builds]:
    """Let mypy say that the clients fit the ports."""
    return client, client, jenkins


@pytest.fixture
async def server() -> AsyncIterator[ArgoCD]:
    simulator = ArgoCD(sync_seconds=0.05)
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def client(server: ArgoCD) -> AsyncIterator[Client]:
    async with connected(server.url) as connection:
        await connection.create_project(PROJECT, OURS)
        await connection.create_application(SHAPE, OURS, IMAGE, "e/1")
        yield connection


@pytest.fixture
async def feed(client: Client) -> AsyncIterator[ApplicationFeed]:
    found = ApplicationFeed(client, backoff=QUICK, list_every=timedelta(seconds=0.5))
    await found.start()
    found.want(NAME, datetime.now(UTC) + timedelta(minutes=5))
    yield found
    await found.stop()


class Changes:
    """Waits for what a feed tells."""

    def __init__(self, feed: ApplicationFeed) -> None:
        self.feed = feed
        self.told = asyncio.Event()
        feed.subscribe(lambda _: self.told.set())

    async def until_synced(self, request_id: str) -> Application:
        async with asyncio.timeout(10):
            while True:
                found, _ = self.feed.latest(NAME)
                if found and found.operation and found.operation.request_id == request_id and found.images:
                    return found
                self.told.clear()
                await self.told.wait()


async def test_a_wait_costs_no_request(client: Client, server: ArgoCD, feed: ApplicationFeed) -> None:
    changes = Changes(feed)
    await client.start_sync("shop", NAME, "r-1", revision=None, prune=True)
    reads = server.requests["GET /api/v1/applications/{name}"]
    await changes.until_synced("r-1")
    assert server.requests["GET /api/v1/applications/{name}"] == reads
    assert server.requests[STREAM] == 1


async def test_a_cut_stream_loses_nothing(client: Client, server: ArgoCD, feed: ApplicationFeed) -> None:
    changes = Changes(feed)
    await client.start_sync("shop", NAME, "r-1", revision=None, prune=True)
    await changes.until_synced("r-1")
    server.stream.cut_all()
    await client.start_sync("shop", NAME, "r-2", revision=None, prune=True)
    await changes.until_synced("r-2")
    assert server.requests[STREAM] > 1


async def test_flapping_weather_delays_and_ends_nothing(client: Client, server: ArgoCD, feed: ApplicationFeed) -> None:
    changes = Changes(feed)
    await client.start_sync("shop", NAME, "r-1", revision=None, prune=True)
    server.faults.weather = Weather.FLAPPING
    server.stream.cut_all()
    await changes.until_synced("r-1")


async def test_a_deleted_application_is_told_and_forgotten(
    client: Client, server: ArgoCD, feed: ApplicationFeed
) -> None:
    other = replace(SHAPE, name="shop--alpha--web")
    changes = Changes(feed)
    await client.create_application(other, OURS, IMAGE, "e/1")
    async with asyncio.timeout(5):
        while feed.latest(other.name)[0] is None:
            await changes.told.wait()
            changes.told.clear()
        await client.delete_application("shop", other.name)
        while feed.latest(other.name)[0] is not None:
            await changes.told.wait()
            changes.told.clear()
