"""Newer credentials are tried before they are used; nobody waits for the trial, and refused ones are not taken."""

import asyncio
from collections.abc import Callable

import pytest

from reconciler.app.logins import Login, keyed, token_or_password
from reconciler.app.secrets import SecretReader
from reconciler.domain.errors import Missing, Refused, Unavailable
from reconciler.operator.cache import Cache
from support.moments import ManualClock
from support.secrets import Cluster


class Server:
    """Lets in whoever has one of its tokens; `slow` holds a question back."""

    def __init__(self) -> None:
        self.cluster, self.cache, self.clock = Cluster(), Cache(), ManualClock()
        self.lets_in = {"old"}
        self.is_down = False
        self.slow: asyncio.Event | None = None
        self.asked = asyncio.Event()
        self.tried: list[str] = []
        self.swaps = 0
        secrets = SecretReader(self.cluster, self.clock, lambda _: None, self.cache)
        self.login = Login(
            secrets, self.clock, "space", "ci", absent=keyed("token"), probe=self.probe, swapped=self.swapped
        )
        self.write("old")

    def write(self, token: str) -> None:
        self.cache.remember(self.cluster.write(token=token))

    async def probe(self) -> None:
        token = await self.token()
        self.tried.append(token)
        self.asked.set()
        if self.slow is not None:
            await self.slow.wait()
        if self.is_down:
            raise Unavailable("503")
        if token not in self.lets_in:
            raise Refused("401")

    async def swapped(self) -> None:
        self.swaps += 1

    async def token(self) -> str:
        return (await self.login.reading()).values["token"]


@pytest.fixture
async def server() -> Server:
    server = Server()
    await server.login.renew()
    return server


async def test_the_first_credentials_are_used_without_a_trial(server: Server) -> None:
    assert await server.token() == "old"
    assert (server.tried, server.swaps) == ([], 0)


async def test_newer_ones_are_used_once_they_were_let_in(server: Server) -> None:
    server.lets_in.add("new")
    server.write("new")
    assert await server.token() == "old"
    await server.login.renew()
    assert await server.token() == "new"
    assert (server.tried, server.swaps, server.login.refusal) == (["new"], 1, "")


async def test_during_a_trial_everybody_else_goes_on_with_those_in_use(server: Server) -> None:
    server.lets_in.add("new")
    server.slow = asyncio.Event()
    server.write("new")
    trial = asyncio.ensure_future(server.login.renew())
    await server.asked.wait()
    await server.login.renew()
    assert (await server.token(), server.tried) == ("old", ["new"])
    server.slow.set()
    await trial
    assert await server.token() == "new"


async def test_refused_ones_are_not_taken_and_it_is_said_which(server: Server) -> None:
    server.write("wrong")
    await server.login.renew()
    await server.login.renew()
    assert (await server.token(), server.tried, server.swaps) == ("old", ["wrong"], 0)
    assert "Secret ci are refused" in server.login.refusal
    assert "former stay in use" in server.login.refusal


@pytest.mark.parametrize(
    "what", [lambda server: server.clock.advance(301), lambda server: server.write("wrong ")], ids=["later", "changed"]
)
async def test_refused_ones_are_tried_again_after_a_while_or_when_changed(
    server: Server, what: Callable[[Server], object]
) -> None:
    server.write("wrong")
    await server.login.renew()
    server.lets_in |= {"wrong", "wrong "}
    what(server)
    await server.login.renew()
    assert (await server.token()).strip() == "wrong"
    assert server.login.refusal == ""


async def test_going_back_to_the_credentials_in_use_ends_the_complaint(server: Server) -> None:
    server.write("wrong")
    await server.login.renew()
    server.write("old")
    await server.login.renew()
    assert (server.login.refusal, server.swaps, server.tried) == ("", 0, ["wrong"])


async def test_what_cannot_be_tried_now_is_tried_by_the_next_look(server: Server) -> None:
    server.lets_in.add("new")
    server.is_down = True
    server.write("new")
    await server.login.renew()
    assert await server.token() == "old"
    server.is_down = False
    await server.login.renew()
    assert await server.token() == "new"


async def test_a_secret_that_is_gone_is_named(server: Server) -> None:
    server.cluster.body = None
    server.cache.forget(server.cache.keys("Secret")[0], 99)
    with pytest.raises(Missing, match="Secret ci"):
        await server.login.renew()


@pytest.mark.parametrize(
    ("values", "absent"),
    [
        ({"token": "t"}, ""),
        ({"username": "u", "password": "p"}, ""),
        ({"username": "u"}, "key token, or username and password,"),
    ],
)
def test_argo_cd_takes_a_token_or_a_password(values: dict[str, str], absent: str) -> None:
    assert token_or_password(values) == absent
