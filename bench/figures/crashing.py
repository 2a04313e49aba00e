"""What a kill costs: a thousand deployments in flight, the operator ended by SIGKILL, how soon all of it goes on."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bench.children import Child, child
from bench.load import Load, Told, loading, percentile
from bench.rows import Row, Table
from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.domain.keys import DEPLOYMENT_RECORD
from reconciler.domain.names import record_name
from reconciler.sandbox.world import NAMESPACE

_BUILD = 180.0
"""Seconds that a build takes: long enough for all to be in flight when the operator is killed."""
_TARGET = 60.0


async def crashing(table: Table, *, quick: bool) -> None:
    """Kill the operator once, with everything in flight; begin its next life at once."""
    count = 100 if quick else 1000
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(child("bench.world"))
        load = await stack.enter_async_context(loading(world.first))
        kubernetes = Kubernetes(Credentials.from_kubeconfig(Path(world.first["KUBECONFIG"])))
        stack.push_async_callback(kubernetes.close)
        told, open_claims = await _until_killed(world, load, kubernetes, count)
        began = time.monotonic()
        operator = await stack.enter_async_context(child("bench.operator", environ=world.first))
        await _all_ended(told)
        table.heading(f"{count} deployments in flight, the operator killed once, builds of {_BUILD:.0f} s")
        first = await operator.ask("first looks")
        resumed = {name: first[record_name(name)] - began for name in told}
        await _report(table, world, told, open_claims, began, resumed)


async def _until_killed(
    world: Child, load: Load, kubernetes: Kubernetes, count: int
) -> tuple[dict[str, Told], set[str]]:
    """Bring all in flight and kill; return them, and those that have a claim of which nobody knows what came of it."""
    async with child("bench.operator", environ=world.first) as operator:
        places = await load.set_up(count)
        await world.ask("pace", build=_BUILD, sync=0)
        for place in places:
            await load.deploy(place)
        told = {name: one for name, one in load.operations.items() if name.startswith("op-")}
        await _all_heard_of(told.values())
        await operator.kill()
    bodies, _ = await kubernetes.list_(DEPLOYMENT_RECORD, NAMESPACE)
    return told, {body["metadata"]["name"] for body in bodies if _has_open_claim(body)}


async def _all_heard_of(told: Iterable[Told]) -> None:
    async with asyncio.timeout(300):
        while not all(one.first_at for one in list(told)):  # noqa: ASYNC110 - a thousand heartbeats change it
            await asyncio.sleep(0.05)


async def _all_ended(told: Mapping[str, Told]) -> None:
    async with asyncio.timeout(600):
        for one in told.values():
            await one.ended.wait()


def _has_open_claim(body: Mapping[str, Any]) -> bool:
    stages = (body.get("status") or {}).get("stages") or []
    claims = (stage.get("claim") for stage in stages if stage.get("state") not in ("Done", "Failed", "Skipped"))
    return any(claim is not None and not claim.get("settled") for claim in claims)


async def _report(
    table: Table,
    world: Child,
    told: Mapping[str, Told],
    open_claims: set[str],
    began: float,
    resumed: Mapping[str, float],
) -> None:
    ends = {name: max(0.0, (one.ended_at or 0.0) - began) for name, one in told.items()}
    plain = [seconds for name, seconds in ends.items() if record_name(name) not in open_claims]
    proved = [seconds for name, seconds in ends.items() if record_name(name) in open_claims]
    doubles = await world.ask("doubles")
    begun = list(resumed.values())
    table.add(Row("all looked at again after the new life began", max(begun), "s", at_most=_TARGET))
    table.add(Row("half of them", percentile(begun, 0.5), "s"))
    table.add(Row("all ended, open claims aside", max(plain), "s", note="the rest of their work"))
    table.add(Row("half of them ended", percentile(plain, 0.5), "s"))
    note = f"{len(proved)} had a claim of unknown outcome: absence is proved by two searches"
    table.add(Row("the last with an open claim", max(proved, default=0.0), "s", note=note))
    succeeded = sum(one.phase == "Succeeded" for one in told.values())
    table.add(Row("ended as Succeeded", succeeded, at_least=len(told)))
    table.add(Row("builds that took effect twice", doubles["builds"], at_most=0))
    table.add(Row("syncs that ran twice", doubles["syncs"], at_most=0))
