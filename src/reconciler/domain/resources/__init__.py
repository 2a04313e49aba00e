"""The custom resources: one file a kind, specs and statuses as models; the CRDs are generated from them."""

from reconciler.domain.resources.common import Condition, InventoryItem, Metadata, Model, Reference, Resource
from reconciler.domain.resources.deployment_record import (
    Artifact,
    DeploymentRecord,
    DeploymentRecordSpec,
    DeploymentRecordStatus,
    GoingBack,
    Pause,
    Phase,
    StageName,
    StageStatus,
)
from reconciler.domain.resources.devops_project import (
    Component,
    DeletionPolicy,
    DevOpsProject,
    DevOpsProjectSpec,
    DevOpsProjectStatus,
    DriftPolicy,
)
from reconciler.domain.resources.drift import Drift, DriftState
from reconciler.domain.resources.environment import (
    Concurrency,
    Environment,
    EnvironmentPhase,
    EnvironmentSpec,
    EnvironmentStatus,
    EnvironmentTemplate,
    Rollback,
    Running,
)
from reconciler.domain.resources.settings import (
    ArgoSettings,
    ContainerRegistry,
    DNSZone,
    GitCredential,
    JenkinsSettings,
)
from reconciler.domain.resources.step import Claim, Place, Settled, SetupStep, Step, StepState

KINDS: tuple[type[Resource], ...] = (
    DevOpsProject,
    Environment,
    JenkinsSettings,
    ArgoSettings,
    ContainerRegistry,
    GitCredential,
    DNSZone,
    DeploymentRecord,
)

__all__ = [
    "KINDS",
    "ArgoSettings",
    "Artifact",
    "Claim",
    "Component",
    "Concurrency",
    "Condition",
    "ContainerRegistry",
    "DNSZone",
    "DeletionPolicy",
    "DeploymentRecord",
    "DeploymentRecordSpec",
    "DeploymentRecordStatus",
    "DevOpsProject",
    "DevOpsProjectSpec",
    "DevOpsProjectStatus",
    "Drift",
    "DriftPolicy",
    "DriftState",
    "Environment",
    "EnvironmentPhase",
    "EnvironmentSpec",
    "EnvironmentStatus",
    "EnvironmentTemplate",
    "GitCredential",
    "GoingBack",
    "InventoryItem",
    "JenkinsSettings",
    "Metadata",
    "Model",
    "Pause",
    "Phase",
    "Place",
    "Reference",
    "Resource",
    "Rollback",
    "Running",
    "Settled",
    "SetupStep",
    "StageName",
    "StageStatus",
    "Step",
    "StepState",
]
