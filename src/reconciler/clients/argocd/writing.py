"""From our values to Argo CD's JSON: whole objects to create, JSON patches of only the fields concerned to change."""

import re
from collections.abc import Mapping
from typing import Any

from reconciler.clients.argocd.reading import EPOCH, MARKER, PRUNE, SELF_HEAL
from reconciler.domain.outside.applications import ApplicationShape, ImageSetting, ProjectShape
from reconciler.domain.outside.builds import GitLogin
from reconciler.domain.ownership import Marker

Tree = Mapping[str, Any]
Patch = list[dict[str, Any]]
_KEY_ENDS = re.compile(r"[=:@]")


def application(shape: ApplicationShape, marker: Marker, image: ImageSetting, epoch: str) -> dict[str, Any]:
    """Write an application to create."""
    source = _source(shape) | _source_image({}, image)
    spec = {"project": shape.project, "source": source, "destination": destination(shape.cluster, shape.namespace)}
    policy = _policy({}, shape)
    annotations = {k: v for k, v in _annotations(shape, marker, epoch).items() if v}
    return {
        "metadata": {"name": shape.name, "annotations": annotations},
        "spec": {**spec, **({"syncPolicy": policy} if policy else {})},
    }


def image_patch(
    tree: Tree, image: ImageSetting, *, expected_epoch: str, epoch: str, marker: Marker | None = None
) -> Patch:
    """Write the patch that sets an image: the user's other parameters stay, a foreign change in between fails it."""
    source = tree.get("spec", {}).get("source", {})
    changes = _source_image(source, image)
    patch = _guard(tree, expected_epoch) + _annotate(tree, {EPOCH: epoch} | ({MARKER: marker.text()} if marker else {}))
    for key, value in changes.items():
        if isinstance(value, dict):
            inner = "parameters" if key == "helm" else "images"
            patch += _guarded_list(source, key, inner, value[inner])
        else:
            patch.append({"op": "add", "path": f"/spec/source/{key}", "value": value})
    return patch


def shape_patch(tree: Tree, shape: ApplicationShape, marker: Marker, *, expected_epoch: str, epoch: str) -> Patch:
    """Write the patch that gives an application its shape; how the image is set stays as it is."""
    spec = tree.get("spec", {})
    patch = _guard(tree, expected_epoch) + _annotate(tree, _annotations(shape, marker, epoch))
    patch += _field("/spec", spec, "project", shape.project)
    wanted = _source(shape)
    for key in ("repoURL", "targetRevision", "path", "chart"):
        patch += _field("/spec/source", spec.get("source", {}), key, wanted.get(key))
    patch += _field("/spec", spec, "destination", destination(shape.cluster, shape.namespace))
    return patch + _field("/spec", spec, "syncPolicy", _policy(spec.get("syncPolicy", {}), shape) or None)


def project(shape: ProjectShape, marker: Marker, before: Tree | None = None) -> dict[str, Any]:
    """Write a project; what else stands in `before`, its resourceVersion too, stays."""
    before = before or {}
    meta = dict(before.get("metadata") or {})
    meta |= {"name": shape.name, "annotations": {**(meta.get("annotations") or {}), MARKER: marker.text()}}
    spec = {
        **(before.get("spec") or {}),
        "description": shape.description,
        "sourceRepos": list(shape.source_repos),
        "destinations": [destination(cluster, namespace) for cluster, namespace in shape.destinations],
    }
    return {**before, "metadata": meta, "spec": spec}


def repository(url: str, login: GitLogin | None, project: str) -> dict[str, Any]:
    """Write a repository with its secrets."""
    known: dict[str, Any] = {"repo": url, "type": "git", "project": project}
    if login is not None:
        known |= {"username": login.username, "password": login.password, "sshPrivateKey": login.ssh_private_key}
    return {key: value for key, value in known.items() if value}


def destination(cluster: str, namespace: str) -> dict[str, str]:
    """Write where to: a cluster by its name, or by the URL of its API server."""
    return {"server" if "://" in cluster else "name": cluster, "namespace": namespace}


def _source(shape: ApplicationShape) -> dict[str, Any]:
    known = {
        "repoURL": shape.repo_url,
        "targetRevision": shape.target_revision,
        "path": shape.path,
        "chart": shape.chart,
    }
    return {key: value for key, value in known.items() if value}


def _policy(before: Tree, shape: ApplicationShape) -> dict[str, Any]:
    """Write the sync policy; what we have no word for (retry, labels of the namespace) stays."""
    policy = {key: value for key, value in before.items() if key not in {"automated", "syncOptions"}}
    if shape.auto_sync:
        automated = {"prune": shape.prune, "selfHeal": shape.self_heal}
        kept = {k: v for k, v in (before.get("automated") or {}).items() if k == "allowEmpty"}
        policy["automated"] = kept | {key: True for key, value in automated.items() if value}
    if shape.sync_options:
        policy["syncOptions"] = list(shape.sync_options)
    return policy


def _annotations(shape: ApplicationShape, marker: Marker, epoch: str) -> dict[str, str | None]:
    """Name the annotations of ours; None: it must not be there."""
    return {
        MARKER: marker.text(),
        EPOCH: epoch or None,
        PRUNE: "false" if not shape.prune and not shape.auto_sync else None,
        SELF_HEAL: "true" if shape.self_heal and not shape.auto_sync else None,
    }


def _source_image(source: Tree, image: ImageSetting) -> dict[str, Any]:
    """Return the parts of a source that an image setting changes, merged with what is there."""
    changed: dict[str, Any] = {}
    if image.parameters:
        helm = dict(source.get("helm") or {})
        changed["helm"] = {**helm, "parameters": _merged_parameters(helm.get("parameters") or [], image.parameters)}
    if image.kustomize_images:
        kustomize = dict(source.get("kustomize") or {})
        changed["kustomize"] = {**kustomize, "images": _merged_images(kustomize.get("images") or [], image)}
    if image.target_revision is not None:
        changed["targetRevision"] = image.target_revision
    return changed


def _merged_parameters(have: list[dict[str, Any]], wanted: Mapping[str, str]) -> list[dict[str, Any]]:
    ours = {name: {"name": name, "value": value, "forceString": True} for name, value in wanted.items()}
    return [ours.pop(p.get("name", ""), p) for p in have] + list(ours.values())


def _merged_images(have: list[str], image: ImageSetting) -> list[str]:
    """Replace images of the same key: the text before the first of `=`, `:`, `@` (FACTS 1.8)."""
    ours = {_KEY_ENDS.split(text, maxsplit=1)[0]: text for text in image.kustomize_images}
    return [ours.pop(_KEY_ENDS.split(text, maxsplit=1)[0], text) for text in have] + list(ours.values())


def _guard(tree: Tree, expected_epoch: str) -> Patch:
    """Write the test that heads every patch: nobody has taken the environment over since."""
    annotations = tree.get("metadata", {}).get("annotations")
    if not annotations:
        return [{"op": "test", "path": "/metadata/annotations", "value": None}]
    return [{"op": "test", "path": _annotation(EPOCH), "value": expected_epoch or None}]


def _annotate(tree: Tree, wanted: Mapping[str, str | None]) -> Patch:
    have = tree.get("metadata", {}).get("annotations") or {}
    patch: Patch = [] if have else [{"op": "add", "path": "/metadata/annotations", "value": {}}]
    for name, value in wanted.items():
        if value is None and name in have:
            patch.append({"op": "remove", "path": _annotation(name)})
        elif value is not None and have.get(name) != value:
            patch.append({"op": "add", "path": _annotation(name), "value": value})
    return patch


def _guarded_list(source: Tree, key: str, inner: str, value: list[Any]) -> Patch:
    """Write a list anew, provided that it is still the one that was read."""
    outer = source.get(key)
    if not outer:
        return [{"op": "add", "path": f"/spec/source/{key}", "value": {inner: value}}]
    path = f"/spec/source/{key}/{inner}"
    test: Patch = [{"op": "test", "path": path, "value": outer[inner]}] if outer.get(inner) else []
    return [*test, {"op": "add", "path": path, "value": value}]


def _field(parent: str, have: Tree, key: str, value: Any) -> Patch:
    if value is None:
        return [{"op": "remove", "path": f"{parent}/{key}"}] if key in have else []
    return [{"op": "add", "path": f"{parent}/{key}", "value": value}] if have.get(key) != value else []


def _annotation(name: str) -> str:
    return f"/metadata/annotations/{name.replace('~', '~0').replace('/', '~1')}"
