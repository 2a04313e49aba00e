"""Who must look when something changes: changes of resources, builds and applications become keys on the agenda."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.app.lines import ArgoLine
from reconciler.app.references import SHARED, References, references_of
from reconciler.deployments.retention import records_current_in, retention_key
from reconciler.deployments.stages.queue import queued
from reconciler.domain.keys import CONFIG_MAP, OUR_KINDS, SECRET, Body, Key, key_of
from reconciler.domain.leftovers import is_leftover_key
from reconciler.domain.resources import Phase
from reconciler.domain.slot import precedence
from reconciler.leftovers.listing import listing_key
from reconciler.operator.cache import Change, Source
from reconciler.operator.store import Store

_RECORD, _ENVIRONMENT, _PROJECT = "DeploymentRecord", "Environment", "DevOpsProject"
_LOOKED_AT = frozenset({*(kind.kind for kind in OUR_KINDS), CONFIG_MAP.kind})
_SETTINGS_OF_A_PROJECT = ("JenkinsSettings", "ArgoSettings")
_OF_A_PROJECT = (*_SETTINGS_OF_A_PROJECT, _ENVIRONMENT)
_WAITING = (None, Phase.PENDING, Phase.QUEUED)
_GIT_CREDENTIAL, _DNS_ZONE = "GitCredential", "DNSZone"


class Signals:
    """Turns changes into looks. It decides nothing: a look too many finds nothing to do."""

    def __init__(self, store: Store, add: Callable[[Key], None], forget: Callable[[Key], None]) -> None:
        self._store = store
        self._add = add
        self._forget = forget
        self._operations: dict[str, Key] = {}
        self._references = References()

    def changed(self, change: Change) -> None:
        """Hear of a resource that is another one than before."""
        key = change.key
        if key.kind == SECRET.kind:
            for other in self._by_secret(key):
                self._add(other)
        if key.kind not in _LOOKED_AT:
            return
        self._references.note(key, change.after)
        if change.after is None:
            self._forget(key)
        elif change.source is not Source.OWN_WRITE or _spec_differs(change) or _may_go_now(change):
            self._add(key)
        for other in self._concerned(change):
            self._add(other)
        if change.before is None and is_leftover_key(key):
            self._add(listing_key(key.namespace))  # from now on somebody may ask for its sweep

    def record_of(self, operation_id: str) -> Key | None:
        """Return the record of an active operation."""
        return self._operations.get(operation_id)

    def build_changed(self, operation_id: str) -> None:
        """Hear of a build of an operation that is another one than before."""
        if (key := self._operations.get(operation_id)) is not None:
            self._add(key)

    def application_changed(self, line: ArgoLine, name: str) -> None:
        """Hear of an application that is another one than before: its environment looks, and who holds its slot."""
        known = line.known(name)
        if known is None or known.marker is None or known.marker.kind != _ENVIRONMENT:
            return
        key = Key(_ENVIRONMENT, known.marker.namespace, known.marker.name)
        self._add(key)
        if (holder := self._holder(key)) is not None:
            self._add(holder)

    def _concerned(self, change: Change) -> Iterator[Key]:
        match change.key.kind:
            case "DeploymentRecord":
                yield from self._by_record(change)
            case "Environment":
                yield from self._by_environment(change)
            case "DevOpsProject" if _spec_differs(change):
                yield from self._by_project(change)
            case kind if kind in SHARED or kind in _OF_A_PROJECT:
                yield from self._by_settings(change)
            case _:
                return

    def _by_record(self, change: Change) -> Iterator[Key]:
        key, spec = change.key, (change.after or change.before or {}).get("spec") or {}
        operation = spec.get("operationId") or key.name
        phase, before = _phase(change.after), _phase(change.before)
        is_over = change.after is None or Phase(phase or Phase.PENDING).is_end
        if is_over:
            self._operations.pop(operation, None)
        else:
            self._operations[operation] = key
        if phase == before and change.after is not None:
            if phase in _WAITING and change.before is not None and _spec_differs(change):
                # On pause it keeps nobody back who comes after it.
                yield from self._first_waiting(key.namespace, spec.get("projectRef", ""), spec.get("environment", ""))
            return
        environment = Key(_ENVIRONMENT, key.namespace, f"{spec.get('projectRef')}--{spec.get('environment')}")
        if is_over:
            yield environment
            yield retention_key(key.namespace, spec.get("projectRef", ""), spec.get("environment", ""))
            yield from self._leaving(key.namespace, spec.get("projectRef", ""))
            yield from self._first_waiting(key.namespace, spec.get("projectRef", ""), spec.get("environment", ""))
        elif phase == Phase.QUEUED and (holder := self._holder(environment)) is not None and holder != key:
            yield holder

    def _by_environment(self, change: Change) -> Iterator[Key]:
        body = change.after or change.before or {}
        spec, namespace = body.get("spec") or {}, change.key.namespace
        project, name = spec.get("projectRef", ""), spec.get("name", "")
        if records_current_in(change.before) - records_current_in(change.after):
            yield retention_key(namespace, project, name)
        if change.before is None or change.after is None or _spec_differs(change):
            yield Key(_PROJECT, namespace, project)
            yield from self._active_records(namespace, project, name)
            for settings in self._store.list_("ArgoSettings", namespace, project=project):
                yield Key("ArgoSettings", namespace, settings["metadata"]["name"])
            if change.after is None:
                yield from self._leaving(namespace, project)
                yield from self._leaving_zones(namespace)
        elif _holder_of(body) is None and _keeps_back(change.before) - _keeps_back(body):
            yield from self._first_waiting(namespace, project, name)

    def _first_waiting(self, namespace: str, project: str, environment: str) -> Iterator[Key]:
        """Yield who comes first; if it ends without taking the slot, its end yields the next."""
        if waiting := queued(self._store, namespace, project, environment):
            yield Key(_RECORD, namespace, min(waiting, key=precedence).name)

    def _by_project(self, change: Change) -> Iterator[Key]:
        key = change.key
        for kind in _OF_A_PROJECT:
            for body in self._store.list_(kind, key.namespace, project=key.name):
                yield Key(kind, key.namespace, body["metadata"]["name"])
        used = {*references_of(key, change.before), *references_of(key, change.after)}
        yield from sorted(other for other in used if other.kind in SHARED and self._store.read(other) is not None)
        yield from self._active_records(key.namespace, key.name, None)

    def _by_settings(self, change: Change) -> Iterator[Key]:
        """A project tells how its settings are; who waits for settings looks when they come or are made anew."""
        key = change.key
        owner = ((change.after or change.before or {}).get("spec") or {}).get("projectRef")
        projects = [Key(_PROJECT, key.namespace, owner)] if owner else self._references.referrers_of(key)
        is_news = _spec_differs(change) or _became_ready(change)
        for project in projects:
            yield project
            if is_news:
                yield from self._active_records(key.namespace, project.name, None)
        if is_news and key.kind == _GIT_CREDENTIAL:
            yield from self._users_of_git(key.namespace)
        if is_news and key.kind == _DNS_ZONE:
            yield from self._active_records(key.namespace, None, None)
        if key.kind == _DNS_ZONE and _spec_differs(change):
            yield from self._environments(key.namespace, None)

    def _leaving(self, namespace: str, project: str) -> Iterator[Key]:
        """Yield what of a project is being deleted and waits for its users to be gone."""
        own = self._store.read(Key(_PROJECT, namespace, project))
        settings = (
            body for kind in _SETTINGS_OF_A_PROJECT for body in self._store.list_(kind, namespace, project=project)
        )
        for body in (*([own] if own else ()), *settings):
            if body["metadata"].get("deletionTimestamp"):
                yield key_of(body)

    def _leaving_zones(self, namespace: str) -> Iterator[Key]:
        """Yield the zones that wait for the environments in them to be gone."""
        for body in self._store.list_(_DNS_ZONE, namespace):
            if body["metadata"].get("deletionTimestamp"):
                yield key_of(body)

    def _users_of_git(self, namespace: str) -> Iterator[Key]:
        for kind in _SETTINGS_OF_A_PROJECT:
            yield from (Key(kind, namespace, body["metadata"]["name"]) for body in self._store.list_(kind, namespace))

    def _by_secret(self, secret: Key) -> Iterator[Key]:
        """Who refers to a Secret looks, and so do those who wait for what that would open: by the wait they have."""
        for key in self._references.referrers_of(secret):
            yield key
            if key.kind == _GIT_CREDENTIAL:
                yield from self._users_of_git(key.namespace)
            project = ((self._store.read(key) or {}).get("spec") or {}).get("projectRef")
            yield from self._active_records(key.namespace, project, None)
            yield from self._environments(key.namespace, project)

    def _environments(self, namespace: str, project: str | None) -> Iterator[Key]:
        """Yield environments, of a project or all: what a zone says decides whether their hosts have a place."""
        for body in self._store.list_(_ENVIRONMENT, namespace, project=project):
            yield Key(_ENVIRONMENT, namespace, body["metadata"]["name"])

    def _active_records(self, namespace: str, project: str | None, environment: str | None) -> Iterator[Key]:
        bodies = self._store.list_(_RECORD, namespace, project=project, environment=environment, active_only=True)
        for body in bodies:
            yield Key(_RECORD, namespace, body["metadata"]["name"])

    def _holder(self, environment: Key) -> Key | None:
        body = self._store.read(environment)
        name = _holder_of(body) if body else None
        return Key(_RECORD, environment.namespace, name) if name else None


def _spec_differs(change: Change) -> bool:
    """Tell whether what somebody wants has changed: born, gone, asked to go, another spec or other annotations."""
    before, after = change.before, change.after
    if before is None or after is None:
        return True
    return _wanted(before) != _wanted(after)


def _may_go_now(change: Change) -> bool:
    """Tell whether what is being deleted has waited for its end to be announced, and it was."""
    after = change.after or {}
    is_leaving = bool(after.get("metadata", {}).get("deletionTimestamp"))
    return is_leaving and _announced(change.before) != _announced(change.after)


def _announced(body: Body | None) -> tuple[Any, ...]:
    status = (body or {}).get("status") or {}
    return status.get("announced"), *(one.get("announced") for one in status.get("operations") or ())


def _became_ready(change: Change) -> bool:
    """Tell whether settings work now that did not before: who met them as they were looks again."""
    return not _is_ready(change.before) and _is_ready(change.after)


def _is_ready(body: Body | None) -> bool:
    conditions = ((body or {}).get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _wanted(body: Body) -> tuple[Any, ...]:
    metadata: Mapping[str, Any] = body["metadata"]
    return metadata.get("generation"), metadata.get("deletionTimestamp"), metadata.get("annotations")


def _phase(body: Body | None) -> str | None:
    return ((body or {}).get("status") or {}).get("phase")


def _keeps_back(environment: Body) -> set[str]:
    """Return what keeps those who wait from the slot of an environment."""
    status = environment.get("status") or {}
    return {name for name in ("holder", "hold") if status.get(name)}


def _holder_of(body: Body | None) -> str | None:
    return (((body or {}).get("status") or {}).get("holder") or {}).get("record")
