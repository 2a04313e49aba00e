"""The scale subresource: `autoscaling/v1` Scale over three paths of the object."""

from typing import Any

from reconciler.sandbox.kube import errors
from reconciler.sandbox.kube.errors import JSON
from reconciler.sandbox.kube.resources import Resource
from reconciler.sandbox.kube.trees import MISSING, dig, planted


def _path(resource: Resource, name: str) -> tuple[str, ...]:
    text = (resource.scale or {}).get(name, "")
    return tuple(text.strip(".").split(".")) if text else ()


def read_scale(resource: Resource, obj: JSON) -> JSON:
    """Return the object's Scale. Raises 500 where the replicas path is absent."""
    replicas = dig(obj, _path(resource, "specReplicasPath"))
    if replicas is MISSING:
        path = (resource.scale or {})["specReplicasPath"]
        raise errors.ApiError(
            500, "InternalError", f'Internal error occurred: the spec replicas field "{path}" does not exist', {}
        )
    status: dict[str, Any] = {"replicas": _found(obj, _path(resource, "statusReplicasPath"), 0)}
    selector = _found(obj, _path(resource, "labelSelectorPath"), None)
    if selector:
        status["selector"] = selector
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    metadata = {key: obj["metadata"][key] for key in kept if key in obj["metadata"]}
    spec = {"replicas": replicas}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}


def _found(obj: JSON, path: tuple[str, ...], otherwise: Any) -> Any:
    value = dig(obj, path) if path else MISSING
    return otherwise if value is MISSING else value


def with_scale(resource: Resource, obj: JSON, scale: Any) -> JSON:
    """Return the object as a Scale wants it. Raises 400."""
    replicas = dig(scale, ("spec", "replicas"))
    replicas = 0 if replicas is MISSING else replicas
    new = planted(obj, _path(resource, "specReplicasPath"), replicas)
    version = dig(scale, ("metadata", "resourceVersion"))
    if isinstance(version, str) and version:
        new["metadata"] = {**obj["metadata"], "resourceVersion": version}
    return new
