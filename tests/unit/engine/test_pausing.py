"""A project or settings on pause are left alone, and the clocks of what runs there stand still."""

from datetime import timedelta
from typing import Any

import pytest

from reconciler.domain.clock import rfc3339
from reconciler.domain.keys import Key, key_of
from reconciler.domain.resources import ArgoSettings, DevOpsProject, DNSZone, Resource
from reconciler.domain.resources.common import api_object
from reconciler.domain.resources.devops_project import DevOpsProjectStatus
from reconciler.engine.pausing import is_held
from support.moments import EIGHT, ManualClock
from support.store import MemoryStore

HOUR = timedelta(hours=1)


class Shelf:
    """One resource in a store, and a clock."""

    def __init__(self, kind: type[Resource] = DevOpsProject, **status: Any) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        body = self.store.put(api_object(kind, "shop", "devops", {}, finalizers=["freeleaps.com/reconciler"]))
        self.key: Key = key_of(body)
        self.store.set_status(self.key, **status)

    async def is_held(self) -> bool:
        return await is_held(self.store, self.key, self.clock.now())


@pytest.mark.parametrize("kind", [DevOpsProject, ArgoSettings, DNSZone], ids=lambda kind: kind.kind)
async def test_on_pause_it_is_held_and_says_since_when(kind: type[Resource]) -> None:
    shelf = Shelf(kind)
    assert not await shelf.is_held()
    shelf.store.annotate(shelf.key, paused="true")
    assert await shelf.is_held()
    since = shelf.store.status(shelf.key)["pausedSince"]
    writes = len(shelf.store.writes)
    shelf.clock.advance(60)
    assert await shelf.is_held()
    assert (shelf.store.status(shelf.key)["pausedSince"], len(shelf.store.writes)) == (since, writes)
    shelf.store.annotate(shelf.key, paused="false")
    assert not await shelf.is_held()
    assert "pausedSince" not in shelf.store.status(shelf.key)


async def test_what_is_being_deleted_is_not_held() -> None:
    shelf = Shelf()
    shelf.store.annotate(shelf.key, paused="true")
    shelf.store.remove(shelf.key)
    assert not await shelf.is_held()


async def test_what_runs_goes_on_after_a_pause_where_its_clock_stood() -> None:
    moments = {"startedAt": rfc3339(EIGHT), "requestedAt": rfc3339(EIGHT)}
    ended, running = {"id": "init-1", "state": "Succeeded"}, {"id": "init-2", "state": "Running"}
    shelf = Shelf(operations=[ended | moments, running | moments])
    shelf.clock.advance(600)
    shelf.store.annotate(shelf.key, paused="true")
    await shelf.is_held()
    shelf.clock.advance(5 * 3600)
    shelf.store.annotate(shelf.key, paused="false")
    await shelf.is_held()
    status = DevOpsProjectStatus.model_validate(shelf.store.status(shelf.key))
    assert [one.started_at for one in status.operations] == [EIGHT, EIGHT + 5 * HOUR]


async def test_what_is_gone_is_not_held() -> None:
    shelf = Shelf()
    shelf.store.vanish(shelf.key)
    assert not await shelf.is_held()
