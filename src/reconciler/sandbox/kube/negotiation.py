"""Content negotiation: what a client accepts, and how an answer is written."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson
import yaml

from reconciler.sandbox.kube import errors
from reconciler.sandbox.kube.errors import ApiError

JSON_TYPE: Final = "application/json"
YAML_TYPE: Final = "application/yaml"
AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_SHAPES: Final = frozenset({"Table", "PartialObjectMetadata", "PartialObjectMetadataList"})


@dataclass(frozen=True)
class Format:
    """One acceptable answer: JSON or YAML, and the object's shape (`shape` is empty for the object itself)."""

    media: str = JSON_TYPE
    shape: str = ""
    version: str = "v1"

    @property
    def plain(self) -> bool:
        """Tell whether the object is wanted as it is, in JSON."""
        return self.media == JSON_TYPE and not self.shape


PLAIN: Final = Format()


@lru_cache(maxsize=256)
def offers(accept: str) -> tuple[Format, ...]:
    """Return the formats the server can give, most wanted first."""
    found = []
    for position, part in enumerate(accept.split(",")):
        media, *parameters = [piece.strip() for piece in part.split(";")]
        given = dict(piece.split("=", 1) for piece in parameters if "=" in piece)
        offer = _offer(media, given)
        if offer is not None:
            found.append((-_quality(given), position, offer))
    return tuple(offer for _, _, offer in sorted(found, key=lambda item: item[:2]))


def _quality(given: dict[str, str]) -> float:
    try:
        return float(given.get("q", "1"))
    except ValueError:
        return 1.0


def _offer(media: str, given: dict[str, str]) -> Format | None:
    if media in {"*/*", "application/*", ""}:
        return PLAIN
    if media not in {JSON_TYPE, YAML_TYPE}:
        return None
    shape = given.get("as", "")
    if not shape:
        return Format(media)
    version = given.get("v", "v1")
    if shape in _SHAPES and given.get("g") == "meta.k8s.io" and version in {"v1", "v1beta1"}:
        return Format(media, shape, version)
    if shape == "APIGroupDiscoveryList" and given.get("g") == "apidiscovery.k8s.io" and version == "v2":
        return Format(media, shape, version)
    return None


def choose(accept: str, what: str) -> Format:
    """Return the format for an `object`, a `list` or a `watch`. Raises 406 (500 for a list shape of one object)."""
    for offer in offers(accept or "*/*"):
        if what == "watch" and offer.media == YAML_TYPE:
            continue
        if what == "list" and offer.shape == "PartialObjectMetadata":
            continue
        if what == "object" and offer.shape == "PartialObjectMetadataList":
            raise errors.internal("object does not implement the List interfaces")
        if offer.shape != "APIGroupDiscoveryList":
            return offer
    raise errors.not_acceptable(watch=what == "watch")


def choose_discovery(accept: str) -> Format:
    """Return plain JSON, YAML or the aggregated form. Raises 406."""
    for offer in offers(accept or "*/*"):
        if offer.shape in {"", "APIGroupDiscoveryList"}:
            return offer
    raise errors.not_acceptable()


def encode(value: Any, media: str, *, pretty: bool) -> bytes:
    """Return a value's bytes."""
    if media == YAML_TYPE:
        return yaml.safe_dump(value, default_flow_style=False, allow_unicode=True).encode()
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 if pretty else None)


def read_json(raw: bytes, content_type: str) -> Any:
    """Return a request's body. Raises 400 or 415."""
    media = content_type.partition(";")[0].strip()
    if media == YAML_TYPE:
        try:
            return yaml.safe_load(raw)
        except yaml.YAMLError as error:
            raise errors.bad_request(f"error converting YAML to JSON: {error}") from error
    if media not in {"", JSON_TYPE, "application/octet-stream"}:
        message = (
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml, application/vnd.kubernetes.protobuf"
        )
        raise ApiError(415, "UnsupportedMediaType", message)
    try:
        return orjson.loads(raw)
    except ValueError as error:
        raise errors.bad_request(f"error decoding the body: {error}") from error
