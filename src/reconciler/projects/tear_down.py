"""The removal of settings: once nobody uses them, what they made outside goes, job before folder; then they may go."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from reconciler.domain.clock import Clock
from reconciler.domain.keys import Body
from reconciler.domain.names import FINALIZER
from reconciler.domain.resources import (
    ArgoSettings,
    ContainerRegistry,
    DeploymentRecord,
    DevOpsProject,
    DNSZone,
    Environment,
    InventoryItem,
    JenkinsSettings,
    Resource,
)
from reconciler.domain.resources.settings import SettingsStatus
from reconciler.domain.things import thing_of
from reconciler.domain.wanted import marker_of, where_of
from reconciler.domain.words import cut
from reconciler.engine.claims import on_its_way_until
from reconciler.engine.engine import Engine
from reconciler.engine.invalid import invalid_status, readable
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store
from reconciler.removal.leaving import Leaving
from reconciler.removal.looks import Looks
from reconciler.removal.work import Phases, RemovalWork, steps_of

_POLL = timedelta(seconds=300)
_ORDER = ("Job", "Credential", "Folder", "Repository", "AppProject")


@dataclass(frozen=True, slots=True, kw_only=True)
class TearDown:
    """Takes away what settings made."""

    store: Store
    engine: Engine
    clock: Clock
    patience: Patience
    looks: Looks
    leaving: Leaving
    owner: str

    async def abandon(self, body: Body, error: ValidationError) -> datetime | None:
        """Let settings go whose spec cannot be read, once nobody uses them; what they have outside is on record."""
        project, now = (body.get("spec") or {}).get("projectRef"), self.clock.now()
        is_of_project = body["kind"] in (JenkinsSettings.kind, ArgoSettings.kind)
        if is_of_project and project and (users := self._users_in(body["metadata"]["namespace"], str(project))):
            text = cut(f"{', '.join(_named(users)[:5])} to be gone")
            await self.store.write_status(body, invalid_status(body, error, now) | {"waitingFor": text})
            return now + _POLL
        await self.leaving.abandon(body, self.owner, error)
        return None

    def _users_in(self, namespace: str, project: str) -> list[Body]:
        return [
            *self.store.list_(Environment.kind, namespace, project=project),
            *self.store.list_(DeploymentRecord.kind, namespace, project=project, active_only=True),
        ]

    async def remove(self, resource: Resource) -> datetime | None:
        """Remove what is ours outside, once nobody uses the settings any more; then let the resource go."""
        if FINALIZER not in resource.metadata.finalizers:
            return None
        if users := self._still_used_by(resource):
            return await self._wait_for(resource, users)
        if self.leaving.is_orphaning(resource.body):
            await self.leaving.keep(resource, _status_of(resource).inventory, "deletionPolicy is Orphan")
        elif isinstance(resource, ContainerRegistry):
            why = "images may still be used, and the registry lets nobody delete repositories through its API"
            await self.leaving.keep(resource, _status_of(resource).inventory, why)
        elif due := await self._clear(resource):
            return due
        await self.leaving.depart(resource.body)
        return None

    async def _clear(self, resource: Resource) -> datetime | None:
        """Remove what is in the inventory; None when nothing is left, or when what is left is on record."""
        phases = self._phases(resource)
        work = RemovalWork(
            resource, phases, reason="Removing", store=self.store, clock=self.clock, patience=self.patience
        )
        until = on_its_way_until(work.former_steps().values(), self.patience)
        if until is not None and self.clock.now() < until:
            await self._say(resource, "a request whose answer was lost to have ended")
            return until
        await self.engine.carry_out(work)
        if work.is_complete():
            return None
        planned = work.next_look() or self.clock.now() + _POLL
        return await self.leaving.let_go(resource, marker_of(resource, self.owner), planned)

    def _phases(self, resource: Resource) -> Phases:
        if not isinstance(resource, JenkinsSettings | ArgoSettings):
            return []
        marker, where = marker_of(resource, self.owner), where_of(resource)
        items = _status_of(resource).inventory
        names = steps_of([thing_of(item, resource.namespace, marker) for item in items])
        phases = []
        for item, name in sorted(zip(items, names, strict=True), key=lambda pair: place_in_order(pair[0])):
            newest = {"credentials": where.secret} if item.endpoint == where.endpoint else {}
            thing = thing_of(item.model_copy(update=newest), resource.namespace, marker)
            phases.append({name: self.looks.removing(thing)})
        return phases

    # Users

    async def _wait_for(self, resource: Resource, users: list[str]) -> datetime:
        await self._say(resource, f"{', '.join(users[:5])} to be gone")
        return self.clock.now() + _POLL

    async def _say(self, resource: Resource, text: str) -> None:
        status = _status_of(resource).model_copy(update={"waiting_for": cut(text)})
        resource.body = await self.store.write_status(resource.body, status.dump())

    def _still_used_by(self, resource: Resource) -> list[str]:
        users: list[Body]
        match resource:
            case JenkinsSettings() | ArgoSettings():
                users = self._users_in(resource.namespace, resource.spec.project_ref)
            case DNSZone():
                others = self._other_zones(resource)
                users = [
                    body
                    for body in self.store.list_(Environment.kind, resource.namespace)
                    if _holds(resource, body) and not any(_holds(other, body) for other in others)
                ]
            case _:
                return []
        maker = self._lost_maker(resource)
        return _named(body for body in users if maker is None or _is_made_by(maker, body))

    def _lost_maker(self, resource: Resource) -> str | None:
        """Return the uid of the project that made the settings, if it is gone; None where it is not, or nobody is.

        What a project made anew under its name has does not use them: it waits for them to go, for it gets its own.
        """
        uids = resource.metadata.owner_uids
        there = {body["metadata"]["uid"] for body in self.store.list_(DevOpsProject.kind, resource.namespace)}
        return uids[0] if uids and not there.intersection(uids) else None

    def _other_zones(self, zone: DNSZone) -> list[DNSZone]:
        """Return the zones that stay: what they hold as well does not need this one any more."""
        zones = (readable(DNSZone, body) for body in self.store.list_(DNSZone.kind, zone.namespace))
        return [other for other in zones if other and other.name != zone.name and not other.is_deleting]


def _status_of(resource: Resource) -> SettingsStatus:
    return SettingsStatus.model_validate(resource.body.get("status") or {})


def _named(bodies: Iterable[Body]) -> list[str]:
    return [f"{body['kind']} {body['metadata']['name']}" for body in bodies]


def _is_made_by(uid: str, body: Body) -> bool:
    return any(owner["uid"] == uid for owner in body["metadata"].get("ownerReferences") or ())


def place_in_order(item: InventoryItem) -> tuple[int, int]:
    """Jobs before credentials before folders, the deepest folder first; a repository before its project."""
    order = _ORDER.index(item.kind) if item.kind in _ORDER else len(_ORDER)
    return order, -item.name.count("/")


def _holds(zone: DNSZone, environment: Body) -> bool:
    """Tell whether an environment's domain lies in a zone."""
    return f".{environment['spec'].get('domain', '')}".endswith(f".{zone.spec.domain}")
