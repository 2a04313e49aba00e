"""Twins in the shared list: what counts is known beside what does not, and who waits is told."""

from datetime import timedelta

from reconciler.clients.feeds import BuildFeed
from reconciler.domain.outside.builds import Build, BuildKey, BuildState

KEY = BuildKey("op-1", "api", "tag-1")


class Jenkins:
    def __init__(self) -> None:
        self.builds: tuple[Build, ...] = ()

    async def list_builds(self, folder: str) -> tuple[Build, ...]:
        return self.builds


def build(number: int | None, state: BuildState = BuildState.RUNNING) -> Build:
    return Build(KEY, state, number)


def test_twins_are_known_beside_the_lowest_number_and_told_when_they_change() -> None:
    feed, told = BuildFeed(Jenkins(), "shop", every=timedelta(0)), list[BuildKey]()
    feed.want(KEY, feed._clock.now() + timedelta(hours=1))
    feed.subscribe(told.append)
    feed._take((build(7),), 0.0)
    assert (feed.twins(KEY), told) == ((), [KEY])
    feed._take((build(8), build(7), build(None, BuildState.QUEUED)), 1.0)
    assert feed.latest(KEY) == build(7)
    assert feed.twins(KEY) == (build(8), build(None, BuildState.QUEUED))
    assert told == [KEY, KEY]
    feed._take((build(8), build(7), build(None, BuildState.QUEUED)), 2.0)
    assert told == [KEY, KEY]
