"""The client for any registry: tokens, passwords, pages and weather, over loopback."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest
from aiohttp import web

from reconciler.clients.endpoint import Bounds, Endpoint
from reconciler.clients.oci import Credentials, OciRegistry
from reconciler.domain.errors import Invalid, ReconcilerError, Refused, Unavailable
from reconciler.domain.outside.images import Image
from reconciler.resilience.breaker import Breaker, Rules
from reconciler.sandbox.dockerhub import DockerHub
from reconciler.sandbox.weather import Weather


async def _credentials() -> Credentials | None:
    return Credentials("acme", "pw")


def _endpoint(url: str) -> Endpoint:
    breaker = Breaker("registry", rules=Rules(failures=9999, calls=9999))
    return Endpoint("registry", url, bounds=Bounds(limited_for=timedelta(0)), breaker=breaker)


@pytest.fixture
async def simulator() -> AsyncIterator[DockerHub]:
    simulator = DockerHub(password="pw")
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def client(simulator: DockerHub) -> AsyncIterator[OciRegistry]:
    endpoint = _endpoint(simulator.url)
    yield OciRegistry(endpoint, origin=simulator.url, credentials=_credentials)
    await endpoint.close()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[..., Awaitable[str]]]:
    """Serve one handler for everything."""
    runners: list[web.AppRunner] = []

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> str:
        application = web.Application()
        application.router.add_route("*", "/{tail:.*}", handler)
        runners.append(web.AppRunner(application, access_log=None, shutdown_timeout=0.1))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runners[-1].addresses[0][1]}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize("field", ["token", "access_token"])
async def test_a_token_is_read_under_either_name(client: OciRegistry, simulator: DockerHub, field: str) -> None:
    simulator.registry.token_field = field
    simulator.account.registry_token_seconds = None
    digest = simulator.push("acme/shop-api", "v1")
    for _ in range(2):
        assert await client.find_image("acme/shop-api", "v1") == Image("acme/shop-api", "v1", digest)
    assert simulator.requests["GET /token"] == 1


async def test_a_repository_that_stays_unauthorized_is_refused_without_a_loop(
    client: OciRegistry, simulator: DockerHub
) -> None:
    with pytest.raises(Refused, match="scopes"):
        await client.find_image("acme/nothing", "v1")
    assert simulator.requests["GET /token"] == 1
    with pytest.raises(Refused):
        await client.find_repository("acme/nothing")


async def test_a_registry_says_that_it_deletes_no_repository(client: OciRegistry, simulator: DockerHub) -> None:
    with pytest.raises(Invalid, match="kept"):
        await client.delete_repository("acme/shop-api")
    assert not simulator.requests


@pytest.mark.parametrize(
    "link", ["/v2/acme/shop/tags/list?last={}", "?last={}", "http://{host}/v2/acme/shop/tags/list?last={}"]
)
async def test_pages_of_tags_are_followed_in_every_form_of_link(
    serve: Callable[..., Awaitable[str]], link: str
) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        last = request.query.get("last", "")
        tags = {"": ["a", "b"], "b": ["c"], "c": None}[last]
        after = {"": "b", "b": "c"}.get(last)
        target = link.replace("{host}", request.host).replace("{}", after or "")
        headers = {"Link": f'<{target}>; rel="next"'} if after else {}
        return web.json_response({"name": "acme/shop", "tags": tags}, headers=headers)

    url = await serve(page)
    endpoint = _endpoint(url)
    assert await OciRegistry(endpoint, origin=url).list_tags("acme/shop") == ("a", "b", "c")
    await endpoint.close()


async def test_a_link_to_another_host_is_followed_on_the_registry_alone(serve: Callable[..., Awaitable[str]]) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        headers = {} if request.query else {"Link": '<http://elsewhere.example/v2/a/b/tags/list?x=1>; rel="next"'}
        return web.json_response({"tags": ["x" if request.query else "y"]}, headers=headers)

    url = await serve(page)
    endpoint = _endpoint(url)
    assert await OciRegistry(endpoint, origin=url).list_tags("a/b") == ("x", "y")
    await endpoint.close()


async def test_a_page_that_points_to_itself_ends(serve: Callable[..., Awaitable[str]]) -> None:
    async def page(request: web.Request) -> web.StreamResponse:
        return web.json_response({"tags": ["a"]}, headers={"Link": f'<{request.raw_path}>; rel="next"'})

    url = await serve(page)
    endpoint = _endpoint(url)
    assert await OciRegistry(endpoint, origin=url).list_tags("acme/shop") == ("a",)
    await endpoint.close()


async def test_an_anonymous_reader_is_refused_where_a_password_is_wanted(serve: Callable[..., Awaitable[str]]) -> None:
    async def closed(request: web.Request) -> web.StreamResponse:
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    url = await serve(closed)
    endpoint = _endpoint(url)
    with pytest.raises(Refused):
        await OciRegistry(endpoint, origin=url).find_image("acme/shop", "v1")
    await endpoint.close()


async def test_a_realm_without_a_token_is_unavailable(serve: Callable[..., Awaitable[str]]) -> None:
    async def empty(request: web.Request) -> web.StreamResponse:
        if request.path == "/token":
            return web.json_response({})
        realm = f'Bearer realm="http://{request.host}/token",service="s"'
        return web.Response(status=401, headers={"WWW-Authenticate": realm})

    url = await serve(empty)
    endpoint = _endpoint(url)
    with pytest.raises(Unavailable, match="no token"):
        await OciRegistry(endpoint, origin=url).find_image("acme/shop", "v1")
    await endpoint.close()


@pytest.mark.parametrize("weather", list(Weather))
async def test_in_every_weather_a_call_succeeds_or_raises_one_of_our_errors(
    client: OciRegistry, simulator: DockerHub, weather: Weather
) -> None:
    simulator.faults.weather = weather
    simulator.limits.retry_after = 0
    simulator.push("acme/shop-api", "v1")
    outcomes = []
    for _ in range(1 if weather is Weather.SLOW else 15):
        for call in (
            client.check_access(),
            client.find_image("acme/shop-api", "v1"),
            client.find_repository("acme/shop-api"),
        ):
            try:
                await call
                outcomes.append("ok")
            except ReconcilerError as error:
                outcomes.append(type(error).__name__)
    assert ("ok" in outcomes) == (weather is not Weather.DOWN)
    assert (set(outcomes) == {"ok"}) == (weather in (Weather.CALM, Weather.SLOW))
