"""Finished records go by age and number, and never while somebody can need them."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.deployments.retention import Finished, Keeping, Retention, retention_key, surplus
from reconciler.domain.clock import rfc3339
from reconciler.domain.keys import Body, Key
from support.moments import EIGHT, ManualClock
from support.scene import SPACE, environment, record
from support.store import MemoryStore

DAY = timedelta(days=1)
KEEPING = Keeping(age=30 * DAY, count=3, window=7 * DAY)
ALPHA = retention_key(SPACE, "shop", "alpha")


def finished(name: str, days: float, *, is_announced: bool = True) -> Finished:
    """Return a record that ended so many days ago."""
    return Finished(name, EIGHT - days * DAY, is_announced, {})


def gone(*records: Finished, current: tuple[str, ...] = ()) -> list[str]:
    return [one.name for one in surplus(records, current, EIGHT, KEEPING).records]


@pytest.mark.parametrize(
    ("days", "goes"), [(0, False), (29.9, False), (30, True), (400, True)], ids=["new", "kept", "old", "older"]
)
def test_a_record_goes_at_its_age(days: float, *, goes: bool) -> None:
    assert gone(finished("one", days)) == (["one"] if goes else [])


def test_more_than_are_kept_go_when_the_window_is_over_the_oldest_first() -> None:
    records = [finished(f"op-{days}", days) for days in (1, 2, 6, 8, 9, 6.9)]
    assert gone(*records) == ["op-9", "op-8"]


def test_what_is_current_stays_however_old_it_is() -> None:
    assert gone(finished("op-1", 400), finished("op-2", 401), current=("op-1",)) == ["op-2"]


def test_what_is_not_announced_stays_and_is_asked_for_again() -> None:
    found = surplus([finished("op-1", 400, is_announced=False)], (), EIGHT, KEEPING)
    assert found.records == []
    assert found.next_due is not None
    assert found.next_due > EIGHT


def test_an_age_inside_the_window_is_no_reason() -> None:
    hasty = Keeping(age=DAY, count=1, window=7 * DAY)
    assert surplus([finished("op-1", 2), finished("op-2", 3)], (), EIGHT, hasty).records == []


def test_the_next_record_that_falls_due_says_when_to_look() -> None:
    assert surplus([finished("op-1", 10), finished("op-2", 20)], (), EIGHT, KEEPING).next_due == EIGHT + 10 * DAY
    assert surplus([finished("op-1", 10)], ("op-1",), EIGHT, KEEPING).next_due is None


records = st.lists(
    st.builds(
        finished,
        st.uuids().map(str),
        st.floats(0, 100, allow_nan=False),
        is_announced=st.booleans(),
    ),
    max_size=20,
    unique_by=lambda one: one.name,
)


@given(all_of=records, chosen=st.data(), age=st.integers(0, 60), count=st.integers(1, 10), window=st.integers(0, 30))
def test_whatever_the_settings_nothing_goes_that_somebody_can_need(
    all_of: list[Finished], chosen: st.DataObject, age: int, count: int, window: int
) -> None:
    current = chosen.draw(st.sets(st.sampled_from([one.name for one in all_of]))) if all_of else set()
    keeping = Keeping(age=age * DAY, count=count, window=window * DAY)
    found = surplus(all_of, current, EIGHT, keeping)
    for one in found.records:
        assert one.name not in current
        assert one.is_announced
        assert one.at + keeping.window <= EIGHT
    left = [one for one in all_of if one not in found.records and one.name not in current]
    newer = sum(one.at >= EIGHT - keeping.window or not one.is_announced for one in left)
    assert len(left) - newer <= count
    assert all(due > EIGHT for due in [found.next_due] if due)


class Shelf:
    """Records and their environment in a store, and retention that looks at them."""

    def __init__(self, keeping: Keeping = KEEPING) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self.store.put(environment("alpha"))
        self.retention = Retention(store=self.store, clock=self.clock, keeping=keeping)

    def add(self, name: str, days: float, phase: str = "Succeeded", **status: Any) -> None:
        body: Body = record(name)
        made = rfc3339(EIGHT - days * DAY)
        body["metadata"] |= {"finalizers": [], "creationTimestamp": made}
        told = {"phase": phase, "finishedAt": made, "sequence": 4, "announced": 4} | status
        self.store.put(body)
        self.store.set_status(Key("DeploymentRecord", SPACE, name), **told)

    def names(self) -> list[str]:
        return [body["metadata"]["name"] for body in self.store.list_("DeploymentRecord")]


async def test_a_look_deletes_what_is_finished_and_old_and_nothing_else() -> None:
    shelf = Shelf()
    shelf.add("op-1", 40)
    shelf.add("op-2", 40, phase="Running")
    shelf.add("op-3", 40, announced=3)
    shelf.add("op-4", 40)
    shelf.store.set_status(
        Key("Environment", SPACE, "shop--alpha"),
        current={"api": {"image": "i", "revision": "r", "operation": "op-4", "record": "op-4"}},
    )
    await shelf.retention.look(ALPHA)
    assert shelf.names() == ["op-2", "op-3", "op-4"]


async def test_of_an_environment_that_is_gone_nothing_is_current() -> None:
    shelf = Shelf()
    shelf.store.vanish(Key("Environment", SPACE, "shop--alpha"))
    shelf.add("op-1", 40)
    await shelf.retention.look(ALPHA)
    assert shelf.names() == []


async def test_many_go_some_at_a_time() -> None:
    shelf = Shelf()
    for number in range(120):
        shelf.add(f"op-{number}", 40)
    looks = 0
    while shelf.names():
        due = await shelf.retention.look(ALPHA)
        looks += 1
        assert due is None or due > shelf.clock.now()
    assert looks == 3
    assert await shelf.retention.look(ALPHA) is None
