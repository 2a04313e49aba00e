"""A controller whose every look fails: its resource says so, and others are looked at as before."""

from datetime import datetime, timedelta

import pytest

from reconciler.app.working import Workers
from reconciler.domain.errors import Unavailable
from reconciler.domain.keys import Key
from reconciler.domain.resources import JenkinsSettings
from reconciler.domain.resources.common import api_object
from reconciler.engine.bugs import Bugs
from reconciler.engine.patience import Patience
from reconciler.reporting.happenings import happenings
from support.moments import EIGHT, ManualClock
from support.store import MemoryStore

KEY = Key("JenkinsSettings", "shop", "shop")


class Broken:
    """Two controllers, one of them full of bugs."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self.store.put(api_object(JenkinsSettings, "shop", "shop", {"projectRef": "shop"}))
        self.error: Exception | None = IndexError("list index out of range")
        self.met: list[str] = []
        by_kind = {"JenkinsSettings": self.fails, "Environment": self.works}
        self.workers = Workers(self.store, by_kind, self.clock, Patience(), Bugs(met=self.met.append))

    async def fails(self, key: Key) -> datetime | None:
        if self.error is not None:
            raise self.error
        return None

    async def works(self, key: Key) -> datetime | None:
        return EIGHT

    def stalled(self) -> tuple[str, str, str]:
        conditions = self.store.status(KEY).get("conditions", [])
        found = [one for one in conditions if one["type"] == "Stalled"]
        return next(((one["status"], one["reason"], one["message"]) for one in found), ("", "", ""))


async def test_after_five_in_a_row_the_resource_asks_for_a_person() -> None:
    broken = Broken()
    before = broken.store.read(KEY)
    for _ in range(4):
        due = await broken.workers.look(KEY)
        assert due is not None
        assert due <= EIGHT + timedelta(minutes=2)
    assert broken.stalled() == ("", "", "")
    assert await broken.workers.look(KEY) == EIGHT + timedelta(minutes=5)
    status, reason, message = broken.stalled()
    assert (status, reason) == ("True", "InternalError")
    assert "(IndexError)" in message
    assert "report the log lines of JenkinsSettings/shop" in message
    told = happenings(before, broken.store.read(KEY) or {})
    assert [(one.reason, one.is_warning) for one in told] == [("InternalError", True)]
    assert broken.met == ["IndexError"] * 5


async def test_others_are_looked_at_as_before() -> None:
    broken = Broken()
    for _ in range(6):
        await broken.workers.look(KEY)
    assert await broken.workers.look(Key("Environment", "shop", "shop--alpha")) == EIGHT


async def test_a_look_that_works_begins_the_count_anew() -> None:
    broken = Broken()
    error = broken.error
    for given in (error, error, error, error, None, error, error):
        broken.error = given
        await broken.workers.look(KEY)
    assert broken.stalled() == ("", "", "")


async def test_what_is_expected_to_go_wrong_is_no_bug() -> None:
    broken = Broken()
    broken.error = Unavailable("the API server is away")
    for _ in range(6):
        with pytest.raises(Unavailable):
            await broken.workers.look(KEY)
    assert broken.met == []
