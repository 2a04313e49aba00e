"""Feeds: one stream and one list for all who wait, only while somebody waits, through outages."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf

import pytest

from reconciler.clients.feeds import ApplicationFeed, BuildFeed, Key, _Feed
from reconciler.domain.errors import Unavailable
from reconciler.domain.outside.applications import Application, ApplicationShape, Health, ImageSetting, SyncState
from reconciler.domain.outside.builds import Build, BuildKey, BuildState
from reconciler.resilience.backoff import Backoff

pytestmark = pytest.mark.looptime

EPOCH = datetime(2026, 11, 23, tzinfo=UTC)
STEADY = Backoff(first=timedelta(seconds=4), longest=timedelta(seconds=4), floor=timedelta(seconds=4))
KEY = BuildKey("op-1", "api", "abc-1")


class LoopClock:
    """The loop's own, virtual time."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.monotonic())


CLOCK = LoopClock()


def application(name: str, version: int, health: Health = Health.HEALTHY) -> Application:
    return Application(
        shape=ApplicationShape(name, "shop", "https://git.example/x", "main"),
        marker=None,
        epoch="",
        image=ImageSetting(),
        is_operation_requested=False,
        operation=None,
        reconciled_at=None,
        sync=SyncState.SYNCED,
        health=health,
        resource_version=str(version),
    )


class Server:
    """A server whose list and stream a test fills."""

    def __init__(self, *applications: Application) -> None:
        self.there = {each.shape.name: each for each in applications}
        self.lists = self.streams = self.open_streams = 0
        self.is_down = False
        self.list_takes = 0.0
        self.events: asyncio.Queue[Application | str | Exception] = asyncio.Queue()

    async def list_applications(self) -> tuple[Application, ...]:
        self.lists += 1
        found = tuple(self.there.values())
        await asyncio.sleep(self.list_takes)
        if self.is_down:
            raise Unavailable("down")
        return found

    async def watch_applications(self) -> AsyncGenerator[Application | str, None]:
        self.streams += 1
        self.open_streams += 1
        try:
            while True:
                event = await self.events.get()
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.open_streams -= 1


class Jenkins:
    """A build server whose list a test fills."""

    def __init__(self) -> None:
        self.builds: tuple[Build, ...] = ()
        self.lists = 0
        self.is_down = False

    async def list_builds(self, folder: str) -> tuple[Build, ...]:
        self.lists += 1
        if self.is_down:
            raise Unavailable("down", retry_after=timedelta(seconds=30))
        return self.builds


def applications(server: Server) -> ApplicationFeed:
    return ApplicationFeed(server, clock=CLOCK, backoff=STEADY)


def builds(server: Jenkins) -> BuildFeed:
    return BuildFeed(server, "shop", clock=CLOCK, backoff=STEADY)


@asynccontextmanager
async def running(feed: _Feed[Key], *wanted: Key, seconds: float = 3600) -> AsyncIterator[list[Key]]:
    """Run a feed while somebody waits; the list has what it told."""
    told: list[Key] = []
    feed.subscribe(told.append)
    await feed.start()
    for key in wanted:
        feed.want(key, CLOCK.now() + timedelta(seconds=seconds))
    try:
        await asyncio.sleep(0.1)
        yield told
    finally:
        await feed.stop()


async def test_nothing_is_asked_while_nobody_waits() -> None:
    server = Server(application("a", 1))
    feed = applications(server)
    async with running(feed):
        await asyncio.sleep(300)
        assert (server.lists, server.streams) == (0, 0)
        assert feed.latest("a") == (None, inf)


async def test_a_hundred_who_wait_cost_one_stream_and_one_list_a_minute() -> None:
    names = [f"a{n}" for n in range(100)]
    server = Server(*(application(name, 1) for name in names))
    async with running(applications(server), *names) as told:
        await asyncio.sleep(179)
        assert (server.lists, server.streams) == (3, 1)
        assert sorted(told) == sorted(names)


async def test_a_change_is_told_once_and_known_at_once() -> None:
    server = Server(application("a", 1))
    feed = applications(server)
    async with running(feed, "a") as told:
        told.clear()
        server.events.put_nowait(application("a", 2, Health.DEGRADED))
        server.events.put_nowait(application("a", 3, Health.DEGRADED))
        await asyncio.sleep(1)
        found, age = feed.latest("a")
        assert found is not None
        assert (found.health, found.resource_version, told) == (Health.DEGRADED, "3", ["a"])
        assert age == pytest.approx(1)


async def test_an_older_event_never_replaces_a_newer_one() -> None:
    server = Server(application("a", 9))
    feed = applications(server)
    async with running(feed, "a"):
        server.events.put_nowait(application("a", 2, Health.DEGRADED))
        await asyncio.sleep(1)
        found, _ = feed.latest("a")
        assert found == application("a", 9)


async def test_the_list_finds_what_the_stream_missed() -> None:
    server = Server(application("a", 1), application("b", 1))
    feed = applications(server)
    async with running(feed, "a") as told:
        told.clear()
        server.there = {"a": application("a", 5, Health.DEGRADED)}
        await asyncio.sleep(60)
        found, _ = feed.latest("a")
        assert found is not None
        assert found.health is Health.DEGRADED
        assert feed.latest("b")[0] is None
        assert sorted(told) == ["a", "b"]


async def test_a_slow_list_brings_back_nothing_that_went_meanwhile() -> None:
    server = Server(application("a", 1))
    server.list_takes = 10
    feed = applications(server)
    async with running(feed, "a"):
        server.events.put_nowait(application("a", 1))
        server.events.put_nowait(application("new", 7))
        server.events.put_nowait("a")
        await asyncio.sleep(15)
        assert feed.latest("a")[0] is None
        assert feed.latest("new")[0] is not None


async def test_a_cut_stream_is_opened_again_with_a_list() -> None:
    server = Server(application("a", 1))
    feed = applications(server)
    async with running(feed, "a"):
        server.events.put_nowait(Unavailable("cut"))
        await asyncio.sleep(1)
        assert (server.open_streams, feed.problem) == (0, "cut")
        await asyncio.sleep(4)
        assert (server.streams, server.open_streams, server.lists) == (2, 1, 2)
        assert feed.problem == ""


async def test_an_outage_is_lived_through_with_growing_age() -> None:
    server = Server(application("a", 1))
    feed = applications(server)
    async with running(feed, "a"):
        server.is_down = True
        server.events.put_nowait(Unavailable("cut"))
        await asyncio.sleep(120)
        found, age = feed.latest("a")
        assert found is not None
        assert age > 110
        assert feed.failures > 10
        server.is_down = False
        await asyncio.sleep(10)
        assert feed.latest("a")[1] < 11
        assert feed.failures == 0


async def test_following_ends_when_nobody_waits_any_more_and_begins_anew() -> None:
    server = Server(application("a", 1))
    feed = applications(server)
    async with running(feed, "a", seconds=30):
        feed.want("b", CLOCK.now() + timedelta(seconds=60))
        await asyncio.sleep(50)
        assert server.open_streams == 1
        await asyncio.sleep(50)
        assert (server.open_streams, feed.is_wanted, feed.problem) == (0, False, "")
        feed.want("a", CLOCK.now() + timedelta(seconds=30))
        await asyncio.sleep(1)
        assert (server.open_streams, server.streams) == (1, 2)


def failing(_: str) -> None:
    raise ValueError


async def test_a_subscriber_that_fails_or_leaves_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(application("a", 1))
    feed = applications(server)
    gone: list[str] = []
    feed.subscribe(failing)
    feed.subscribe(gone.append)()
    async with running(feed, "a") as told:
        assert (told, gone) == (["a"], [])
    assert "a subscriber failed" in caplog.text


async def test_a_bug_is_logged_and_does_not_end_the_feed(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(application("a", 1))
    feed = applications(server)
    async with running(feed, "a"):
        server.events.put_nowait(ValueError("what"))
        await asyncio.sleep(10)
        assert server.open_streams == 1
    assert "a bug" in caplog.text


async def test_stopping_ends_stream_and_task() -> None:
    server = Server(application("a", 1))
    feed = applications(server)
    async with running(feed, "a"):
        assert server.open_streams == 1
    assert server.open_streams == 0
    await feed.stop()


def build(state: BuildState, number: int | None = None, key: BuildKey = KEY) -> Build:
    return Build(key, state, number)


async def test_builds_are_listed_every_two_seconds_while_somebody_waits() -> None:
    server = Jenkins()
    feed = builds(server)
    async with running(feed, *(BuildKey(f"op-{n}", "api", "t") for n in range(50)), seconds=9.5):
        await asyncio.sleep(60)
        assert server.lists == 5
    assert feed.taken_at == pytest.approx(8)


async def test_a_changed_build_is_told_by_its_key() -> None:
    server = Jenkins()
    feed = builds(server)
    async with running(feed, KEY) as told:
        assert (feed.latest(KEY), told) == (None, [])
        server.builds = (build(BuildState.QUEUED),)
        await asyncio.sleep(2)
        server.builds = (build(BuildState.RUNNING, 7),)
        await asyncio.sleep(4)
        assert told == [KEY, KEY]
        assert feed.latest(KEY) == build(BuildState.RUNNING, 7)


async def test_of_twins_the_lowest_number_counts() -> None:
    server = Jenkins()
    feed = builds(server)
    server.builds = (build(BuildState.QUEUED), build(BuildState.RUNNING, 8), build(BuildState.PASSED, 7))
    async with running(feed, KEY):
        assert feed.latest(KEY) == build(BuildState.PASSED, 7)


async def test_a_build_that_left_the_list_is_told() -> None:
    server = Jenkins()
    feed = builds(server)
    server.builds = (build(BuildState.RUNNING, 7), build(BuildState.RUNNING, 8, replace(KEY, component="web")))
    async with running(feed, KEY) as told:
        told.clear()
        server.builds = server.builds[1:]
        await asyncio.sleep(2)
        assert (told, feed.latest(KEY)) == ([KEY], None)


async def test_a_server_that_says_when_is_left_alone_until_then() -> None:
    server = Jenkins()
    feed = builds(server)
    server.is_down = True
    async with running(feed, KEY):
        await asyncio.sleep(29)
        assert (server.lists, feed.problem) == (1, "down")
        server.is_down = False
        await asyncio.sleep(2)
        assert (server.lists, feed.problem) == (2, "")


class SoreServer(Server):
    """Fails when it is interrupted."""

    async def list_applications(self) -> tuple[Application, ...]:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError as error:
            raise Unavailable("cut off") from error
        return ()


async def followed(server: Server) -> ApplicationFeed:
    """Return a feed in the middle of a list."""
    feed = applications(server)
    feed.want("api", CLOCK.now() + timedelta(hours=1))
    await feed.start()
    await asyncio.sleep(1)
    return feed


async def test_a_feed_whose_source_fails_just_as_it_is_stopped_ends_all_the_same() -> None:
    feed = await followed(SoreServer())
    async with asyncio.timeout(60):
        await feed.stop()


async def test_a_feed_that_others_cancel_just_as_its_source_fails_goes_on_no_more() -> None:
    await followed(SoreServer())
    (task,) = (one for one in asyncio.all_tasks() if one.get_name() == "feed-applications")
    task.cancel()  # as a loop does with whatever is left when the program ends
    async with asyncio.timeout(60):
        await asyncio.wait([task])
