"""Applications, projects and repositories of a GitOps deployment tool."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from reconciler.domain.ownership import Marker


class Health(StrEnum):
    """Health of an application, in rising severity."""

    HEALTHY = "Healthy"
    SUSPENDED = "Suspended"
    PROGRESSING = "Progressing"
    MISSING = "Missing"
    DEGRADED = "Degraded"
    UNKNOWN = "Unknown"


class SyncState(StrEnum):
    """How the live state compares with the wanted one."""

    SYNCED = "Synced"
    OUT_OF_SYNC = "OutOfSync"
    UNKNOWN = "Unknown"


class OperationPhase(StrEnum):
    """How far a sync operation is."""

    RUNNING = "Running"
    TERMINATING = "Terminating"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ERROR = "Error"


class ImageStrategy(StrEnum):
    """How an image is set on an application."""

    HELM = "Helm"
    KUSTOMIZE = "Kustomize"
    REVISION = "Revision"


@dataclass(frozen=True, slots=True)
class Operation:
    """One sync operation, running or ended.

    Attributes:
        request_id: the value of our info entry; empty for somebody else's operation.
        is_retrying: it "runs" with `finishedAt` set: the attempt failed and another is scheduled.
        revision: what was synced, where known.
        images: the image values (parameters or kustomize images) of the source that was synced, where known.
        prune_skipped: the result has resources that were not pruned.
    """

    request_id: str
    phase: OperationPhase
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    is_retrying: bool = False
    revision: str = ""
    prune_skipped: bool = False


@dataclass(frozen=True, slots=True)
class ImageSetting:
    """How the image of a component is written on its application.

    Attributes:
        parameters: Helm parameters, name to value, all with forceString.
        kustomize_images: Kustomize images, `<name>=<image>@<digest>`.
        target_revision: what `targetRevision` becomes; None: left as it is.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    kustomize_images: tuple[str, ...] = ()
    target_revision: str | None = None


@dataclass(frozen=True, slots=True)
class ApplicationShape:
    """What belongs to the environment: where an application comes from and where it goes.

    Attributes:
        path, chart: one of them is set.
        server, cluster_name: the destination, one of them.
        auto_sync: the user asked the tool itself to sync; we then refresh and watch only.
    """

    name: str
    project: str
    repo_url: str
    target_revision: str
    path: str = ""
    chart: str = ""
    cluster: str = "in-cluster"
    namespace: str = ""
    auto_sync: bool = False
    prune: bool = True
    self_heal: bool = False
    sync_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Application:
    """An application as it is, read live.

    Attributes:
        epoch: our `freeleaps.com/epoch` annotation; empty if none.
        is_operation_requested: an operation is asked for and not yet complete (`.operation` is set).
        operation: the state of the last operation, None right after one was asked for.
        reconciled_at: when sync and health were computed; if older than an operation's end, they tell of before.
        images: what runs, from `status.summary.images`.
        image: how the image is set in the spec.
        conditions: `type: message` of what is wrong.
    """

    shape: ApplicationShape
    marker: Marker | None
    epoch: str
    image: ImageSetting
    is_operation_requested: bool
    operation: Operation | None
    reconciled_at: datetime | None
    sync: SyncState
    health: Health
    health_message: str = ""
    images: tuple[str, ...] = ()
    revision: str = ""
    is_deleting: bool = False
    conditions: tuple[str, ...] = ()
    resource_version: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class ProjectShape:
    """What an Argo CD project of ours allows.

    Attributes:
        destinations: (cluster, namespace) pairs.
    """

    name: str
    description: str
    source_repos: tuple[str, ...]
    destinations: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class ArgoProject:
    """A project as it is."""

    shape: ProjectShape
    marker: Marker | None


@dataclass(frozen=True, slots=True)
class Repository:
    """A git or chart repository as it is known there; secrets never come back.

    Attributes:
        is_connected: None while it was not tried.
    """

    url: str
    project: str = ""
    is_connected: bool | None = None
    message: str = ""
