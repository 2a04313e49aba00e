"""Secrets are read again when they are others than before, and only then; what is missing is named."""

import pytest

from reconciler.app.secrets import SecretReader
from reconciler.domain.errors import Missing
from reconciler.domain.keys import SECRET, Key
from reconciler.operator.cache import Cache
from support.moments import ManualClock
from support.secrets import Cluster

NAME = Key(SECRET.kind, "space", "ci")


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def cache() -> Cache:
    return Cache()


def reader_of(cluster: Cluster, cache: Cache | None, learned: list[str] | None = None) -> SecretReader:
    learn = (learned if learned is not None else []).append
    return SecretReader(cluster, ManualClock(), learn, cache)


async def test_an_unchanged_secret_is_read_once_however_long_it_lasts(cluster: Cluster, cache: Cache) -> None:
    clock = ManualClock()
    reader = SecretReader(cluster, clock, lambda _: None, cache)
    cluster.write(token="one")
    for _ in range(3):
        assert (await reader.read("space", "ci", "token")).values == {"token": "one"}
        clock.advance(3600)
    assert cluster.asked == 1


async def test_a_change_that_the_watch_tells_of_is_read_at_once(cluster: Cluster, cache: Cache) -> None:
    reader = reader_of(cluster, cache)
    cluster.write(token="one")
    first = await reader.read("space", "ci", "token")
    cache.remember(cluster.write(token="two"))
    second = await reader.read("space", "ci", "token")
    assert second.values == {"token": "two"}
    assert first.version != second.version


async def test_an_event_that_is_older_than_what_was_read_changes_nothing(cluster: Cluster, cache: Cache) -> None:
    reader = reader_of(cluster, cache)
    older = cluster.write(token="one")
    cluster.write(token="two")
    await reader.read("space", "ci", "token")
    cache.remember(older)
    assert (await reader.read("space", "ci", "token")).values == {"token": "two"}
    assert cluster.asked == 1


async def test_a_secret_that_is_made_anew_with_the_same_values_is_another_version(
    cluster: Cluster, cache: Cache
) -> None:
    reader = reader_of(cluster, cache)
    cluster.write(token="one")
    first = await reader.read("space", "ci")
    cache.remember(cluster.write(uid="u2", token="one"))
    assert (await reader.read("space", "ci")).version != first.version


async def test_a_secret_or_key_that_is_missing_is_named_until_it_is_there(cluster: Cluster, cache: Cache) -> None:
    reader = reader_of(cluster, cache)
    with pytest.raises(Missing, match="Secret ci"):
        await reader.read("space", "ci", "token")
    cluster.write(colour="blue")
    with pytest.raises(Missing, match="key token in Secret ci"):
        await reader.read("space", "ci", "token")
    cluster.write(token="one")
    assert (await reader.read("space", "ci", "token")).values["token"] == "one"


async def test_a_secret_that_is_gone_is_missing_at_once(cluster: Cluster, cache: Cache) -> None:
    reader = reader_of(cluster, cache)
    cluster.write(token="one")
    await reader.read("space", "ci", "token")
    cluster.body = None
    cache.forget(NAME, 99)
    with pytest.raises(Missing, match="Secret ci"):
        await reader.read("space", "ci", "token")


async def test_what_is_read_is_masked_from_then_on_and_shows_nowhere(cluster: Cluster, cache: Cache) -> None:
    learned: list[str] = []
    cluster.write(token="hunter22")
    reading = await reader_of(cluster, cache, learned).read("space", "ci", "token")
    assert learned == ["hunter22"]
    assert "hunter22" not in repr(reading)
    assert "hunter22" not in repr(cache.read(NAME))
