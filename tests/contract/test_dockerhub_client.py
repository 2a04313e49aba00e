"""The Docker Hub client against the simulator, and both against the official descriptions."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from reconciler.clients.dockerhub import Credentials
from reconciler.clients.dockerhub import DockerHub as Client
from reconciler.clients.endpoint import Bounds, Endpoint
from reconciler.domain.errors import AlreadyExists, Invalid, Missing, RateLimited, ReconcilerError, Refused
from reconciler.domain.outside.images import Image, ImageRepository
from reconciler.domain.ownership import find_marker
from reconciler.resilience.breaker import Breaker, Rules
from reconciler.sandbox.dockerhub import DockerHub, LimitForm
from reconciler.sandbox.dockerhub.store import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST
from reconciler.sandbox.weather import Strike, Weather
from support.contracts import recording
from support.vendor_contracts import HUB, REGISTRY

MARKER = "freeleaps.com/owner=11111111-2222-3333-4444-555555555555,resource=DevOpsProject/devops/shop,uid=" + "u" * 36


class Keys:
    """Credentials that can be rotated."""

    def __init__(self) -> None:
        self.now: Credentials | None = Credentials("acme", "pw")

    async def __call__(self) -> Credentials | None:
        return self.now


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
async def simulator() -> AsyncIterator[DockerHub]:
    simulator = DockerHub(password="pw")
    simulator.limits.pulls = 0
    await simulator.start()
    yield simulator
    await simulator.stop()


def _endpoint(url: str, *, bounds: Bounds | None = None) -> Endpoint:
    bounds = bounds or Bounds(limited_for=timedelta(0))
    return Endpoint(
        "dockerhub", url, bounds=bounds, breaker=Breaker("dockerhub", rules=Rules(failures=9999, calls=9999))
    )


def _client(endpoint: Endpoint, url: str, keys: Keys, **given: object) -> Client:
    return Client(endpoint, endpoint, namespace="acme", credentials=keys, registry_origin=url, **given)  # type: ignore[arg-type]


@pytest.fixture
async def client(simulator: DockerHub, keys: Keys) -> AsyncIterator[Client]:
    async with recording(simulator.url) as recorder:
        simulator.registry.realm = f"{recorder.url}/token"
        endpoint = _endpoint(recorder.url)
        yield _client(endpoint, recorder.url, keys)
        await endpoint.close()
    HUB.check(recorder.exchanges)
    REGISTRY.check(recorder.exchanges)


@pytest.mark.parametrize("kind", [DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX])
async def test_an_image_of_every_kind_is_found_with_its_digest_and_without_a_pull(
    client: Client, simulator: DockerHub, kind: str
) -> None:
    digest = simulator.push("acme/shop-api", "v1", media_type=kind)
    assert await client.find_image("acme/shop-api", "v1") == Image("acme/shop-api", "v1", digest)
    assert await client.find_image("shop-api", "v1") == Image("acme/shop-api", "v1", digest)
    assert simulator.limits.pulled == 0


async def test_without_a_digest_header_the_exact_bytes_are_hashed(client: Client, simulator: DockerHub) -> None:
    simulator.registry.shows_digest = False
    simulator.limits.pulls = None
    digest = simulator.push("acme/shop-api", "v1")
    assert await client.find_image("acme/shop-api", "v1") == Image("acme/shop-api", "v1", digest)


async def test_a_missing_tag_and_a_missing_repository_are_no_image(client: Client, simulator: DockerHub) -> None:
    simulator.push("acme/shop-api", "v1")
    assert await client.find_image("acme/shop-api", "v2") is None
    assert await client.find_image("acme/nothing", "v1") is None


async def test_an_image_that_may_not_be_pulled_is_refused(client: Client, simulator: DockerHub) -> None:
    simulator.hub.add("acme", "shop-api", is_private=True)
    simulator.account.rights = frozenset({"push"})
    with pytest.raises(Refused, match="scopes"):
        await client.find_image("acme/shop-api", "v1")


async def test_a_created_private_repository_is_found_with_our_marker_and_its_image(
    client: Client, simulator: DockerHub
) -> None:
    assert await client.find_repository("acme/shop-api") is None
    await client.create_repository("acme/shop-api", MARKER)
    await client.create_repository("acme/shop-api", MARKER)
    assert await client.find_repository("acme/shop-api") == ImageRepository("acme/shop-api", MARKER)
    assert simulator.hub.repositories["acme/shop-api"].is_private
    digest = simulator.push("acme/shop-api", "v1")
    assert await client.find_image("acme/shop-api", "v1") == Image("acme/shop-api", "v1", digest)


async def test_all_pages_of_a_namespace_are_listed_with_a_digest_of_our_marker(
    client: Client, simulator: DockerHub
) -> None:
    for number in range(250):
        simulator.hub.add("acme", f"other-{number:03}")
    await client.create_repository("acme/shop-api", MARKER)
    listed = {one.name: one.description for one in await client.list_repositories("acme")}
    marker = find_marker(MARKER)
    assert marker is not None
    assert len(listed) == 251
    assert listed["acme/shop-api"] == marker.digest()
    assert await client.list_repositories("nobody") == ()


async def test_a_repository_of_others_exists_already(client: Client, simulator: DockerHub) -> None:
    simulator.hub.add("acme", "shop-api")
    with pytest.raises(AlreadyExists):
        await client.create_repository("acme/shop-api", MARKER)


async def test_a_name_that_docker_hub_does_not_take_is_invalid(simulator: DockerHub, keys: Keys) -> None:
    endpoint = _endpoint(simulator.url)
    with pytest.raises(Invalid, match="valid repository name"):
        await _client(endpoint, simulator.url, keys).create_repository("acme/Shop", "x")
    with pytest.raises(Refused):
        await _client(endpoint, simulator.url, keys).create_repository("other/shop", "x")
    await endpoint.close()


async def test_repositories_are_kept_and_that_is_said_without_asking(client: Client, simulator: DockerHub) -> None:
    with pytest.raises(Invalid, match="kept"):
        await client.delete_repository("acme/shop-api")
    assert not simulator.requests


async def test_access_is_checked_on_both_doors(client: Client, simulator: DockerHub) -> None:
    simulator.push("acme/shop-api", "v1")
    assert await client.check_access() == "namespace acme, registry/2.0"


async def test_wrong_credentials_are_refused_and_not_tried_again(
    client: Client, simulator: DockerHub, keys: Keys
) -> None:
    keys.now = Credentials("acme", "wrong")
    for _ in range(3):
        with pytest.raises(Refused, match="check the secret"):
            await client.find_repository("acme/shop-api")
        with pytest.raises(Refused):
            await client.find_image("acme/shop-api", "v1")
    assert simulator.requests["POST /v2/auth/token"] == 1
    assert simulator.requests["GET /token"] == 1
    keys.now = Credentials("acme", "pw")
    assert await client.find_repository("acme/shop-api") is None


async def test_missing_credentials_are_named(client: Client, keys: Keys) -> None:
    keys.now = None
    with pytest.raises(Missing, match="username and password"):
        await client.check_access()


async def test_credentials_show_in_no_repr() -> None:
    assert "pw" not in repr(Credentials("acme", "pw"))


async def test_one_token_serves_many_questions_and_a_revoked_one_is_replaced(
    client: Client, simulator: DockerHub
) -> None:
    simulator.push("acme/shop-api", "v1")
    for _ in range(3):
        await client.find_repository("acme/shop-api")
        await client.find_image("acme/shop-api", "v1")
    assert (simulator.requests["POST /v2/auth/token"], simulator.requests["GET /token"]) == (1, 1)
    simulator.account.revoke_all()
    assert await client.find_image("acme/shop-api", "v1") is not None
    assert await client.find_repository("acme/shop-api") is not None
    assert (simulator.requests["POST /v2/auth/token"], simulator.requests["GET /token"]) == (2, 2)


@pytest.mark.parametrize("form", list(LimitForm))
async def test_every_form_of_a_limit_says_when_to_come_back(simulator: DockerHub, keys: Keys, form: LimitForm) -> None:
    simulator.limits.form = form
    simulator.faults.plan(Strike.LIMIT, path="/repositories")
    endpoint = _endpoint(simulator.url, bounds=Bounds())
    with pytest.raises(RateLimited) as limited:
        await _client(endpoint, simulator.url, keys).find_repository("acme/shop-api")
    assert limited.value.retry_after is not None
    least, most = (60, 60) if form is LimitForm.PLAIN else (28, 30)
    assert least <= limited.value.retry_after.total_seconds() <= most
    await endpoint.close()


async def test_credentials_go_to_no_other_token_host_unless_it_is_allowed(simulator: DockerHub, keys: Keys) -> None:
    elsewhere = DockerHub(password="pw")
    await elsewhere.start()
    simulator.registry.realm = f"{elsewhere.url}/token"
    endpoint = Endpoint("dockerhub", simulator.url, allowed_origins=[elsewhere.url])
    with pytest.raises(Refused, match="allow it as a token host"):
        await _client(endpoint, simulator.url, keys).find_image("acme/shop-api", "v1")
    assert not elsewhere.requests
    allowed = _client(endpoint, simulator.url, keys, token_origins=[elsewhere.url])
    await allowed.find_image("acme/shop-api", "v1")
    assert elsewhere.requests["GET /token"] >= 1
    await endpoint.close()
    await elsewhere.stop()


@pytest.mark.parametrize("weather", list(Weather))
async def test_in_every_weather_a_call_succeeds_or_raises_one_of_our_errors(
    simulator: DockerHub, keys: Keys, weather: Weather
) -> None:
    simulator.faults.weather = weather
    simulator.limits.form = LimitForm.PLAIN
    simulator.push("acme/shop-api", "v1")
    endpoint = _endpoint(simulator.url)
    client = _client(endpoint, simulator.url, keys)
    calls: tuple[Callable[[], object], ...] = (
        client.check_access,
        lambda: client.find_repository("acme/shop-api"),
        lambda: client.find_image("acme/shop-api", "v1"),
        lambda: client.create_repository("acme/other", MARKER),
    )
    outcomes = []
    for _ in range(1 if weather is Weather.SLOW else 15):
        for call in calls:
            try:
                await call()  # type: ignore[misc]
                outcomes.append("ok")
            except ReconcilerError as error:
                outcomes.append(type(error).__name__)
    assert ("ok" in outcomes) == (weather is not Weather.DOWN)
    assert (set(outcomes) == {"ok"}) == (weather in (Weather.CALM, Weather.SLOW))
    await endpoint.close()
