"""The session logs in once, for all who wait, and never in a loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from reconciler.clients.argocd import ArgoSession
from reconciler.clients.asks import Reply
from reconciler.domain.errors import Refused, Unavailable


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.seconds)


class Door:
    """An endpoint that only knows the login."""

    def __init__(self) -> None:
        self.logins = 0
        self.is_shut = False
        self.body: dict[str, Any] | None = None

    async def ask(self, method: str, path: str, **asked: Any) -> Reply:
        assert (method, path) == ("POST", "/api/v1/session")
        self.logins += 1
        await asyncio.sleep(0)
        if self.is_shut:
            raise Refused("Invalid username or password", status=401)
        body = {"token": f"t{self.logins}"} if self.body is None else self.body
        return Reply(200, {}, orjson.dumps(body))

    def stream(self, path: str, **asked: Any) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        raise NotImplementedError


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def session(door: Door, clock: HandClock) -> ArgoSession:
    return ArgoSession(asks=door, username="u", password="p", clock=clock)


async def test_a_fixed_token_needs_no_login_and_has_no_successor() -> None:
    session = ArgoSession(token="abc")
    assert await session() == {"authorization": "Bearer abc"}
    assert session.renew(session.generation) is False
    assert await session() == {"authorization": "Bearer abc"}


async def test_many_at_once_log_in_once(session: ArgoSession, door: Door) -> None:
    headers = await asyncio.gather(*(session() for _ in range(10)))
    assert (door.logins, headers[0]) == (1, {"authorization": "Bearer t1"})


async def test_a_401_of_an_older_token_does_not_drop_the_newer_one(session: ArgoSession, door: Door) -> None:
    await session()
    old = session.generation
    assert session.renew(old)
    await session()
    assert session.renew(old)
    assert (await session(), door.logins) == ({"authorization": "Bearer t2"}, 2)


async def test_a_refused_login_is_believed_for_a_while(session: ArgoSession, door: Door, clock: HandClock) -> None:
    door.is_shut = True
    for _ in range(5):
        with pytest.raises(Refused):
            await session()
    assert door.logins == 1
    door.is_shut = False
    clock.seconds = 301
    assert await session() == {"authorization": "Bearer t2"}


async def test_a_login_that_brings_no_token_is_no_login(session: ArgoSession, door: Door) -> None:
    door.body = {}
    with pytest.raises(Unavailable):
        await session()


async def test_nothing_to_log_in_with_is_refused() -> None:
    with pytest.raises(Refused):
        await ArgoSession()()
