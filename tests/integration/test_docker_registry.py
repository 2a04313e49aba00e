"""The registry client against Debian's `docker-registry`, and the rows of FACTS 3.3 that our calls rest on."""

from collections.abc import AsyncIterator

import pytest

from reconciler.clients.endpoint import Endpoint
from reconciler.clients.oci import Credentials, OciRegistry
from reconciler.clients.registry_api import ACCEPT
from reconciler.domain.errors import Refused
from reconciler.domain.outside.images import Image, ImageRepository
from reconciler.sandbox.dockerhub import DockerHub
from support.docker_registry import DOCKER, OCI, PASSWORD, USER, RealRegistry, manifest

MISSING = "sha256:" + "0" * 64


@pytest.fixture
async def client(docker_registry: RealRegistry) -> AsyncIterator[OciRegistry]:
    endpoint = Endpoint("registry", docker_registry.url)
    yield OciRegistry(endpoint, origin=docker_registry.url)
    await endpoint.close()


@pytest.mark.parametrize("kind", [OCI, DOCKER])
async def test_a_pushed_image_is_found_with_its_digest(
    client: OciRegistry, docker_registry: RealRegistry, kind: str
) -> None:
    digest = docker_registry.push("acme/shop-api", "v1", kind=kind)
    assert await client.find_image("acme/shop-api", "v1") == Image("acme/shop-api", "v1", digest)


async def test_the_sandbox_gives_the_same_digest_for_the_same_content(docker_registry: RealRegistry) -> None:
    real = docker_registry.push("acme/same", "v1", content="same", kind=DOCKER)
    assert DockerHub().push("acme/same", "v1", content="same", media_type=DOCKER) == real


async def test_a_missing_tag_and_a_missing_repository_are_no_image(
    client: OciRegistry, docker_registry: RealRegistry
) -> None:
    docker_registry.push("acme/shop-api", "v1")
    assert await client.find_image("acme/shop-api", "v2") is None
    assert await client.find_image("acme/nothing", "v1") is None
    assert await client.find_image("acme/Upper", "v1") is None


async def test_a_repository_is_there_after_its_first_push(client: OciRegistry, docker_registry: RealRegistry) -> None:
    await client.create_repository("acme/later", "marker")
    assert await client.find_repository("acme/later") is None
    docker_registry.push("acme/later", "v1")
    docker_registry.push("acme/later", "v2")
    assert await client.find_repository("acme/later") == ImageRepository("acme/later")
    assert await client.list_tags("acme/later") == ("v1", "v2")


async def test_access_names_the_version(client: OciRegistry) -> None:
    assert await client.check_access() == "registry/2.0"


async def test_a_registry_that_wants_a_password_gets_it_and_refuses_a_wrong_one(
    docker_registry_with_password: RealRegistry,
) -> None:
    registry = docker_registry_with_password
    digest = registry.push("acme/shop-api", "v1")
    endpoint = Endpoint("registry", registry.url)

    async def right() -> Credentials | None:
        return Credentials(USER, PASSWORD)

    async def wrong() -> Credentials | None:
        return Credentials(USER, "wrong")

    client = OciRegistry(endpoint, origin=registry.url, credentials=right)
    assert await client.find_image("acme/shop-api", "v1") == Image("acme/shop-api", "v1", digest)
    assert await client.check_access() == "registry/2.0"
    for credentials in ({"credentials": wrong}, {}):
        stranger = OciRegistry(endpoint, origin=registry.url, **credentials)
        with pytest.raises(Refused):
            await stranger.find_image("acme/shop-api", "v1")
        with pytest.raises(Refused):
            await stranger.check_access()
        with pytest.raises(Refused):
            await stranger.find_repository("acme/shop-api")
    await endpoint.close()


@pytest.mark.parametrize(("kind", "status"), [(DOCKER, 400), (OCI, 404)])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_without_accept_a_manifest_that_is_there_is_refused(
    docker_registry: RealRegistry, kind: str, status: int, method: str
) -> None:
    docker_registry.push("acme/accept", "v1", kind=kind)
    path = "/v2/acme/accept/manifests/v1"
    assert docker_registry.ask(method, path).status_code == status
    answer = docker_registry.ask(method, path, Accept=ACCEPT)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)


def test_pages_of_tags_are_not_kept_to(docker_registry: RealRegistry) -> None:
    for tag in ("a", "b"):
        docker_registry.push("acme/pages", tag)
    answer = docker_registry.ask("GET", "/v2/acme/pages/tags/list?n=1&last=a")
    assert sorted(answer.json()["tags"]) == ["a", "b"]
    assert "Link" not in answer.headers


def test_tags_of_an_unknown_repository_are_404_name_unknown(docker_registry: RealRegistry) -> None:
    answer = docker_registry.ask("GET", "/v2/acme/unknown/tags/list")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "NAME_UNKNOWN")


def test_an_upper_case_name_is_404_in_plain_text(docker_registry: RealRegistry) -> None:
    answer = docker_registry.ask("GET", "/v2/acme/Upper/tags/list")
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/plain")


def test_deleting_by_digest_removes_all_its_tags_and_by_tag_is_refused(docker_registry: RealRegistry) -> None:
    digest = docker_registry.push("acme/gone", "v1", content="same")
    docker_registry.push("acme/gone", "v2", content="same")
    by_tag = docker_registry.ask("DELETE", "/v2/acme/gone/manifests/v1")
    assert (by_tag.status_code, by_tag.json()["errors"][0]["code"]) == (400, "DIGEST_INVALID")
    by_digest = f"/v2/acme/gone/manifests/{digest}"
    assert docker_registry.ask("DELETE", by_digest).status_code == 202
    assert docker_registry.ask("GET", "/v2/acme/gone/tags/list").json()["tags"] is None
    assert docker_registry.ask("DELETE", by_digest).json()["errors"][0]["code"] == "MANIFEST_UNKNOWN"


def test_a_manifest_with_a_missing_blob_is_refused(docker_registry: RealRegistry) -> None:
    answer = docker_registry.put("acme/blobless", "v1", manifest(MISSING, 1))
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "MANIFEST_BLOB_UNKNOWN")


async def test_a_repository_whose_tags_are_gone_is_still_there_and_has_no_image(
    client: OciRegistry, docker_registry: RealRegistry
) -> None:
    digest = docker_registry.push("acme/empty", "v1")
    docker_registry.ask("DELETE", f"/v2/acme/empty/manifests/{digest}")
    assert await client.find_repository("acme/empty") == ImageRepository("acme/empty")
    assert await client.list_tags("acme/empty") == ()
    assert await client.find_image("acme/empty", "v1") is None
