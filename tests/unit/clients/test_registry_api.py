"""Challenges and tokens, without a socket."""

import asyncio
from datetime import UTC, datetime

import pytest

from reconciler.clients.registry_api import Challenge, Credentials, Token, TokenCache, read_challenge
from reconciler.domain.errors import Refused, Unavailable

ANNA, BERT = Credentials("anna", "1"), Credentials("bert", "2")


class HandClock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


class Realm:
    """Gives numbered tokens, or what it is told to raise."""

    def __init__(self) -> None:
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0
        self.error: Exception | None = None

    async def __call__(self) -> Token:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        if self.error is not None:
            raise self.error
        return Token(f"token-{self.asked}", 100)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def cache(clock: HandClock) -> TokenCache:
    return TokenCache("registry", clock)


@pytest.fixture
def realm() -> Realm:
    return Realm()


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
            Challenge("bearer", "https://auth.docker.io/token", "registry.docker.io", "repository:a/b:pull,push"),
        ),
        ("bearer realm=https://a.example/token, service=x", Challenge("bearer", "https://a.example/token", "x")),
        ('Basic realm="Registry"', Challenge("basic", "Registry")),
        ('Basic realm="R", Bearer realm="https://a.example/t"', Challenge("bearer", "https://a.example/t")),
        ("Basic", Challenge("basic")),
        ('Negotiate realm="Bearer"', None),
        ("", None),
    ],
)
def test_a_challenge_is_read(header: str, challenge: Challenge | None) -> None:
    assert read_challenge(header) == challenge


async def test_a_token_is_kept_until_shortly_before_its_end(cache: TokenCache, realm: Realm, clock: HandClock) -> None:
    assert await cache.get("x", ANNA, realm) == "token-1"
    clock.seconds += 89
    assert await cache.get("x", ANNA, realm) == "token-1"
    clock.seconds += 2
    assert await cache.get("x", ANNA, realm) == "token-2"


async def test_many_that_want_one_token_ask_once(cache: TokenCache, realm: Realm) -> None:
    assert set(await asyncio.gather(*(cache.get("x", ANNA, realm) for _ in range(20)))) == {"token-1"}


async def test_other_credentials_and_other_scopes_have_tokens_of_their_own(cache: TokenCache, realm: Realm) -> None:
    tokens = [await cache.get(what, who, realm) for what, who in (("x", ANNA), ("x", BERT), ("y", ANNA), ("x", None))]
    assert len(set(tokens)) == 4


async def test_different_scopes_are_asked_side_by_side_once_the_credentials_are_known(
    cache: TokenCache, realm: Realm
) -> None:
    await cache.get("first", ANNA, realm)
    await asyncio.gather(*(cache.get(number, ANNA, realm) for number in range(5)))
    assert realm.most_at_once == 5


async def test_refused_credentials_are_tried_once_in_five_minutes_however_many_want_them(
    cache: TokenCache, realm: Realm, clock: HandClock
) -> None:
    realm.error = Refused("wrong password", status=401)
    results = await asyncio.gather(*(cache.get(n, ANNA, realm) for n in range(20)), return_exceptions=True)
    assert all(isinstance(result, Refused) for result in results)
    assert realm.asked == 1
    clock.seconds += 301
    realm.error = None
    assert await cache.get("x", ANNA, realm) == "token-2"


async def test_new_credentials_are_tried_at_once(cache: TokenCache, realm: Realm) -> None:
    realm.error = Refused("wrong password", status=401)
    with pytest.raises(Refused):
        await cache.get("x", ANNA, realm)
    realm.error = None
    assert await cache.get("x", BERT, realm) == "token-2"


async def test_an_outage_is_no_refusal(cache: TokenCache, realm: Realm) -> None:
    realm.error = Unavailable("down")
    with pytest.raises(Unavailable):
        await cache.get("x", ANNA, realm)
    realm.error = None
    assert await cache.get("x", ANNA, realm) == "token-2"


async def test_only_the_token_that_was_not_accepted_is_dropped(cache: TokenCache, realm: Realm) -> None:
    await cache.get("x", ANNA, realm)
    cache.drop("x", ANNA, "an older one")
    assert await cache.get("x", ANNA, realm) == "token-1"
    cache.drop("x", ANNA, "token-1")
    assert await cache.get("x", ANNA, realm) == "token-2"


def test_neither_passwords_nor_tokens_show_in_a_repr() -> None:
    assert "secret" not in repr(Credentials("anna", "secret")) + repr(Token("secret", 1))
