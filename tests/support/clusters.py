"""A Kubernetes API in this process with two kinds of our own, for the tests of the client and of the shell."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.domain.errors import NotFound
from reconciler.domain.keys import CUSTOM_RESOURCE_DEFINITION, Body, Kind
from reconciler.sandbox.kube import KubeApi

BOAT = Kind("boats.example.com", "v1", "boats", "Boat")
CREW = Kind("boats.example.com", "v1", "crews", "Crew")


def definition(kind: Kind) -> Body:
    """Return a definition with a status, whose spec has a bounded size."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    size = {"type": "integer", "maximum": 10}
    schema = {
        "type": "object",
        "properties": {"spec": {**anything, "properties": {"size": size}}, "status": anything},
    }
    version = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    return {
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced",
            "names": {"plural": kind.plural, "singular": kind.kind.lower(), "kind": kind.kind},
            "versions": [version],
        },
    }


async def define(client: Kubernetes, *kinds: Kind) -> None:
    """Install the definitions and wait until they are served."""
    for kind in kinds:
        await client.create(CUSTOM_RESOURCE_DEFINITION, "", definition(kind))
    for kind in kinds:
        await until(lambda kind=kind: _is_served(client, kind))  # type: ignore[misc]


async def _is_served(client: Kubernetes, kind: Kind) -> bool:
    try:
        await client.list_(kind, "default")
    except NotFound:
        return False
    return True


def a_boat(name: str = "a", *, kind: Kind = BOAT, **parts: Any) -> Body:
    """Make a body that can be created."""
    metadata = {"name": name, "namespace": "default", **parts.pop("metadata", {})}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **parts}


@asynccontextmanager
async def a_cluster(*kinds: Kind) -> AsyncIterator[tuple[KubeApi, Kubernetes]]:
    """Run an API server that serves `kinds`, and a client for it."""
    api = KubeApi()
    await api.start()
    client = Kubernetes(Credentials(server=api.url, token=api.token))
    try:
        await define(client, *kinds)
        yield api, client
    finally:
        api.faults.down = False
        await client.close()
        await api.stop()


def write_kubeconfig(folder: Path, text: str) -> Path:
    """Write a kubeconfig file."""
    path = folder / "kubeconfig"
    path.write_text(text, encoding="utf-8")
    return path


async def until(condition: Callable[[], bool | Awaitable[bool]], within: float = 20, every: float = 0.02) -> None:
    """Wait until a condition holds, asked every so many seconds."""
    async with asyncio.timeout(within):
        while True:
            holds = condition()
            if isinstance(holds, Awaitable):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(every)
