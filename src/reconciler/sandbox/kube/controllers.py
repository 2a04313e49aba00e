"""The controllers of a cluster that the API is incomplete without: definitions, namespaces, garbage collection.

Each works from the store's events, a moment after the write, on the loop's own timers.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from reconciler.sandbox.kube import crd
from reconciler.sandbox.kube.deletion import FOREGROUND, ORPHAN, delete
from reconciler.sandbox.kube.errors import JSON
from reconciler.sandbox.kube.registry import Registry
from reconciler.sandbox.kube.resources import Resource
from reconciler.sandbox.kube.store import Bucket, Entry, Event, Key
from reconciler.sandbox.kube.watch import Watches
from reconciler.sandbox.kube.writes import Writer

_SOON: Final = 0.005
_NAMESPACE_DELAY: Final = 0.2
"""Shorter than the real 5 s; existing contents stay readable that long."""

_CRDS: Final = f"customresourcedefinitions.{crd.GROUP}"


class Controllers:
    """Reacts to writes as kube-controller-manager and the API server's own controllers do."""

    def __init__(self, writer: Writer, registry: Registry, watches: Watches) -> None:
        self._writer = writer
        self._store = writer.store
        self._registry = registry
        self._watches = watches
        self._timers: set[asyncio.TimerHandle] = set()
        self._draining: set[str] = set()
        self._store.observers.append(self._observe)

    def stop(self) -> None:
        """Forget everything still to be done."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _later(self, delay: float, action: Callable[[], None]) -> None:
        def run() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(delay, run)
        self._timers.add(timer)

    def _observe(self, bucket: Bucket, event: Event) -> None:
        metadata = None if event.new is None else event.new.metadata
        before = None if event.old is None else event.old.metadata
        if bucket.name == _CRDS:
            self._observe_definition(event)
        elif bucket.name == "namespaces" and metadata is not None and "deletionTimestamp" in metadata:
            name = metadata["name"]
            if before is None or "deletionTimestamp" not in before:
                self._later(_NAMESPACE_DELAY, lambda: self._drain(name))
        if metadata is None:
            self._observe_removal(bucket, event)
            return
        key = event.key
        owners = metadata.get("ownerReferences")
        if owners and (before is None or before.get("ownerReferences") is not owners):
            self._later(_SOON, lambda: self._collect(bucket, key))
        if "deletionTimestamp" in metadata and {FOREGROUND, ORPHAN} & set(metadata.get("finalizers") or ()):
            self._later(_SOON, lambda: self._propagate(bucket, key))

    def _observe_removal(self, bucket: Bucket, event: Event) -> None:
        if event.old is None:
            return
        metadata, key = event.old.metadata, event.key
        uid = metadata["uid"]
        if uid in self._store.dependents:
            self._later(_SOON, lambda: self._collect_dependents(uid))
        for owner in metadata.get("ownerReferences") or ():
            place = self._store.by_uid.get(owner["uid"])
            if place is not None and self._deleting(*place):
                self._later(_SOON, lambda place=place: self._propagate(*place))  # type: ignore[misc]
        if key[0] in self._draining:
            self._later(_SOON, lambda: self._finish_namespace(key[0]))
        definition = self._store.bucket(_CRDS).objects.get(("", bucket.name))
        if definition is not None and "deletionTimestamp" in definition.metadata and not bucket.objects:
            self._later(_SOON, lambda: self._finish_definition(bucket.name))

    def _deleting(self, bucket: Bucket, key: Key) -> bool:
        entry = bucket.objects.get(key)
        return entry is not None and "deletionTimestamp" in entry.metadata

    # Definitions

    def _observe_definition(self, event: Event) -> None:
        if event.new is None:
            return
        name = event.key[1]
        before = None if event.old is None else event.old
        if "deletionTimestamp" in event.new.metadata:
            if before is None or "deletionTimestamp" not in before.metadata:
                self._later(_SOON, lambda: self._clear_definition(name))
        elif before is None or before.obj["spec"] is not event.new.obj["spec"]:
            self._later(_SOON, lambda: self._establish(name))

    def _establish(self, name: str) -> None:
        bucket = self._store.bucket(_CRDS)
        entry = bucket.objects.get(("", name))
        if entry is None or "deletionTimestamp" in entry.metadata:
            return
        clash = crd.taken_names(entry.obj, [other.obj for other in bucket.objects.values()])
        now = self._writer.now()
        if clash is not None:
            conditions = [
                crd.condition("NamesAccepted", "False", "NameConflict", f'"{clash}" is already in use', now),
                crd.condition("Established", "False", "NotAccepted", "not all names are accepted", now),
            ]
            self._set_status(bucket, entry, crd.with_conditions(entry.obj, conditions))
            return
        conditions = [
            crd.condition("NamesAccepted", "True", "NoConflicts", "no conflicts found", now),
            crd.condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now),
        ]
        names = entry.obj["spec"]["names"]
        stored = sorted({version["name"] for version in entry.obj["spec"]["versions"] if version.get("storage")})
        known = (entry.obj.get("status") or {}).get("storedVersions") or []
        status = crd.with_conditions(
            entry.obj,
            conditions,
            acceptedNames=names,
            storedVersions=known + [name for name in stored if name not in known],
        )
        self._registry.remove(entry.obj["spec"]["group"], names["plural"])
        for resource in crd.served_resources(entry.obj):
            self._registry.add(resource)
        self._watches.end(name)
        self._set_status(bucket, entry, status)

    def _set_status(self, bucket: Bucket, entry: Entry, status: JSON) -> None:
        if status != entry.obj.get("status"):
            self._writer.replace(bucket, entry, status=status)

    def _clear_definition(self, name: str) -> None:
        resource = self._registry.of_bucket(name)
        if resource is not None:
            for served in self._registry:
                served.terminating = served.terminating or served.bucket == name
            bucket = self._store.bucket(name)
            for entry in list(bucket.objects.values()):
                delete(self._writer, resource, entry, {})
            if bucket.objects:
                return
        self._finish_definition(name)

    def _finish_definition(self, name: str) -> None:
        bucket = self._store.bucket(_CRDS)
        entry = bucket.objects.get(("", name))
        if entry is None or "deletionTimestamp" not in entry.metadata or self._store.bucket(name).objects:
            return
        spec = entry.obj["spec"]
        self._registry.remove(spec["group"], spec["names"]["plural"])
        self._watches.end(name)
        self._store.drop(self._store.bucket(name))
        self._remove_finalizer(bucket, entry, crd.CLEANUP)

    # Namespaces

    def _drain(self, name: str) -> None:
        self._draining.add(name)
        for resource, entry in list(self._contents(name)):
            if "deletionTimestamp" not in entry.metadata:
                delete(self._writer, resource, entry, {})
        self._finish_namespace(name)

    def _contents(self, name: str) -> Iterator[tuple[Resource, Entry]]:
        seen = set()
        for resource in self._registry:
            if resource.namespaced and resource.bucket not in seen:
                seen.add(resource.bucket)
                for entry in self._store.bucket(resource.bucket).namespaces.get(name, {}).values():
                    yield resource, entry

    def _finish_namespace(self, name: str) -> None:
        bucket = self._store.bucket("namespaces")
        entry = bucket.objects.get(("", name))
        if entry is None or next(self._contents(name), None) is not None or entry.metadata.get("finalizers"):
            return
        self._draining.discard(name)
        self._store.remove(bucket, ("", name))

    # Garbage collection

    def _collect_dependents(self, uid: str) -> None:
        for name, key in sorted(self._store.dependents.get(uid, ())):
            self._collect(self._store.bucket(name), key)

    def _collect(self, bucket: Bucket, key: Key) -> None:
        """Delete an object all of whose owners are gone; drop single references that dangle."""
        entry = bucket.objects.get(key)
        resource = self._registry.of_bucket(bucket.name)
        if entry is None or resource is None:
            return
        owners = entry.metadata.get("ownerReferences") or []
        living = [owner for owner in owners if not self._is_absent(owner)]
        if len(living) == len(owners):
            return
        if living:
            self._set_metadata(bucket, entry, ownerReferences=living)
        elif "deletionTimestamp" not in entry.metadata:
            delete(self._writer, resource, entry, {"propagationPolicy": "Background"})

    def _is_absent(self, owner: JSON) -> bool:
        known = self._registry.find_kind(owner["apiVersion"], owner["kind"]) is not None
        return known and owner["uid"] not in self._store.by_uid

    def _propagate(self, bucket: Bucket, key: Key) -> None:
        """Carry out the propagation policy an object is being deleted with."""
        entry = bucket.objects.get(key)
        if entry is None:
            return
        finalizers = entry.metadata.get("finalizers") or []
        if ORPHAN in finalizers:
            self._orphan(entry.metadata["uid"])
            self._remove_finalizer(bucket, bucket.objects[key], ORPHAN)
        elif FOREGROUND in finalizers and not self._delete_dependents(entry.metadata["uid"]):
            self._remove_finalizer(bucket, bucket.objects[key], FOREGROUND)

    def _orphan(self, uid: str) -> None:
        for name, key in sorted(self._store.dependents.get(uid, ())):
            bucket = self._store.bucket(name)
            entry = bucket.objects[key]
            rest = [owner for owner in entry.metadata.get("ownerReferences") or [] if owner["uid"] != uid]
            self._set_metadata(bucket, entry, ownerReferences=rest)

    def _delete_dependents(self, uid: str) -> bool:
        """Delete what an owner in foreground deletion owns; tell whether something blocks it."""
        for name, key in sorted(self._store.dependents.get(uid, ())):
            bucket = self._store.bucket(name)
            entry, resource = bucket.objects[key], self._registry.of_bucket(name)
            owners = entry.metadata.get("ownerReferences") or []
            living = [owner for owner in owners if owner["uid"] != uid and not self._is_absent(owner)]
            if living:
                self._set_metadata(bucket, entry, ownerReferences=living)
            elif resource is not None and "deletionTimestamp" not in entry.metadata:
                delete(self._writer, resource, entry, {})
        return any(
            owner.get("blockOwnerDeletion")
            for name, key in self._store.dependents.get(uid, ())
            for owner in self._store.bucket(name).objects[key].metadata["ownerReferences"]
            if owner["uid"] == uid
        )

    def _remove_finalizer(self, bucket: Bucket, entry: Entry, finalizer: str) -> None:
        rest = [name for name in entry.metadata.get("finalizers") or [] if name != finalizer]
        if rest:
            self._set_metadata(bucket, entry, finalizers=rest)
        else:
            self._store.remove(bucket, entry.key)

    def _set_metadata(self, bucket: Bucket, entry: Entry, **changes: list[object] | list[str] | list[JSON]) -> None:
        metadata = {**entry.metadata, **changes}
        for name in [name for name, value in changes.items() if not value]:
            del metadata[name]
        self._writer.replace(bucket, entry, metadata=metadata)
