"""Deleting: preconditions, finalizers, propagation policies."""

from typing import Any, Final

from reconciler.sandbox.kube import errors
from reconciler.sandbox.kube.crd import CLEANUP, GROUP, condition, with_conditions
from reconciler.sandbox.kube.errors import JSON
from reconciler.sandbox.kube.resources import Resource
from reconciler.sandbox.kube.store import Entry
from reconciler.sandbox.kube.trees import quoted
from reconciler.sandbox.kube.writes import Writer

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"
_POLICIES: Final = {"Foreground": FOREGROUND, "Orphan": ORPHAN, "Background": None}
KEPT_NAMESPACES: Final = frozenset({"default", "kube-system", "kube-public"})


def read_options(body: Any, query: dict[str, str]) -> JSON:
    """Return DeleteOptions from the body and the query. Raises 400 or 422."""
    options: JSON = dict(body) if isinstance(body, dict) else {}
    kind = options.get("kind") or "DeleteOptions"
    if kind != "DeleteOptions":
        raise errors.bad_request(f"expected DeleteOptions, got {kind}")
    if not isinstance(options.get("preconditions") or {}, dict):
        raise errors.bad_request("json: cannot unmarshal into Go struct field DeleteOptions.preconditions")
    if not options:
        for name in ("propagationPolicy", "orphanDependents"):
            if name in query:
                options[name] = query[name]
    policy = options.get("propagationPolicy")
    if policy is not None and (not isinstance(policy, str) or policy not in _POLICIES):
        rule = f'Unsupported value: {quoted(policy)}: supported values: "Foreground", "Background", "Orphan", "nil"'
        raise errors.invalid_options("DeleteOptions", "propagationPolicy", "FieldValueNotSupported", rule)
    if policy is not None and options.get("orphanDependents") is not None:
        rule = "Invalid value: orphanDependents and deletionPropagation cannot be both set"
        raise errors.invalid_options("DeleteOptions", "propagationPolicy", "FieldValueInvalid", rule)
    if "dryRun" in query:
        options["dryRun"] = [query["dryRun"]]
    return options


def _check_preconditions(resource: Resource, entry: Entry, wanted: JSON) -> None:
    uid, version = wanted.get("uid"), wanted.get("resourceVersion")
    why = None
    if uid is not None and uid != entry.metadata["uid"]:
        why = (
            f"the UID in the precondition ({uid}) does not match the UID in record ({entry.metadata['uid']}). "
            "The object might have been deleted and then recreated"
        )
    elif version is not None and version != str(entry.revision):
        why = (
            f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
            f"({entry.revision}). The object might have been modified"
        )
    if why is not None:
        error = errors.conflict(resource.plural, resource.group, entry.key[1], why)
        error.details = errors.details_of(entry.key[1], resource.group, resource.kind)
        raise error


def _finalizers(entry: Entry, options: JSON) -> list[str]:
    finalizers = list(entry.metadata.get("finalizers") or [])
    added = _POLICIES.get(options.get("propagationPolicy") or "Background")
    if str(options.get("orphanDependents", "")).lower() == "true":
        added = ORPHAN
    if options.get("propagationPolicy") is not None:
        finalizers = [name for name in finalizers if name not in {FOREGROUND, ORPHAN} or name == added]
    if added is not None and added not in finalizers:
        finalizers.append(added)
    return finalizers


def delete(writer: Writer, resource: Resource, entry: Entry, options: JSON) -> JSON:
    """Delete an object, or begin to; return the Status or the object, as the real server does."""
    if resource.bucket == "namespaces" and entry.key[1] in KEPT_NAMESPACES:
        raise errors.forbidden("namespaces", "", entry.key[1], "this namespace may not be deleted")
    _check_preconditions(resource, entry, options.get("preconditions") or {})
    dry = bool(options.get("dryRun"))
    finalizers = _finalizers(entry, options)
    if resource.group == GROUP and CLEANUP not in finalizers and "deletionTimestamp" not in entry.metadata:
        finalizers.append(CLEANUP)
    if finalizers or resource.bucket == "namespaces":
        marked = _marked(writer, resource, entry, finalizers)
        if marked is not entry.obj and not dry:
            marked = writer.store.put(writer.bucket(resource), entry.key, marked, resource.schema).obj
        return resource.rules.to_wire(marked)
    if not dry:
        writer.store.remove(writer.bucket(resource), entry.key)
    if resource.returned_by_delete:
        return resource.rules.to_wire(entry.obj)
    return _success(resource, entry)


def _marked(writer: Writer, resource: Resource, entry: Entry, finalizers: list[str]) -> JSON:
    """Return the object with its deletion begun; the stored one where that changes nothing."""
    metadata = dict(entry.metadata)
    begun = "deletionTimestamp" in metadata
    if begun and finalizers == (metadata.get("finalizers") or []):
        return entry.obj
    if finalizers:
        metadata["finalizers"] = finalizers
    if not begun:
        metadata["deletionTimestamp"] = writer.now()
        if resource.bucket != "namespaces":
            metadata["deletionGracePeriodSeconds"] = 0
        if resource.has_generation:
            metadata["generation"] = metadata.get("generation", 0) + 1
    marked = {**entry.obj, "metadata": metadata}
    if resource.bucket == "namespaces":
        marked["status"] = {**(marked.get("status") or {}), "phase": "Terminating"}
    if resource.group == GROUP and not begun:
        pending = condition(
            "Terminating",
            "True",
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion",
            writer.now(),
        )
        marked["status"] = with_conditions(entry.obj, [pending])
    return marked


def _success(resource: Resource, entry: Entry) -> JSON:
    details = errors.details_of(entry.key[1], resource.group, resource.plural)
    details["uid"] = entry.metadata["uid"]
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
