"""Reaching: with which credentials a thing is reached now, where the settings of its system are still there to ask."""

from collections.abc import Iterator
from dataclasses import replace

from reconciler.domain.resources import ArgoSettings, DNSZone, Environment, JenkinsSettings, Resource
from reconciler.domain.things import Thing
from reconciler.domain.wanted import where_of
from reconciler.engine.invalid import readable
from reconciler.engine.store import Store
from reconciler.engine.zones import zones_at

Settings = JenkinsSettings | ArgoSettings | DNSZone
_KINDS: dict[str, type[Settings]] = {"jenkins": JenkinsSettings, "argocd": ArgoSettings, "dns": DNSZone}


def reached_now(thing: Thing, resource: Resource, store: Store) -> Thing:
    """Return a thing of a resource with the Secret that settings name for its endpoint now.

    What the inventory says was so when the thing was made, or only meant to be: the Secret may be another one since.
    """
    for settings in _near(thing, resource, store):
        if not _reach(settings, thing, resource):
            continue
        where = where_of(settings)
        return replace(thing, where=replace(thing.where, namespace=where.namespace, secret=where.secret))
    return thing


def _near(thing: Thing, resource: Resource, store: Store) -> Iterator[Settings]:
    """Yield the settings that may lead to where a thing is: those of its zone, else those of the resource's project."""
    if (kind := _KINDS[thing.system]) is DNSZone:
        yield from zones_at(store, resource.namespace, thing.place)
        return
    project = str(resource.body["spec"].get("projectRef", ""))
    for body in store.list_(kind.kind, resource.namespace, project=project):
        if (settings := readable(kind, body)) is not None:
            yield settings


def _reach(settings: Settings, thing: Thing, resource: Resource) -> bool:
    """Tell whether settings lead to where a thing is, for the resource that has it."""
    if (settings.spec.endpoint or "") != thing.where.endpoint:
        return False
    if isinstance(settings, DNSZone):
        return settings.spec.domain == thing.place
    if isinstance(resource, Environment):
        return settings.spec.project_ref == resource.spec.project_ref
    return settings.name == resource.name
