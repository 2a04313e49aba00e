"""One read of a zone serves all that compare, but none that was begun before a write of ours ended."""

import asyncio
from datetime import timedelta
from typing import cast

from reconciler.app.lines import ZoneLine
from reconciler.clients.godaddy import GoDaddy
from reconciler.domain.errors import Unavailable
from reconciler.domain.outside.dns import RecordSet, RecordType
from support.moments import ManualClock

ZONE = "acme.example"
RECORD = RecordSet("api", RecordType.A, ("203.0.113.7",), 600)


class Account:
    """A DNS account whose writes last until they are let go."""

    def __init__(self) -> None:
        self.reads = 0
        self.records: tuple[RecordSet, ...] = ()
        self.go_on = asyncio.Event()

    async def list_record_sets(self, domain: str) -> tuple[RecordSet, ...]:
        self.reads += 1
        return self.records

    async def replace_record_set(self, domain: str, record: RecordSet) -> None:
        await self.go_on.wait()
        self.records = (record,)


async def test_a_snapshot_begun_during_a_write_is_read_again_after_it() -> None:
    clock, account = ManualClock(), Account()
    line = ZoneLine(cast("GoDaddy", account), clock)
    claimed_at = clock.now()
    writing = asyncio.create_task(line.replace_record_set(ZONE, RECORD))
    clock.advance(0.5)
    assert await line.snapshot(ZONE, None) == ()
    clock.advance(0.5)
    account.go_on.set()
    await writing
    assert await line.snapshot(ZONE, claimed_at) == (RECORD,)


async def test_those_who_wait_for_a_read_that_fails_do_not_read_again() -> None:
    account = Account()

    async def fail(_: str) -> tuple[RecordSet, ...]:
        account.reads += 1
        await account.go_on.wait()
        raise Unavailable("it does not answer", system="dns")

    account.list_record_sets = fail  # type: ignore[method-assign]
    line = ZoneLine(cast("GoDaddy", account), ManualClock())
    reading = asyncio.gather(*(line.snapshot(ZONE, None) for _ in range(5)), return_exceptions=True)
    await asyncio.sleep(0)
    account.go_on.set()
    assert [type(error) for error in await reading] == [Unavailable] * 5
    assert account.reads == 1


async def test_a_snapshot_is_shared_for_a_minute() -> None:
    clock, account = ManualClock(), Account()
    line = ZoneLine(cast("GoDaddy", account), clock)
    for _ in range(3):
        await line.snapshot(ZONE, clock.now() - timedelta(seconds=30))
        clock.advance(1)
    assert account.reads == 1
    clock.advance(60)
    await line.snapshot(ZONE, None)
    assert account.reads == 2
