"""Every knob, once: its variable, kind, default and meaning.

A field's variable is its group's prefix and its name in upper case, unless it names its own. `Group.variables()` tells.
Add a knob only together with the code that reads it (`tests/unit/test_settings_read.py` finds the others).
"""

from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from reconciler.settings.kinds import (
    Address,
    Allowed,
    Duration,
    InventoryKinds,
    OptionalAddress,
    OptionalDuration,
    OptionalPath,
    Secret,
    Words,
)

_HOUR = timedelta(hours=1)
_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)

Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1, le=10_000)]
Share = Annotated[float, Field(gt=0, le=1)]
Patience = Annotated[Duration, Field(gt=timedelta(0), le=10 * _MINUTE)]
Span = Annotated[Duration, Field(gt=timedelta(0), le=timedelta(days=365))]
NO_SECRET = SecretStr("")


class Group(BaseSettings):
    """Base of the groups. It never reads the process environment by itself: `reconciler.settings.load` does."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True, enable_decoding=False
    )
    required: ClassVar[tuple[str, ...]] = ()
    """Fields that must be set before the operator runs; `none` is a decision, silence is not."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take given values only."""
        return (init_settings,)

    @classmethod
    def variables(cls) -> dict[str, tuple[str, ...]]:
        """Return the variables of each field, the first one being its name in the reference."""
        return {name: cls._variables_of(name, field) for name, field in cls.model_fields.items()}

    @classmethod
    def _variables_of(cls, name: str, field: FieldInfo) -> tuple[str, ...]:
        match field.validation_alias:
            case str(alias):
                return (alias,)
            case AliasChoices(choices=choices):
                return tuple(str(choice) for choice in choices)
            case _:
                return (f"{cls.model_config.get('env_prefix', '')}{name}".upper(),)


class Kubernetes(Group):
    """The cluster this operator serves."""

    model_config = SettingsConfigDict(env_prefix="RECONCILER_")

    kubeconfig: OptionalPath = Field(
        None, validation_alias="KUBECONFIG", description="The kubeconfig; none: the pod's own account."
    )
    namespaces: Words = Field(
        ("freeleaps-devops-system",), description="The namespaces that are watched; `*` for all.", min_length=1
    )
    own_namespace: str = Field(
        "freeleaps-devops-system", description="Where the Lease and the records of leftovers are kept.", min_length=1
    )
    owner_id: str = Field(
        "",
        max_length=64,
        description="Whose external objects are ours; empty: the uid of the namespace `kube-system`. "
        "Set it when the cluster is rebuilt and the objects are to stay ours.",
    )
    replica: str = Field(
        "", max_length=63, description="This replica's name in claims and Lease; empty: the host name."
    )
    timeout: Patience = Field(
        30 * _SECOND, validation_alias="RECONCILER_KUBERNETES_TIMEOUT", description="For one request to the API server."
    )
    concurrency: Count = Field(
        64,
        validation_alias="RECONCILER_KUBERNETES_CONCURRENCY",
        description="Requests to the API server that are under way at once; watches are not counted.",
    )
    lease_duration: Annotated[Duration, Field(ge=_SECOND, le=5 * _MINUTE)] = Field(
        15 * _SECOND,
        description="How long the others wait for a replica that leads and is not heard of. It stops working after two "
        "thirds of that without the API server.",
    )
    lease_renewal: Annotated[Duration, Field(ge=timedelta(milliseconds=50), le=_MINUTE)] = Field(
        3 * _SECOND, description="How often the Lease is renewed, or tried; at most a third of its duration."
    )

    @model_validator(mode="after")
    def _renews_in_time(self) -> Self:
        if self.lease_renewal * 3 > self.lease_duration:
            raise ValueError("RECONCILER_LEASE_RENEWAL must be at most a third of RECONCILER_LEASE_DURATION")
        return self


class RabbitMQ(Group):
    """The broker, and what things are called there."""

    model_config = SettingsConfigDict(env_prefix="RABBITMQ_")
    required = ("host",)

    host: str = Field("localhost", description="Host name or address of the broker.", min_length=1)
    port: Port = Field(5672, description="Its AMQP port.")
    username: str = Field("guest", description="Who we are there.", min_length=1)
    password: Secret = Field(SecretStr("guest"), description="And how we prove it.")
    vhost: str = Field("/", description="The virtual host.", min_length=1)
    tls: bool = Field(default=False, description="Speak AMQP over TLS.")
    connection_heartbeat: Annotated[Duration, Field(ge=_SECOND, le=_MINUTE)] = Field(
        4 * _SECOND,
        description="AMQP heartbeat. A frozen broker is noticed after about four of them (183 s with the usual 60 s).",
    )
    publish_timeout: Patience = Field(10 * _SECOND, description="For a publish to be confirmed.")
    prefetch: Count = Field(64, description="Messages handled at once; those not yet acknowledged.")
    exchange: str = Field("devops", description="Durable topic exchange of the incoming messages.", min_length=1)
    initialize_queue: str = Field("devops.initialize", description="Queue of `DevOpsInitialize`.", min_length=1)
    reconcile_queue: str = Field("devops.reconcile", description="Queue of `DevOpsReconcile`.", min_length=1)
    retry_queue: str = Field(
        "devops.retry", description="Where a message waits that cannot be accepted now.", min_length=1
    )
    dead_queue: str = Field("devops.dead", description="Dead letters, with the reason in their headers.", min_length=1)
    heartbeat_exchange: str = Field("devops.heartbeat", description="Topic exchange of the heartbeats.", min_length=1)


class Messages(Group):
    """How messages are accepted and answered."""

    model_config = SettingsConfigDict(env_prefix="RECONCILER_MESSAGE_")

    attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        5, description="How often a message is tried that cannot be accepted now, before it is a dead letter."
    )
    retry_delay: Patience = Field(
        5 * _SECOND, description="The delay before the second attempt; it doubles each time, up to an hour."
    )
    dedupe_window: Span = Field(
        timedelta(days=7), description="How long an operation id is remembered; older messages are dead letters."
    )
    heartbeat_interval: Patience = Field(
        10 * _SECOND,
        validation_alias="RECONCILER_HEARTBEAT_INTERVAL",
        description="How often an active operation is heard of when nothing changes.",
    )
    project_wait: Span = Field(
        10 * _MINUTE,
        validation_alias="RECONCILER_PROJECT_WAIT",
        description="How long a deployment waits for a project that is not there yet.",
    )


class Jenkins(Group):
    """The operator's own Jenkins; a JenkinsSettings may name another, with its credentials."""

    model_config = SettingsConfigDict(env_prefix="JENKINS_")
    required = ("endpoint",)

    endpoint: OptionalAddress = Field("", description="Base URL of Jenkins; none: every project names its own.")
    username: str = Field("", description="The user whose API token is used.")
    token: Secret = Field(NO_SECRET, description="An API token (no crumbs are needed with one).")
    folder: str = Field("freeleaps", description="The folder for the projects that name none.", min_length=1)
    timeout: Patience = Field(30 * _SECOND, description="For one request.")
    concurrency: Count = Field(32, description="Requests under way at once.")
    limited_for: Patience = Field(
        10 * _SECOND, description="How long nothing is asked after a 429 that does not say for how long."
    )
    watch_interval: Patience = Field(
        5 * _SECOND, description="How often one list answers for all running builds of a server."
    )

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        if self.endpoint and not (self.username and self.token.get_secret_value()):
            raise ValueError("JENKINS_ENDPOINT needs JENKINS_USERNAME and JENKINS_TOKEN")
        return self


class ArgoCD(Group):
    """The operator's own Argo CD; an ArgoSettings may name another, with its credentials."""

    model_config = SettingsConfigDict(env_prefix="ARGOCD_")
    required = ("endpoint",)

    endpoint: OptionalAddress = Field("", description="Base URL of Argo CD; none: every project names its own.")
    token: Secret = Field(NO_SECRET, description="A token of an account with capability `apiKey`; or:")
    username: str = Field("", description="The user to log in as when there is no token.")
    password: Secret = Field(NO_SECRET, description="The user's password.")
    timeout: Patience = Field(30 * _SECOND, description="For one request.")
    concurrency: Count = Field(32, description="Requests under way at once; the stream is not counted.")
    limited_for: Patience = Field(
        10 * _SECOND, description="How long nothing is asked after a 429 that does not say for how long."
    )

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        has_password = bool(self.username and self.password.get_secret_value())
        if self.endpoint and not (self.token.get_secret_value() or has_password):
            raise ValueError("ARGOCD_ENDPOINT needs ARGOCD_TOKEN, or ARGOCD_USERNAME and ARGOCD_PASSWORD")
        return self


class Registry(Group):
    """The operator's own image registry; a ContainerRegistry may name another, with its credentials."""

    model_config = SettingsConfigDict(env_prefix="REGISTRY_")

    provider: Literal["DockerHub", "OCI"] = Field("DockerHub", description="Which API creates repositories.")
    endpoint: Address = Field(
        "https://registry-1.docker.io", description="Base URL of the registry's own API (`/v2/`)."
    )
    hub_endpoint: Address = Field(
        "https://hub.docker.com",
        validation_alias="DOCKER_HUB_ENDPOINT",
        description="Base URL of Docker Hub's management API.",
    )
    namespace: str = Field(
        "",
        validation_alias=AliasChoices("REGISTRY_NAMESPACE", "DOCKER_HUB_NAMESPACE"),
        description="The namespace of the projects' repositories.",
    )
    username: str = Field(
        "", validation_alias=AliasChoices("REGISTRY_USERNAME", "DOCKER_HUB_USERNAME"), description="Who we are there."
    )
    password: Secret = Field(
        NO_SECRET,
        validation_alias=AliasChoices("REGISTRY_PASSWORD", "DOCKER_HUB_PASSWORD"),
        description="A password or an access token.",
    )
    token_origins: Words = Field(
        ("https://auth.docker.io",), description="Hosts beside the registry that may issue its tokens, as origins."
    )
    timeout: Patience = Field(30 * _SECOND, description="For one request.")
    concurrency: Count = Field(32, description="Requests under way at once.")
    limited_for: Patience = Field(
        _MINUTE, description="How long nothing is asked after a 429 that does not say for how long."
    )

    @model_validator(mode="after")
    def _has_credentials(self) -> Self:
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError("REGISTRY_USERNAME and REGISTRY_PASSWORD need each other")
        return self


class GoDaddy(Group):
    """The operator's own DNS account; a DNSZone may name other credentials."""

    model_config = SettingsConfigDict(env_prefix="GODADDY_")

    endpoint: Address = Field("https://api.godaddy.com", description="Base URL of the API.")
    domain: str = Field("", description="The zone for projects that name none; empty: they need a DNSZone.")
    key: Secret = Field(NO_SECRET, description="The API key.")
    secret: Secret = Field(NO_SECRET, description="The API key's secret.")
    requests_per_minute: Annotated[int, Field(ge=1, le=60)] = Field(
        60, description="The provider's limit for one key, kept in any window of a minute."
    )
    starts_full: bool = Field(
        default=True,
        description="Count the window as used up at the start: the process before this one may have used it. "
        "The first request then goes after a minute.",
    )
    read_lag: Patience = Field(
        60 * _SECOND,
        description="So long after a write a read may still show what was before: that nothing of an environment is "
        "left is believed only of a read begun later.",
    )
    timeout: Patience = Field(30 * _SECOND, description="For one request.")
    concurrency: Count = Field(8, description="Requests under way at once.")
    limited_for: Patience = Field(
        _MINUTE, description="How long nothing is asked after a 429 that does not say for how long."
    )

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if bool(self.key.get_secret_value()) != bool(self.secret.get_secret_value()):
            raise ValueError("GODADDY_KEY and GODADDY_SECRET need each other")
        return self


class Git(Group):
    """Credentials for repositories without a GitCredential."""

    model_config = SettingsConfigDict(env_prefix="DEFAULT_GIT_")

    username: str = Field("", description="The user.")
    password: Secret = Field(NO_SECRET, description="A password or token.")
    secret: str = Field(
        "",
        description="In place of user and password: a Secret in the operator's namespace with `username` and "
        "`password`. What it is changed to is handed on within minutes, without a restart.",
    )
    url_prefix: OptionalAddress = Field(
        "", description="The repositories these credentials are for (host, and whole path segments); none: for no one."
    )

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if bool(self.username) != bool(self.password.get_secret_value()):
            raise ValueError("DEFAULT_GIT_USERNAME and DEFAULT_GIT_PASSWORD need each other")
        if self.secret and self.username:
            raise ValueError("DEFAULT_GIT_SECRET stands in place of DEFAULT_GIT_USERNAME and DEFAULT_GIT_PASSWORD")
        return self


class Outside(Group):
    """What all outside systems have in common: patience."""

    model_config = SettingsConfigDict(env_prefix="RECONCILER_")

    permit_timeout: Annotated[Duration, Field(ge=timedelta(0), le=10 * _SECOND)] = Field(
        _SECOND, description="How long a request waits for its turn when a system's concurrency is used up."
    )
    ca_file: OptionalPath = Field(
        None, description="PEM file with the authorities that are trusted beside the system's."
    )
    breaker_failures: Count = Field(5, description="Failures in a row that stop the asking.")
    breaker_rate: Share = Field(0.5, description="Or this share of failures in the window.")
    breaker_calls: Count = Field(20, description="The least number of calls that make a rate.")
    breaker_window: Span = Field(30 * _SECOND, description="How far back the rate looks.")
    breaker_open: Span = Field(
        30 * _SECOND,
        description="How long a system is not asked; then one probe goes: so long a recovery takes.",
    )


class Deadlines(Group):
    """When waiting becomes a failure, with the last reason."""

    model_config = SettingsConfigDict(env_prefix="RECONCILER_DEADLINE_")

    queue: OptionalDuration = Field(None, description="For an environment to become free; none: no end.")
    build: Span = Field(_HOUR, description="For the stage build.")
    image: Span = Field(10 * _MINUTE, description="For the stage image.")
    sync: Span = Field(30 * _MINUTE, description="For the stage sync.")
    expose: Span = Field(15 * _MINUTE, description="For the stage expose.")
    verify: Span = Field(10 * _MINUTE, description="For the stage verify.")
    deployment: Span = Field(2 * _HOUR, description="For the whole deployment, from taking the slot.")
    initialize: Span = Field(30 * _MINUTE, description="For a project to become Ready after `DevOpsInitialize`.")
    deletion: Span = Field(
        30 * _MINUTE,
        description="For a deletion, from its timestamp; then the resource goes, and what could not be removed outside "
        "is kept as a leftover and swept later.",
    )


class Deployments(Group):
    """How deployments are done."""

    model_config = SettingsConfigDict(env_prefix="RECONCILER_")

    degraded_for: Span = Field(60 * _SECOND, description="How long Degraded must last to fail a deployment.")
    max_supersedes: Count = Field(5, description="After so many in a row the running deployment is let finish.")
    claim_window: Patience = Field(5 * _SECOND, description="How long after a claim was stored it may be acted on.")


class Environments(Group):
    """How environments are kept as they are wanted, and how they end."""

    model_config = SettingsConfigDict(env_prefix="ENVIRONMENTS_")

    upkeep_interval: Annotated[Duration, Field(ge=_SECOND, le=24 * _HOUR)] = Field(
        5 * _MINUTE,
        description="How often the Applications and DNS records of what is current are compared with what is there; "
        "each environment at a moment of its own within it.",
    )
    warn_before: Span = Field(
        _HOUR, description="How long before its end people are told that an environment expires (event and heartbeat)."
    )
    cleanup_timeout: Span = Field(
        5 * _MINUTE,
        description="How long one pass over an expired environment may take. What is not gone by then is tried again "
        "in the next pass, after RECONCILER_RESYNC_INTERVAL.",
    )
    most_previews: Annotated[Count, Field(le=1000)] = Field(
        200, description="So many previews a project may have at once, where its `spec.preview.max` does not say."
    )
    skip_types: InventoryKinds = Field(
        (), description="What an expiry leaves where it is: `Application`, `Record`, separated by commas."
    )


class Records(Group):
    """How long finished deployments are remembered."""

    model_config = SettingsConfigDict(env_prefix="RECONCILER_RECORDS_")

    kept_for: Span = Field(
        timedelta(days=30),
        description="How long a finished DeploymentRecord is kept. None goes within the dedupe window, while it is "
        "current in its environment, or before its end was announced.",
    )
    kept: Count = Field(
        100, description="So many of an environment are kept so long, the newest; more of them go after the window."
    )


class Agenda(Group):
    """When to look."""

    model_config = SettingsConfigDict(env_prefix="RECONCILER_")

    look_concurrency: Count = Field(
        32, description="Looks at once; more of them make each turn of the event loop, and so every heartbeat, slower."
    )
    resync_interval: Annotated[Duration, Field(ge=_SECOND, le=24 * _HOUR)] = Field(
        5 * _MINUTE, description="How often everything is looked at, whatever the watches said."
    )


class Drift(Group):
    """How what settings own outside is kept as it is wanted."""

    model_config = SettingsConfigDict(env_prefix="RECONCILER_DRIFT_")

    interval: Annotated[Duration, Field(ge=_SECOND, le=24 * _HOUR)] = Field(
        5 * _MINUTE,
        description="How often it is compared; each resource at a moment of its own within it. "
        "JenkinsSettings say it themselves (`spec.pollInterval`).",
    )
    repairs: Count = Field(
        3, description="Repairs of the same thing in a row that are done at once: then it is a fight."
    )
    window: Span = Field(
        _HOUR,
        description="A repair that lasts longer was no part of a fight; in a fight the pauses before each repair grow "
        "up to this.",
    )


class Proof(Group):
    """How this program finds out that it still hears of messages and of changes."""

    model_config = SettingsConfigDict(env_prefix="RECONCILER_PROOF_")

    interval: Annotated[Duration, Field(ge=_SECOND, le=10 * _MINUTE)] = Field(
        30 * _SECOND,
        description="How often each replica sends itself a message and changes a ConfigMap of its own. What does not "
        "come back for three of them, while a fresh connection works, is restarted.",
    )


class Web(Group):
    """Where `/livez`, `/readyz` and `/metrics` are served."""

    model_config = SettingsConfigDict(env_prefix="RECONCILER_HTTP_")

    host: str = Field("127.0.0.1", description="Address to listen at; in a pod `0.0.0.0` (the manifests set it).")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8080, description="Port; 0 takes a free one.")


class Log(Group):
    """What is told on standard error."""

    model_config = SettingsConfigDict(env_prefix="RECONCILER_LOG_")

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="The least level that is told.")
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="auto: console on a terminal, else JSON lines."
    )
    debug: bool = Field(
        default=False, validation_alias="RECONCILER_DEBUG", description="Level debug, and asyncio's debug mode."
    )


class Shutdown(Group):
    """How the process ends; SIGTERM to exit."""

    model_config = SettingsConfigDict(env_prefix="RECONCILER_SHUTDOWN_")

    looks: Patience = Field(10 * _SECOND, description="For looks under way to end.")
    total: Patience = Field(25 * _SECOND, description="For everything, heartbeats and connections included.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.looks >= self.total:
            raise ValueError("RECONCILER_SHUTDOWN_LOOKS must be shorter than RECONCILER_SHUTDOWN_TOTAL")
        return self


__all__ = [
    "Agenda",
    "Allowed",
    "ArgoCD",
    "Deadlines",
    "Deployments",
    "Drift",
    "Environments",
    "Git",
    "GoDaddy",
    "Group",
    "Jenkins",
    "Kubernetes",
    "Log",
    "Messages",
    "Outside",
    "Proof",
    "RabbitMQ",
    "Records",
    "Registry",
    "Shutdown",
    "Web",
]
