"""What the simulated registry keeps, without a socket."""

import json
from datetime import UTC, datetime

from reconciler.sandbox.dockerhub import DockerHub
from reconciler.sandbox.dockerhub.store import OCI_INDEX, OCI_MANIFEST, Manifest, Repository, digest_of, image_of

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def test_a_digest_is_that_of_the_exact_bytes() -> None:
    manifest = image_of("hello", OCI_MANIFEST)
    assert manifest.digest == digest_of(manifest.content)
    assert manifest.blobs() == (digest_of(b"hello"),)


def test_an_index_keeps_what_it_lists() -> None:
    repository, image = Repository("acme", "shop", NOW), image_of("hello")
    index = Manifest(json.dumps({"manifests": [{"digest": image.digest}]}).encode(), OCI_INDEX)
    repository.put(image.digest, image, NOW)
    assert not repository.is_referred(image.digest)
    repository.put("latest", index, NOW)
    assert repository.is_referred(image.digest)


def test_a_push_makes_the_repository_and_moves_the_tag() -> None:
    hub = DockerHub()
    first, second = hub.push("shop-api", "v1", content="a"), hub.push("acme/shop-api", "v1", content="b")
    assert first != second
    assert hub.repositories == ["acme/shop-api"]
    assert [image.digest for image in hub.images] == [second]
    assert hub.pushes == 2
