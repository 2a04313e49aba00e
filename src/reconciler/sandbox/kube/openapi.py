"""OpenAPI v3: the index and one document per group and version, enough for validation and `kubectl explain`."""

import base64
import hashlib
from typing import Any, Final

import orjson

from reconciler.sandbox.kube.errors import JSON, page_not_found
from reconciler.sandbox.kube.metadata import METADATA_SCHEMA
from reconciler.sandbox.kube.registry import Registry
from reconciler.sandbox.kube.resources import Resource

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_REF: Final = {"$ref": f"#/components/schemas/{_META}"}
_API_VERSION: Final = {
    "type": "string",
    "description": "APIVersion defines the versioned schema of this representation of an object.",
}
_KIND: Final = {
    "type": "string",
    "description": "Kind is a string value representing the REST resource this object represents.",
}


def storage_hash(resource: Resource) -> str:
    """Return the resource's storageVersionHash."""
    digest = hashlib.sha256(f"{resource.api_version}/{resource.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _path(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"


def index(registry: Registry) -> JSON:
    """Return `/openapi/v3`."""
    paths = {}
    for group, versions in registry.groups().items():
        for version in versions:
            path = _path(group, version)
            url = f"/openapi/v3/{path}?hash={document_hash(registry, path)}"
            paths[path] = {"serverRelativeURL": url}
    return {"paths": paths}


def document_hash(registry: Registry, path: str) -> str:
    """Return the hash of a document, upper-case hex."""
    if path not in registry.documents:
        raw = orjson.dumps(document(registry, path), option=orjson.OPT_SORT_KEYS)
        registry.documents[path] = hashlib.sha512(raw).hexdigest().upper()
    return registry.documents[path]


def document(registry: Registry, path: str) -> JSON:
    """Return the document of one group and version (`apis/GROUP/VERSION` or `api/v1`). Raises the plain 404."""
    parts = path.split("/")
    group, version = (parts[1], parts[2]) if len(parts) == 3 else ("", parts[-1])
    resources = registry.in_version(group, version)
    if not resources:
        raise page_not_found()
    paths: JSON = {}
    schemas: JSON = {_META: {**METADATA_SCHEMA, "description": "ObjectMeta is metadata that all resources must have."}}
    for resource in sorted(resources, key=lambda item: item.plural):
        paths.update(_paths(path, resource))
        schemas[_schema_name(resource)] = _schema(resource)
    info = {"title": "Kubernetes", "version": "v1.32.0-sandbox"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _schema_name(resource: Resource) -> str:
    if not resource.custom:
        group = resource.group.split(".")[0] or "core"
        return f"io.k8s.api.{group}.{resource.version}.{resource.kind}"
    return ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])


def _gvk(resource: Resource) -> JSON:
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _schema(resource: Resource) -> JSON:
    source = resource.schema.source
    properties = {
        **source.get("properties", {}),
        "apiVersion": _API_VERSION,
        "kind": _KIND,
        "metadata": {"allOf": [_REF], "description": "Standard object's metadata.", "default": {}},
    }
    return {**source, "properties": properties, "x-kubernetes-group-version-kind": [_gvk(resource)]}


def _operation(resource: Resource, action: str) -> JSON:
    names = ["dryRun", "fieldManager", "fieldValidation"] if action in {"patch", "post", "put"} else []
    parameters = [{"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}} for name in names]
    reply: dict[str, Any] = {"description": "OK"}
    return {
        "responses": {"200": reply},
        "parameters": parameters,
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": _gvk(resource),
    }


def _paths(base: str, resource: Resource) -> JSON:
    inside = "/namespaces/{namespace}" if resource.namespaced else ""
    collection = f"/{base}{inside}/{resource.plural}"
    return {
        collection: {"get": _operation(resource, "list"), "post": _operation(resource, "post")},
        f"{collection}/{{name}}": {
            "get": _operation(resource, "get"),
            "put": _operation(resource, "put"),
            "patch": _operation(resource, "patch"),
            "delete": _operation(resource, "delete"),
        },
    }
