"""Credentials go where they are meant to, and nowhere else: no redirect, realm or link carries them to another host."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web

from reconciler.domain.errors import Missing, ReconcilerError
from reconciler.domain.resources.common import api_object
from reconciler.sandbox.server import Simulator
from support.rotation import SYSTEMS, Rotation, System

CREDENTIAL = "canary-4711-credential"


class Place(Simulator):
    """Any host: keeps what it is asked, and answers as told."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.status, self.headers = 200, dict[str, str]()

    def routes(self) -> list[web.RouteDef]:
        return [web.route("*", "/{tail:.*}", self._take)]

    async def _take(self, request: web.Request) -> web.Response:
        self.seen.append(f"{request.raw_path} {dict(request.headers)} {await request.text()}")
        return web.json_response({"token": "t"}, status=self.status, headers=self.headers)


@asynccontextmanager
async def places() -> AsyncIterator[tuple[Place, Place]]:
    home, foreign = Place(), Place()
    await home.start()
    await foreign.start()
    try:
        yield home, foreign
    finally:
        await foreign.stop()
        await home.stop()


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> System:
    return SYSTEMS[request.param]


def is_shown(credential: str, seen: str) -> bool:
    return credential in seen or base64.b64encode(f"reconciler:{credential}".encode()).decode() in seen


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(system: System, status: int) -> None:
    async with places() as (home, foreign):
        home.status, home.headers = status, {"Location": f"{foreign.url}/stolen"}
        rotation = Rotation(system, home)
        rotation.write(CREDENTIAL)
        with pytest.raises(ReconcilerError) as caught:
            await rotation.ask()
        await rotation.connections.close()
        assert home.seen
        assert foreign.seen == []
        assert CREDENTIAL not in str(caught.value)


async def test_no_challenge_leads_credentials_to_another_host(system: System) -> None:
    async with places() as (home, foreign):
        home.status = 401
        home.headers = {"WWW-Authenticate": f'Bearer realm="{foreign.url}/token",service="s"'}
        rotation = Rotation(system, home)
        rotation.write(CREDENTIAL)
        with pytest.raises(ReconcilerError):
            await rotation.ask()
        await rotation.connections.close()
        assert foreign.seen == []


async def test_the_operators_own_credentials_do_not_go_to_an_endpoint_that_a_user_names(system: System) -> None:
    async with places() as (own, foreign):
        rotation = Rotation(system, own, **own_credentials(own))
        spec = {**system.spec, "endpoint": foreign.url}
        settings: Any = system.kind(api_object(system.kind, "own", "space", spec))
        with pytest.raises(Missing, match="credentialsRef"):
            await system.ask(rotation.connections, settings)
        with_secret: Any = system.kind(
            api_object(system.kind, "own", "space", {**spec, "credentialsRef": {"name": "ci"}})
        )
        rotation.write("users-own-credential")
        with suppress(Exception):  # what it makes of such answers is not what this is about
            await system.ask(rotation.connections, with_secret)
        await rotation.connections.close()
        assert foreign.seen or own.seen
        assert not any(is_shown(CREDENTIAL, seen) for seen in foreign.seen)


def own_credentials(own: Place) -> dict[str, str]:
    """Return variables that give the operator endpoints and credentials of its own."""
    return {
        "JENKINS_ENDPOINT": own.url,
        "JENKINS_USERNAME": "reconciler",
        "JENKINS_TOKEN": CREDENTIAL,
        "ARGOCD_ENDPOINT": own.url,
        "ARGOCD_TOKEN": CREDENTIAL,
        "REGISTRY_ENDPOINT": own.url,
        "DOCKER_HUB_USERNAME": "reconciler",
        "DOCKER_HUB_PASSWORD": CREDENTIAL,
        "GODADDY_ENDPOINT": own.url,
        "GODADDY_KEY": "key",
        "GODADDY_SECRET": CREDENTIAL,
    }
