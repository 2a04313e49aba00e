"""Discovery: what is served, in the legacy and in the aggregated form."""

from typing import Any, Final

from reconciler.sandbox.kube import errors
from reconciler.sandbox.kube.errors import JSON
from reconciler.sandbox.kube.openapi import storage_hash
from reconciler.sandbox.kube.registry import Registry
from reconciler.sandbox.kube.resources import SUBRESOURCE_VERBS, Resource

VERSION: Final = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0-sandbox",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "sandbox",
}
REVIEWS: Final = {
    "authorization.k8s.io": (
        ("localsubjectaccessreviews", "LocalSubjectAccessReview", True),
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview", False),
        ("selfsubjectrulesreviews", "SelfSubjectRulesReview", False),
        ("subjectaccessreviews", "SubjectAccessReview", False),
    ),
    "authentication.k8s.io": (
        ("selfsubjectreviews", "SelfSubjectReview", False),
        ("tokenreviews", "TokenReview", False),
    ),
}
"""Groups whose resources can only be created: questions, answered at once and not stored."""


def _groups(registry: Registry) -> dict[str, list[str]]:
    groups = registry.groups()
    groups.pop("", None)
    return {**groups, **{group: ["v1"] for group in REVIEWS}}


def api_versions() -> JSON:
    """Return the answer to `/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}],
    }


def _group(name: str, versions: list[str]) -> JSON:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def group_list(registry: Registry) -> JSON:
    """Return the answer to `/apis`."""
    groups = [_group(name, versions) for name, versions in _groups(registry).items()]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(registry: Registry, name: str) -> JSON:
    """Return the answer to `/apis/GROUP`. Raises the plain 404."""
    versions = _groups(registry).get(name)
    if versions is None:
        raise errors.page_not_found()
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def resource_list(registry: Registry, name: str, version: str) -> JSON:
    """Return the answer to `/apis/GROUP/VERSION`. Raises the plain 404."""
    if name in REVIEWS and version == "v1":
        listed = [
            {"name": plural, "singularName": kind.lower(), "namespaced": inside, "kind": kind, "verbs": ["create"]}
            for plural, kind, inside in REVIEWS[name]
        ]
    else:
        found = registry.in_version(name, version)
        if not found:
            raise errors.page_not_found()
        listed = [item for resource in sorted(found, key=lambda item: item.plural) for item in _listed(resource)]
    group_version = f"{name}/{version}" if name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed}


def _listed(resource: Resource) -> list[JSON]:
    main: JSON = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        main["shortNames"] = list(resource.short_names)
    if resource.categories:
        main["categories"] = list(resource.categories)
    main["storageVersionHash"] = storage_hash(resource)
    sub = {"singularName": "", "namespaced": resource.namespaced, "verbs": list(SUBRESOURCE_VERBS)}
    listed = [main]
    if resource.has_status:
        listed.append({"name": f"{resource.plural}/status", "kind": resource.kind, **sub})
    if resource.scale:
        scale = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        listed.append({"name": f"{resource.plural}/scale", **scale, **sub})
    return listed


def aggregated(registry: Registry, *, core: bool) -> JSON:
    """Return the answer to `/api` or `/apis` in the aggregated form."""
    groups = {"": ["v1"]} if core else _groups(registry)
    items: list[JSON] = []
    for name, versions in groups.items():
        metadata: JSON = {"name": name} if name else {}
        listed = [_aggregated_version(registry, name, version) for version in versions]
        items.append({"metadata": metadata, "versions": listed})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated_version(registry: Registry, name: str, version: str) -> JSON:
    if name in REVIEWS:
        resources: list[JSON] = [
            {
                "resource": plural,
                "responseKind": {"group": name, "version": version, "kind": kind},
                "scope": "Namespaced" if inside else "Cluster",
                "singularResource": kind.lower(),
                "verbs": ["create"],
            }
            for plural, kind, inside in REVIEWS[name]
        ]
    else:
        found = sorted(registry.in_version(name, version), key=lambda item: item.plural)
        resources = [_aggregated(resource) for resource in found]
    return {"version": version, "freshness": "Current", "resources": resources}


def _aggregated(resource: Resource) -> JSON:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    item: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        item["shortNames"] = list(resource.short_names)
    if resource.categories:
        item["categories"] = list(resource.categories)
    subresources = []
    if resource.has_status:
        subresources.append({"subresource": "status", "responseKind": kind, "verbs": list(SUBRESOURCE_VERBS)})
    if resource.scale:
        scale = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        subresources.append({"subresource": "scale", "responseKind": scale, "verbs": list(SUBRESOURCE_VERBS)})
    if subresources:
        item["subresources"] = subresources
    return item
