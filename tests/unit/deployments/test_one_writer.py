"""However looks of several deployments interleave, only the holder of the slot changes the environment."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.domain.errors import Conflict
from reconciler.domain.keys import Key
from support.scene import World

ORDERS = st.lists(st.integers(0, 4), min_size=20, max_size=120)


class Race:
    """Several records that look in the order that a test draws, each look cut at its writes by looks of others."""

    def __init__(self, concurrency: str, order: list[int]) -> None:
        self.world = World(concurrency=concurrency)
        self.order: Iterator[int] = iter(order)
        self.keys: list[Key] = []
        for number in range(4):
            self.keys.append(self.world.ask(f"op-{number}"))
            self.world.clock.advance(1)
        self.looking: set[Key] = set()
        self.world.store.before_write = self.let_another_go_first
        self.world.outside.argo.after_act = self.check

    async def run(self) -> None:
        for choice in self.order:
            await self.look(choice)
            self.world.clock.advance(7)
        for _ in range(400):
            for number in range(5):
                await self.look(number)
            if all(self.world.record(key).status.phase.is_end for key in self.keys):
                return
            self.world.clock.advance(5)
        raise AssertionError([self.world.record(key).status.waiting_for for key in self.keys])

    async def look(self, choice: int) -> None:
        key = [*self.keys, self.world.environment][choice]
        if key in self.looking:
            return
        self.looking.add(key)
        looker = self.world.environments if key == self.world.environment else self.world.deployments
        try:
            await looker.look(key)
        except Conflict:
            pass
        finally:
            self.looking.discard(key)

    async def let_another_go_first(self) -> None:
        choice = next(self.order, None)
        if choice is not None:
            await self.look(choice)

    def check(self) -> None:
        slot, argo = self.world.slot(), self.world.outside.argo
        there = argo.applications[argo.image_writes[-1]]
        assert slot.status.holder is not None
        assert there.epoch == f"{slot.metadata.uid}/{slot.status.holder.epoch}"
        if there.is_operation_requested and there.operation is not None:
            assert there.operation.request_id.split("/")[0] == slot.status.holder.record


@pytest.mark.parametrize("concurrency", ["Queue", "Supersede", "Reject"])
@settings(max_examples=10)
@given(order=ORDERS)
def test_only_the_holder_changes_the_environment(concurrency: str, order: list[int]) -> None:
    race = Race(concurrency, order)
    asyncio.run(race.run())
    world = race.world
    ends = [world.phase(key) for key in race.keys]
    built = [one.key.operation_id for one in world.outside.jenkins.builds]
    assert len(built) == len(set(built))
    assert len(world.outside.argo.syncs) == ends.count("Succeeded")
    assert (world.holder(), world.outside.jenkins.running()) == ("", [])
    assert set(ends) <= {"Queue": {"Succeeded", "Superseded"}, "Supersede": {"Succeeded", "Superseded"}}.get(
        concurrency, {"Succeeded", "Superseded", "Failed"}
    )
    assert "Succeeded" in ends
