"""Environment: where components run, what runs there now, who may change it, how long it lives."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from reconciler.domain.annotations import PINNED, is_set
from reconciler.domain.keys import Body
from reconciler.domain.resources.common import (
    Column,
    Domain,
    Duration,
    InventoryItem,
    Message,
    Model,
    Moment,
    Name,
    Resource,
    ResourceName,
    Rule,
    Status,
    Url,
    Word,
    keyed_by,
)
from reconciler.domain.resources.drift import MOST_DRIFT, Drift
from reconciler.domain.resources.step import SetupStep

PREVIEW_LABEL = "freeleaps.com/preview"


class Concurrency(StrEnum):
    """What happens when a deployment is asked for while another holds the environment."""

    QUEUE = "Queue"
    SUPERSEDE = "Supersede"
    REJECT = "Reject"


class Rollback(StrEnum):
    """What happens after a deployment that failed."""

    AUTOMATIC = "Automatic"
    NONE = "None"


class EnvironmentPhase(StrEnum):
    """What an environment is doing."""

    IDLE = "Idle"
    DEPLOYING = "Deploying"
    REPAIRING = "Repairing"
    ON_HOLD = "OnHold"
    EXPIRING = "Expiring"
    EXPIRED = "Expired"
    REMOVING = "Removing"


class Verify(Model):
    """A last check over the public address. Off where it is not given."""

    path: Annotated[str, StringConstraints(max_length=1024, pattern=r"^/")] = Field(
        default="/", description="Asked for at each public address."
    )
    status: int = Field(default=200, ge=100, le=599, description="The status code that says it works.")
    timeout: Duration | None = Field(default=None, description="How long it may take to work; default: the operator's.")


class EnvironmentTemplate(Model):
    """What an environment and a project's declaration or preview template have in common."""

    cluster: ResourceName = Field(default="in-cluster", description="The destination cluster as Argo CD names it.")
    namespace: Annotated[str, StringConstraints(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None = (
        Field(default=None, description="Where the components run; default `<project>-<environment>`.")
    )
    domain: Domain | None = Field(default=None, description="Components with a port get `<host>.<domain>`.")
    dns_target: Word | None = Field(default=None, description="What the records point to: an address or a name.")
    concurrency: Concurrency = Concurrency.QUEUE
    rollback: Rollback = Rollback.NONE
    verify: Verify | None = None
    ttl: Duration | None = Field(default=None, description="Lifetime, counted from the deployment that became current.")
    pinned: bool = Field(default=False, description="Does not expire.")


class EnvironmentSpec(EnvironmentTemplate):
    """Where components run."""

    project_ref: Name = Field(description="The project it belongs to.")
    name: Name = Field(description="Its name within the project; the resource is named `<projectRef>--<name>`.")


class Holder(Model):
    """Who holds the slot."""

    record: ResourceName
    uid: Word
    epoch: int
    since: Moment | None = None


class Running(Model):
    """What is current for one component."""

    image: Annotated[str, StringConstraints(max_length=512)]
    revision: Annotated[str, StringConstraints(max_length=64)]
    operation: Annotated[str, StringConstraints(max_length=128)]
    requested_at: Moment | None = None
    record: ResourceName | None = None


class Hold(Model):
    """Why nothing is deployed until somebody says so."""

    since: Moment
    operation: Annotated[str, StringConstraints(max_length=128)]
    reason: Message = ""


class Warned(Model):
    """The warning before an end: which end it was given for, and whether the broker confirmed it."""

    expires_at: Moment
    sequence: int = Field(default=1, description="Rises with each warning.")
    announced: int = Field(default=0, description="The sequence whose heartbeat the broker confirmed.")


class Cleanup(Model):
    """The passes in which an expired environment is cleared."""

    passes: int = Field(default=1, description="So many were begun.")
    since: Moment = Field(description="When the last one was begun.")
    resting_until: Moment | None = Field(default=None, description="Its time is over; then the next one is begun.")


class EnvironmentStatus(Status):
    """The slot and what is current."""

    steps: list[SetupStep] = Field(default=[], max_length=64, json_schema_extra=keyed_by("name"))
    phase: EnvironmentPhase = EnvironmentPhase.IDLE
    holder: Holder | None = None
    epoch: int = Field(default=0, description="Rises with each holder; written on what the holder changes.")
    freed_at: Moment | None = Field(
        default=None, description="When the slot was last given back: what its holder wrote outside is older."
    )
    superseded_in_row: int = 0
    current: dict[str, Running] = Field(default={}, max_length=20)
    latest_requested_at: Moment | None = Field(
        default=None, description="Of the newest deployment that became current."
    )
    latest_record: ResourceName | None = None
    hold: Hold | None = None
    expires_at: Moment | None = Field(
        default=None, description="When it ends, by the API server's clock; kept while it is pinned or on pause."
    )
    extension: Duration | None = Field(
        default=None, description="Asked for while a deployment is under way: added to the end that it sets."
    )
    pinned: bool = Field(default=False, description="It does not expire: by its spec or by the annotation.")
    warned: Warned | None = None
    cleanup: Cleanup | None = None
    refusals: dict[str, Message] = Field(
        default={}, max_length=8, description="Why a handled annotation had no effect, by annotation."
    )
    drift: list[Drift] = Field(default=[], max_length=MOST_DRIFT, json_schema_extra=keyed_by("step"))
    addresses: list[Url] = Field(default=[], max_length=20)
    leftovers: list[InventoryItem] = Field(default=[], max_length=20)
    leftovers_cut: int = 0


def is_preview(body: Body) -> bool:
    """Tell whether an environment was made for a deployment, from its project's template."""
    return (body["metadata"].get("labels") or {}).get(PREVIEW_LABEL) == "true"


class Environment(Resource):
    """One environment of one project."""

    kind = "Environment"
    plural = "environments"
    short_names = ("env",)
    spec_model = EnvironmentSpec
    status_model = EnvironmentStatus
    description = "Where a project's components run, what runs there now, who may change it and how long it lives."
    columns = (
        Column("Project", ".spec.projectRef"),
        Column("Phase", ".status.phase"),
        Column("Holder", ".status.holder.record"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
        Column("Expires", ".status.expiresAt"),
        Column("Pinned", ".status.pinned", "boolean", priority=1),
        Column("Addresses", ".status.addresses", priority=1),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )
    rules = (
        Rule(
            "self.metadata.name == self.spec.projectRef + '--' + self.spec.name",
            "the name must be <projectRef>--<name> of the spec",
            ".metadata.name",
        ),
    )

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.spec = EnvironmentSpec.model_validate(body.get("spec") or {})
        self.status = EnvironmentStatus.model_validate(body.get("status") or {})

    @property
    def is_pinned(self) -> bool:
        """Whether it does not expire: by its spec or by its annotation."""
        return self.spec.pinned or is_set(self.metadata.annotations, PINNED)

    @property
    def is_preview(self) -> bool:
        """Whether it was made for a deployment, from the project's template."""
        return is_preview(self.body)

    @property
    def target_namespace(self) -> str:
        """Where the components run in the cluster."""
        return self.spec.namespace or f"{self.spec.project_ref}-{self.spec.name}"
