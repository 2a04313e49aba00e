"""Each habit of Docker Hub that FACTS section 7 names, asked of the simulator by plain HTTP."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from reconciler.sandbox.dockerhub import DockerHub, LimitForm
from reconciler.sandbox.dockerhub.store import DOCKER_MANIFEST, OCI_MANIFEST, digest_of, image_of
from reconciler.sandbox.weather import Strike
from support.contracts import recording
from support.vendor_contracts import HUB, REGISTRY

REPOSITORIES = "/v2/namespaces/acme/repositories"
BASIC = "Basic " + base64.b64encode(b"acme:pw").decode()


class HandClock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    json: Any


Ask = Callable[..., Awaitable[Answer]]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def hub(clock: HandClock) -> AsyncIterator[DockerHub]:
    simulator = DockerHub(clock=clock, password="pw")
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def ask(hub: DockerHub) -> AsyncIterator[Ask]:
    async with recording(hub.url) as recorder, aiohttp.ClientSession() as session:

        async def send(method: str, path: str, token: str = "", **given: Any) -> Answer:
            headers = {"Authorization": token} if token.startswith("Basic") else {"Authorization": f"Bearer {token}"}
            headers = {**(headers if token else {}), **given.pop("headers", {})}
            url = path if "://" in path else recorder.url + path
            async with session.request(method, url, headers=headers, **given) as answer:
                body = await answer.read()
                is_json = answer.content_type == "application/json" and body
                return Answer(answer.status, dict(answer.headers), body, await answer.json() if is_json else None)

        yield send
    HUB.check(recorder.exchanges)
    REGISTRY.check(recorder.exchanges)


async def log_in(ask: Ask, secret: str = "pw") -> str:
    answer = await ask("POST", "/v2/auth/token", json={"identifier": "acme", "secret": secret})
    assert answer.status == 200, answer
    return str(answer.json["access_token"])


async def registry_token(ask: Ask, *scopes: str, basic: str = BASIC) -> str:
    query = [("service", "registry.docker.io"), *(("scope", scope) for scope in scopes)]
    answer = await ask("GET", "/token", basic, params=query)
    assert answer.status == 200, answer
    return str(answer.json.get("token") or answer.json["access_token"])


async def test_a_hub_token_ends_after_ten_minutes(hub: DockerHub, ask: Ask, clock: HandClock) -> None:
    token = await log_in(ask)
    clock.seconds = 599
    assert (await ask("GET", REPOSITORIES, token)).status == 200
    clock.seconds = 600
    assert (await ask("GET", REPOSITORIES, token)).status == 401


async def test_a_429_may_tell_seconds(hub: DockerHub, ask: Ask) -> None:
    hub.faults.plan(Strike.LIMIT)
    answer = await ask("GET", REPOSITORIES)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "30")


async def test_a_429_may_tell_a_unix_time(hub: DockerHub, ask: Ask, clock: HandClock) -> None:
    hub.limits.form = LimitForm.UNIX_TIME
    hub.faults.plan(Strike.LIMIT)
    answer = await ask("GET", REPOSITORIES)
    assert answer.status == 429
    assert int(answer.headers["X-Retry-After"]) == int(clock.now().timestamp()) + 30
    assert "Retry-After" not in answer.headers


async def test_a_429_may_be_plain_text_without_any_header(hub: DockerHub, ask: Ask) -> None:
    hub.limits.form = LimitForm.PLAIN
    hub.faults.plan(Strike.LIMIT)
    answer = await ask("GET", REPOSITORIES)
    assert (answer.status, answer.body) == (429, b"Too Many Requests (HAP429)")
    assert not {"Retry-After", "X-Retry-After"} & answer.headers.keys()


async def test_the_hub_tells_its_limit_and_keeps_it(hub: DockerHub, ask: Ask, clock: HandClock) -> None:
    hub.limits.per_minute = 2
    answers = [await ask("GET", REPOSITORIES) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert int(answers[0].headers["X-RateLimit-Reset"]) == int(clock.now().timestamp()) + 60


async def test_images_of_a_tag_are_an_array(hub: DockerHub, ask: Ask) -> None:
    digest = hub.push("acme/shop-api", "v1")
    answer = await ask("GET", f"{REPOSITORIES}/shop-api/tags/v1")
    assert answer.json["digest"] == digest
    assert [image["digest"] for image in answer.json["images"]] == [digest]
    assert answer.json["v2"] is True


async def test_creating_what_exists_is_some_4xx_but_no_409(hub: DockerHub, ask: Ask) -> None:
    token, body = await log_in(ask), {"name": "shop-api", "namespace": "acme"}
    assert (await ask("POST", REPOSITORIES, token, json=body)).status == 201
    assert (await ask("POST", REPOSITORIES, token, json=body)).status == 400
    assert hub.repositories == ["acme/shop-api"]


@pytest.mark.parametrize("body", [{"name": "Upper"}, {"name": "x"}, {"description": "d" * 101}])
async def test_a_repository_with_a_bad_field_is_400(ask: Ask, body: dict[str, str]) -> None:
    whole = {"name": "okay", "namespace": "acme", **body}
    assert (await ask("POST", REPOSITORIES, await log_in(ask), json=whole)).status == 400


async def test_creating_needs_a_token_and_the_own_namespace(ask: Ask) -> None:
    assert (await ask("POST", REPOSITORIES, json={"name": "shop", "namespace": "acme"})).status == 401
    other = "/v2/namespaces/other/repositories"
    assert (await ask("POST", other, await log_in(ask), json={"name": "shop", "namespace": "other"})).status == 403


async def test_failed_logins_lock_the_name_for_ten_minutes(hub: DockerHub, ask: Ask, clock: HandClock) -> None:
    hub.account.failures_until_lock = 3
    bad = {"identifier": "acme", "secret": "wrong"}
    assert [(await ask("POST", "/v2/auth/token", json=bad)).status for _ in range(4)] == [401, 401, 401, 429]
    clock.seconds += 600
    assert await log_in(ask)


async def test_an_unknown_namespace_is_an_empty_list_and_a_page_beyond_the_end_404(hub: DockerHub, ask: Ask) -> None:
    assert (await ask("GET", "/v2/namespaces/nobody/repositories")).json["count"] == 0
    hub.push("acme/shop-api", "v1")
    assert (await ask("GET", f"{REPOSITORIES}?page=2")).status == 404


async def test_lists_stay_behind_and_single_objects_do_not(hub: DockerHub, ask: Ask, clock: HandClock) -> None:
    hub.hub.list_lag = 30
    hub.push("acme/shop-api", "v1")
    assert (await ask("GET", REPOSITORIES)).json["count"] == 0
    assert (await ask("GET", f"{REPOSITORIES}/shop-api")).status == 200
    clock.seconds += 30
    assert (await ask("GET", REPOSITORIES)).json["count"] == 1


async def test_a_repository_cannot_be_deleted_with_an_access_token(hub: DockerHub, ask: Ask) -> None:
    hub.push("acme/shop-api", "v1")
    answer = await ask("DELETE", "/v2/repositories/acme/shop-api/", await log_in(ask))
    assert answer.status == 403
    assert "personal access token" in answer.json["message"]


async def test_the_registry_answers_a_stranger_with_its_realm(hub: DockerHub, ask: Ask) -> None:
    answer = await ask("HEAD", "/v2/acme/shop-api/manifests/v1")
    assert answer.status == 401
    expected = f'Bearer realm="{hub.url}/token",service="registry.docker.io",scope="repository:acme/shop-api:pull"'
    assert answer.headers["WWW-Authenticate"] == expected


async def test_a_token_with_fewer_rights_is_given_and_the_call_then_refused(hub: DockerHub, ask: Ask) -> None:
    digest = hub.push("acme/shop-api", "v1")
    hub.account.rights = frozenset({"pull"})
    token = await registry_token(ask, "repository:acme/shop-api:pull,push,delete")
    accept = {"Accept": DOCKER_MANIFEST}
    assert (await ask("HEAD", "/v2/acme/shop-api/manifests/v1", token, headers=accept)).status == 200
    answer = await ask("DELETE", f"/v2/acme/shop-api/manifests/{digest}", token)
    assert answer.status == 401
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


async def test_a_missing_or_private_repository_is_401_and_a_missing_tag_404(hub: DockerHub, ask: Ask) -> None:
    hub.hub.add("acme", "hidden", is_private=True)
    mine = await registry_token(ask, "repository:acme/hidden:pull", "repository:acme/nothing:pull")
    nobodys = await registry_token(ask, "repository:acme/hidden:pull", basic="")
    assert (await ask("HEAD", "/v2/acme/hidden/manifests/v1", mine)).status == 404
    assert (await ask("HEAD", "/v2/acme/hidden/manifests/v1", nobodys)).status == 401
    assert (await ask("HEAD", "/v2/acme/nothing/manifests/v1", mine)).status == 401


@pytest.mark.parametrize(("seconds", "shown"), [(300, 300), (None, None)])
async def test_a_registry_token_ends_and_may_not_say_when(
    hub: DockerHub, ask: Ask, clock: HandClock, seconds: int | None, shown: int | None
) -> None:
    hub.account.registry_token_seconds = seconds
    hub.registry.token_field = "access_token"
    hub.push("acme/shop-api", "v1")
    answer = await ask("GET", "/token", BASIC, params={"scope": "repository:acme/shop-api:pull"})
    assert answer.json.get("expires_in") == shown
    clock.seconds += seconds or 60
    headers = {"Accept": DOCKER_MANIFEST}
    path = "/v2/acme/shop-api/manifests/v1"
    assert (await ask("HEAD", path, answer.json["access_token"], headers=headers)).status == 401


@pytest.mark.parametrize(("kind", "status"), [(DOCKER_MANIFEST, 400), (OCI_MANIFEST, 404)])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
async def test_without_accept_each_kind_of_manifest_is_refused_in_its_own_way(
    hub: DockerHub, ask: Ask, kind: str, status: int, method: str
) -> None:
    hub.push("acme/shop-api", "v1", media_type=kind)
    token, path = await registry_token(ask, "repository:acme/shop-api:pull"), "/v2/acme/shop-api/manifests/v1"
    assert (await ask(method, path, token)).status == status
    answer = await ask(method, path, token, headers={"Accept": f"{DOCKER_MANIFEST}, {OCI_MANIFEST}"})
    assert (answer.status, answer.headers["Content-Type"]) == (200, kind)


async def test_a_get_counts_as_a_pull_and_tells_the_limit_and_a_head_does_neither(hub: DockerHub, ask: Ask) -> None:
    hub.limits.pulls = 1
    digest = hub.push("acme/shop-api", "v1")
    token, path = await registry_token(ask, "repository:acme/shop-api:pull"), "/v2/acme/shop-api/manifests/v1"
    accept = {"Accept": DOCKER_MANIFEST}
    for _ in range(3):
        head = await ask("HEAD", path, token, headers=accept)
        assert (head.status, head.headers["Docker-Content-Digest"]) == (200, digest)
        assert "ratelimit-limit" not in head.headers
    get = await ask("GET", path, token, headers=accept)
    assert get.headers["ratelimit-remaining"] == "0;w=21600"
    assert digest_of(get.body) == digest
    assert b"pull rate limit" in (await ask("GET", path, token, headers=accept)).body


async def test_deletion_is_by_digest_only_and_refused_while_a_tag_refers_to_it(hub: DockerHub, ask: Ask) -> None:
    digest = hub.push("acme/shop-api", "v1")
    token, path = await registry_token(ask, "repository:acme/shop-api:delete"), "/v2/acme/shop-api/manifests"
    assert (await ask("DELETE", f"{path}/v1", token)).status == 405
    assert (await ask("DELETE", f"{path}/{digest}", token)).status == 403


async def test_elsewhere_deletion_by_digest_removes_all_tags_of_it(hub: DockerHub, ask: Ask) -> None:
    hub.registry.keeps_referred = False
    digest = hub.push("acme/shop-api", "v1", content="same")
    assert hub.push("acme/shop-api", "v2", content="same") == digest
    hub.push("acme/shop-api", "v3")
    token = await registry_token(ask, "repository:acme/shop-api:delete")
    path = f"/v2/acme/shop-api/manifests/{digest}"
    assert (await ask("DELETE", path, token)).status == 202
    assert [image.tag for image in hub.images] == ["v3"]
    assert (await ask("DELETE", path, token)).status == 404


async def test_an_image_can_be_pushed_by_http(hub: DockerHub, ask: Ask) -> None:
    token, manifest = await registry_token(ask, "repository:acme/new:pull,push"), image_of("hello", OCI_MANIFEST)
    kind = {"Content-Type": OCI_MANIFEST}
    missing = await ask("PUT", "/v2/acme/new/manifests/v1", token, data=manifest.content, headers=kind)
    assert missing.json["errors"][0]["code"] == "MANIFEST_BLOB_UNKNOWN"
    started = await ask("POST", "/v2/acme/new/blobs/uploads/", token)
    location = f"{started.headers['Location']}&digest={digest_of(b'hello')}"
    assert (await ask("PUT", location, token, data=b"hello")).status == 201
    put = await ask("PUT", "/v2/acme/new/manifests/v1", token, data=manifest.content, headers=kind)
    assert (put.status, put.headers["Docker-Content-Digest"]) == (201, manifest.digest)
    assert [(image.repository, image.digest) for image in hub.images] == [("acme/new", manifest.digest)]


async def test_tags_are_paged_by_link(hub: DockerHub, ask: Ask) -> None:
    for number in range(3):
        hub.push("acme/shop-api", f"v{number}")
    token = await registry_token(ask, "repository:acme/shop-api:pull")
    first = await ask("GET", "/v2/acme/shop-api/tags/list?n=2", token)
    assert (first.json["tags"], "rel=" in first.headers["Link"]) == (["v0", "v1"], True)
    second = await ask("GET", "/v2/acme/shop-api/tags/list?n=2&last=v1", token)
    assert (second.json["tags"], "Link" in second.headers) == (["v2"], False)


async def test_the_same_content_has_the_same_digest_everywhere() -> None:
    digests = {DockerHub().push("acme/shop-api", "v1") for _ in range(2)}
    assert len(digests) == 1
    assert DockerHub().push("acme/shop-api", "v2") not in digests
