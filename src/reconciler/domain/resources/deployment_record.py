"""DeploymentRecord: one revision on its way to one environment."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from reconciler.domain.resources.common import (
    UNIQUE,
    Column,
    Duration,
    Message,
    Model,
    Moment,
    Name,
    Resource,
    Revision,
    Rule,
    Status,
    Url,
    Word,
    keyed_by,
    refuse_twins,
)
from reconciler.domain.resources.parameters import Parameters
from reconciler.domain.resources.step import Step

OperationId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")]


MOST_PAUSES = 20


class Phase(StrEnum):
    """How far a deployment is."""

    PENDING = "Pending"
    QUEUED = "Queued"
    RUNNING = "Running"
    ROLLING_BACK = "RollingBack"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    SUPERSEDED = "Superseded"
    ROLLED_BACK = "RolledBack"

    @property
    def is_end(self) -> bool:
        """Whether nothing comes after it."""
        return self in _ENDS


_ENDS = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.SUPERSEDED, Phase.ROLLED_BACK})


class StageName(StrEnum):
    """The stages in their order."""

    QUEUE = "queue"
    BUILD = "build"
    IMAGE = "image"
    SYNC = "sync"
    EXPOSE = "expose"
    VERIFY = "verify"
    ROLLBACK = "rollback"
    """Only of a deployment that goes back: what was current comes back, component by component."""


class DeploymentRecordSpec(Model):
    """What is asked for; nothing of it changes but `cancel`."""

    operation_id: OperationId | None = Field(default=None, description="Default: the resource's name.")
    project_ref: Name = Field(description="The project; it may still be missing for a while.")
    environment: Name = Field(description="The environment's name within the project.")
    components: Annotated[list[Name], AfterValidator(refuse_twins)] = Field(
        default=[], max_length=20, json_schema_extra=UNIQUE, description="Default: all of the project."
    )
    revision: Revision = Field(description="A full commit id.")
    parameters: Parameters = Field(default={}, description="Added to the builds' own.")
    ttl: Duration | None = Field(
        default=None,
        description="Lifetime of the environment from the end of this deployment; default: the environment's.",
    )
    requested_at: Moment | None = Field(default=None, description="Precedence; default: the creation time.")
    requested_by: Word = Field(default="", description="Who asked.")
    force: bool = Field(default=False, description="Deploy even when something newer is current.")
    cancel: bool = Field(default=False, description="Stop it; what was already changed outside is put back.")
    traceparent: Annotated[str, StringConstraints(max_length=128)] = Field(
        default="", description="The trace it belongs to (W3C)."
    )


class StageStatus(Step):
    """One stage, of one component where it has one."""

    name: StageName
    component: Annotated[str, StringConstraints(max_length=20)] = ""


class Artifact(Model):
    """What a component's deployment made."""

    component: Annotated[str, StringConstraints(max_length=20)]
    image: Annotated[str, StringConstraints(max_length=384)] = ""
    digest: Annotated[str, StringConstraints(max_length=80)] = ""
    build_url: Url = ""
    application: Annotated[str, StringConstraints(max_length=64)] = ""
    address: Annotated[str, StringConstraints(max_length=320)] = ""


class GoingBack(Model):
    """Why a deployment puts back what was current before it, and how it ends when that is done."""

    ending: Phase
    reason: Annotated[str, StringConstraints(max_length=64)] = ""
    message: Annotated[str, StringConstraints(max_length=512)] = ""
    since: Moment


class Pause(Model):
    """A time in which no deadline of the deployment ran; without `until` it lasts."""

    since: Moment
    until: Moment | None = None


class DeploymentRecordStatus(Status):
    """How far the deployment is."""

    phase: Phase = Phase.PENDING
    reason: Annotated[str, StringConstraints(max_length=64)] = ""
    message: Annotated[str, StringConstraints(max_length=512)] = ""
    stages: list[StageStatus] = Field(default=[], max_length=121, json_schema_extra=keyed_by("name", "component"))
    artifacts: list[Artifact] = Field(default=[], max_length=20, json_schema_extra=keyed_by("component"))
    going_back: GoingBack | None = None
    pauses: list[Pause] = Field(default=[], max_length=MOST_PAUSES)
    epoch: int = 0
    sequence: int = 0
    announced: int = 0
    started_at: Moment | None = None
    slot_taken_at: Moment | None = None
    finished_at: Moment | None = None
    next_look_at: Moment | None = None
    waiting_for: Message = ""
    progress: int = 0


def _immutable(field: str) -> Rule:
    return Rule(
        f"has(self.spec.{field}) == has(oldSelf.spec.{field}) && "
        f"(!has(self.spec.{field}) || self.spec.{field} == oldSelf.spec.{field})",
        f"{field} is immutable: ask for another operation",
        f".spec.{field}",
    )


class DeploymentRecord(Resource):
    """One operation that deploys."""

    kind = "DeploymentRecord"
    plural = "deploymentrecords"
    short_names = ("dr",)
    spec_model = DeploymentRecordSpec
    status_model = DeploymentRecordStatus
    description = "One revision on its way to one environment."
    columns = (
        Column("Project", ".spec.projectRef"),
        Column("Environment", ".spec.environment"),
        Column("Phase", ".status.phase"),
        Column("Progress", ".status.progress", "integer"),
        Column("Waiting for", ".status.waitingFor"),
        Column("Revision", ".spec.revision", priority=1),
        Column("Message", ".status.message", priority=1),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )
    rules = (
        _immutable("operationId"),
        _immutable("projectRef"),
        _immutable("environment"),
        _immutable("components"),
        _immutable("revision"),
        _immutable("parameters"),
        _immutable("requestedAt"),
    )

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.spec = DeploymentRecordSpec.model_validate(body.get("spec") or {})
        self.status = DeploymentRecordStatus.model_validate(body.get("status") or {})

    @property
    def operation_id(self) -> str:
        """The operation that this record carries out."""
        return self.spec.operation_id or self.name
