"""Letting go: a deletion that has taken too long ends all the same, and what is left outside is kept on record."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from reconciler.domain.clock import Clock
from reconciler.domain.conditions import kstatus
from reconciler.domain.errors import AlreadyExists, NotFound, Refused
from reconciler.domain.keys import Body, Key, key_of
from reconciler.domain.leftovers import Leftover, body_of
from reconciler.domain.names import FINALIZER
from reconciler.domain.ownership import Marker
from reconciler.domain.records import Policy
from reconciler.domain.resources import (
    Condition,
    ContainerRegistry,
    DeletionPolicy,
    DevOpsProject,
    DNSZone,
    Environment,
    EnvironmentStatus,
    InventoryItem,
    Resource,
    SetupStep,
    StepState,
)
from reconciler.domain.resources.common import Metadata
from reconciler.domain.resources.settings import SettingsStatus
from reconciler.domain.things import Thing, thing_of
from reconciler.engine.engine import Engine
from reconciler.engine.invalid import problems
from reconciler.engine.store import Store
from reconciler.removal.neighbours import Neighbours
from reconciler.removal.reaching import reached_now
from reconciler.removal.work import steps_of

_log = logging.getLogger(__name__)
_MOST_SHOWN = 20
_OF_PARTS = 0.9
_STUCK = frozenset({"Missing"})
"""What does not come any more in a namespace that is being deleted: a Secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """Decides when a deletion has taken too long, and records what is left.

    Attributes:
        neighbours: knows the operator's own endpoints.
        namespace: where leftovers are kept.
        deadline: from the deletion's timestamp.
    """

    store: Store
    engine: Engine
    clock: Clock
    neighbours: Neighbours
    namespace: str
    deadline: timedelta = timedelta(minutes=30)

    def due(self, resource: Resource) -> datetime:
        """Return when a deletion must have ended, by the API server's clock.

        What belongs to a project that is deleted ends with it, a tenth of the deadline before: so nothing outlives it.
        """
        own = resource.metadata.deleted_at or self.store.server_now()
        project = self._project_of(resource.body)
        whole = Metadata.read(project["metadata"]).deleted_at if project else None
        return min(own + self.deadline, whole + self.deadline * _OF_PARTS) if whole else own + self.deadline

    def is_over(self, resource: Resource) -> bool:
        """Tell whether a deletion has taken too long."""
        return self.store.server_now() >= self.due(resource)

    def next_look(self, resource: Resource, planned: datetime) -> datetime:
        """Return when to look again: as planned, or when the deadline is due by our own clock."""
        return min(planned, self.clock.now() + max(self.due(resource) - self.store.server_now(), timedelta(seconds=1)))

    async def let_go(self, resource: Resource, marker: Marker, planned: datetime) -> datetime | None:
        """Return when to look again; None when the resource may go, what it leaves behind being on record.

        Called after a pass that did not finish: so everything was tried once more, however late it is.
        """
        if not self.is_over(resource) and not await self._is_stuck(resource):
            return self.next_look(resource, planned)
        await self._leave(resource, marker)
        return None

    async def keep(self, resource: Resource, items: Sequence[InventoryItem], why: str) -> None:
        """Say what stays outside on purpose."""
        if not items:
            return
        kept = [item.model_copy(update={"state": "Kept"}) for item in items]
        _log.info("%s is deleted; %s stays: %s", resource, _listed(kept), why)
        await self._show(resource, kept, f"{_listed(kept)} stays: {why}", reason="Kept")

    def is_orphaning(self, body: Body) -> bool:
        """Tell whether a resource's project wants nothing outside to be removed, be it valid otherwise or not."""
        project = self._project_of(body) or {}
        return bool((project.get("spec") or {}).get("deletionPolicy") == DeletionPolicy.ORPHAN.value)

    async def abandon(self, body: Body, owner: str, error: ValidationError) -> None:
        """Let a resource go whose spec cannot be read: what it has outside is on record, and swept from there.

        Its removal would need what the spec says. The inventory says all that a sweep needs.
        """
        if FINALIZER not in (body["metadata"].get("finalizers") or ()):
            return
        metadata, key = Metadata.read(body["metadata"]), key_of(body)
        marker = Marker(owner, key.kind, key.namespace, key.name, metadata.uid)
        why = f"its spec cannot be read: {problems(error)}"
        left = [item for item in readable_inventory(body) if not self._is_to_stay(body, item)]
        for item in sorted(left, key=_folders_last):
            await self._record(key, thing_of(item, key.namespace, marker), why)
        if left:
            status, now = body.get("status") or {}, self.clock.now()
            text = f"left behind, to be swept later: {_listed(left)}"
            old = [Condition.model_validate(one) for one in status.get("conditions") or ()]
            conditions = kstatus(old, "Reconciling", "LeftBehind", text, metadata.generation, now)
            shown = {
                "conditions": [one.dump() for one in conditions],
                "leftovers": [item.model_copy(update={"state": "Leftover"}).dump() for item in left[:_MOST_SHOWN]],
                "leftoversCut": max(len(left) - _MOST_SHOWN, 0),
            }
            body = await self.store.write_status(body, status | shown)
        await self.depart(body)

    async def depart(self, body: Body) -> None:
        """Let a resource go; nobody looks at its steps again, so what was intended there gets its end in the audit."""
        steps = {step.name: step for step in _readable_steps(body)}
        self.engine.give_up(f"{body['kind']}/{body['metadata']['name']}", steps)
        await self.store.remove_finalizer(body)

    def _is_to_stay(self, body: Body, item: InventoryItem) -> bool:
        """Tell whether a thing stays outside on purpose, as a removal would have left it."""
        if body["kind"] == ContainerRegistry.kind or self.is_orphaning(body):
            return True
        zones = (zone.get("spec") or {} for zone in self.store.list_(DNSZone.kind, body["metadata"]["namespace"]))
        policies = (zone.get("policy") for zone in zones if zone.get("domain") == item.place)
        return item.kind == "Record" and Policy.UPSERT_ONLY.value in policies

    async def _leave(self, resource: Resource, marker: Marker) -> None:
        steps = {step.name: step for step in _status_of(resource).steps}
        left, inventory = [], _status_of(resource).inventory
        things = [thing_of(item, resource.namespace, marker) for item in inventory]
        rows = zip(inventory, things, steps_of(things), strict=True)
        for item, thing, name in sorted(rows, key=lambda row: _folders_last(row[0])):
            step = steps.get(name)
            if step is not None and step.state is StepState.DONE:
                continue
            await self._record(resource, reached_now(thing, resource, self.store), _why(step))
            left.append(item.model_copy(update={"state": "Leftover"}))
        if left:
            await self._show(resource, left, f"left behind, to be swept later: {_listed(left)}", reason="LeftBehind")

    async def _record(self, resource: Resource | Key, thing: Thing, why: str) -> None:
        endpoint = self.neighbours.endpoint(thing.system, thing.where.endpoint)
        thing = replace(thing, where=replace(thing.where, endpoint=endpoint))
        leftover = Leftover(thing, why, self.clock.now())
        _log.warning(
            "%s is deleted; left behind: %s", resource, thing, extra={"leftover": leftover.name, "why": leftover.why}
        )
        try:
            await self.store.create(body_of(leftover, self.namespace))
        except AlreadyExists:
            return
        except Refused:
            # Our own namespace is being deleted: nothing can be kept there any more, and nothing may hang for it.
            if not await self._is_ending(self.namespace):
                raise
            _log.error("leftover %s cannot be kept, its namespace is being deleted: %s", leftover.name, thing)

    async def _show(self, resource: Resource, items: list[InventoryItem], text: str, *, reason: str) -> None:
        old = _status_of(resource)
        conditions = kstatus(
            old.conditions, "Reconciling", reason, text, resource.metadata.generation, self.clock.now()
        )
        changes: dict[str, Any] = {
            "conditions": conditions,
            "leftovers": items[:_MOST_SHOWN],
            "leftovers_cut": max(len(items) - _MOST_SHOWN, 0),
        }
        resource.body = await self.store.write_status(resource.body, old.model_copy(update=changes).dump())

    async def _is_stuck(self, resource: Resource) -> bool:
        """Tell whether what is waited for cannot come: Secrets go first when a namespace is deleted."""
        open_steps = [step for step in _status_of(resource).steps if step.state is not StepState.DONE]
        begun = [step for step in open_steps if step.state is not StepState.PENDING]
        if not begun or any(step.reason not in _STUCK for step in begun):
            return False
        return await self._is_ending(resource.namespace)

    async def _is_ending(self, namespace: str) -> bool:
        try:
            body = await self.store.fetch(Key("Namespace", "", namespace))
        except (NotFound, Refused):
            return False
        return bool(body["metadata"].get("deletionTimestamp"))

    def _project_of(self, body: Body) -> Body | None:
        name = (body.get("spec") or {}).get("projectRef")
        key = Key(DevOpsProject.kind, body["metadata"]["namespace"], str(name))
        return self.store.read(key) if name else None


def readable_inventory(body: Body) -> list[InventoryItem]:
    """Return what stands in the inventory of a resource whose spec, or status, may not be readable as a whole."""
    items = []
    for raw in (body.get("status") or {}).get("inventory") or ():
        try:
            items.append(InventoryItem.model_validate(raw))
        except ValidationError as error:
            _log.error("%s has something outside that cannot be read: %s", key_of(body), problems(error))
    return items


def _readable_steps(body: Body) -> Iterator[SetupStep]:
    for raw in (body.get("status") or {}).get("steps") or ():
        try:
            yield SetupStep.model_validate(raw)
        except ValidationError as error:
            _log.error("%s has a step that cannot be read: %s", key_of(body), problems(error))


def _status_of(resource: Resource) -> EnvironmentStatus | SettingsStatus:
    model = EnvironmentStatus if isinstance(resource, Environment) else SettingsStatus
    return model.model_validate(resource.body.get("status") or {})


def _folders_last(item: InventoryItem) -> tuple[bool, int]:
    """Order things so that a folder comes on record after all that is in it.

    Whoever sweeps a folder that holds something of which there is no record takes it for somebody else's.
    """
    return item.kind == "Folder", -item.name.count("/")


def _why(step: SetupStep | None) -> str:
    if step is None:
        return "its removal had not begun"
    return step.waiting_for or step.message or f"it was {step.state}"


def _listed(items: Sequence[InventoryItem]) -> str:
    shown = ", ".join(f"{item.kind} {item.name}" for item in items[:5])
    return f"{shown} and {len(items) - 5} more" if len(items) > 5 else shown  # noqa: PLR2004
