"""The settings kinds: which build server, deployment tool, registry, git login and zone a project uses."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from reconciler.domain.outside.applications import ImageStrategy
from reconciler.domain.resources.common import (
    UNIQUE,
    Column,
    Domain,
    Duration,
    GitPrefix,
    InventoryItem,
    Model,
    Moment,
    Name,
    RepositoryUrl,
    Resource,
    Rule,
    SecretReference,
    Status,
    Template,
    Url,
    WebUrl,
    Word,
    keyed_by,
)
from reconciler.domain.resources.drift import MOST_DRIFT, Drift
from reconciler.domain.resources.parameters import Parameters
from reconciler.domain.resources.step import SetupStep

FolderPath = Annotated[
    str, StringConstraints(min_length=1, max_length=256, pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$")
]
_READY = (
    Column("Ready", '.status.conditions[?(@.type=="Ready")].status'),
    Column("Message", '.status.conditions[?(@.type=="Ready")].message', priority=1),
    Column("Age", ".metadata.creationTimestamp", "date"),
)
_ENDPOINT_NEEDS_CREDENTIALS = Rule(
    "!has(self.spec.endpoint) || has(self.spec.credentialsRef)",
    "a resource that names an endpoint names its credentials: set credentialsRef",
    ".spec.credentialsRef",
)


class SettingsStatus(Status):
    """How the system behind the settings stands."""

    steps: list[SetupStep] = Field(default=[], max_length=64, json_schema_extra=keyed_by("name"))
    version: Word = ""
    detail: Annotated[str, StringConstraints(max_length=512)] = ""
    checked_at: Moment | None = None
    next_look_at: Moment | None = None
    waiting_for: Word = ""
    drift: list[Drift] = Field(default=[], max_length=MOST_DRIFT, json_schema_extra=keyed_by("step"))
    leftovers: list[InventoryItem] = Field(
        default=[], max_length=20, description="What stays outside: left over, to be swept later, or kept."
    )
    leftovers_cut: int = 0


class Pipeline(Model):
    """Where the pipeline's script is."""

    script_path: Annotated[str, StringConstraints(max_length=256)] = Field(
        default="Jenkinsfile", description="The pipeline's file in the repository."
    )
    inline: Annotated[str, StringConstraints(max_length=65536)] | None = Field(
        default=None, description="The pipeline itself; then `scriptPath` is not used."
    )


class JenkinsSettingsSpec(Model):
    """Where and how a project is built."""

    project_ref: Name = Field(description="The project they are for.")
    endpoint: WebUrl | None = Field(default=None, description="Default: the operator's own Jenkins.")
    folder: FolderPath = Field(default="freeleaps", description="The folder in Jenkins; may be nested with `/`.")
    job: Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")] | None = Field(
        default=None, description="Default: the project's name."
    )
    pipeline: Pipeline = Pipeline()
    parameters: Parameters = Field(default={}, description="Given to every build.")
    poll_interval: Duration = Field(
        default=timedelta(seconds=300), description="How often the job is compared with what is wanted."
    )
    credentials_ref: SecretReference | None = Field(
        default=None, description="Its login; default: the operator's own, for the operator's own endpoint only."
    )


class JenkinsSettings(Resource):
    """Folder, job and credentials in Jenkins."""

    kind = "JenkinsSettings"
    plural = "jenkinssettings"
    short_names = ("jks",)
    spec_model = JenkinsSettingsSpec
    status_model = SettingsStatus
    description = "The folder, job and credentials of a project in Jenkins."
    columns = (
        Column("Project", ".spec.projectRef"),
        Column("Endpoint", ".spec.endpoint"),
        Column("Folder", ".spec.folder"),
        *_READY,
    )
    rules = (_ENDPOINT_NEEDS_CREDENTIALS,)

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.spec = JenkinsSettingsSpec.model_validate(body.get("spec") or {})
        self.status = SettingsStatus.model_validate(body.get("status") or {})


class Source(Model):
    """Where manifests come from; template words {project} {environment} {component} {revision} in `path` and values."""

    repo_url: RepositoryUrl | None = Field(default=None, alias="repoURL", description="Default: the project's git url.")
    path: Template = Field(
        default="deploy/{environment}/{component}",
        description="The folder of the manifests; may hold {project}, {environment}, {component} and {revision}.",
    )
    chart: Template | None = Field(default=None, description="A chart's name, where repoURL is a chart repository.")
    target_revision: Template = Field(default="HEAD", description="A branch, a tag, a commit or a chart's version.")


class HelmImage(Model):
    """Names of the Helm values that take the image."""

    repository_parameter: Template = Field(
        default="image.repository", description="The value that takes the image without its tag."
    )
    tag_parameter: Template = Field(default="image.tag", description="The value that takes the tag.")
    digest_parameter: Template | None = Field(
        default=None, description="Takes the digest; without it the tag becomes `<tag>@<digest>`."
    )


class KustomizeImage(Model):
    """Name of the image in the kustomization."""

    name: Template = Field(default="{component}", description="The image's name in the kustomization.")


class ImageChoice(Model):
    """How the image is set."""

    type: ImageStrategy = ImageStrategy.HELM
    helm: HelmImage = HelmImage()
    kustomize: KustomizeImage = KustomizeImage()


class SyncPolicy(Model):
    """Who syncs. Without `automated` the operator does."""

    automated: bool = Field(default=False, description="Argo CD syncs by itself; the operator then only watches.")
    prune: bool = Field(default=True, description="What is gone from the manifests is removed.")
    self_heal: bool = Field(default=False, description="With `automated`: Argo CD puts back what was changed by hand.")
    sync_options: list[Annotated[str, StringConstraints(max_length=128)]] = Field(
        default=["CreateNamespace=true"], max_length=16, json_schema_extra=UNIQUE, description="As Argo CD has them."
    )


class ArgoSettingsSpec(Model):
    """Where and how a project is deployed."""

    project_ref: Name = Field(description="The project they are for.")
    endpoint: WebUrl | None = Field(default=None, description="Default: the operator's own Argo CD.")
    project: Annotated[str, StringConstraints(max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] | None = (
        Field(default=None, description="Default: the project's name.")
    )
    source: Source = Source()
    image_strategy: ImageChoice = ImageChoice()
    sync_policy: SyncPolicy = SyncPolicy()
    credentials_ref: SecretReference | None = Field(
        default=None, description="Its login; default: the operator's own, for the operator's own endpoint only."
    )


class ArgoSettings(Resource):
    """AppProject and repository in Argo CD."""

    kind = "ArgoSettings"
    plural = "argosettings"
    short_names = ("args",)
    spec_model = ArgoSettingsSpec
    status_model = SettingsStatus
    description = "The project and repository of a project in Argo CD, and how its applications are made."
    columns = (
        Column("Project", ".spec.projectRef"),
        Column("Endpoint", ".spec.endpoint"),
        Column("AppProject", ".spec.project"),
        *_READY,
    )
    rules = (_ENDPOINT_NEEDS_CREDENTIALS,)

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.spec = ArgoSettingsSpec.model_validate(body.get("spec") or {})
        self.status = SettingsStatus.model_validate(body.get("status") or {})


class RegistryProvider(StrEnum):
    """What kind of registry it is."""

    DOCKER_HUB = "DockerHub"
    OCI = "OCI"


class ContainerRegistrySpec(Model):
    """Where images are."""

    provider: RegistryProvider = RegistryProvider.DOCKER_HUB
    endpoint: WebUrl | None = Field(default=None, description="Default: the operator's own registry.")
    namespace: Annotated[str, StringConstraints(max_length=128, pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*$")] | None = (
        Field(default=None, description="Where repositories are made; for Docker Hub the organisation or user.")
    )
    credentials_ref: SecretReference | None = Field(
        default=None, description="Its login; default: the operator's own, for the operator's own endpoint only."
    )


class ContainerRegistry(Resource):
    """A container registry."""

    kind = "ContainerRegistry"
    plural = "containerregistries"
    short_names = ("creg",)
    spec_model = ContainerRegistrySpec
    status_model = SettingsStatus
    description = "A container registry: where images are pushed by builds and looked for by deployments."
    columns = (
        Column("Provider", ".spec.provider"),
        Column("Endpoint", ".spec.endpoint"),
        Column("Namespace", ".spec.namespace"),
        *_READY,
    )
    rules = (_ENDPOINT_NEEDS_CREDENTIALS,)

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.spec = ContainerRegistrySpec.model_validate(body.get("spec") or {})
        self.status = SettingsStatus.model_validate(body.get("status") or {})


class GitCredentialSpec(Model):
    """One login for git addresses that start alike: scheme and host exactly, the path by whole segments."""

    url_prefix: GitPrefix = Field(
        description="Scheme and host match exactly, the path by whole segments; the longest wins."
    )
    secret_ref: SecretReference


class GitCredential(Resource):
    """One login for git."""

    kind = "GitCredential"
    plural = "gitcredentials"
    short_names = ("gitc",)
    spec_model = GitCredentialSpec
    status_model = SettingsStatus
    description = "One place for git credentials, handed to Jenkins and Argo CD."
    columns = (Column("Prefix", ".spec.urlPrefix"), Column("Secret", ".spec.secretRef.name"), *_READY)
    rules = (
        Rule(
            "!self.spec.urlPrefix.matches('^https?://[^/]*@') && !self.spec.urlPrefix.matches('^ssh://[^/@]*:[^/]*@')",
            "no user information in a URL; name a Secret in secretRef",
            ".spec.urlPrefix",
        ),
    )

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.spec = GitCredentialSpec.model_validate(body.get("spec") or {})
        self.status = SettingsStatus.model_validate(body.get("status") or {})


class DnsProvider(StrEnum):
    """Who serves the zone."""

    GODADDY = "GoDaddy"
    POWERDNS = "PowerDNS"


class DnsPolicy(StrEnum):
    """Whether records of ours may be removed."""

    UPSERT_ONLY = "UpsertOnly"
    SYNC = "Sync"


class DNSZoneSpec(Model):
    """A zone that records are made in."""

    provider: DnsProvider = DnsProvider.GODADDY
    endpoint: WebUrl | None = Field(
        default=None, description="Default: the operator's own at GoDaddy; PowerDNS has none, and needs one here."
    )
    domain: Domain = Field(description="The zone, without a trailing dot.")
    policy: DnsPolicy = DnsPolicy.SYNC
    default_ttl: int = Field(default=600, ge=600, le=86400, description="Seconds.", alias="defaultTTL")
    credentials_ref: SecretReference | None = Field(
        default=None, description="Its login; default: the operator's own, for the operator's own endpoint only."
    )


class DNSZone(Resource):
    """A DNS zone."""

    kind = "DNSZone"
    plural = "dnszones"
    short_names = ("dnsz",)
    spec_model = DNSZoneSpec
    status_model = SettingsStatus
    description = "A DNS zone in which environments get their records."
    columns = (
        Column("Domain", ".spec.domain"),
        Column("Provider", ".spec.provider"),
        Column("Policy", ".spec.policy"),
        *_READY,
    )
    rules = (
        _ENDPOINT_NEEDS_CREDENTIALS,
        Rule(
            "self.spec.provider != 'PowerDNS' || has(self.spec.endpoint)",
            "PowerDNS has no endpoint of its own: set endpoint and credentialsRef",
            ".spec.endpoint",
        ),
    )

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__(body)
        self.spec = DNSZoneSpec.model_validate(body.get("spec") or {})
        self.status = SettingsStatus.model_validate(body.get("status") or {})


__all__ = [
    "ArgoSettings",
    "ContainerRegistry",
    "DNSZone",
    "DnsPolicy",
    "DnsProvider",
    "GitCredential",
    "JenkinsSettings",
    "RegistryProvider",
    "SettingsStatus",
    "Url",
]
