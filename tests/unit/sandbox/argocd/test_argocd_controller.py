"""The simulated controller: what it does when, by a clock that the test moves."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reconciler.sandbox.argocd.controller import REFRESH, Controller, Pace
from reconciler.sandbox.argocd.store import Applications, Watch


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.seconds)


class World:
    """A controller with one application."""

    def __init__(self, pace: Pace) -> None:
        self.clock = HandClock()
        self.store = Applications(self.clock)
        self.controller = Controller(self.clock, self.store, pace)
        source = {"repoURL": "https://git.example/x", "helm": {"parameters": [{"name": "tag", "value": "1"}]}}
        spec = {"project": "shop", "source": source}
        self.store.add({"metadata": {"name": "api"}, "spec": spec, "status": {}})
        self.controller.spec_changed("api")
        self.controller.settle()

    @property
    def tree(self) -> dict[str, Any]:
        return self.store.trees["api"]

    def sync(self) -> None:
        self.tree["operation"] = {"sync": {}, "initiatedBy": {"username": "x"}, "info": [{"name": "r", "value": "1"}]}
        self.tree["status"].pop("operationState", None)
        self.store.touch("api")
        self.controller.operation_requested("api")


def test_at_once_all_is_done_at_once() -> None:
    world = World(Pace())
    world.sync()
    world.controller.settle()
    status = world.tree["status"]
    assert "operation" not in world.tree
    assert (status["sync"]["status"], status["health"]["status"]) == ("Synced", "Healthy")
    assert status["summary"]["images"] == ["api:1"]
    assert [run.infos for run in world.controller.syncs] == [{"r": "1"}]


def test_a_step_waits_for_its_own_turn() -> None:
    world = World(Pace())
    world.sync()
    world.controller.catch_up()
    assert world.tree["status"]["operationState"]["phase"] == "Running"


def test_a_finish_of_a_former_operation_does_not_end_the_next() -> None:
    world = World(Pace(sync=10))
    world.sync()
    world.controller.settle()
    world.tree["status"]["operationState"]["phase"] = "Terminating"
    world.controller.termination_requested("api")
    world.controller.settle()
    world.clock.seconds = 5
    world.sync()
    world.controller.settle()
    world.clock.seconds = 11
    world.controller.settle()
    assert world.tree["status"]["operationState"]["phase"] == "Running"
    world.clock.seconds = 15
    world.controller.settle()
    assert [run.result for run in world.controller.syncs] == ["Failed", "Succeeded"]


@pytest.mark.parametrize("health", ["Degraded", "Suspended"])
def test_scripted_health_waits_for_the_next_reconciliation(health: str) -> None:
    world = World(Pace())
    world.sync()
    world.controller.settle()
    world.controller.scripts["api"].health = health
    assert world.tree["status"]["health"]["status"] == "Healthy"
    world.tree["metadata"]["annotations"] = {REFRESH: "normal"}
    world.controller.refresh_requested("api")
    world.controller.settle()
    assert world.tree["status"]["health"]["status"] == health
    assert "annotations" not in world.tree["metadata"]


def test_history_keeps_ten_with_rising_ids() -> None:
    world = World(Pace())
    for _ in range(12):
        world.sync()
        world.controller.settle()
    assert [entry["id"] for entry in world.tree["status"]["history"]] == list(range(2, 12))


def test_an_application_is_encoded_once_per_change() -> None:
    world = World(Pace())
    first = world.store.encoded("api")
    assert world.store.encoded("api") is first
    world.store.touch("api")
    assert world.store.encoded("api") != first


async def test_the_ticker_works_while_nobody_asks() -> None:
    world = World(Pace(pickup=0.25))
    watch = Watch(frozenset(), "")
    world.store.watches.add(watch)
    ticker = asyncio.create_task(world.controller.run())
    world.sync()
    world.clock.seconds = 1
    async with asyncio.timeout(5):
        while b'"Succeeded"' not in (event := await watch.queue.get() or pytest.fail("cut")).line:
            assert event.type == "MODIFIED"
    ticker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ticker
