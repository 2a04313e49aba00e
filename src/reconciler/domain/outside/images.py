"""Images and repositories of a container registry."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Image:
    """An image that is there.

    Attributes:
        repository: `<namespace>/<name>`, without the registry's host.
        digest: `sha256:` and 64 hex.
    """

    repository: str
    tag: str
    digest: str


@dataclass(frozen=True, slots=True)
class ImageRepository:
    """A repository that is there. `description` carries our marker where the registry has such a field."""

    name: str
    description: str = ""
