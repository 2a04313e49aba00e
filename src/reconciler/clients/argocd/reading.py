"""From Argo CD's JSON to our values."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from reconciler.domain.outside.applications import (
    Application,
    ApplicationShape,
    ArgoProject,
    Health,
    ImageSetting,
    Operation,
    OperationPhase,
    ProjectShape,
    Repository,
    SyncState,
)
from reconciler.domain.ownership import Marker, find_marker

MARKER = "freeleaps.com/marker"
EPOCH = "freeleaps.com/epoch"
PRUNE = "freeleaps.com/prune"
SELF_HEAL = "freeleaps.com/self-heal"
REQUEST_ID = "freeleaps.com/request-id"

_Word = TypeVar("_Word", bound=StrEnum)
Tree = Mapping[str, Any]


def application(tree: Tree, ui_url: str = "") -> Application:
    """Read an application, whole."""
    meta, spec, status = _map(tree, "metadata"), _map(tree, "spec"), _map(tree, "status")
    annotations, sync, health = _map(meta, "annotations"), _map(status, "sync"), _map(status, "health")
    name = str(meta.get("name", ""))
    return Application(
        shape=application_shape(name, spec, annotations),
        marker=_marker(annotations),
        epoch=str(annotations.get(EPOCH, "")),
        image=image_setting(_map(spec, "source")),
        is_operation_requested=bool(tree.get("operation")),
        operation=_operation(_map(status, "operationState")),
        reconciled_at=moment(status.get("reconciledAt")),
        sync=_word(SyncState, sync.get("status"), SyncState.UNKNOWN),
        health=_word(Health, health.get("status"), Health.UNKNOWN),
        health_message=str(health.get("message", "")),
        images=tuple(_map(status, "summary").get("images") or ()),
        revision=str(sync.get("revision", "")),
        is_deleting="deletionTimestamp" in meta,
        conditions=tuple(f"{c.get('type')}: {c.get('message')}" for c in status.get("conditions") or ()),
        resource_version=str(meta.get("resourceVersion", "")),
        url=f"{ui_url}/applications/{meta.get('namespace') or 'argocd'}/{name}" if ui_url else "",
    )


def project_of(tree: Tree) -> str:
    """Return the project that an application is in."""
    return str(_map(tree, "spec").get("project") or "default")


def repositories_of(tree: Tree) -> set[str]:
    """Return where an application's manifests come from."""
    spec = _map(tree, "spec")
    sources = [_map(spec, "source"), *(spec.get("sources") or ())]
    return {str(source.get("repoURL", "")) for source in sources}


def application_shape(name: str, spec: Tree, annotations: Tree) -> ApplicationShape:
    """Read what belongs to the environment. What an application without auto-sync cannot say stands in annotations."""
    source, destination, policy = _map(spec, "source"), _map(spec, "destination"), _map(spec, "syncPolicy")
    automated = policy.get("automated")
    is_auto = isinstance(automated, Mapping) and automated.get("enabled") is not False
    asked = automated if isinstance(automated, Mapping) else {}
    return ApplicationShape(
        name=name,
        project=project_of({"spec": spec}),
        repo_url=str(source.get("repoURL", "")),
        target_revision=str(source.get("targetRevision", "")),
        path=str(source.get("path", "")),
        chart=str(source.get("chart", "")),
        cluster=str(destination.get("name") or destination.get("server") or ""),
        namespace=str(destination.get("namespace", "")),
        auto_sync=is_auto,
        prune=bool(asked.get("prune")) if is_auto else annotations.get(PRUNE) != "false",
        self_heal=bool(asked.get("selfHeal")) if is_auto else annotations.get(SELF_HEAL) == "true",
        sync_options=tuple(policy.get("syncOptions") or ()),
    )


def image_setting(source: Tree) -> ImageSetting:
    """Read how the image is set; `target_revision` is the source's own."""
    parameters = _map(source, "helm").get("parameters") or ()
    return ImageSetting(
        parameters={str(p.get("name", "")): str(p.get("value", "")) for p in parameters},
        kustomize_images=tuple(_map(source, "kustomize").get("images") or ()),
        target_revision=source.get("targetRevision"),
    )


def _operation(state: Tree) -> Operation | None:
    if not state:
        return None
    asked, result = _map(state, "operation"), _map(state, "syncResult")
    phase = _word(OperationPhase, state.get("phase"), OperationPhase.RUNNING)
    finished = moment(state.get("finishedAt"))
    resources = result.get("resources") or ()
    return Operation(
        request_id=next((str(i.get("value", "")) for i in asked.get("info") or () if i.get("name") == REQUEST_ID), ""),
        phase=phase,
        message=str(state.get("message", "")),
        started_at=moment(state.get("startedAt")),
        finished_at=finished,
        is_retrying=phase is OperationPhase.RUNNING and finished is not None,
        revision=str(result.get("revision") or _map(asked, "sync").get("revision", "")),
        prune_skipped=any(resource.get("status") == "PruneSkipped" for resource in resources),
    )


def project(tree: Tree) -> ArgoProject:
    """Read a project."""
    meta, spec = _map(tree, "metadata"), _map(tree, "spec")
    places = [(str(d.get("name") or d.get("server") or ""), str(d.get("namespace", ""))) for d in _all(spec)]
    return ArgoProject(
        ProjectShape(
            name=str(meta.get("name", "")),
            description=str(spec.get("description", "")),
            source_repos=tuple(spec.get("sourceRepos") or ()),
            destinations=tuple(sorted(places)),
        ),
        _marker(_map(meta, "annotations")),
    )


def repository(tree: Tree) -> Repository:
    """Read a repository; what is secret never comes back."""
    state = _map(tree, "connectionState")
    known = {"Successful": True, "Failed": False}
    return Repository(
        url=str(tree.get("repo", "")),
        project=str(tree.get("project", "")),
        is_connected=known.get(str(state.get("status", ""))),
        message=str(state.get("message", "")),
    )


def moment(text: Any) -> datetime | None:
    """Read a timestamp; None for none."""
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) and text else None
    except ValueError:
        return None


def _all(spec: Tree) -> list[Tree]:
    return list(spec.get("destinations") or ())


def _marker(annotations: Tree) -> Marker | None:
    return find_marker(str(annotations.get(MARKER, "")))


def _map(tree: Tree, key: str) -> Tree:
    value = tree.get(key)
    return value if isinstance(value, Mapping) else {}


def _word(kind: type[_Word], text: Any, default: _Word) -> _Word:
    try:
        return kind(text)
    except ValueError:
        return default
