"""Kopf in its shell against an API in this process, for the tests of what it sees and what it survives."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import CoroutineType
from typing import Any

from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.domain.keys import Key, Kind
from reconciler.operator.cache import Cache, Change
from reconciler.operator.login import KopfCall
from reconciler.operator.shell import Shell, Tuning
from reconciler.resilience.backoff import Backoff
from reconciler.sandbox.kube import KubeApi
from support.clusters import BOAT, a_boat, a_cluster

QUICK = Tuning(
    patience=timedelta(seconds=0.3),
    longest_pause=timedelta(seconds=0.1),
    request_timeout=timedelta(seconds=5),
    connect_timeout=timedelta(seconds=2),
    reconnect_pause=timedelta(seconds=0.05),
    watching_within=timedelta(seconds=20),
)
SOON = Backoff(first=timedelta(seconds=0.1), longest=timedelta(seconds=0.1), floor=timedelta(seconds=0.1))


def key(name: str = "a", kind: Kind = BOAT) -> Key:
    return Key(kind.kind, "default", name)


@dataclass
class World:
    api: KubeApi
    client: Kubernetes
    cache: Cache
    shell: Shell
    changes: list[Change] = field(default_factory=list)
    calls: list[KopfCall] = field(default_factory=list)

    def knows(self, name: str = "a") -> bool:
        return self.cache.read(key(name)) is not None

    async def create(self, name: str = "a", **parts: Any) -> dict[str, Any]:
        return await self.client.create(BOAT, "default", a_boat(name, **parts))

    def count(self, verb: str) -> int:
        return sum(call.verb == verb for call in self.calls)


@asynccontextmanager
async def a_world(
    *kinds: Kind,
    defined: tuple[Kind, ...] | None = None,
    tuning: Tuning = QUICK,
    cluster: tuple[KubeApi, Kubernetes] | None = None,
    server: str = "",
    **options: Any,
) -> AsyncIterator[World]:
    """Run a shell, and an API unless there is one (`cluster`); at the end nothing of Kopf's may be left.

    `server` is where the shell looks for the API, if that is not where it is.
    """
    kinds = kinds or (BOAT,)
    async with AsyncExitStack() as stack:
        api, client = cluster or await stack.enter_async_context(a_cluster(*(kinds if defined is None else defined)))
        before = asyncio.all_tasks()
        cache = Cache()
        calls: list[KopfCall] = []
        options.setdefault("namespaces", ["default"])
        credentials = options.pop("credentials", None) or Credentials(server=server or api.url, token=api.token)
        shell = Shell(credentials, cache, kinds, tuning=tuning, backoff=SOON, observe=calls.append, **options)
        world = World(api, client, cache, shell, calls=calls)
        cache.subscribe(world.changes.append)
        running = asyncio.create_task(shell.run())
        try:
            yield world
        finally:
            api.faults.down = False
            await shell.stop()
            await running
            # A life that dies while Kopf scans leaves the other read of the scan behind, which waits for a login of
            # that life: nobody else knows of either.
            gc.collect()
            left = asyncio.all_tasks() - before
        assert [task.get_name() for task in left if is_kopfs(task)] == []


def is_kopfs(task: asyncio.Task[Any]) -> bool:
    coroutine = task.get_coro()
    return "/kopf/" in coroutine.cr_code.co_filename if isinstance(coroutine, CoroutineType) else False
