"""`reconciler run` against the real programs there are: RabbitMQ, docker-registry, kubectl, and a real kube-apiserver.

The API server is real where KUBEBUILDER_ASSETS points at the binaries; the sandbox's takes its place in any case, too.
Jenkins, Argo CD and GoDaddy are simulated; a build pushes a real image to the real registry.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
import yaml

from reconciler.clients.kubernetes import Credentials
from reconciler.domain.keys import OUR_KINDS
from reconciler.domain.names import API_VERSION
from reconciler.sandbox.world import World, install
from support.docker_registry import RealRegistry
from support.envtest import RealApi
from support.process import an_operator
from support.town import IMPATIENT, REVISION, SHOP, Town, people, status_of

NAMES = ("EXCHANGE", "INITIALIZE_QUEUE", "RECONCILE_QUEUE", "RETRY_QUEUE", "DEAD_QUEUE", "HEARTBEAT_EXCHANGE")
PATIENCE = 60.0


@dataclass
class RealTown:
    """A town with real parts, in a namespace of its own."""

    town: Town
    namespace: str
    registry: RealRegistry
    home: Path

    async def kubectl(self, *arguments: str, fails: bool = False) -> str:
        """Run kubectl in the town's namespace and return what it says."""
        environment = {**os.environ, "HOME": str(self.home), "KUBECONFIG": self.town.environ["KUBECONFIG"]}
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            *("--namespace", self.namespace, *arguments),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(PATIENCE):
            said = (await process.communicate())[0].decode()
        assert (process.returncode != 0) is fails, f"kubectl {' '.join(arguments)}: {said}"
        return said

    async def apply(self, kind: str, name: str, spec: Mapping[str, Any], *, fails: bool = False) -> str:
        """Apply a resource with kubectl."""
        body = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": dict(spec)}
        path = self.home / f"{name}.yaml"
        path.write_text(yaml.safe_dump(body), encoding="utf-8")
        return await self.kubectl("apply", "--filename", str(path), fails=fails)


@pytest.fixture(params=["sandbox", "real"])
async def real(
    request: pytest.FixtureRequest, rabbitmq_server: str, docker_registry: RealRegistry, tmp_path: Path
) -> AsyncIterator[RealTown]:
    world = World()
    await world.start()
    try:
        kubeconfig = world.kubeconfig
        if request.param == "real":
            kubeconfig = str(_kubeconfig(tmp_path, request.getfixturevalue("real_api")))
            await install(Credentials.from_kubeconfig(Path(kubeconfig)))
        async with _town(world, kubeconfig, rabbitmq_server, docker_registry) as town:
            yield RealTown(town, town.engineer.namespace, docker_registry, tmp_path)
    finally:
        await world.stop()


@asynccontextmanager
async def _town(world: World, kubeconfig: str, broker: str, registry: RealRegistry) -> AsyncIterator[Town]:
    unique = f"t{uuid4().hex[:8]}"
    world.jenkins.works.on_success = lambda built: _push(registry, built)
    address = urlsplit(broker)
    environ = {
        **{name: value for name, value in world.environ().items() if not name.startswith("DOCKER_HUB")},
        **IMPATIENT,
        **{f"RABBITMQ_{name}": f"{unique}.{name.lower()}" for name in NAMES},
        "KUBECONFIG": kubeconfig,
        "RECONCILER_NAMESPACES": unique,
        "RECONCILER_OWN_NAMESPACE": unique,
        "RABBITMQ_HOST": str(address.hostname),
        "RABBITMQ_PORT": str(address.port),
        "REGISTRY_PROVIDER": "OCI",
        "REGISTRY_ENDPOINT": registry.url,
        "REGISTRY_NAMESPACE": unique,
    }
    async with people(world, environ, broker) as town:
        town.engineer.namespace = unique
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": unique}}
        await town.engineer.api.create("Namespace", "", namespace)
        yield town


def _push(registry: RealRegistry, built: Mapping[str, str]) -> None:
    registry.push(built["IMAGE"].partition("/")[2], built["IMAGE_TAG"])


def _kubeconfig(folder: Path, api: RealApi) -> Path:
    path = folder / "kubeconfig"
    cluster = {"server": api.url, "insecure-skip-tls-verify": True}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "real", "cluster": cluster}],
        "users": [{"name": "real", "user": {"token": api.token}}],
        "contexts": [{"name": "real", "context": {"cluster": "real", "user": "real"}}],
        "current-context": "real",
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


async def test_a_message_becomes_a_running_address_with_real_parts(real: RealTown) -> None:
    town, world = real.town, real.town.world
    async with an_operator(town.environ, real.home / "log") as operator:
        await operator.ready()
        await town.office.initialize()
        assert await town.office.end_of("op-init") == "Succeeded"
        await town.engineer.ready()
        await town.office.deploy("op-1", requested_by="anna@example.com")
        assert await town.office.end_of("op-1") == "Succeeded"
        record = await town.engineer.until(
            "DeploymentRecord", "op-1", lambda b: status_of(b).get("announced", 0) >= status_of(b).get("sequence", 1)
        )
        assert await operator.terminated() == 0
        assert operator.said("warning", "error", "critical") == []
    (artifact,) = status_of(record)["artifacts"]
    assert _has(real, artifact["image"], artifact["digest"])
    assert artifact["address"] == "https://api.alpha.acme.example"
    assert list(world.jenkins.effective_builds.values()) == [1]
    assert [(sync.application, sync.result) for sync in world.argocd.syncs] == [("shop--alpha--api", "Succeeded")]
    assert world.godaddy.values("acme.example", "A", "api.alpha") == ["203.0.113.7"]
    heard = [beat["sequence"] for beat in town.office.heard_of("op-1")]
    assert heard == sorted(heard)
    assert town.office.ends_of("op-1") == ["Succeeded"]


def _has(real: RealTown, image: str, digest: str) -> bool:
    """Tell whether the real registry has the image."""
    repository, manifest = image.partition("/")[2], "application/vnd.oci.image.manifest.v1+json"
    return real.registry.ask("HEAD", f"/v2/{repository}/manifests/{digest}", Accept=manifest).ok


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
async def test_kubectl_applies_watches_and_deletes_what_the_operator_serves(real: RealTown) -> None:
    town, world = real.town, real.town.world
    async with an_operator(town.environ, real.home / "log") as operator:
        assert "created" in await real.apply("DevOpsProject", "shop", SHOP)
        await real.kubectl("wait", "devopsproject/shop", "--for=condition=Ready", "--timeout=40s")
        record = {"projectRef": "shop", "environment": "alpha", "revision": REVISION}
        await real.apply("DeploymentRecord", "op-1", record)
        await real.kubectl("wait", "deploymentrecord/op-1", "--for=condition=Ready", "--timeout=40s")
        await real.apply("DevOpsProject", "shop", SHOP)
        assert (await town.engineer.read("DevOpsProject", "shop"))["metadata"]["generation"] == 1
        table = await real.kubectl("get", "deploymentrecords")
        assert "Succeeded" in table
        for kind in OUR_KINDS:
            await real.kubectl("get", kind.plural)
        told = await real.kubectl("describe", "deploymentrecord", "op-1")
        assert "Succeeded" in told.partition("Events:")[2], told
        refused = await real.apply("DeploymentRecord", "op-2", record | {"revision": "main"}, fails=True)
        assert "spec.revision" in refused

        await real.kubectl("delete", "deploymentrecord", "op-1", "--timeout=40s")
        assert set(world.argocd.applications) == {"shop--alpha--api"}
        await real.kubectl("delete", "devopsproject", "shop", "--timeout=40s")
        for kind in OUR_KINDS:
            assert "No resources found" in await real.kubectl("get", kind.plural)
        assert set(world.argocd.applications) == set()
        assert world.godaddy.values("acme.example", "A", "api.alpha") == []
        assert await operator.terminated() == 0
        assert operator.said("error", "critical") == []


async def test_a_kill_with_real_parts_loses_and_doubles_nothing(real: RealTown) -> None:
    town, world = real.town, real.town.world
    world.jenkins.pace.build = 1.5
    async with an_operator(town.environ, real.home / "first") as first:
        await town.office.initialize()
        await town.engineer.ready()
        await town.office.deploy("op-1")
        await town.engineer.until("DeploymentRecord", "op-1", lambda b: bool(world.jenkins.builds))
        await first.killed()
    await town.office.deploy("op-2")
    async with an_operator(town.environ, real.home / "second") as second:
        assert await town.office.end_of("op-1") == "Succeeded"
        assert await town.office.end_of("op-2") == "Succeeded"
        assert await second.terminated() == 0
    assert sorted(world.jenkins.effective_builds.values()) == [1, 1]
    assert len(world.argocd.syncs) == 2
