"""Whatever is asked for, cancelled and killed, in any order: one holder at a time, in order, and one end for each."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.domain.keys import Key
from reconciler.domain.resources import DeploymentRecord, Phase, StageName
from reconciler.domain.slot import Precedence, precedence
from support.scene import Killed, World

RECORDS = 5
ENDS = {
    "Queue": {"Succeeded", "Superseded", "Cancelled"},
    "Supersede": {"Succeeded", "Superseded", "Cancelled"},
    "Reject": {"Succeeded", "Superseded", "Cancelled", "Failed"},
}

ask = st.tuples(st.just("ask"), st.integers(0, 600))
look = st.tuples(st.just("look"), st.integers(0, RECORDS - 1))
cancel = st.tuples(st.just("cancel"), st.integers(0, RECORDS - 1))
kill = st.tuples(st.just("kill"), st.integers(1, 6))
wait = st.tuples(st.just("wait"), st.integers(1, 60))
HISTORIES = st.lists(st.one_of(ask, look, look, look, cancel, kill, wait), min_size=10, max_size=40)


@dataclass
class History:
    """One environment, its requests, and what is noted at each write: who holds it, who waits, what has ended."""

    concurrency: str
    world: World = field(init=False)
    keys: list[Key] = field(default_factory=list)
    ends: dict[str, str] = field(default_factory=dict)
    holders: list[Precedence] = field(default_factory=list)
    epoch: int = 0
    until_kill: int = 0

    def __post_init__(self) -> None:
        self.world = World(concurrency=self.concurrency)
        self.world.clock.advance(3600)
        self.world.store.after_write = self.changed
        for system in self.world.outside.all:
            system.after_act = self.changed

    async def happen(self, what: str, number: int) -> None:
        match what:
            case "ask" if len(self.keys) < RECORDS:
                ago = timedelta(seconds=number)
                self.keys.append(self.world.ask(f"op-{len(self.keys)}", at=self.world.clock.now() - ago))
            case "look" if number < len(self.keys):
                await self.world.look(self.keys[number])
            case "cancel" if number < len(self.keys):
                self.world.store.edit(self.keys[number], cancel=True)
            case "kill":
                self.until_kill = number
                try:
                    await self.everybody()
                except* Killed:
                    self.world.begin_life()
                self.until_kill = 0
            case "wait":
                self.world.clock.advance(number)

    async def everybody(self) -> None:
        for key in self.keys:
            await self.world.look(key)

    async def end(self) -> None:
        for _ in range(600):
            await self.everybody()
            if len(self.ends) == len(self.keys):
                return
            self.world.clock.advance(5)
        raise AssertionError({key.name: self.world.record(key).status.waiting_for for key in self.keys})

    def changed(self) -> None:
        """Judge after each write to the store and each change outside, and die there when told to."""
        self.check()
        self.until_kill -= 1
        if self.until_kill == 0:
            raise Killed

    # What must hold.

    def check(self) -> None:
        records = [self.world.record(key) for key in self.keys]
        slot = self.world.slot().status
        for record in records:
            if record.status.phase.is_end:
                assert self.ends.setdefault(record.name, record.status.phase) == record.status.phase
        believe = [record.name for record in records if believes_that_it_holds(record, slot.epoch)]
        assert len(believe) <= 1
        if slot.holder is not None and slot.epoch != self.epoch:
            self.epoch = slot.epoch
            holder = next(record for record in records if record.name == slot.holder.record)
            self.holders.append(precedence(holder))
            self.check_order(holder, [record for record in records if record.name != holder.name])

    def check_order(self, holder: DeploymentRecord, others: list[DeploymentRecord]) -> None:
        """Under Queue and Reject the first of those that wait takes the slot, under Supersede the last."""
        waiting = [
            precedence(record)
            for record in others
            if record.status.phase in {Phase.PENDING, Phase.QUEUED} and not record.spec.cancel
        ]
        if self.concurrency == "Supersede":
            assert all(other < precedence(holder) for other in waiting)
        else:
            assert all(precedence(holder) < other for other in waiting)


def believes_that_it_holds(record: DeploymentRecord, epoch: int) -> bool:
    """Tell whether a record that has not ended would go on changing things, under the epoch that counts."""
    if record.status.phase.is_end or record.status.epoch != epoch:
        return False
    return any(stage.name is StageName.QUEUE and stage.state == "Done" for stage in record.status.stages)


@pytest.mark.parametrize("concurrency", ["Queue", "Supersede", "Reject"])
@settings(max_examples=6)
@given(history=HISTORIES)
def test_the_slot_has_one_holder_at_a_time_in_the_order_of_the_policy(
    concurrency: str, history: list[tuple[str, int]]
) -> None:
    async def run() -> History:
        told = History(concurrency)
        for what, number in history:
            await told.happen(what, number)
        await told.end()
        return told

    told = asyncio.run(run())

    assert set(told.ends.values()) <= ENDS[concurrency]
    assert told.world.holder() == ""
    assert told.world.outside.jenkins.running() == []
    built = [one.key for one in told.world.outside.jenkins.builds]
    assert len(built) == len(set(built))
    if concurrency == "Supersede":
        assert all(earlier < later for earlier, later in pairwise(told.holders))
