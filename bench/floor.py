"""`python -m bench.floor`: the least that Kopf costs: one change handler that writes one status field.

Nothing is logged and no events are posted, so that the floor is as low as Kopf can be.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kopf

from bench.children import say, serve
from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.domain.errors import AlreadyExists, NotFound
from reconciler.domain.keys import CUSTOM_RESOURCE_DEFINITION, Kind

FLOOR = Kind("bench.freeleaps.com", "v1", "widgets", "Widget")
FLOOR_NAMESPACE = "default"


class Floor:
    """The handler, and how often it was called."""

    def __init__(self) -> None:
        self.handled = 0
        self._more = asyncio.Event()

    def registry(self) -> kopf.OperatorRegistry:
        """Return the one handler, and a look at what came back."""
        registry = kopf.OperatorRegistry()

        @kopf.on.login(registry=registry)
        async def login(**_: Any) -> kopf.AiohttpSession:
            credentials = Credentials.from_kubeconfig(Path(os.environ["KUBECONFIG"]))
            return kopf.AiohttpSession(server=credentials.server, aiohttp_session=credentials.open_session())

        @kopf.on.create(FLOOR.group, FLOOR.version, FLOOR.plural, registry=registry)
        async def created(patch: kopf.Patch, **_: Any) -> None:
            patch.status["seen"] = "yes"
            self.handled += 1
            self._more.set()

        return registry

    async def answer(self, command: str, asked: Mapping[str, Any]) -> Any:
        """Wait until so many resources were handled, and their writes with them."""
        if command != "handled":
            raise ValueError(command)
        async with asyncio.timeout(100):
            while self.handled < asked["count"]:
                self._more.clear()
                await self._more.wait()
        await asyncio.sleep(1)  # the last patches, and the events that they cause
        return self.handled


async def define(credentials: Credentials) -> None:
    """Define the floor's kind, and wait until it is served."""
    client = Kubernetes(credentials)
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    version = {"name": FLOOR.version, "served": True, "storage": True, "subresources": {"status": {}}}
    names = {"plural": FLOOR.plural, "singular": "widget", "kind": FLOOR.kind}
    body = {
        "metadata": {"name": f"{FLOOR.plural}.{FLOOR.group}"},
        "spec": {
            "group": FLOOR.group,
            "scope": "Namespaced",
            "names": names,
            "versions": [{**version, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    try:
        await client.create(CUSTOM_RESOURCE_DEFINITION, "", body)
        await client.create(Kind("", "v1", "namespaces", "Namespace"), "", {"metadata": {"name": FLOOR_NAMESPACE}})
    except AlreadyExists:
        pass
    try:
        async with asyncio.timeout(20):
            while not await _is_served(client):  # noqa: ASYNC110 - another process decides
                await asyncio.sleep(0.05)
    finally:
        await client.close()


async def _is_served(client: Kubernetes) -> bool:
    try:
        await client.list_(FLOOR, FLOOR_NAMESPACE, limit=1)
    except NotFound:
        return False
    return True


async def make_widgets(client: Kubernetes, names: list[str]) -> None:
    """Create resources for the floor."""

    async def some(mine: list[str]) -> None:
        for name in mine:
            body = {"metadata": {"name": name, "namespace": FLOOR_NAMESPACE}, "spec": {"size": 1}}
            await client.create(FLOOR, FLOOR_NAMESPACE, {"apiVersion": FLOOR.api_version, "kind": FLOOR.kind, **body})

    async with asyncio.TaskGroup() as group:
        for first in range(8):
            group.create_task(some(names[first::8]))


async def _main() -> None:
    logging.getLogger("kopf").setLevel(logging.ERROR)
    floor, ready, stop = Floor(), asyncio.Event(), asyncio.Event()
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    operator = asyncio.create_task(
        kopf.operator(
            registry=floor.registry(),
            settings=settings,
            standalone=True,
            namespaces=[FLOOR_NAMESPACE],
            ready_flag=ready,
            stop_flag=stop,
        )
    )
    await ready.wait()
    say({"ready": True})
    await serve(floor.answer)
    stop.set()
    await operator


if __name__ == "__main__":
    asyncio.run(_main())
