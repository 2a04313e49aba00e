"""Creating and updating objects: every rule between a body and the store."""

import random
import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.domain.clock import Clock, rfc3339
from reconciler.sandbox.kube import errors
from reconciler.sandbox.kube.errors import JSON, Cause
from reconciler.sandbox.kube.fieldsets import Fields
from reconciler.sandbox.kube.managed import Manager, after_update
from reconciler.sandbox.kube.metadata import check_metadata, finalizer_warnings, missing_name, read_metadata
from reconciler.sandbox.kube.registry import Registry
from reconciler.sandbox.kube.resources import Resource
from reconciler.sandbox.kube.schema import fit
from reconciler.sandbox.kube.store import Bucket, Entry, Key, Store
from reconciler.sandbox.kube.trees import MISSING, graft, quoted
from reconciler.sandbox.kube.validate import INVALID, TYPE, validate

_SUFFIX: Final = "bcdfghjklmnpqrstvwxz2456789"
_IDENTITY: Final = frozenset({"apiVersion", "kind", "metadata"})


@dataclass
class WriteOptions:
    """The query parameters of a write, and the warnings it gathers for the answer."""

    manager: str = "unknown"
    dry_run: bool = False
    validation: str = "Warn"
    force: bool = False
    patch: bool = False
    warnings: list[str] = field(default_factory=list)
    base: Manager | None = None
    """Set by an apply: who applies; managedFields are then worked out by the apply itself."""
    fields: Fields = field(default_factory=dict)
    """What an apply that creates the object owns."""


class Writer:
    """Puts bodies into the store."""

    def __init__(self, store: Store, registry: Registry, clock: Clock) -> None:
        self.store = store
        self.registry = registry
        self.clock = clock
        self._random = random.Random()

    def now(self) -> str:
        """Return the server's time as objects carry it."""
        return rfc3339(self.clock.now())

    def bucket(self, resource: Resource) -> Bucket:
        """Return where a resource's objects are."""
        return self.store.bucket(resource.bucket)

    def find(self, resource: Resource, namespace: str, name: str) -> Entry | None:
        """Return the stored object, if any."""
        return self.bucket(resource).objects.get((namespace, name))

    def get(self, resource: Resource, namespace: str, name: str) -> Entry:
        """Return the stored object. Raises 404."""
        entry = self.find(resource, namespace, name)
        if entry is None:
            raise errors.not_found(resource.plural, resource.group, name)
        return entry

    def view(self, resource: Resource, entry: Entry) -> JSON:
        """Return the object as it is served: with today's defaults, in stored form."""
        if entry.schema is resource.schema:
            return entry.obj
        obj: JSON = fit(entry.obj, MISSING, resource.schema, "", [])
        if obj is entry.obj:
            entry.schema = resource.schema
        return obj

    def served(self, resource: Resource, entry: Entry) -> JSON:
        """Return the object in wire form."""
        return resource.rules.to_wire(self.view(resource, entry))

    # Creating

    def create(self, resource: Resource, namespace: str, body: JSON, options: WriteOptions) -> JSON:
        """Store a new object and return it in wire form."""
        check_kind(resource, body)
        body = dict(body)
        body["metadata"] = read_metadata(body.get("metadata"))
        obj = self._fit_new(resource, body, options)
        metadata = self._new_metadata(resource, namespace, obj["metadata"])
        self._check_namespace(resource, namespace, metadata)
        if resource.has_status:
            obj.pop("status", None)
        obj["metadata"] = metadata
        self._check_decoded(resource, obj, MISSING)
        resource.rules.prepare(obj, None, False)  # noqa: FBT003 - the signature of Rules.prepare
        self._validate(resource, obj, None, MISSING)
        options.warnings += finalizer_warnings(metadata.get("finalizers") or [])
        key = (namespace if resource.namespaced else "", metadata["name"])
        self._check_free(resource, key)
        node = resource.schema
        manager = Manager(options.manager, "Update", resource.api_version)
        now = metadata["creationTimestamp"]
        if options.base is None:
            metadata["managedFields"] = after_update([], {}, obj, node, manager, now)
        else:
            metadata["managedFields"] = [options.base.entry(options.fields, now)]
        if options.dry_run:
            return resource.rules.to_wire(obj)
        entry = self.store.put(self.bucket(resource), key, obj, resource.schema)
        return resource.rules.to_wire(entry.obj)

    def _fit_new(self, resource: Resource, body: JSON, options: WriteOptions) -> JSON:
        unknown: list[str] = []
        typed = {**body, "apiVersion": resource.api_version, "kind": resource.kind}
        obj: JSON = fit(resource.rules.from_wire(typed), MISSING, resource.schema, "", unknown)
        report_unknown(resource, unknown, options)
        return dict(obj)

    def _new_metadata(self, resource: Resource, namespace: str, given: JSON) -> JSON:
        if given.get("resourceVersion"):
            raise errors.internal("resourceVersion should not be set on objects to be created")
        name = given.get("name") or ""
        if not name and given.get("generateName"):
            name = given["generateName"] + "".join(self._random.choices(_SUFFIX, k=5))
        if not name:
            raise errors.invalid(resource.kind, resource.group, "", [missing_name()])
        inside = given.get("namespace")
        if resource.namespaced and inside and inside != namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        metadata: JSON = {"name": name}
        if given.get("generateName"):
            metadata["generateName"] = given["generateName"]
        if resource.namespaced:
            metadata["namespace"] = namespace
        metadata["uid"] = str(uuid.uuid4())
        if resource.has_generation:
            metadata["generation"] = 1
        metadata["creationTimestamp"] = self.now()
        for name in ("labels", "annotations", "ownerReferences", "finalizers"):
            if given.get(name):
                metadata[name] = given[name]
        return metadata

    def _check_namespace(self, resource: Resource, namespace: str, metadata: JSON) -> None:
        if resource.terminating:
            why = "create not allowed while custom resource definition is terminating"
            raise errors.forbidden(resource.plural, resource.group, metadata["name"], why)
        if not resource.namespaced:
            return
        entry = self.store.bucket("namespaces").objects.get(("", namespace))
        if entry is None:
            raise errors.not_found("namespaces", "", namespace)
        if "deletionTimestamp" in entry.metadata:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = Cause("metadata.namespace", "NamespaceTerminating", f"namespace {namespace} is being terminated")
            raise errors.forbidden(resource.plural, resource.group, metadata["name"], why, [cause])

    def _check_free(self, resource: Resource, key: Key) -> None:
        taken = self.bucket(resource).objects.get(key)
        if taken is not None:
            deleting = "deletionTimestamp" in taken.metadata
            raise errors.already_exists(resource.plural, resource.group, key[1], deleting=deleting)

    def _validate(self, resource: Resource, obj: JSON, old: JSON | None, prior: Any) -> None:
        causes = check_metadata(obj["metadata"], {} if old is None else old["metadata"], label_name=resource.label_name)
        if resource.custom:
            causes += validate(obj, prior, resource.schema)
        causes += resource.rules.check(obj, old)
        if causes:
            raise errors.invalid(resource.kind, resource.group, obj["metadata"]["name"], causes)

    def _check_decoded(self, resource: Resource, obj: JSON, prior: Any) -> None:
        """Refuse a built-in object that Go could not decode; its rules may then rely on types. Raises 400 or 422."""
        found = [] if resource.custom else validate(obj, prior, resource.schema)
        if any(cause.reason == TYPE for cause in found):
            raise errors.bad_request(
                f"{resource.kind} in version {quoted(resource.version)} cannot be handled as a {resource.kind}: "
                f"json: cannot unmarshal: {found[0].message}"
            )
        if found:
            raise errors.invalid(resource.kind, resource.group, obj["metadata"]["name"], found)

    # Updating

    def update(self, resource: Resource, entry: Entry, body: JSON, subresource: str, options: WriteOptions) -> JSON:
        """Store what an update makes of an object and return it in wire form."""
        old = self.view(resource, entry)
        check_kind(resource, body)
        given = dict(resource.rules.from_wire(body))
        given["metadata"] = graft(read_metadata(given.get("metadata")), old["metadata"])
        metadata = given["metadata"]
        self._check_identity(resource, entry, metadata, patch=options.patch)
        new = self._overlay(resource, old, given, subresource)
        new = self._fit_update(resource, entry, old, new, options)
        new["metadata"] = self._updated_metadata(resource, old["metadata"], new["metadata"])
        self._prepare(resource, new, old, options)
        new = {key: graft(value, old.get(key, MISSING)) for key, value in new.items()}
        prior = old if entry.schema is resource.schema else MISSING
        self._check_finalizers(resource, old["metadata"], new["metadata"])
        self._validate(resource, new, old, prior)
        return self._commit(resource, entry, old, new, subresource, options)

    def _overlay(self, resource: Resource, old: JSON, given: JSON, subresource: str) -> JSON:
        """Return the object with only what this endpoint may change."""
        if subresource == "status":
            new = dict(old)
            new.pop("status", None)
            if given.get("status") is not None:
                new["status"] = given["status"]
            metadata = given["metadata"]
            if "managedFields" in metadata:
                new["metadata"] = {**old["metadata"], "managedFields": metadata["managedFields"]}
            return new
        if resource.has_status:
            given = {key: value for key, value in given.items() if key != "status"}
            if "status" in old:
                given["status"] = old["status"]
        given["apiVersion"] = old["apiVersion"]
        given["kind"] = old["kind"]
        return given

    def _fit_update(self, resource: Resource, entry: Entry, old: JSON, new: JSON, options: WriteOptions) -> JSON:
        unknown: list[str] = []
        prior = old if entry.schema is resource.schema else MISSING
        fitted: JSON = fit(graft(new, old), prior, resource.schema, "", unknown)
        report_unknown(resource, unknown, options)
        return dict(fitted)

    def _prepare(self, resource: Resource, new: JSON, old: JSON, options: WriteOptions) -> None:
        try:
            self._check_decoded(resource, new, MISSING)
            resource.rules.prepare(new, old, options.patch)
        except errors.ApiError as error:
            if not options.patch or error.code != errors.bad_request("").code:
                raise
            causes = [Cause("patch", INVALID, f"Invalid value: {error.message}")]
            raise errors.invalid("", "", old["metadata"]["name"], causes) from error

    def _check_identity(self, resource: Resource, entry: Entry, metadata: JSON, *, patch: bool) -> None:
        name = metadata.get("name") or ""
        url_name = entry.key[1]
        if not name:
            raise errors.bad_request(
                "the name of the object (, based on URL) was undeterminable: name must be provided"
            )
        if name != url_name:
            raise errors.bad_request(f"the name of the object ({name}) does not match the name on the URL ({url_name})")
        namespace = metadata.get("namespace") or ""
        if resource.namespaced and namespace and namespace != entry.key[0]:
            raise errors.bad_request(
                f"the namespace of the object ({namespace}) does not match the namespace on the URL ({entry.key[0]})"
            )
        self._check_version(resource, entry, metadata)
        uid = metadata.get("uid")
        if uid and uid != entry.metadata["uid"]:
            if not patch:
                why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {entry.metadata['uid']}"
                raise errors.conflict(resource.plural, resource.group, url_name, why)
            cause = Cause("metadata.uid", INVALID, f"Invalid value: {quoted(uid)}: field is immutable")
            raise errors.invalid(resource.kind, resource.group, url_name, [cause, cause])

    def _check_version(self, resource: Resource, entry: Entry, metadata: JSON) -> None:
        version = metadata.get("resourceVersion") or ""
        if version in {"", "0"}:
            if not resource.guarded:
                return
            cause = Cause("metadata.resourceVersion", INVALID, "Invalid value: 0: must be specified for an update")
            raise errors.invalid(resource.plural, resource.group, entry.key[1], [cause])
        if not version.isdecimal():
            raise errors.internal(
                f'invalid resource version "{version}": strconv.ParseUint: parsing "{version}": invalid syntax'
            )
        if int(version) != entry.revision:
            raise errors.conflict(resource.plural, resource.group, entry.key[1])

    def _updated_metadata(self, resource: Resource, old: JSON, given: JSON) -> JSON:
        """Return the given metadata with everything that belongs to the server restored."""
        deletion = given.get("deletionTimestamp")
        if deletion and deletion != old.get("deletionTimestamp"):
            rule = f"Invalid value: {quoted(deletion)}: field is immutable"
            cause = Cause("metadata.deletionTimestamp", INVALID, rule)
            raise errors.invalid(resource.kind, resource.group, old["name"], [cause])
        metadata = {key: value for key, value in given.items() if key not in _SERVER_FIELDS and value not in ({}, [])}
        metadata.update({key: old[key] for key in _SERVER_FIELDS if key in old and key != "managedFields"})
        fields = given.get("managedFields")
        if fields is None:
            fields = old.get("managedFields")
        if fields and any(fields):
            metadata["managedFields"] = fields
        return metadata

    def _check_finalizers(self, resource: Resource, old: JSON, new: JSON) -> None:
        if "deletionTimestamp" not in old:
            return
        before = old.get("finalizers") or []
        added = sorted(set(new.get("finalizers") or []) - set(before))
        if added:
            listed = ", ".join(quoted(name) for name in added)
            rule = (
                "Forbidden: no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}"
            )
            cause = Cause("metadata.finalizers", "FieldValueForbidden", rule)
            raise errors.invalid(resource.kind, resource.group, old["name"], [cause, cause])

    def _commit(
        self, resource: Resource, entry: Entry, old: JSON, new: JSON, subresource: str, options: WriteOptions
    ) -> JSON:
        metadata = new["metadata"]
        ignored = {"status"} if resource.has_status else set()
        if resource.has_generation and any(
            new.get(key) is not old.get(key) for key in new.keys() | old.keys() if key not in _IDENTITY | ignored
        ):
            metadata["generation"] = old["metadata"].get("generation", 0) + 1
        if unchanged(new, entry.obj):
            return resource.rules.to_wire(entry.obj)
        metadata = new["metadata"] = dict(metadata)
        if options.base is None and metadata.get("managedFields"):
            manager = Manager(options.manager, "Update", resource.api_version, subresource)
            fields = after_update(metadata["managedFields"], old, new, resource.schema, manager, self.now())
            metadata["managedFields"] = fields
        if resource.bucket == "namespaces" and "deletionTimestamp" in metadata:
            return self._store(resource, entry, new, options)
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            metadata["resourceVersion"] = str(entry.revision)
            if not options.dry_run:
                self.store.remove(self.bucket(resource), entry.key)
            return resource.rules.to_wire(new)
        return self._store(resource, entry, new, options)

    def _store(self, resource: Resource, entry: Entry, new: JSON, options: WriteOptions) -> JSON:
        if options.dry_run:
            return resource.rules.to_wire(new)
        stored = self.store.put(self.bucket(resource), entry.key, new, resource.schema)
        return resource.rules.to_wire(stored.obj)

    def replace(self, bucket: Bucket, entry: Entry, **changes: Any) -> Entry:
        """Store a controller's own change of top-level fields; None removes one."""
        obj = {**entry.obj, **{key: value for key, value in changes.items() if value is not None}}
        for key in [key for key, value in changes.items() if value is None]:
            obj.pop(key, None)
        obj["metadata"] = dict(obj["metadata"])
        return self.store.put(bucket, entry.key, obj, entry.schema)


_SERVER_FIELDS: Final = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "generation",
        "resourceVersion",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generateName",
        "managedFields",
    }
)


def unchanged(new: JSON, stored: JSON) -> bool:
    """Tell whether nothing changed but managedFields' times; unchanged parts are the same objects (see graft)."""
    if new.keys() != stored.keys():
        return False
    for key, value in new.items():
        if key != "metadata" and graft(value, stored[key]) is not stored[key]:
            return False
    return graft(new["metadata"], stored["metadata"]) is stored["metadata"]


def check_kind(resource: Resource, body: Any) -> None:
    """Refuse a body of another kind. Built-in kinds may leave kind and apiVersion out."""
    if not isinstance(body, dict):
        raise errors.bad_request("the object provided is unrecognized: json: cannot unmarshal into Go value")
    kind, version = body.get("kind"), body.get("apiVersion")
    if not resource.custom:
        _check_builtin_kind(resource, kind, version)
        return
    if not kind:
        shown = quoted(body)
        shown = shown if len(shown) < _SHOWN else f"{shown[:_SHOWN]} ..."
        raise errors.bad_request(
            f"the object provided is unrecognized (must be of type {resource.kind}): "
            f"Object 'Kind' is missing in '{shown}'"
        )
    if version != resource.api_version:
        raise errors.bad_request(
            f"the API version in the data ({version or ''}) does not match the expected API version "
            f"({resource.api_version})"
        )
    if kind != resource.kind:
        name = read_metadata(body.get("metadata")).get("name", "")
        cause = Cause("kind", INVALID, f"Invalid value: {quoted(kind)}: must be {resource.kind}")
        raise errors.invalid(kind, resource.group, name, [cause])


_SHOWN: Final = 200


def _check_builtin_kind(resource: Resource, kind: Any, version: Any) -> None:
    if version and version != resource.api_version:
        raise errors.bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
        )
    if kind and kind != resource.kind:
        wanted = f"{resource.api_version}, Kind={resource.kind}"
        raise errors.bad_request(
            f"{kind} in version {quoted(resource.version)} cannot be handled as a {resource.kind}: "
            f"no kind {quoted(kind)} is registered; expected {wanted}"
        )


def report_unknown(resource: Resource, unknown: list[str], options: WriteOptions) -> None:
    """Warn of dropped fields, or refuse them, as `fieldValidation` wants. Raises 400 or 422."""
    if not unknown or options.validation == "Ignore":
        return
    texts = [f"unknown field {quoted(path)}" for path in unknown]
    if options.validation != "Strict":
        options.warnings += texts
        return
    joined = ", ".join(texts)
    if options.patch:
        cause = Cause("patch", INVALID, f"Invalid value: strict decoding error: {joined}")
        raise errors.invalid("", "", "", [cause])
    raise errors.bad_request(
        f"{resource.kind} in version {quoted(resource.version)} cannot be handled as a {resource.kind}: "
        f"strict decoding error: {joined}"
    )
