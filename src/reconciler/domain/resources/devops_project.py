"""DevOpsProject: a git repository, its components and its environments."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from reconciler.domain.resources.common import (
    Column,
    Duration,
    GitUrl,
    Message,
    Model,
    Moment,
    Name,
    Reference,
    Resource,
    Rule,
    Status,
    Url,
    Word,
    keyed_by,
    refuse_twins,
)
from reconciler.domain.resources.environment import EnvironmentTemplate
from reconciler.domain.resources.step import SetupStep

RelativePath = Annotated[
    str,
    StringConstraints(
        max_length=256, pattern=r"^(\.|\.?[A-Za-z0-9_-][A-Za-z0-9._ -]*)(/\.?[A-Za-z0-9_-][A-Za-z0-9._ -]*)*/?$"
    ),
]
"""A path within the repository; no segment is `..`."""


class DeletionPolicy(StrEnum):
    """What happens to external objects when their resource is deleted."""

    DELETE = "Delete"
    ORPHAN = "Orphan"


class DriftPolicy(StrEnum):
    """What happens when somebody changed an external object of ours."""

    REPAIR = "Repair"
    REPORT = "Report"
    IGNORE = "Ignore"


class Git(Model):
    """Where the source is."""

    url: GitUrl = Field(description="https without user information, or ssh with at most a user name.")
    branch: Annotated[str, StringConstraints(min_length=1, max_length=256)] = Field(
        default="main", description="What is built when nothing else is said."
    )
    credential_ref: Reference | None = Field(
        default=None, description="A GitCredential; default: the one whose urlPrefix matches longest."
    )


class RegistryChoice(Model):
    """Where images go."""

    ref: Reference | None = Field(default=None, description="A ContainerRegistry; default: the operator's own.")
    repository: Annotated[str, StringConstraints(max_length=128)] | None = Field(
        default=None, description="The namespace in the registry; default: the registry's."
    )


class Component(Model):
    """One thing that is built and run, with its own image."""

    name: Name = Field(description="Part of image and application names.")
    path: RelativePath = Field(default=".", description="Its folder in the repository, the build's context.")
    dockerfile: RelativePath = Field(default="Dockerfile", description="Its Dockerfile, seen from its folder.")
    port: int | None = Field(default=None, ge=1, le=65535, description="Without a port there is no address.")
    host: Annotated[str, StringConstraints(max_length=63, pattern=r"^(@|\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$")] | None = (
        Field(default=None, description="Default: the component's name; `@` is the domain itself.")
    )


_OWN = r"\{(project|environment)\}"
DomainTemplate = Annotated[
    str,
    StringConstraints(
        max_length=253,
        pattern=rf"^(({_OWN}|[a-z0-9_])(({_OWN}|[a-z0-9_-])*({_OWN}|[a-z0-9]))?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
    ),
]
"""A domain in which {project} and {environment} stand for the names."""
NamespaceTemplate = Annotated[
    str,
    StringConstraints(max_length=63, pattern=rf"^({_OWN}|[a-z0-9])(({_OWN}|[-a-z0-9])*({_OWN}|[a-z0-9]))?$"),
]
"""A namespace in which {project} and {environment} stand for the names."""


class DeclaredEnvironment(EnvironmentTemplate):
    """An environment that the project wants."""

    name: Name = Field(description="The environment's name within the project.")


class Preview(EnvironmentTemplate):
    """The template of environments that are made on demand."""

    domain: DomainTemplate | None = Field(
        default=None,
        description="Components with a port get `<host>.<domain>`. `{environment}` and `{project}` stand for the "
        "names: with `{environment}` each preview has addresses of its own.",
    )
    namespace: NamespaceTemplate | None = Field(
        default=None,
        description="Where the components run; `{environment}` and `{project}` stand for the names. "
        "Default `<project>-<environment>`.",
    )
    most: int | None = Field(
        default=None,
        alias="max",
        ge=1,
        le=1000,
        description="So many at once, default `ENVIRONMENTS_MOST_PREVIEWS`; a deployment to one more fails, "
        "`TooManyPreviews`.",
    )
    ttl: Duration = Field(description="Lifetime of a preview, counted from its last deployment, such as `72h`.")


class DnsChoice(Model):
    """Where addresses are made."""

    zone_ref: Reference | None = Field(default=None, description="A DNSZone; default: the one that holds the domain.")
    target: Word | None = Field(default=None, description="What records point to, where the environment does not say.")


class OperationRequest(Model):
    """The DevOpsInitialize message that wrote this spec."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+$")] = Field(
        description="The operation's id."
    )
    requested_at: Moment = Field(description="When it was asked for; a message that is not newer changes nothing.")
    requested_by: Word = Field(default="", description="Who asked.")


class DevOpsProjectSpec(Model):
    """What the project is."""

    display_name: Annotated[str, StringConstraints(max_length=128)] = Field(default="", description="For people.")
    git: Git
    registry: RegistryChoice = RegistryChoice()
    components: Annotated[list[Component], AfterValidator(refuse_twins)] = Field(
        min_length=1,
        max_length=20,
        json_schema_extra=keyed_by("name"),
        description="What is built and run; names are unique.",
    )
    environments: Annotated[list[DeclaredEnvironment], AfterValidator(refuse_twins)] = Field(
        default=[],
        max_length=50,
        json_schema_extra=keyed_by("name"),
        description="Environments that the project makes and keeps; names are unique.",
    )
    preview: Preview | None = None
    dns: DnsChoice = DnsChoice()
    jenkins_ref: Reference | None = Field(default=None, description="JenkinsSettings; default: made by the project.")
    argo_ref: Reference | None = Field(default=None, description="ArgoSettings; default: made by the project.")
    deletion_policy: DeletionPolicy = DeletionPolicy.DELETE
    drift_policy: DriftPolicy = DriftPolicy.REPAIR
    operation: OperationRequest | None = None


class OperationEnd(Model):
    """How a DevOpsInitialize operation stands or ended."""

    id: Annotated[str, StringConstraints(max_length=128)]
    requested_at: Moment
    state: Annotated[str, StringConstraints(max_length=16)] = "Running"
    generation: int = 0
    reason: Annotated[str, StringConstraints(max_length=64)] = ""
    message: Message = ""
    sequence: int = 0
    announced: int = 0
    started_at: Moment | None = None
    finished_at: Moment | None = None


class DevOpsProjectStatus(Status):
    """How far the project is set up."""

    steps: list[SetupStep] = Field(default=[], max_length=8, json_schema_extra=keyed_by("name"))
    operations: list[OperationEnd] = Field(default=[], max_length=20)
    operations_cut: int = 0
    environments: int = Field(default=0, description="So many it has, previews included.")
    previews: int = Field(default=0, description="So many of them were made from `preview`.")
    next_look_at: Moment | None = None
    url: Url = ""


class DevOpsProject(Resource):
    """One project."""

    kind = "DevOpsProject"
    plural = "devopsprojects"
    short_names = ("dop",)
    spec_model = DevOpsProjectSpec
    status_model = DevOpsProjectStatus
    description = "A git repository, its components and its environments."
    columns = (
        Column("Git", ".spec.git.url"),
        Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
        Column("Reason", '.status.conditions[?(@.type=="Ready")].reason'),
        Column("Message", '.status.conditions[?(@.type=="Ready")].message', priority=1),
        Column("Age", ".metadata.creationTimestamp", "date"),
    )
    rules = (
        Rule(
            "self.metadata.name.size() <= 20 && self.metadata.name.matches('^[a-z0-9]([a-z0-9]|-[a-z0-9])*$')",
            "a project's name is 1 to 20 characters, a DNS label without --",
            ".metadata.name",
        ),
    )

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.spec = DevOpsProjectSpec.model_validate(body.get("spec") or {})
        self.status = DevOpsProjectStatus.model_validate(body.get("status") or {})

    def component(self, name: str) -> Component | None:
        """Return the component of that name, if the project has one."""
        return next((component for component in self.spec.components if component.name == name), None)
