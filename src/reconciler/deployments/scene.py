"""Everything that one look at a deployment needs to know of the other resources, read once."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reconciler.deployments.pauses import paused_since
from reconciler.domain.answers import Failed, Waiting
from reconciler.domain.keys import Key
from reconciler.domain.names import environment_name
from reconciler.domain.resources import (
    ArgoSettings,
    Component,
    ContainerRegistry,
    DeploymentRecord,
    DevOpsProject,
    DNSZone,
    Environment,
    JenkinsSettings,
    StageName,
    StageStatus,
)
from reconciler.domain.wanted import FOR_ANOTHER_REMEDY, meant_for_another
from reconciler.engine.invalid import R, readable
from reconciler.engine.store import Store
from reconciler.engine.zones import zone_of

StepKey = tuple[StageName, str]
"""A stage and its component; the queue stage has none."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The deployment and all it stands in."""

    record: DeploymentRecord
    project: DevOpsProject
    environment: Environment
    jenkins: JenkinsSettings
    argo: ArgoSettings
    registry: ContainerRegistry
    zone: DNSZone | None
    components: tuple[Component, ...]
    now: datetime
    steps: dict[StepKey, StageStatus] = field(default_factory=dict)
    records: Callable[[], Iterable[DeploymentRecord]] = tuple
    """Reads all deployments of the project: for the rare question that needs them."""

    def fact(self, stage: StageName, component: str, name: str) -> str:
        """Return what an earlier stage of the component found out, empty if nothing."""
        step = self.steps.get((stage, component))
        return step.facts.get(name, "") if step else ""

    def worked(self, since: datetime) -> timedelta:
        """Return the time since a moment, without that spent on pause: deadlines count it."""
        return self.now - since - paused_since(self.record.status.pauses, since, self.now)


class Undeclared(Exception):
    """The environment does not exist and is not declared, but the project has a preview template for it."""

    def __init__(self, project: DevOpsProject) -> None:
        super().__init__(project.name)
        self.project = project


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneReader:
    """Reads scenes from the store."""

    store: Store
    patience_for_project: timedelta

    def read(self, record: DeploymentRecord, now: datetime) -> "Scene | Waiting | Failed":
        """Return the scene, or what is missing in it. Raises Undeclared."""
        spec, namespace = record.spec, record.namespace
        if self.store.read(Key("DevOpsProject", namespace, spec.project_ref)) is None:
            return self._without_project(record, now)
        project = self._read(DevOpsProject, namespace, spec.project_ref)
        if project is None:
            return _unreadable("DevOpsProject", spec.project_ref)
        begun = list(dict.fromkeys(stage.component for stage in record.status.stages if stage.component))
        wanted = begun or spec.components or [component.name for component in project.spec.components]
        components = tuple(component for name in wanted if (component := project.component(name)))
        if len(components) < len(wanted):
            known = {component.name for component in components}
            unknown = next(name for name in wanted if name not in known)
            return Failed("ComponentNotFound", f"project {project.name} has no component {unknown}")
        name = environment_name(project.name, spec.environment)
        if self.store.read(Key("Environment", namespace, name)) is None:
            return _without_environment(record, project)
        environment = self._read(Environment, namespace, name)
        if environment is None:
            return _unreadable("Environment", name)
        settings = self._settings(project, environment)
        if isinstance(settings, Waiting):
            return settings
        jenkins, argo, registry, zone = settings
        return Scene(
            record,
            project,
            environment,
            jenkins,
            argo,
            registry,
            zone,
            components,
            now,
            records=lambda: self._records(project),
        )

    def _records(self, project: DevOpsProject) -> Iterator[DeploymentRecord]:
        for body in self.store.list_(DeploymentRecord.kind, project.namespace, project=project.name):
            if (record := readable(DeploymentRecord, body)) is not None:
                yield record

    def _read(self, kind: type[R], namespace: str, name: str) -> R | None:
        return readable(kind, self.store.read(Key(kind.kind, namespace, name)))

    def _without_project(self, record: DeploymentRecord, now: datetime) -> Waiting | Failed:
        what = f"DevOpsProject {record.spec.project_ref}"
        since = record.metadata.created_at or now
        if now >= since + self.patience_for_project:
            return Failed("ProjectNotFound", f"{what} did not appear in {self.patience_for_project}")
        return Waiting(what, since + self.patience_for_project, reason="ProjectNotFound", remedy=f"create {what}")

    def _settings(
        self, project: DevOpsProject, environment: Environment
    ) -> "tuple[JenkinsSettings, ArgoSettings, ContainerRegistry, DNSZone | None] | Waiting":
        spec, namespace = project.spec, project.namespace
        names = (
            (JenkinsSettings.kind, spec.jenkins_ref.name if spec.jenkins_ref else project.name),
            (ArgoSettings.kind, spec.argo_ref.name if spec.argo_ref else project.name),
            (ContainerRegistry.kind, spec.registry.ref.name if spec.registry.ref else project.name),
        )
        for kind, name in names:
            body = self.store.read(Key(kind, namespace, name))
            if body is None:
                return Waiting(f"{kind} {name}", reason="SettingsNotFound", remedy=f"create {kind} {name}")
            if other := meant_for_another(body, project.name):
                what = f"{kind} {name}, which is for project {other}"
                return Waiting(what, reason="ForAnotherProject", remedy=FOR_ANOTHER_REMEDY)
        jenkins = self._read(JenkinsSettings, namespace, names[0][1])
        argo = self._read(ArgoSettings, namespace, names[1][1])
        registry = self._read(ContainerRegistry, namespace, names[2][1])
        if jenkins is None or argo is None or registry is None:
            which = (jenkins, argo, registry).index(None)
            return _unreadable(*names[which])
        zone = zone_of(self.store, project, environment)
        return zone if isinstance(zone, Waiting) else (jenkins, argo, registry, zone)


def _without_environment(record: DeploymentRecord, project: DevOpsProject) -> Waiting | Failed:
    name = record.spec.environment
    if any(declared.name == name for declared in project.spec.environments):
        what = f"{Environment.kind} {environment_name(project.name, name)} to be made"
        return Waiting(what, reason="EnvironmentNotFound")
    if project.spec.preview is not None:
        raise Undeclared(project)
    return Failed(
        "EnvironmentNotFound", f"project {project.name} declares no environment {name} and has no preview template"
    )


def _unreadable(kind: str, name: str) -> Waiting:
    return Waiting(f"a valid spec of {kind} {name}", reason="InvalidSpec", remedy="correct what its conditions name")
