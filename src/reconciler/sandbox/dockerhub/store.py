"""What the registry keeps: repositories, manifests by digest, tags, blobs."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"

_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_OCI_CONFIG = "application/vnd.oci.image.config.v1+json"


def digest_of(content: bytes) -> str:
    """Return `sha256:` and 64 hex."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The exact bytes of a manifest and what they are."""

    content: bytes
    media_type: str

    @property
    def digest(self) -> str:
        """The sha256 of the bytes."""
        return digest_of(self.content)

    def references(self) -> tuple[str, ...]:
        """Return the digests of the manifests that an index lists."""
        return tuple(entry["digest"] for entry in json.loads(self.content).get("manifests", ()))

    def blobs(self) -> tuple[str, ...]:
        """Return the digests of the blobs that an image needs."""
        body = json.loads(self.content)
        parts = [body["config"], *body.get("layers", ())] if "config" in body else []
        return tuple(part["digest"] for part in parts)


def image_of(content: str, media_type: str = DOCKER_MANIFEST) -> Manifest:
    """Make the manifest of an image whose whole content is a text; the same text gives the same digest."""
    config = content.encode()
    body = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {
            "mediaType": _OCI_CONFIG if media_type == OCI_MANIFEST else _DOCKER_CONFIG,
            "size": len(config),
            "digest": digest_of(config),
        },
        "layers": [],
    }
    return Manifest(json.dumps(body, separators=(",", ":")).encode(), media_type)


@dataclass
class Repository:
    """One repository.

    Attributes:
        tags: tag to digest and the time of the push.
    """

    namespace: str
    name: str
    created_at: datetime
    is_private: bool = False
    description: str = ""
    full_description: str = ""
    manifests: dict[str, Manifest] = field(default_factory=dict)
    tags: dict[str, tuple[str, datetime]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """The name with its namespace, as the registry knows it."""
        return f"{self.namespace}/{self.name}"

    def find(self, reference: str) -> Manifest | None:
        """Return the manifest with this tag or digest."""
        digest, _ = self.tags.get(reference, (reference, None))
        return self.manifests.get(digest)

    def put(self, reference: str, manifest: Manifest, now: datetime) -> None:
        """Keep a manifest and, when `reference` is a tag, tag it."""
        self.manifests[manifest.digest] = manifest
        if not reference.startswith("sha256:"):
            self.tags[reference] = (manifest.digest, now)

    def is_referred(self, digest: str) -> bool:
        """Tell whether a tag or an index refers to a manifest."""
        return any(tagged == digest for tagged, _ in self.tags.values()) or any(
            digest in manifest.references() for manifest in self.manifests.values()
        )

    def remove(self, digest: str) -> None:
        """Remove a manifest; all tags of it go with it."""
        del self.manifests[digest]
        self.tags = {tag: kept for tag, kept in self.tags.items() if kept[0] != digest}
