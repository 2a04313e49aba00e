"""`python -m bench.world`: the systems around the operator in a process of their own, instant unless told otherwise."""

import asyncio
import copy
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.children import say, serve
from bench.floor import define
from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.domain.conditions import kstatus
from reconciler.domain.keys import DEPLOYMENT_RECORD, ENVIRONMENT, JENKINS_SETTINGS, PROJECT, Kind
from reconciler.domain.names import FINALIZER
from reconciler.domain.resources import Environment, EnvironmentStatus
from reconciler.domain.resources.common import api_object
from reconciler.sandbox.weather import Weather
from reconciler.sandbox.world import DOMAIN, NAMESPACE, World

_AT_ONCE = 16
UUID = "01234567-89ab-cdef-0123-456789abcdef"


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
            case "environments":
                return await self._environments(asked["count"], asked["expires"])
            case "projects" | "ready" | "limit":
                return await self._for_drift(command, asked)
            case _:
                raise ValueError(command)

    async def _for_drift(self, command: str, asked: Mapping[str, Any]) -> int:
        if command == "projects":
            return await self._projects(asked["count"], asked["poll"])
        if command == "limit":
            self.world.godaddy.limit_per_minute = asked["per_minute"]
        return await self._ready()

    async def _projects(self, count: int, poll: str) -> int:
        """Store projects with an environment each, and Jenkins settings that say how often they are compared."""
        kubernetes = Kubernetes(Credentials.from_kubeconfig(Path(self.world.kubeconfig)))
        numbers = iter(range(count))

        async def some() -> None:
            for number in numbers:
                for kind, body in _project(f"p{number}", poll):
                    await kubernetes.create(
                        kind, NAMESPACE, {"apiVersion": kind.api_version, "kind": kind.kind, **body}
                    )

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(some())
        finally:
            await kubernetes.close()
        return count

    async def _ready(self) -> int:
        """Count the projects that are ready."""
        kubernetes = Kubernetes(Credentials.from_kubeconfig(Path(self.world.kubeconfig)))
        try:
            bodies, _ = await kubernetes.list_(PROJECT, NAMESPACE)
        finally:
            await kubernetes.close()
        conditions = [(body.get("status") or {}).get("conditions") or () for body in bodies]
        return sum(any(one["type"] == "Ready" and one["status"] == "True" for one in each) for each in conditions)

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

        async def store(kubernetes: Kubernetes, number: int) -> None:
            await self._copy(kubernetes, copy.deepcopy(record), f"past-{number}")

        await self._each(range(first, first + count), store)
        return count

    async def _environments(self, count: int, expires: str) -> int:
        """Store idle environments in which something is current, that end then; empty is never."""

        async def store(kubernetes: Kubernetes, number: int) -> None:
            made = await kubernetes.create(ENVIRONMENT, NAMESPACE, idle_environment(number))
            name, version = made["metadata"]["name"], made["metadata"]["resourceVersion"]
            status = idle_status(number) | ({"expiresAt": expires} if expires else {})
            await kubernetes.patch_status(ENVIRONMENT, NAMESPACE, name, {"status": status}, version)

        await self._each(range(count), store)
        return count

    async def _each(self, numbers: Iterable[int], store: Callable[[Kubernetes, int], Awaitable[None]]) -> None:
        kubernetes = Kubernetes(Credentials.from_kubeconfig(Path(self.world.kubeconfig)))
        left = iter(numbers)

        async def some() -> None:
            for number in left:
                await store(kubernetes, number)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(some())
        finally:
            await kubernetes.close()

    @staticmethod
    async def _copy(kubernetes: Kubernetes, record: dict[str, Any], name: str) -> None:
        metadata = {"name": name, "namespace": NAMESPACE, "finalizers": record["metadata"].get("finalizers", [])}
        spec = {**record["spec"], "operationId": name}
        body = {"apiVersion": record["apiVersion"], "kind": record["kind"], "metadata": metadata, "spec": spec}
        made = await kubernetes.create(DEPLOYMENT_RECORD, NAMESPACE, body)
        version = made["metadata"]["resourceVersion"]
        await kubernetes.patch_status(DEPLOYMENT_RECORD, NAMESPACE, name, {"status": record["status"]}, version)


def idle_environment(number: int) -> dict[str, Any]:
    """Return an environment of a project of its own."""
    project = f"p{number}"
    spec = {"projectRef": project, "name": "alpha", "domain": f"{project}.acme.example", "dnsTarget": "203.0.113.7"}
    return api_object(Environment, f"{project}--alpha", NAMESPACE, spec, finalizers=[FINALIZER])


def idle_status(number: int) -> dict[str, Any]:
    """Return a status as the operator leaves it after a deployment of one component."""
    project, marker = (
        f"p{number}",
        f"freeleaps.com/owner=x,resource=Environment/{NAMESPACE}/p{number}--alpha,uid={UUID}",
    )
    running = {
        "image": f"docker.io/acme/{project}-api:0123456789ab-01234567-1@sha256:{'0' * 64}",
        "revision": "0" * 40,
        "operation": f"op-{number}",
        "record": f"op-{number}",
        "requestedAt": "2026-11-23T08:00:00Z",
    }
    inventory = (("argocd", "Application", f"{project}--alpha--api"), ("dns", "Record", f"api.{project}.acme.example"))
    moment = datetime(2026, 11, 23, 8, tzinfo=UTC)
    status = {
        "observedGeneration": 1,
        "conditions": [one.dump() for one in kstatus([], "Ready", "Idle", "", 1, moment)],
        "phase": "Idle",
        "epoch": 1,
        "current": {"api": running},
        "latestRequestedAt": "2026-11-23T08:00:00Z",
        "latestRecord": f"op-{number}",
        "addresses": [f"https://api.{project}.acme.example"],
        "inventory": [
            {"system": system, "kind": kind, "name": name, "state": "Made", "marker": marker}
            for system, kind, name in inventory
        ],
    }
    return EnvironmentStatus.model_validate(status).dump()


def _project(name: str, poll: str) -> list[tuple[Kind, dict[str, Any]]]:
    metadata = {"namespace": NAMESPACE, "name": name}
    jenkins = {"projectRef": name, "folder": "freeleaps", "pollInterval": poll}
    spec = {
        "git": {"url": f"https://git.{DOMAIN}/acme/{name}.git"},
        "components": [{"name": "api", "port": 8080}],
        "environments": [{"name": "alpha", "domain": f"{name}.{DOMAIN}", "dnsTarget": "203.0.113.7"}],
    }
    return [
        (JENKINS_SETTINGS, {"metadata": metadata, "spec": jenkins}),
        (PROJECT, {"metadata": metadata, "spec": spec}),
    ]


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
