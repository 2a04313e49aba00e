"""What an environment made outside goes again: every application side by side, and the records of every zone."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reconciler.domain.keys import Key
from reconciler.domain.records import Policy
from reconciler.domain.resources import ArgoSettings, DevOpsProject, DNSZone, Environment
from reconciler.domain.things import thing_of
from reconciler.domain.wanted import marker_of, where_of
from reconciler.engine.invalid import readable
from reconciler.engine.store import Store
from reconciler.engine.zones import zones_at
from reconciler.removal.going import Look
from reconciler.removal.looks import Looks
from reconciler.removal.work import steps_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """Makes the steps of a removal from the inventory, so that it goes on when settings are gone already.

    Where the settings are still there their credentials count: they may have been changed since.
    """

    store: Store
    looks: Looks
    owner: str
    read_lag: timedelta

    def steps(self, environment: Environment) -> Mapping[str, Look]:
        """Return how each thing in the inventory goes, by the names of the steps."""
        steps: dict[str, Look] = {}
        marker, zones = marker_of(environment, self.owner), self._zones(environment)
        argo, shown_at = argo_settings_of(environment, self.store), last_write_shown_at(environment, self.read_lag)
        items = environment.status.inventory
        things = [thing_of(item, environment.namespace, marker) for item in items]
        for item, thing, name in zip(items, things, steps_of(things), strict=True):
            if item.kind == "Record":
                zone = zones.get(item.place)
                where = where_of(zone) if zone else thing.where
                policy = Policy(zone.spec.policy.value) if zone else Policy.SYNC
                steps[name] = self.looks.removing_records(where, item.place, marker, policy, shown_at)
                continue
            if argo is not None and (argo.spec.endpoint or "") == item.endpoint:
                steps[name] = self.looks.removing(replace(thing, where=where_of(argo)))
            else:
                steps[name] = self.looks.removing(thing)
        return steps

    def _zones(self, environment: Environment) -> dict[str, DNSZone]:
        domains = {item.place for item in environment.status.inventory if item.kind == "Record"}
        return {domain: zone for domain in domains for zone in zones_at(self.store, environment.namespace, domain)}


def last_write_shown_at(environment: Environment, read_lag: timedelta) -> datetime | None:
    """Return from when on a zone shows all that the last holder of the slot wrote."""
    holder, freed_at = environment.status.holder, environment.status.freed_at
    last_write = freed_at or (holder.since if holder else None)
    return last_write + read_lag if last_write else None


def argo_settings_of(environment: Environment, store: Store) -> ArgoSettings | None:
    """Return the settings of the deployment tool that the environment's project uses, if they are there."""
    namespace, name = environment.namespace, environment.spec.project_ref
    project = readable(DevOpsProject, store.read(Key(DevOpsProject.kind, namespace, name)))
    named = project.spec.argo_ref if project else None
    return readable(ArgoSettings, store.read(Key(ArgoSettings.kind, namespace, named.name if named else name)))
