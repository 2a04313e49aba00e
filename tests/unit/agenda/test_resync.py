import asyncio
from collections.abc import AsyncGenerator, Container
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from typing import Any

import pytest

from reconciler.agenda.resync import Found, Resync
from reconciler.domain.errors import Unavailable
from reconciler.domain.keys import DEPLOYMENT_RECORD, PROJECT, Body, Key, Kind, key_of

pytestmark = pytest.mark.looptime(start=0)


def a_record(name: str, version: int = 1) -> Body:
    return {
        "kind": "DeploymentRecord",
        "metadata": {"name": name, "namespace": "ns", "resourceVersion": str(version)},
    }


class Server:
    def __init__(self, *records: Body) -> None:
        self.records = list(records)
        self.version = 100
        self.troubles: list[Exception] = []
        self.largest = 0
        self.lists: list[tuple[str, str | None, float]] = []

    async def pages(
        self, kind: Kind, namespace: str | None = None, *, label_selector: str = "", limit: int
    ) -> AsyncGenerator[tuple[list[Body], str], None]:
        self.lists.append((kind.kind, namespace, round(asyncio.get_running_loop().time(), 3)))
        if self.troubles:
            raise self.troubles.pop(0)
        items = [each for each in self.records if each["kind"] == kind.kind]
        at = 1  # the first page is a short one
        yield items[:at], str(self.version)
        while at < len(items):
            self.largest = max(self.largest, len(items[at : at + limit]))
            yield items[at : at + limit], str(self.version)
            at += limit


class Memory:
    def __init__(self, *known: Body) -> None:
        self.known = {key_of(body): body for body in known}

    def renew(self, body: Body) -> bool:
        is_news = self.known.get(key_of(body)) != body
        self.known[key_of(body)] = body
        return is_news

    def drop_absent(self, kind: str, namespace: str | None, present: Container[Key], revision: int) -> list[Key]:
        gone = [key for key in self.known if key.kind == kind and key not in present]
        for key in gone:
            del self.known[key]
        return gone


@asynccontextmanager
async def running(server: Server, **options: Any) -> AsyncGenerator[Resync, None]:
    resync = Resync(server, Memory(), [DEPLOYMENT_RECORD], random=Random(1), **options)  # noqa: S311 - jitter
    task = asyncio.ensure_future(resync.run())
    try:
        yield resync
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_pass_finds_what_is_new_changed_and_gone() -> None:
    memory = Memory(a_record("same"), a_record("old"), a_record("gone"))
    server = Server(a_record("same"), a_record("old", 2), a_record("new"))

    found = await Resync(server, memory, [PROJECT, DEPLOYMENT_RECORD]).once()

    assert found == Found(listed=3, different=2, gone=1)
    assert sorted(key.name for key in memory.known) == ["new", "old", "same"]


async def test_no_more_than_a_hundred_bodies_are_read_at_once() -> None:
    server = Server(*(a_record(f"op-{number}") for number in range(250)))
    found = await Resync(server, Memory(), [DEPLOYMENT_RECORD]).once()
    assert (found.listed, server.largest) == (250, 100)


async def test_each_namespace_is_listed() -> None:
    server = Server()

    await Resync(server, Memory(), [DEPLOYMENT_RECORD], namespaces=["a", "b"]).once()

    assert [namespace for _, namespace, _ in server.lists] == ["a", "b"]


async def test_a_list_that_fails_half_way_drops_nothing() -> None:
    memory, server = Memory(a_record("gone")), Server()
    server.troubles = [Unavailable("x")]
    resync = Resync(server, memory, [DEPLOYMENT_RECORD])

    with pytest.raises(Unavailable):
        await resync.once()

    assert len(memory.known) == 1
    assert not resync.complete.is_set()


async def test_it_is_complete_after_the_first_whole_pass_and_passes_come_by_themselves() -> None:
    server = Server()
    async with running(server, interval=timedelta(seconds=100)) as resync:
        await resync.complete.wait()
        await asyncio.sleep(350)

    assert 4 <= len(server.lists) <= 5
    assert resync.last is not None


async def test_after_a_failure_it_tries_again_soon() -> None:
    server = Server()
    server.troubles = [Unavailable("x"), Unavailable("x", retry_after=timedelta(seconds=9))]
    async with running(server) as resync:
        await resync.complete.wait()
        assert asyncio.get_running_loop().time() < 60

    assert len(server.lists) == 3
    assert resync.failures == 0


async def test_a_bug_in_a_pass_ends_no_other_pass() -> None:
    server = Server()
    server.troubles = [KeyError("bug")]
    async with running(server) as resync:
        await resync.complete.wait()

    assert len(server.lists) == 2


async def test_somebody_may_ask_for_a_pass() -> None:
    server = Server()
    async with running(server) as resync:
        await asyncio.sleep(1)
        resync.soon()
        await asyncio.sleep(1)

    assert [when for _, _, when in server.lists] == [0, 1]
