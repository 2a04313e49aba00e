"""Removal: what an environment made outside goes again, in an order that strands nothing; foreign things stay."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, Self

from reconciler.domain.answers import Answer, Done, Facts, Nudge, Waiting
from reconciler.domain.clock import Clock
from reconciler.domain.conditions import kstatus, reachability
from reconciler.domain.errors import Conflict
from reconciler.domain.keys import Key
from reconciler.domain.names import shortened
from reconciler.domain.outside.applications import Application
from reconciler.domain.outside.dns import RecordSet
from reconciler.domain.ownership import Marker
from reconciler.domain.records import Change, Policy, plan
from reconciler.domain.resources import (
    ArgoSettings,
    DevOpsProject,
    DNSZone,
    Environment,
    EnvironmentStatus,
    InventoryItem,
    Settled,
    SetupStep,
    StepState,
)
from reconciler.domain.resources.step import LONGEST_STEP_NAME
from reconciler.domain.wanted import argo_project, marker_of
from reconciler.engine.invalid import readable
from reconciler.engine.looking import answers_of
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store

_SOON = timedelta(seconds=3)
_READ_LAG = timedelta(seconds=60)
_PERSON = timedelta(minutes=5)


class RemovableApplications(Protocol):
    """The applications of one deployment tool, as far as removal needs them."""

    async def find_application(self, project: str, name: str) -> Application | None:
        """Return the application, if it is there."""
        ...

    async def terminate(self, project: str, name: str) -> bool:
        """End a running operation; False when none was running."""
        ...

    async def delete_application(self, project: str, name: str) -> None:
        """Ask for the deletion of an application and what it runs; it is fine when it is gone."""
        ...


class RemovableRecords(Protocol):
    """The records of one DNS account, as far as removal needs them."""

    async def snapshot(self, domain: str, since: datetime | None) -> Sequence[RecordSet]:
        """Return the whole zone, read at most 60 s ago and not before `since`."""
        ...

    async def find_record_set(self, domain: str, kind: str, name: str) -> RecordSet | None:
        """Return one record set as it is now."""
        ...

    async def delete_record_set(self, domain: str, kind: str, name: str) -> None:
        """Remove all values of one type at one name."""
        ...


class Systems(Protocol):
    """The outside systems. Each method raises Missing when a Secret or a key of it is not there."""

    async def removable_applications(self, settings: ArgoSettings) -> RemovableApplications:
        """Return the applications of the server that the settings name."""
        ...

    async def removable_records(self, settings: DNSZone) -> RemovableRecords:
        """Return the records that the settings' key may change."""
        ...


Look = Callable[[SetupStep, datetime], Awaitable[Answer]]
"""Looks at one step, at a moment."""


@dataclass(frozen=True, slots=True)
class Removal:
    """The steps of one removal: every application side by side, and the records of every zone."""

    looks: Mapping[str, Look]

    @classmethod
    async def prepare(
        cls, environment: Environment, project: DevOpsProject | None, store: Store, systems: Systems, owner: str
    ) -> Self:
        """Return the steps for what stands in the inventory."""
        marker = marker_of(environment, owner)
        looks: dict[str, Look] = {}
        argo = _argo(environment, project, store)
        applications = [item for item in environment.status.inventory if item.kind == "Application"]
        for item in applications:
            looks[shortened(f"application {item.name}", LONGEST_STEP_NAME)] = _application(
                systems, argo, environment, marker, item
            )
        hosts = [item.name for item in environment.status.inventory if item.kind == "Record"]
        for zone in _zones(environment, store, hosts):
            looks[shortened(f"records in {zone.spec.domain}", LONGEST_STEP_NAME)] = _records(systems, zone, marker)
        return cls(looks)


class RemovalWork:
    """One pass over a removal. Implements `engine.engine.Work`."""

    def __init__(
        self, environment: Environment, removal: Removal, *, store: Store, clock: Clock, patience: Patience
    ) -> None:
        self._environment = environment
        self._looks = removal.looks
        self._store = store
        self._clock = clock
        self._patience = patience

    @property
    def subject(self) -> str:
        """Name the environment."""
        return f"Environment/{self._environment.name}"

    def steps(self) -> dict[str, SetupStep]:
        """Return the steps as stored."""
        stored = {step.name: step for step in self._environment.status.steps}
        return {name: stored.get(name) or SetupStep(name=name) for name in self._looks}

    async def look(self, steps: Mapping[str, SetupStep]) -> Mapping[str, Answer]:
        """Ask all that are not done, side by side."""
        now = self._clock.now()
        looks = {
            name: _asked(look, steps[name], now) for name, look in self._looks.items() if not steps[name].state.is_end
        }
        return await answers_of(looks, steps, now, self._patience, self.subject)

    async def store(self, steps: Mapping[str, SetupStep]) -> None:
        """Write the steps."""
        old, now, generation = self._environment.status, self._clock.now(), self._environment.metadata.generation
        texts = (step.waiting_for for step in steps.values() if step.waiting_for)
        text = f"waits for {'; '.join(texts)}" if any(step.waiting_for for step in steps.values()) else ""
        conditions = kstatus(old.conditions, "Reconciling", old.phase.value, text, generation, now)
        conditions = reachability(conditions, steps.values(), generation, now)
        status = old.model_copy(update={"steps": list(steps.values()), "conditions": conditions})
        self._environment.body = await self._store.write_status(self._environment.body, status.dump())
        self._environment.status = status

    async def reread(self) -> dict[str, SetupStep]:
        """Read the environment from the API server."""
        key = Key(Environment.kind, self._environment.namespace, self._environment.name)
        self._environment.body = await self._store.fetch(key)
        self._environment.status = EnvironmentStatus.model_validate(self._environment.body.get("status") or {})
        return self.steps()

    def is_complete(self) -> bool:
        """Tell whether nothing of ours is left."""
        return all(step.state is StepState.DONE for step in self.steps().values())

    def next_look(self) -> datetime | None:
        """Return when to look again."""
        return min((step.next_look_at for step in self.steps().values() if step.next_look_at), default=None)


async def _asked(look: Look, step: SetupStep, now: datetime) -> Answer:
    return await look(step, now)


def _application(
    systems: Systems, argo: ArgoSettings | None, environment: Environment, marker: Marker, item: InventoryItem
) -> Look:
    async def look(step: SetupStep, now: datetime) -> Answer:
        if argo is None:
            what = f"ArgoSettings of project {environment.spec.project_ref}, to remove {item.name}"
            remedy = "create them, or remove the application by hand"
            return Waiting(what, now + _PERSON, reason="SettingsNotFound", remedy=remedy)
        applications = await systems.removable_applications(argo)
        project = argo_project(environment.spec.project_ref, argo)
        found = await applications.find_application(project, item.name)
        if found is None or not marker.is_same_owner(found.marker):
            return Done()
        identity = f"Environment/{environment.metadata.uid}/remove/{item.name}"
        if found.is_deleting or _was_just_done(step, identity, now):
            what = f"application {item.name} to be gone {'; '.join(found.conditions)}".strip()
            return Waiting(what, now + _SOON, reason="Removing", system="argocd")

        async def act() -> Facts:
            if found.is_operation_requested:
                await applications.terminate(project, item.name)
            await applications.delete_application(project, item.name)
            return {}

        return Nudge(identity, act, f"remove application {item.name}", system="argocd", is_repeatable=True)

    return look


def _records(systems: Systems, zone: DNSZone, marker: Marker) -> Look:
    domain = zone.spec.domain

    async def look(step: SetupStep, now: datetime) -> Answer:
        records = await systems.removable_records(zone)
        actual = await records.snapshot(domain, step.claim.at if step.claim else None)
        planned = plan([], actual, marker=marker, policy=Policy(zone.spec.policy.value))
        change = next(iter(planned.changes), None)
        if change is None:
            return Done()
        identity = f"{marker.kind}/{marker.uid}/remove/{change.record.type}/{change.record.name}"
        if _was_just_done(step, identity, now):
            what = f"{change.record.type} {change.record.name} to be gone at the provider"
            return Waiting(what, now + _SOON, reason="ReadLag", system="dns")
        return _removal_of(identity, domain, records, change)

    return look


def _was_just_done(step: SetupStep, identity: str, now: datetime) -> bool:
    """Tell whether the same was done so lately that it may not show yet."""
    claim = step.claim
    is_done = claim is not None and claim.key == identity and claim.settled is Settled.DONE
    return is_done and claim is not None and now < claim.at + _READ_LAG


def _removal_of(identity: str, domain: str, records: RemovableRecords, change: Change) -> Nudge:
    record = change.record

    async def act() -> Facts:
        there = await records.find_record_set(domain, record.type, record.name)
        if there is not None and there.values != record.values:
            raise Conflict(f"{record.type} {record.name} was changed by somebody else meanwhile", system="dns")
        await records.delete_record_set(domain, record.type, record.name)
        return {}

    what = f"remove {record.type} {record.name} in {domain}"
    return Nudge(identity, act, what, system="dns", before=", ".join(record.values), is_repeatable=True)


def _argo(environment: Environment, project: DevOpsProject | None, store: Store) -> ArgoSettings | None:
    name = project.spec.argo_ref.name if project and project.spec.argo_ref else environment.spec.project_ref
    return readable(ArgoSettings, store.read(Key(ArgoSettings.kind, environment.namespace, name)))


def _zones(environment: Environment, store: Store, hosts: Sequence[str]) -> list[DNSZone]:
    """Return the zones that hold the hosts."""
    zones = (readable(DNSZone, body) for body in store.list_(DNSZone.kind, environment.namespace))
    return [zone for zone in zones if zone and any(f".{host}".endswith(f".{zone.spec.domain}") for host in hosts)]
