"""`python -m bench.world`: the systems around the operator in a process of their own, instant unless told otherwise."""

import asyncio
import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.children import say, serve
from bench.floor import define
from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.domain.keys import DEPLOYMENT_RECORD
from reconciler.sandbox.weather import Weather
from reconciler.sandbox.world import NAMESPACE, World

_AT_ONCE = 16


class Box:
    """The world, and what the parent may ask of it."""

    def __init__(self) -> None:
        self.world = World(pace=0.0)
        # The zones' first records are made without the provider's limit, else they alone would take an hour.
        self.world.godaddy.limit_per_minute = None

    async def answer(self, command: str, asked: Mapping[str, Any]) -> Any:
        """Do what the parent asks."""
        match command:
            case "requests":
                return self._requests()
            case "pace":
                self.world.jenkins.pace.build = asked["build"]
                controller = self.world.argocd.controller
                controller.pace = replace(controller.pace, sync=asked["sync"])
                return True
            case "weather":
                self.world.set_weather(Weather(asked["weather"]), asked["system"])
                return True
            case "doubles":
                return self._doubles()
            case "preload":
                return await self._preload(asked["record"], asked["first"], asked["count"])
            case _:
                raise ValueError(command)

    def _requests(self) -> dict[str, dict[str, int]]:
        world = self.world
        systems: dict[str, Any] = {
            "jenkins": world.jenkins,
            "argocd": world.argocd,
            "registry": world.dockerhub,
            "dns": world.godaddy,
            "kubernetes": world.kube,
        }
        return {name: dict(system.requests) for name, system in systems.items()}

    def _doubles(self) -> dict[str, int]:
        builds = self.world.jenkins.effective_builds.values()
        syncs = Counter(run.request_id for run in self.world.argocd.syncs if run.request_id)
        return {"builds": sum(count > 1 for count in builds), "syncs": sum(count > 1 for count in syncs.values())}

    async def _preload(self, record: dict[str, Any], first: int, count: int) -> int:
        """Store copies of a finished record under other names."""
        kubernetes = Kubernetes(Credentials.from_kubeconfig(Path(self.world.kubeconfig)))
        numbers = iter(range(first, first + count))

        async def some() -> None:
            for number in numbers:
                await self._copy(kubernetes, copy.deepcopy(record), f"past-{number}")

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(some())
        finally:
            await kubernetes.close()
        return count

    @staticmethod
    async def _copy(kubernetes: Kubernetes, record: dict[str, Any], name: str) -> None:
        metadata = {"name": name, "namespace": NAMESPACE, "finalizers": record["metadata"].get("finalizers", [])}
        spec = {**record["spec"], "operationId": name}
        body = {"apiVersion": record["apiVersion"], "kind": record["kind"], "metadata": metadata, "spec": spec}
        made = await kubernetes.create(DEPLOYMENT_RECORD, NAMESPACE, body)
        version = made["metadata"]["resourceVersion"]
        await kubernetes.patch_status(DEPLOYMENT_RECORD, NAMESPACE, name, {"status": record["status"]}, version)


async def _main() -> None:
    box = Box()
    await box.world.start()
    await define(Credentials.from_kubeconfig(Path(box.world.kubeconfig)))
    try:
        say(box.world.environ())
        await serve(box.answer)
    finally:
        await box.world.stop()


if __name__ == "__main__":
    asyncio.run(_main())
