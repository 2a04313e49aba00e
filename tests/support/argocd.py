"""An Argo CD client connected to the simulated server, and the things it deals with in tests."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from reconciler.clients.argocd import ArgoCD as Client
from reconciler.clients.argocd import ArgoSession, translator
from reconciler.clients.endpoint import Endpoint
from reconciler.domain.outside.applications import Application, ApplicationShape, ImageSetting, ProjectShape
from reconciler.domain.ownership import Marker
from reconciler.resilience.breaker import Breaker, Rules

GIT = "https://git.example/shop/deploy.git"
DIGEST = "sha256:" + "a" * 64
OURS = Marker("owner-1", "Environment", "system", "shop--alpha", "uid-1")
THEIRS = replace(OURS, name="other--alpha")
PROJECT = ProjectShape("shop", "The shop", (GIT,), (("in-cluster", "shop-alpha"),))
SHAPE = ApplicationShape(
    name="shop--alpha--api",
    project="shop",
    repo_url=GIT,
    target_revision="main",
    path="deploy/api",
    namespace="shop-alpha",
    sync_options=("CreateNamespace=true",),
)
NAME = SHAPE.name
NONE = ImageSetting()
IMAGE = ImageSetting({"image.repository": "docker.io/acme/shop-api", "image.tag": f"abc@{DIGEST}"})


@asynccontextmanager
async def connected(url: str, *, is_by_password: bool = False) -> AsyncIterator[Client]:
    login = Endpoint("argocd", url, translate=translator())
    by_password = ArgoSession(asks=login, username="admin", password="argocd-password")
    session = by_password if is_by_password else ArgoSession(token="argocd-token")
    steady = Breaker("argocd", rules=Rules(failures=1000, calls=1000))  # the weather is the test's, not the breaker's
    endpoint = Endpoint("argocd", url, authorization=session, translate=translator(), breaker=steady)
    try:
        yield Client(endpoint, session=session, ui_url="https://argocd.example")
    finally:
        await endpoint.close()
        await login.close()


async def seen(client: Client) -> Application:
    found = await client.find_application("shop", NAME)
    assert found is not None
    return found


async def until(client: Client, holds: Callable[[Application], bool]) -> Application:
    """Ask again and again, as a person does; there is nothing to await but the server's clock."""
    async with asyncio.timeout(5):
        while not holds(found := await seen(client)):  # noqa: ASYNC110 - the condition is on the other side of a socket
            await asyncio.sleep(0.005)
    return found


def has_settled(found: Application) -> bool:
    operation = found.operation
    if operation is None or operation.finished_at is None or found.is_operation_requested:
        return False
    return found.reconciled_at is not None and found.reconciled_at >= operation.finished_at


async def gone(client: Client) -> None:
    async with asyncio.timeout(5):
        while await client.find_application("shop", NAME) is not None:  # noqa: ASYNC110 - the condition is on the other side of a socket
            await asyncio.sleep(0.005)
