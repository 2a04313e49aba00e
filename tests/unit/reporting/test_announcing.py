from typing import Any

import pytest

from reconciler.domain.errors import Conflict, NotFound, Unavailable
from reconciler.domain.keys import Key
from reconciler.reporting.announcing import Announcer, with_announced

KEY = Key("DeploymentRecord", "ns", "op-1")
BODY: dict[str, Any] = {"kind": "DeploymentRecord", "metadata": {"name": "op-1"}, "status": {"sequence": 3}}


class Store:
    """One resource; `refusals` are raised by the writes, one after the other."""

    def __init__(self, cached: Any = BODY, refusals: tuple[Exception, ...] = ()) -> None:
        self.cached = cached
        self.refusals = list(refusals)
        self.fetched = 0
        self.written: list[dict[str, Any]] = []

    def read(self, key: Key) -> Any:
        return self.cached

    async def fetch(self, key: Key) -> Any:
        self.fetched += 1
        return BODY

    async def write_status(self, body: Any, status: dict[str, Any]) -> Any:
        if self.refusals:
            raise self.refusals.pop(0)
        self.written.append(status)
        return body


async def test_announced_is_written_beside_the_rest_of_the_status() -> None:
    store = Store()
    await Announcer(store).mark_announced(KEY, "op-1", 3)
    assert store.written == [{"sequence": 3, "announced": 3}]
    assert store.fetched == 0


async def test_after_a_conflict_the_resource_is_read_again() -> None:
    store = Store(refusals=(Conflict("newer"),))
    await Announcer(store).mark_announced(KEY, "op-1", 3)
    assert (len(store.written), store.fetched) == (1, 1)


async def test_a_resource_that_is_gone_needs_no_mark() -> None:
    store = Store(refusals=(NotFound("gone"),))
    await Announcer(store).mark_announced(KEY, "op-1", 3)
    assert store.written == []


async def test_what_keeps_changing_is_tried_again_later() -> None:
    store = Store(refusals=tuple(Conflict("newer") for _ in range(9)))
    with pytest.raises(Unavailable):
        await Announcer(store).mark_announced(KEY, "op-1", 3)


def test_a_later_announcement_stays() -> None:
    assert with_announced({**BODY, "status": {"announced": 5}}, "op-1", 3) == {"announced": 5}


def test_of_a_project_only_the_operation_concerned_is_marked() -> None:
    operations = [{"id": "a", "announced": 1}, {"id": "b", "sequence": 4}]
    body = {
        "kind": "DevOpsProject",
        "metadata": {"name": "shop"},
        "status": {"operations": operations, "environments": 2},
    }
    assert with_announced(body, "b", 4) == {
        "operations": [{"id": "a", "announced": 1}, {"id": "b", "sequence": 4, "announced": 4}],
        "environments": 2,
    }


def test_a_record_made_anew_under_the_same_name_is_not_marked() -> None:
    assert with_announced({**BODY, "status": {"sequence": 1}}, "op-1", 25) == {"sequence": 1}


async def test_what_seems_behind_is_read_from_the_api_server() -> None:
    store = Store(cached={**BODY, "status": {"sequence": 2}})
    await Announcer(store).mark_announced(KEY, "op-1", 3)
    assert store.written == [{"sequence": 3, "announced": 3}]
