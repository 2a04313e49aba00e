"""kubectl against the sandbox's API: the commands people type."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from reconciler.sandbox.kube import KubeApi

KUBECTL = shutil.which("kubectl")
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PATIENCE = 30.0

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")

BOATS: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "boats.sea.example.com"},
    "spec": {
        "group": "sea.example.com",
        "scope": "Namespaced",
        "names": {"plural": "boats", "kind": "Boat", "shortNames": ["bt"], "categories": ["all"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.masts", "statusReplicasPath": ".status.masts"},
                },
                "additionalPrinterColumns": [
                    {"name": "Sail", "type": "string", "jsonPath": ".spec.sail"},
                    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "description": "A boat.",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "sail": {"type": "string", "description": "Its colour.", "enum": ["red", "white"]},
                                    "masts": {"type": "integer", "default": 1},
                                },
                            },
                            "status": {
                                "type": "object",
                                "properties": {"phase": {"type": "string"}, "masts": {"type": "integer"}},
                            },
                        },
                    }
                },
            }
        ],
    },
}


class Kubectl:
    """kubectl with a home of its own."""

    def __init__(self, home: Path, api: KubeApi) -> None:
        self.home = home
        self.api = api
        (home / "config").write_text(api.kubeconfig())
        self.environment = {**os.environ, "HOME": str(home), "KUBECONFIG": str(home / "config")}

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            str(KUBECTL), *arguments, env=self.environment, cwd=self.home, stdout=pipe, stderr=subprocess.STDOUT
        )

    async def __call__(self, *arguments: str, fails: bool = False) -> str:
        process = await self.start(*arguments)
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
        text = output.decode()
        assert (process.returncode != 0) is fails, f"kubectl {' '.join(arguments)}: {text}"
        return text

    async def watching(self) -> None:
        """Return when a watch of boats was asked for."""
        while not self.api.requests["WATCH boats"]:  # noqa: ASYNC110 - a counter wakes nobody
            await asyncio.sleep(0.05)

    def file(self, name: str, *objects: dict[str, Any]) -> str:
        path = self.home / name
        path.write_text(yaml.safe_dump_all(objects))
        return str(path)


def boat(name: str = "anna", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "sea.example.com/v1", "kind": "Boat", "metadata": {"name": name}, "spec": spec}


async def is_served(session: aiohttp.ClientSession, url: str) -> bool:
    async with session.get(url) as answer:
        return answer.status == 200


@pytest.fixture
async def kubectl(tmp_path: Path) -> AsyncIterator[Kubectl]:
    api = KubeApi()
    await api.start()
    try:
        async with aiohttp.ClientSession() as session:
            async with session.post(api.url + DEFINITIONS, json=BOATS) as answer:
                assert answer.status == 201, await answer.text()
            async with asyncio.timeout(PATIENCE):
                while not await is_served(session, f"{api.url}/apis/sea.example.com/v1/boats"):  # noqa: ASYNC110 - asks
                    await asyncio.sleep(0)
        yield Kubectl(tmp_path, api)
    finally:
        await api.stop()


async def test_apply_creates_then_leaves_alone_then_changes(kubectl: Kubectl) -> None:
    file = kubectl.file("boat.yaml", boat(sail="red"))
    assert "created" in await kubectl("apply", "-f", file)
    assert "unchanged" in await kubectl("apply", "-f", file)
    kubectl.file("boat.yaml", boat(sail="white"))
    assert "configured" in await kubectl("apply", "-f", file)
    assert "white" in await kubectl("get", "boat", "anna", "-o", "jsonpath={.spec.sail}")


async def test_apply_of_built_in_kinds_merges(kubectl: Kubectl) -> None:
    chart = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "chart"}, "data": {"a": "1", "b": "2"}}
    file = kubectl.file("chart.yaml", chart)
    await kubectl("apply", "-f", file)
    kubectl.file("chart.yaml", {**chart, "data": {"a": "3"}})
    assert "configured" in await kubectl("apply", "-f", file)
    assert yaml.safe_load(await kubectl("get", "cm", "chart", "-o", "yaml"))["data"] == {"a": "3"}


async def test_apply_on_the_server_side(kubectl: Kubectl) -> None:
    file = kubectl.file("boat.yaml", boat(sail="red"))
    assert "serverside-applied" in await kubectl("apply", "--server-side", "-f", file)
    assert "serverside-applied" in await kubectl("apply", "--server-side", "-f", file)


async def test_get_prints_the_columns_of_the_definition(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", kubectl.file("boat.yaml", boat(sail="red")))
    await kubectl("patch", "bt", "anna", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Afloat"}}')
    header, row = (await kubectl("get", "bt")).splitlines()
    assert header.split() == ["NAME", "SAIL", "PHASE", "AGE"]
    assert row.split()[:3] == ["anna", "red", "Afloat"]
    assert "anna" in await kubectl("get", "all")


async def test_describe_shows_spec_and_events(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", kubectl.file("boat.yaml", boat(sail="red")))
    described = await kubectl("describe", "boat", "anna")
    assert "Sail:" in described
    assert "Events:" in described


async def test_explain_reads_the_schema(kubectl: Kubectl) -> None:
    assert "Its colour." in await kubectl("explain", "boat.spec.sail")


async def test_wrong_fields_are_refused_before_anything_is_stored(kubectl: Kubectl) -> None:
    unknown = await kubectl("create", "-f", kubectl.file("boat.yaml", boat(sail="red", oars=2)), fails=True)
    assert 'unknown field "spec.oars"' in unknown
    wrong = await kubectl("apply", "-f", kubectl.file("boat.yaml", boat(sail="pink")), fails=True)
    assert 'spec.sail: Unsupported value: "pink"' in wrong
    assert "No resources found" in await kubectl("get", "boats")


async def test_label_annotate_scale_and_patch(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", kubectl.file("boat.yaml", boat(sail="red")))
    await kubectl("label", "boat", "anna", "port=home")
    await kubectl("annotate", "boat", "anna", "note=leaks")
    await kubectl("scale", "boat", "anna", "--replicas=3")
    await kubectl(
        "patch", "boat", "anna", "--type=json", "-p", '[{"op":"replace","path":"/spec/sail","value":"white"}]'
    )
    found = yaml.safe_load(await kubectl("get", "boats", "-l", "port=home", "-o", "yaml"))["items"][0]
    assert found["spec"] == {"sail": "white", "masts": 3}
    assert found["metadata"]["annotations"]["note"] == "leaks"


async def test_wait_ends_when_the_status_says_so(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", kubectl.file("boat.yaml", boat(sail="red")))
    waiting = await kubectl.start("wait", "boat/anna", "--for=jsonpath={.status.phase}=Afloat", "--timeout=20s")
    async with asyncio.timeout(PATIENCE):
        await kubectl.watching()
    await kubectl("patch", "bt", "anna", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Afloat"}}')
    output, _ = await waiting.communicate()
    assert b"condition met" in output


async def test_get_watch_prints_changes_as_they_come(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", kubectl.file("boat.yaml", boat(sail="red")))
    watching = await kubectl.start("get", "boats", "--watch")
    assert watching.stdout is not None
    async with asyncio.timeout(PATIENCE):
        assert b"NAME" in await watching.stdout.readline()
        assert b"red" in await watching.stdout.readline()
        await kubectl.watching()
        await kubectl("patch", "boat", "anna", "--type=merge", "-p", '{"spec":{"sail":"white"}}')
        assert b"white" in await watching.stdout.readline()
    watching.terminate()
    await watching.communicate()


async def test_delete_waits_until_it_is_gone(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", kubectl.file("boats.yaml", boat("anna", sail="red"), boat("berta", sail="white")))
    await kubectl("delete", "boat", "anna")
    assert "NotFound" in await kubectl("get", "boat", "anna", fails=True)
    await kubectl("delete", "boats", "--all")
    assert "No resources found" in await kubectl("get", "boats")


@pytest.mark.parametrize(
    ("command", "check", "expected"),
    [
        (("create", "namespace", "harbour"), ("get", "ns", "harbour", "-o", "jsonpath={.status.phase}"), "Active"),
        (
            ("create", "secret", "generic", "chest", "--from-literal=gold=7"),
            ("get", "secret", "chest", "-o", "jsonpath={.data.gold}"),
            "Nw==",
        ),
        (
            ("create", "configmap", "log", "--from-literal=day=1"),
            ("get", "cm", "log", "-o", "jsonpath={.data.day}"),
            "1",
        ),
        (("create", "serviceaccount", "mate"), ("get", "sa", "mate", "-o", "jsonpath={.metadata.name}"), "mate"),
    ],
)
async def test_typed_create_commands_send_protobuf_and_are_understood(
    kubectl: Kubectl, command: tuple[str, ...], check: tuple[str, ...], expected: str
) -> None:
    await kubectl(*command)
    assert await kubectl(*check) == expected


async def test_a_namespace_takes_its_contents_with_it(kubectl: Kubectl) -> None:
    await kubectl("create", "namespace", "harbour")
    await kubectl("create", "-n", "harbour", "-f", kubectl.file("boat.yaml", boat(sail="red")))
    await kubectl("delete", "namespace", "harbour")
    assert "No resources found" in await kubectl("get", "boats", "-A")
