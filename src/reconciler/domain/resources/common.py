"""What all kinds share: bounded words, durations, moments, conditions, inventory."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel

from reconciler.domain.annotations import PAUSED, is_set
from reconciler.domain.names import API_VERSION

DNS_LABEL = r"^[a-z0-9]([a-z0-9]|-[a-z0-9])*$"
"""A DNS label without `--`, which joins the words of our names."""
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(\d+)([dhms])")
DURATION_PATTERN = r"^([0-9]{1,9}[dhms])+$"

Name = Annotated[str, StringConstraints(min_length=1, max_length=20, pattern=DNS_LABEL)]
"""A project's, component's or environment's name."""
ResourceName = Annotated[
    str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
Domain = Annotated[
    str,
    StringConstraints(max_length=253, pattern=r"^([a-z0-9_]([a-z0-9_-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?$"),
]
Url = Annotated[str, StringConstraints(max_length=1024)]
WebUrl = Annotated[str, StringConstraints(max_length=1024, pattern=r"^https?://[^/@\s]+(/[^\s]*)?$")]
"""An http(s) address without user information."""
GitUrl = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=1024,
        pattern=r"^(https?://[^/@\s]+/[^\s]*|ssh://([a-z_][a-z0-9_-]*@)?[^/@:\s]+(:[0-9]+)?/[^\s]*|[a-z_][a-z0-9_-]*@[^/@:\s]+:[^\s]+)$",
    ),
]
"""A git address: https without user information, or ssh with at most a user name."""
GitPrefix = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=1024,
        pattern=r"^(https?://[^/@\s]+(/[^\s]*)?|ssh://([a-z_][a-z0-9_-]*@)?[^/@:\s]+(:[0-9]+)?(/[^\s]*)?|[a-z_][a-z0-9_-]*@[^/@:\s]+:[^\s]*)$",
    ),
]
"""How git addresses start: the same forms as GitUrl, the path may be cut after any segment."""
RepositoryUrl = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=1024,
        pattern=r"^((https?|oci)://[^/@\s]+(/[^\s]*)?|ssh://([a-z_][a-z0-9_-]*@)?[^/@:\s]+(:[0-9]+)?/[^\s]*|[a-z_][a-z0-9_-]*@[^/@:\s]+:[^\s]+|[^/@:\s]+(:[0-9]+)?/[^@\s]*)$",
    ),
]
"""Where manifests or charts are: a git address, a chart repository, or an OCI registry without a scheme."""
Template = Annotated[
    str,
    StringConstraints(max_length=256, pattern=r"^([^{}]|\{(project|environment|component|revision)\})*$"),
]
"""A text in which {project}, {environment}, {component} and {revision} stand for what they say; no other braces."""
Message = Annotated[str, StringConstraints(max_length=256)]
Word = Annotated[str, StringConstraints(max_length=256)]
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$", max_length=64)]
"""A full commit id, SHA-1 or SHA-256."""


def keyed_by(*names: str) -> dict[str, Any]:
    """Say for a list's schema that its items are known by these fields: none may come twice."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(names)}


def refuse_twins(items: list[Any]) -> list[Any]:
    """Return the items; raises ValueError when a name comes twice, as the API server does."""
    names = [item if isinstance(item, str) else item.name for item in items]
    twins = {name for name in names if names.count(name) > 1}
    if twins:
        raise ValueError(f"{', '.join(sorted(twins))} is there twice; names are unique")
    return items


UNIQUE: dict[str, Any] = {"x-kubernetes-list-type": "set"}
"""Say for a list's schema that no item may come twice."""


def parse_duration(text: Any) -> Any:
    """Read `72h`, `1h30m`, `7d`; a timedelta stays as it is. Raises ValueError naming the form."""
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError("must be a duration such as 90s, 30m, 72h, 7d or 1h30m")
    return timedelta(seconds=sum(int(count) * _UNITS[unit] for count, unit in _DURATION.findall(text)))


def format_duration(duration: timedelta) -> str:
    """Write a duration as `parse_duration` reads it, in its largest whole units."""
    left, words = int(duration.total_seconds()), []
    for unit, seconds in _UNITS.items():
        count, left = divmod(left, seconds)
        if count:
            words.append(f"{count}{unit}")
    return "".join(words) or "0s"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN, "maxLength": 32}),
]


def _write_moment(moment: datetime) -> str:
    text = moment.isoformat()
    if text.endswith("+00:00"):  # nearly all are in UTC already, and there are dozens in every status
        return f"{text[:-6]}Z"
    return f"{moment.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


Moment = Annotated[
    datetime,
    PlainSerializer(_write_moment, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 40}),
]
"""A moment in UTC, with microseconds where it has any."""


class Model(BaseModel):
    """Base of all parts of a resource: camelCase outside, snake_case inside, unchangeable."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    def dump(self) -> dict[str, Any]:
        """Write the part as it stands in the API, without what is empty or default None."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class Reference(Model):
    """A resource in the same namespace."""

    name: ResourceName = Field(description="Its name.")


class SecretReference(Model):
    """A Secret in the same namespace."""

    name: ResourceName = Field(description="Its name.")


class Condition(Model):
    """A condition as `metav1.Condition` has it."""

    type: Annotated[str, StringConstraints(max_length=64)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, StringConstraints(max_length=64)]
    message: Annotated[str, StringConstraints(max_length=512)] = ""
    observed_generation: int = 0
    last_transition_time: Moment


class InventoryItem(Model):
    """One external object: first written as intended, then as made; with all that is needed to remove it later."""

    system: Annotated[str, StringConstraints(max_length=32)]
    kind: Annotated[str, StringConstraints(max_length=64)]
    name: Annotated[str, StringConstraints(max_length=320)]
    place: Annotated[str, StringConstraints(max_length=253)] = Field(
        default="", description="What the name is within: the AppProject of an application, the zone of a record."
    )
    endpoint: Url = ""
    credentials: Annotated[str, StringConstraints(max_length=253)] = Field(
        default="", description="The Secret that was used; empty for the operator's own credentials."
    )
    provider: Annotated[str, StringConstraints(max_length=32)] = Field(default="", description="Of DNS: whose API.")
    state: Literal["Intended", "Made", "Leftover", "Kept"] = "Intended"
    marker: Annotated[str, StringConstraints(max_length=512)] = ""


class SystemCheck(Model):
    """How an outside system answered last time it was asked on behalf of this resource."""

    version: Word = ""
    detail: Message = ""


class Status(Model):
    """What every status has."""

    observed_generation: int = 0
    conditions: list[Condition] = Field(default=[], max_length=16, json_schema_extra=keyed_by("type"))
    inventory: list[InventoryItem] = Field(default=[], max_length=100)
    paused_since: Moment | None = Field(default=None, description="Since when its clocks stand still.")
    handled: dict[str, Annotated[str, StringConstraints(max_length=256)]] = Field(
        default={}, max_length=16, description="Tokens of the annotations that were handled, by annotation."
    )


@dataclass(frozen=True, slots=True)
class Metadata:
    """The part of `metadata` that we read."""

    name: str
    namespace: str
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    created_at: datetime | None = None
    deleted_at: datetime | None = None
    finalizers: tuple[str, ...] = ()
    annotations: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    owner_uids: tuple[str, ...] = ()

    @classmethod
    def read(cls, metadata: dict[str, Any]) -> Self:
        """Read the API's `metadata`."""
        return cls(
            name=metadata["name"],
            namespace=metadata.get("namespace", ""),
            uid=metadata.get("uid", ""),
            resource_version=metadata.get("resourceVersion", ""),
            generation=metadata.get("generation", 0),
            created_at=_moment(metadata.get("creationTimestamp")),
            deleted_at=_moment(metadata.get("deletionTimestamp")),
            finalizers=tuple(metadata.get("finalizers") or ()),
            annotations=metadata.get("annotations") or {},
            labels=metadata.get("labels") or {},
            owner_uids=tuple(owner["uid"] for owner in metadata.get("ownerReferences") or ()),
        )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; `priority` 1 shows only with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


class Rule(NamedTuple):
    """What must hold within one object, in CEL over the whole object; `field` is the path a violation is shown at.

    A rule that speaks of `oldSelf` is checked at changes only.
    """

    cel: str
    message: str
    field: str = ""


class Resource:
    """Base of the kinds: `read` makes one from a body; `body` is kept for the next guarded write.

    Class attributes say how the CRD names and shows it; `spec_model` and `status_model` are what it is made of.
    """

    kind: ClassVar[str]
    plural: ClassVar[str]
    short_names: ClassVar[tuple[str, ...]]
    spec_model: ClassVar[type[Model]]
    status_model: ClassVar[type[Status]]
    columns: ClassVar[tuple[Column, ...]]
    rules: ClassVar[tuple[Rule, ...]] = ()
    description: ClassVar[str] = ""

    def __init__(self, body: dict[str, Any]) -> None:
        """Read a body from the API; raises pydantic's ValidationError when the spec is not valid."""
        self.body = body
        self.metadata = Metadata.read(body["metadata"])

    @property
    def name(self) -> str:
        """The resource's name."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """The resource's namespace."""
        return self.metadata.namespace

    @property
    def is_deleting(self) -> bool:
        """Whether somebody asked for its end."""
        return self.metadata.deleted_at is not None

    @property
    def is_paused(self) -> bool:
        """Whether its annotation says that nothing may be changed outside."""
        return is_set(self.metadata.annotations, PAUSED)

    def __repr__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def api_object(
    kind: type[Resource], name: str, namespace: str, spec: dict[str, Any], **metadata: Any
) -> dict[str, Any]:
    """Write an object of ours for the API; `metadata` takes labels, annotations, finalizers, ownerReferences."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "spec": spec,
    }
