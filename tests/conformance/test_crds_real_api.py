"""Our CRDs on the sandbox's API and on a real kube-apiserver: both accept and refuse the same, and name the field."""

import asyncio
import io
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest

from reconciler.domain.crds import crds
from reconciler.domain.names import GROUP, VERSION
from reconciler.domain.resources import KINDS, DeploymentRecord, Environment
from reconciler.domain.resources.common import Resource
from reconciler.sandbox.kube import KubeApi
from support.bad_resources import BAD_FIELDS, BadField, good
from support.envtest import RealApi
from support.maximal import largest, maximal, schema_of

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PATIENCE = 20.0
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Api:
    """One of the two servers."""

    session: aiohttp.ClientSession
    url: str
    ssl: ssl.SSLContext | bool

    async def ask(self, method: str, path: str, body: Any = None, **parameters: str) -> tuple[int, Any]:
        sent = None if body is None else io.BytesIO(orjson.dumps(body))
        asked = self.session.request(method, f"{self.url}{path}", data=sent, params=parameters, ssl=self.ssl)
        async with asked as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, await answer.json() if is_json else await answer.text()

    async def create(self, kind: type[Resource], body: Any, **parameters: str) -> tuple[int, Any]:
        return await self.ask("POST", collection(kind), body, **parameters)

    async def apply_definitions(self) -> None:
        for definition in crds():
            status, answer = await self.ask("POST", DEFINITIONS, definition)
            assert status in (201, 409), answer
        async with asyncio.timeout(PATIENCE):
            for kind in KINDS:
                while (await self.ask("GET", collection(kind)))[0] != 200:  # noqa: ASYNC110 - a server's condition
                    await asyncio.sleep(0.05)


def collection(kind: type[Resource]) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/default/{kind.plural}"


@pytest.fixture(params=["sandbox", "real"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Each server in turn, with our CRDs."""
    if request.param == "real":
        real: RealApi = request.getfixturevalue("real_api")
        async with session(real.token) as opened:
            found = Api(opened, real.url, real.context())
            await found.apply_definitions()
            yield found
        return
    sandbox = KubeApi()
    await sandbox.start()
    try:
        async with session(sandbox.token) as opened:
            found = Api(opened, sandbox.url, ssl=True)
            await found.apply_definitions()
            yield found
    finally:
        await sandbox.stop()


def session(token: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}", **JSON})


async def test_bad_resources_are_refused_by_the_field_at_fault(api: Api) -> None:
    wrong = [why for bad in BAD_FIELDS if (why := await why_not_refused(api, bad))]
    assert wrong == []


async def why_not_refused(api: Api, bad: BadField) -> str:
    status, answer = await api.create(bad.kind, bad.body(), dryRun="All")
    if status != 422:
        return f"{bad}: {status}"
    places = [cause.get("field", "") for cause in answer["details"]["causes"]]
    return "" if any(bad.names(place) for place in places) else f"{bad}: {places} instead of {bad.named}"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
async def test_the_smallest_good_object_is_accepted(api: Api, kind: type[Resource]) -> None:
    status, answer = await api.create(kind, good(kind), dryRun="All")
    assert status == 201, answer


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
async def test_the_largest_object_is_accepted_with_the_largest_status(api: Api, kind: type[Resource]) -> None:
    body = maximal(kind)
    status, stored = await api.create(kind, body, fieldValidation="Strict")
    assert status == 201, stored
    path = f"{collection(kind)}/{body['metadata']['name']}"
    try:
        stored["status"] = largest(schema_of(kind, "status"), "status")
        status, answer = await api.ask("PUT", f"{path}/status", stored, fieldValidation="Strict")
        assert status == 200, answer
        assert answer["status"] == stored["status"]
    finally:
        assert (await api.ask("DELETE", path))[0] == 200


async def test_defaults_are_filled_in(api: Api) -> None:
    _, answer = await api.create(Environment, good(Environment), dryRun="All")
    assert answer["spec"] == {
        "cluster": "in-cluster",
        "concurrency": "Queue",
        "name": "alpha",
        "pinned": False,
        "projectRef": "shop",
        "rollback": "None",
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("operationId", "op-2"),
        ("projectRef", "other"),
        ("environment", "beta"),
        ("components", ["web"]),
        ("revision", "0" * 40),
        ("parameters", {"A": "2"}),
        ("requestedAt", "2026-11-23T09:00:00Z"),
    ],
)
async def test_what_was_asked_for_does_not_change(api: Api, field: str, value: Any) -> None:
    body = good(DeploymentRecord)
    body["metadata"]["name"] = f"immutable-{field.lower()}"
    _, stored = await api.create(DeploymentRecord, body)
    path = f"{collection(DeploymentRecord)}/{body['metadata']['name']}"
    try:
        stored["spec"][field] = value
        status, answer = await api.ask("PUT", path, stored)
        assert status == 422, answer
        assert f"spec.{field}" in [cause["field"].lstrip(".") for cause in answer["details"]["causes"]]
    finally:
        await api.ask("DELETE", path)


async def test_a_deployment_can_be_cancelled(api: Api) -> None:
    body = good(DeploymentRecord)
    body["metadata"]["name"] = "cancelled"
    _, stored = await api.create(DeploymentRecord, body)
    path = f"{collection(DeploymentRecord)}/cancelled"
    try:
        stored["spec"]["cancel"] = True
        status, answer = await api.ask("PUT", path, stored)
        assert (status, answer["spec"]["cancel"]) == (200, True)
    finally:
        await api.ask("DELETE", path)
