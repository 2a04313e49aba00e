"""The settings and environments that a project makes from its spec: what they should be, and what to change. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler.domain.annotations import CONFIRM_REMOVAL, asked
from reconciler.domain.keys import Body, Key
from reconciler.domain.names import FINALIZER, environment_name
from reconciler.domain.resources import (
    ArgoSettings,
    ContainerRegistry,
    DevOpsProject,
    DNSZone,
    Environment,
    JenkinsSettings,
    Resource,
)
from reconciler.domain.resources.common import api_object
from reconciler.domain.resources.environment import EnvironmentTemplate, is_preview
from reconciler.domain.wanted import owner_reference
from reconciler.engine.store import Store

_SEVERAL = 2
_SETTINGS = (JenkinsSettings.kind, ArgoSettings.kind, ContainerRegistry.kind, DNSZone.kind)
_OPTIONAL = frozenset(
    field.alias or name for name, field in EnvironmentTemplate.model_fields.items() if field.default is None
)
"""What an environment may leave out; it is taken away again when the project does not say it any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the operator's own settings say where a project says nothing.

    Attributes:
        folder: of jobs in Jenkins.
        registry: spec of the ContainerRegistry that a project gets.
        zone: spec of the DNSZone that a project gets when its domains are below it; None: the operator has none.
    """

    folder: str = "freeleaps"
    registry: Mapping[str, Any] = field(default_factory=dict)
    zone: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be done to the children: create these, patch the specs of these, delete these."""

    create: Sequence[Body] = ()
    patch: Sequence[tuple[Body, Body]] = ()
    delete: Sequence[Body] = ()
    held_back: Sequence[Body] = ()
    """To be deleted, but so many at once that a person must confirm it."""


def plan(project: DevOpsProject, existing: Iterable[Body], defaults: Defaults) -> Changes:
    """Return what differs between the children as they should be and as they are.

    Children that the project did not make are left alone, and so are previews.
    """
    have = {(body["kind"], body["metadata"]["name"]): body for body in existing}
    wanted = {(body["kind"], body["metadata"]["name"]): body for body in desired(project, defaults)}
    create = [body for name, body in wanted.items() if name not in have]
    patch = [
        (have[name], {"spec": difference})
        for name, body in wanted.items()
        if name in have and is_made_by(project, have[name]) and (difference := _spec_difference(have[name], body))
    ]
    surplus = [
        body
        for (kind, name), body in have.items()
        if kind == Environment.kind and (kind, name) not in wanted and _is_declared_by(project, body)
    ]
    declared = sum(kind == Environment.kind and _is_declared_by(project, body) for (kind, _), body in have.items())
    if len(surplus) >= _SEVERAL and 2 * len(surplus) > declared and not _is_confirmed(project):
        return Changes(create, patch, (), surplus)
    return Changes(create, patch, surplus)


def desired(project: DevOpsProject, defaults: Defaults) -> list[Body]:
    """Return the children that the spec asks for."""
    spec = project.spec
    bodies = [_environment(project, declared.dump(), declared.name) for declared in spec.environments]
    if spec.jenkins_ref is None:
        bodies.append(_child(project, JenkinsSettings, {"projectRef": project.name, "folder": defaults.folder}))
    if spec.argo_ref is None:
        bodies.append(_child(project, ArgoSettings, {"projectRef": project.name}))
    if spec.registry.ref is None:
        bodies.append(_child(project, ContainerRegistry, dict(defaults.registry)))
    if spec.dns.zone_ref is None and defaults.zone and _needs_zone(project, str(defaults.zone.get("domain", ""))):
        bodies.append(_child(project, DNSZone, dict(defaults.zone)))
    return bodies


def is_made_by(project: DevOpsProject, body: Body) -> bool:
    """Tell whether the project made the resource."""
    owners = body["metadata"].get("ownerReferences") or ()
    return any(owner["uid"] == project.metadata.uid for owner in owners)


def _is_declared_by(project: DevOpsProject, body: Body) -> bool:
    return is_made_by(project, body) and not is_preview(body) and not body["metadata"].get("deletionTimestamp")


def _is_confirmed(project: DevOpsProject) -> bool:
    return asked(project.metadata.annotations, project.status.handled, CONFIRM_REMOVAL) is not None


def _needs_zone(project: DevOpsProject, zone: str) -> bool:
    templates = [*project.spec.environments, *([project.spec.preview] if project.spec.preview else [])]
    domains = [one.domain for one in templates if one.domain]
    return any(domain == zone or domain.endswith(f".{zone}") for domain in domains)


def _environment(project: DevOpsProject, template: Mapping[str, Any], name: str) -> Body:
    spec = {**template, "projectRef": project.name, "name": name}
    return _child(project, Environment, spec, environment_name(project.name, name))


def _child(project: DevOpsProject, kind: type[Resource], spec: dict[str, Any], name: str | None = None) -> Body:
    return api_object(
        kind,
        name or project.name,
        project.namespace,
        spec,
        ownerReferences=[owner_reference(project)],
        finalizers=[FINALIZER],
        labels={"freeleaps.com/project": project.name},
    )


def _spec_difference(have: Body, want: Body) -> dict[str, Any]:
    """Return the patch of the spec; fields that we do not set belong to the API server's defaults, or to people."""
    there, wanted = have.get("spec") or {}, want["spec"]
    changed = {name: _merge(there.get(name), value) for name, value in wanted.items() if there.get(name) != value}
    if want["kind"] == Environment.kind:
        changed |= {name: None for name in _OPTIONAL if name in there and name not in wanted}
    return changed


def _merge(have: Any, want: Any) -> Any:
    """Return the merge patch that makes `want` of `have`: null for what is gone."""
    if not isinstance(have, Mapping) or not isinstance(want, Mapping):
        return want
    return {name: None for name in have if name not in want} | {
        name: _merge(have.get(name), want[name]) for name in want
    }


def children_of(store: Store, project: DevOpsProject) -> list[Body]:
    """Return the settings that stand under the name which the project gives its own, and all environments of it.

    What other projects have is not read: there may be a thousand of them.
    """
    namespace, name = project.namespace, project.name
    own = (store.read(Key(kind, namespace, name)) for kind in _SETTINGS)
    return [*(body for body in own if body), *store.list_(Environment.kind, namespace, project=name)]
