"""PATCH requests: from a body and its content type to the object that is then updated."""

from typing import Any, Final

import orjson
import yaml

from reconciler.sandbox.kube import errors
from reconciler.sandbox.kube.errors import JSON, ApiError, Cause
from reconciler.sandbox.kube.managed import Manager, after_apply, apply, conflict_error, conflicts
from reconciler.sandbox.kube.metadata import read_metadata
from reconciler.sandbox.kube.patch import PatchFailed, json_patch, merge_patch, strategic_patch
from reconciler.sandbox.kube.resources import Resource
from reconciler.sandbox.kube.schema import fit
from reconciler.sandbox.kube.store import Entry
from reconciler.sandbox.kube.trees import MISSING, graft
from reconciler.sandbox.kube.validate import FORBIDDEN, REQUIRED, json_type
from reconciler.sandbox.kube.writes import WriteOptions, Writer

MERGE: Final = "application/merge-patch+json"
JSON_PATCH: Final = "application/json-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
_MAX_OPERATIONS: Final = 10_000
_MAX_MANAGER: Final = 128


def _accepted(resource: Resource) -> tuple[str, ...]:
    return (JSON_PATCH, MERGE, APPLY) if resource.custom else (JSON_PATCH, MERGE, STRATEGIC, APPLY)


def check_type(resource: Resource, media: str) -> None:
    """Refuse a content type this resource takes no patches in. Raises 415."""
    accepted = _accepted(resource)
    if media not in accepted:
        message = (
            f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
        )
        raise ApiError(415, "UnsupportedMediaType", message)


def check_options(media: str, options: WriteOptions, manager: str, *, force: bool) -> None:
    """Refuse wrong PatchOptions. Raises 422."""
    if media == APPLY and not manager:
        rule = "Required value: is required for apply patch"
        raise errors.invalid_options("PatchOptions", "fieldManager", REQUIRED, rule)
    if len(manager) > _MAX_MANAGER:
        rule = f"Too long: may not be more than {_MAX_MANAGER} bytes"
        raise errors.invalid_options("PatchOptions", "fieldManager", "FieldValueTooLong", rule)
    if media != APPLY and force:
        rule = "Forbidden: may not be specified for non-apply patch"
        raise errors.invalid_options("PatchOptions", "force", FORBIDDEN, rule)
    options.force = force
    options.patch = True


def read_body(media: str, raw: bytes) -> Any:
    """Return the patch. Raises 400 or 413."""
    try:
        patch = yaml.safe_load(raw) if media == APPLY else orjson.loads(raw)
    except (ValueError, yaml.YAMLError) as error:
        raise errors.bad_request(f"error decoding patch: {error}") from error
    if media == JSON_PATCH:
        if not isinstance(patch, list):
            raise errors.bad_request(
                "error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch"
            )
        if len(patch) > _MAX_OPERATIONS:
            message = f"The allowed maximum operations in a JSON patch is {_MAX_OPERATIONS}, got {len(patch)}"
            raise ApiError(413, "RequestEntityTooLarge", message)
    elif not isinstance(patch, dict):
        raise errors.bad_request(f"error decoding patch: json: cannot unmarshal {json_type(patch)} into Go value")
    return patch


def patched(resource: Resource, current: JSON, media: str, patch: Any) -> JSON:
    """Return the patched object; `current` is in wire form. Raises 422 where a JSON patch does not apply."""
    if media == MERGE:
        new: Any = merge_patch(current, patch)
    elif media == STRATEGIC:
        new = strategic_patch(current, patch)
    else:
        try:
            new = json_patch(current, patch)
        except PatchFailed as error:
            message = "the server rejected our request due to an error in our request"
            raise ApiError(422, "Invalid", message, {}) from error
    if not isinstance(new, dict) or not isinstance(new.get("metadata") or {}, dict):
        raise errors.bad_request("error decoding patch: not an object")
    _check_kind(resource, new)
    return new


def _check_kind(resource: Resource, new: JSON) -> None:
    name = (new.get("metadata") or {}).get("name") or ""
    for field, wanted in (("kind", resource.kind), ("apiVersion", resource.api_version)):
        value = new.get(field)
        if value == wanted:
            continue
        if field == "apiVersion" and not value:
            raise errors.internal("Object 'apiVersion' is missing")
        cause = Cause(field, "FieldValueInvalid", f'Invalid value: "{value or ""}": must be {wanted}')
        raise errors.invalid(value or "" if field == "kind" else resource.kind, resource.group, name, [cause])


class Applier:
    """Server-side apply."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def create(self, resource: Resource, namespace: str, name: str, config: JSON, options: WriteOptions) -> JSON:
        """Create the object from an applied configuration."""
        config = self._checked(resource, namespace, name, config)
        metadata = {key: value for key, value in config["metadata"].items() if key not in {"resourceVersion", "uid"}}
        body = {**config, "metadata": {**metadata, "name": name}}
        options.base = Manager(options.manager, "Apply", resource.api_version)
        owned = self._owned(body, "", resource)
        options.fields = apply({"metadata": {}}, owned, resource.schema, [], options.base).fields
        return self._writer.create(resource, namespace, body, options)

    def update(self, resource: Resource, entry: Entry, config: JSON, subresource: str, options: WriteOptions) -> JSON:
        """Merge an applied configuration into the object."""
        writer = self._writer
        config = self._checked(resource, *entry.key, config)
        old = writer.view(resource, entry)
        version = config["metadata"].get("resourceVersion")
        if version and version != str(entry.revision):
            raise errors.conflict(resource.plural, resource.group, entry.key[1])
        manager = Manager(options.manager, "Apply", resource.api_version, subresource)
        entries = old["metadata"].get("managedFields") or []
        config = self._owned(config, subresource, resource)
        applied = apply(old, config, resource.schema, entries, manager)
        merged = graft(applied.obj, old)
        found = conflicts(old, merged, resource.schema, entries, manager)
        if found and not options.force:
            raise conflict_error(found)
        fields = after_apply(entries, applied.fields, manager, found, writer.now())
        merged = {**merged, "metadata": {**merged["metadata"], "managedFields": fields}}
        options.base = manager
        return writer.update(resource, entry, merged, subresource, options)

    def _owned(self, config: JSON, subresource: str, resource: Resource) -> JSON:
        metadata = {key: value for key, value in config["metadata"].items() if key not in _NOT_APPLIED}
        if subresource == "status":
            status = {"status": config["status"]} if "status" in config else {}
            return {"metadata": {}, **status}
        config = {**config, "metadata": metadata}
        if resource.has_status:
            config.pop("status", None)
        return config

    def _checked(self, resource: Resource, namespace: str, name: str, config: JSON) -> JSON:
        kind, version = config.get("kind") or "", config.get("apiVersion") or ""
        if (kind, version) != (resource.kind, resource.api_version):
            raise errors.bad_request(f"invalid object type: {version}, Kind={kind}")
        metadata = read_metadata(config.get("metadata"))
        if metadata.get("managedFields"):
            raise errors.bad_request("metadata.managedFields must be nil")
        if (metadata.get("name") or name) != name:
            raise errors.bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
            )
        who = f"({namespace}/{name}; {version}, Kind={kind})"
        config = {key: value for key, value in config.items() if value is not None}
        unknown: list[str] = []
        config = {**config, "metadata": metadata}
        fit(config, MISSING, resource.schema, "", unknown)
        if unknown:
            listed = ", ".join(f".{path}: field not declared in schema" for path in unknown)
            raise errors.internal(f"failed to create typed patch object {who}: {listed}")
        return config


_NOT_APPLIED: Final = frozenset({"name", "namespace", "resourceVersion", "uid", "creationTimestamp", "generation"})
