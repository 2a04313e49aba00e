"""What is wanted of an environment outside, and how each thing of it stands: its Applications and its DNS records.

The looks change nothing; the pass that asks them and the plan command see the same.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from reconciler.domain import records
from reconciler.domain.annotations import CONFIRM_REMOVAL, adopted, asked
from reconciler.domain.answers import Answer, Done, Facts, Nudge, Waiting
from reconciler.domain.changes import Action, Change, FieldChange, difference, fingerprint
from reconciler.domain.names import shortened
from reconciler.domain.outside.applications import Application, ApplicationShape, ImageSetting
from reconciler.domain.outside.dns import RecordSet, RecordType
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import (
    ArgoSettings,
    Component,
    DevOpsProject,
    DNSZone,
    DriftPolicy,
    Environment,
    Running,
    Settled,
    SetupStep,
    StepState,
)
from reconciler.domain.resources.step import LONGEST_STEP_NAME
from reconciler.domain.wanted import (
    application_shape,
    dns_target,
    host_of,
    image_setting,
    marker_of,
    parts_of,
    words_of,
)
from reconciler.domain.words import cut
from reconciler.engine.drifting import name_taken
from reconciler.engine.newest import ensure_newest
from reconciler.engine.store import Store
from reconciler.engine.zones import ZoneRecords, dns_nudge, zone_of, zones_at
from reconciler.environments.removal import argo_settings_of, last_write_shown_at

_SOON = timedelta(seconds=5)
_PERSON = timedelta(minutes=5)
_LONGEST_IDENTITY = 320


class KeptApplications(Protocol):
    """The applications of one deployment tool, as far as their upkeep needs them."""

    async def listed(self, project: str, name: str) -> Application | None:
        """Return the application as somebody saw it within the last minute; None: ask `find_application`."""
        ...

    async def find_application(self, project: str, name: str) -> Application | None:
        """Return the application as it is now, if it is there."""
        ...

    async def create_application(
        self, shape: ApplicationShape, marker: Marker, image: ImageSetting, epoch: str
    ) -> None:
        """Make an application of ours, with its image, under an epoch. Raises AlreadyExists."""
        ...

    async def reshape(
        self, project: str, name: str, shape: ApplicationShape, marker: Marker, *, expected_epoch: str, epoch: str
    ) -> None:
        """Write shape, marker and our epoch, if the epoch is still the expected one. Raises Conflict."""
        ...

    async def set_image(self, project: str, name: str, image: ImageSetting, *, expected_epoch: str, epoch: str) -> None:
        """Write the image and our epoch, if the epoch is still the expected one. Raises Conflict."""
        ...

    async def start_sync(self, project: str, name: str, request_id: str, *, revision: str | None, prune: bool) -> None:
        """Ask for a sync that carries our request id. Raises Busy while another operation runs."""
        ...


class Keepers(Protocol):
    """The outside systems. Each method raises Missing when a Secret or a key of it is not there."""

    async def applications(self, settings: ArgoSettings) -> KeptApplications:
        """Return the applications of the server that the settings name."""
        ...

    async def records(self, settings: DNSZone) -> ZoneRecords:
        """Return the records that the settings' key may change."""
        ...


@dataclass(frozen=True, slots=True)
class KeptLook:
    """One thing that is kept as it is wanted.

    Attributes:
        name: of its step.
        look: answers how it stands.
        wanted: a fingerprint; what differs under the same one was changed by somebody else.
        policy: what is done about drift.
        gone: zone and host of the records of which nothing is left when the step is done.
    """

    name: str
    look: Callable[[SetupStep, datetime], Awaitable[Answer]]
    wanted: str
    policy: DriftPolicy
    gone: frozenset[tuple[str, str]] = frozenset()

    async def asked(self, step: SetupStep, now: datetime) -> Answer:
        """Look at it."""
        return await self.look(step, now)

    def is_done_in(self, step: SetupStep) -> bool:
        """Tell whether the step was done for what is wanted now."""
        return step.state is StepState.DONE and step.wanted == self.wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """Makes the looks of environments.

    Attributes:
        owner: whose external objects are ours.
        read_lag: how much older than it seems a read of a zone may be.
    """

    store: Store
    systems: Keepers
    owner: str
    read_lag: timedelta = timedelta(seconds=60)

    def looks(self, environment: Environment, project: DevOpsProject) -> Sequence[KeptLook]:
        """Return a look for each Application and each record of what is current, and for what is not wanted any more.

        Raises:
            Invalid: a template word that does not exist, or a strategy that the source does not allow.
        """
        current = {
            component: running
            for component in project.spec.components
            if (running := environment.status.current.get(component.name)) is not None
        }
        marker = marker_of(environment, self.owner)
        return [
            *self._applications(environment, project, current, marker),
            *self._records(environment, project, list(current), marker),
        ]

    def _applications(
        self,
        environment: Environment,
        project: DevOpsProject,
        current: Mapping[Component, Running],
        marker: Marker,
    ) -> list[KeptLook]:
        argo = argo_settings_of(environment, self.store)
        if argo is None or argo.is_deleting:
            return []
        kept = []
        for component, running in current.items():
            shape = application_shape(project, environment, component.name, argo, running.revision)
            words = words_of(project, environment, component.name, running.revision)
            image, tag, digest = parts_of(running.image)
            setting = image_setting(argo, words, image=image, tag=tag, digest=digest)
            look = _ApplicationLook(self.systems, argo, environment, shape, setting, marker)
            wanted = fingerprint(shape, setting, marker)
            name = shortened(f"Application/{shape.name}", LONGEST_STEP_NAME)
            kept.append(KeptLook(name, look, wanted, project.spec.drift_policy))
        return kept

    def _records(
        self, environment: Environment, project: DevOpsProject, current: Sequence[Component], marker: Marker
    ) -> list[KeptLook]:
        zone, policy = zone_of(self.store, project, environment), project.spec.drift_policy
        if isinstance(zone, Waiting) or (zone is not None and zone.is_deleting):
            return []
        target = dns_target(project, environment)
        hosts = [host for one in current if (host := host_of(environment, one)) and target and zone]
        desired = [
            records.Desired(name, target, zone.spec.default_ttl)
            for host in hosts
            if zone and target and (name := records.name_in_zone(host, zone.spec.domain))
        ]
        stays = {host for one in project.spec.components if (host := host_of(environment, one)) and target}
        kept = []
        if zone is not None:
            for one in desired:
                look = _RecordLook(self.systems, zone, environment, desired, one.name, marker)
                name = shortened(f"Record/{_whole(one.name, zone)}", LONGEST_STEP_NAME)
                kept.append(KeptLook(name, look, fingerprint(one, marker), policy))
        made = [item for item in environment.status.inventory if item.kind == "Record" and item.name not in stays]
        for domain in sorted({item.place for item in made}):
            other = self._zone(environment, domain)
            if other is None:
                continue
            wanted = desired if zone is not None and other.name == zone.name else []
            gone = frozenset((domain, item.name) for item in made if item.place == domain)
            shown_at = last_write_shown_at(environment, self.read_lag)
            newest = partial(ensure_newest, self.store, project)
            surplus = _SurplusLook(self.systems, other, environment, wanted, frozenset(stays), marker, shown_at, newest)
            name = shortened(f"Records/{domain}", LONGEST_STEP_NAME)
            kept.append(KeptLook(name, surplus, fingerprint(sorted(gone)), DriftPolicy.REPAIR, gone))
        return kept

    def _zone(self, environment: Environment, domain: str) -> DNSZone | None:
        zones = zones_at(self.store, environment.namespace, domain)
        return next((zone for zone in zones if not zone.is_deleting), None)


@dataclass(frozen=True, slots=True)
class _ApplicationLook:
    """Looks at one Application."""

    systems: Keepers
    argo: ArgoSettings
    environment: Environment
    shape: ApplicationShape
    image: ImageSetting
    marker: Marker

    async def __call__(self, step: SetupStep, now: datetime) -> Answer:
        """Answer whether it is as wanted; only that is believed of the shared list."""
        applications, name = await self.systems.applications(self.argo), self.shape.name
        listed = await applications.listed(self.shape.project, name)
        if listed is not None and not self._differences(listed) and not self._owes_sync(listed, step):
            return Done()
        found = await applications.find_application(self.shape.project, name)
        if found is None:
            return self._create(applications)
        is_named = f"Application/{name}" in adopted(
            self.environment.metadata.annotations, self.environment.status.handled
        )
        if not self.marker.is_same_owner(found.marker) and not is_named:
            return name_taken(self.environment, "Application", name, found.marker)
        if found.is_deleting:
            return Waiting(f"Application {name} to be gone", now + _SOON, reason="Removing", system="argocd")
        fields, owes_sync = self._differences(found), self._owes_sync(found, step)
        if not fields and not owes_sync:
            return Done()
        if found.is_operation_requested:
            what = f"an operation on Application {name} to end"
            return Waiting(what, now + _SOON, reason="Busy", system="argocd")
        return self._update(applications, found, fields) if fields else self._sync(applications, found)

    def _differences(self, found: Application) -> tuple[FieldChange, ...]:
        marker = difference(self.marker, found.marker, "marker")
        return (*difference(self.shape, found.shape), *marker, *self._image_differences(found))

    def _image_differences(self, found: Application) -> tuple[FieldChange, ...]:
        have = found.image
        parameters = [
            FieldChange(f"parameters.{name}", have.parameters.get(name, ""), value)
            for name, value in self.image.parameters.items()
            if have.parameters.get(name) != value
        ]
        missing = [one for one in self.image.kustomize_images if one not in have.kustomize_images]
        return (*parameters, *(FieldChange("kustomize.images[]", "", one) for one in missing))

    def _owes_sync(self, found: Application, step: SetupStep) -> bool:
        """Tell whether our repair was not synced yet: nobody else does it where the tool does not sync by itself.

        It is told by the epoch that only a repair writes, so that a kill between the two forgets nothing.
        """
        if self.shape.auto_sync or not found.epoch.endswith(REPAIR):
            return False
        request, claim = self._request(found.epoch), step.claim
        was_asked = claim is not None and claim.key == request and claim.settled is Settled.DONE
        return not was_asked and (found.operation is None or found.operation.request_id != request)

    def _request(self, epoch: str) -> str:
        return f"{epoch}/sync/{self.shape.name}"

    def _create(self, applications: KeptApplications) -> Nudge:
        async def act() -> Facts:
            await applications.create_application(self.shape, self.marker, self.image, epoch_of(self.environment))
            return {}

        return self._nudge("create", act, Change("argocd", "Application", self.shape.name, Action.CREATE))

    def _update(self, applications: KeptApplications, found: Application, fields: tuple[FieldChange, ...]) -> Nudge:
        shape, epoch = self.shape, epoch_of(self.environment)
        is_image_off = bool(self._image_differences(found))
        is_shape_off = len(fields) > len(self._image_differences(found))

        async def act() -> Facts:
            expected = found.epoch
            if is_shape_off:
                await applications.reshape(
                    shape.project, shape.name, shape, self.marker, expected_epoch=expected, epoch=epoch
                )
                expected = epoch
            if is_image_off:
                await applications.set_image(
                    shape.project, shape.name, self.image, expected_epoch=expected, epoch=epoch
                )
            return {}

        return self._nudge("update", act, Change("argocd", "Application", shape.name, Action.UPDATE, fields))

    def _nudge(self, word: str, act: Callable[[], Awaitable[Facts]], change: Change) -> Nudge:
        wanted = fingerprint(self.shape, self.image, self.marker)
        identity = f"Environment/{self.marker.uid}/keep/{self.shape.name}/{word}/{wanted}"
        return Nudge(
            shortened(identity, _LONGEST_IDENTITY),
            act,
            change.what(),
            system="argocd",
            before=cut(change.before()),
            is_repeatable=True,
            change=change,
        )

    def _sync(self, applications: KeptApplications, found: Application) -> Nudge:
        shape, request = self.shape, self._request(found.epoch)

        async def act() -> Facts:
            await applications.start_sync(
                shape.project, shape.name, request, revision=self.image.target_revision, prune=shape.prune
            )
            return {}

        return Nudge(request, act, f"sync {shape.name} after it was put right", system="argocd")


@dataclass(frozen=True, slots=True)
class _RecordLook:
    """Looks at one record; what stands in the way of another one does not matter to it."""

    systems: Keepers
    zone: DNSZone
    environment: Environment
    desired: Sequence[records.Desired]
    name: str
    marker: Marker

    async def __call__(self, step: SetupStep, now: datetime) -> Answer:
        """Answer whether the zone has it."""
        account = await self.systems.records(self.zone)
        planned, _ = await _planned(account, self.zone, self.environment, self.desired, self.marker, step)
        problem = next((one for one in planned.problems if one.name == self.name), None)
        if problem is not None:
            until = now + _PERSON
            return Waiting(problem.message, until, reason=problem.reason, remedy=problem.remedy, system="dns")
        changes = [one for one in planned.changes if one.name == self.name]
        if not changes:
            return Done()
        main = next((one for one in changes if one.record.type != RecordType.TXT), changes[0])
        return _record_nudge(account, self.zone, self.marker, changes[0], _told(main, self.zone))


@dataclass(frozen=True, slots=True)
class _SurplusLook:
    """Looks for records of ours in one zone that nobody wants any more."""

    systems: Keepers
    zone: DNSZone
    environment: Environment
    desired: Sequence[records.Desired]
    stays: frozenset[str]
    marker: Marker
    shown_at: datetime | None
    newest: Callable[[], Awaitable[None]]
    """Raises Conflict when the project may want it by now."""

    async def __call__(self, step: SetupStep, now: datetime) -> Answer:
        """Answer whether any is left; more than half of several at once waits for a person."""
        if self.shown_at is not None and now < self.shown_at:
            # A mark seen without its record may be that of one which is not shown yet.
            return Waiting("the last writes to show at the provider", self.shown_at, reason="ReadLag", system="dns")
        account = await self.systems.records(self.zone)
        planned, actual = await _planned(
            account, self.zone, self.environment, self.desired, self.marker, step, self.shown_at
        )
        stays = {name for host in self.stays if (name := records.name_in_zone(host, self.zone.spec.domain))}
        removals = records.surplus(planned, stays)
        if not removals:
            return Done()
        environment = self.environment
        confirmed = asked(environment.metadata.annotations, environment.status.handled, CONFIRM_REMOVAL)
        if confirmed is None and records.is_mass_removal(removals, actual, self.marker):
            names = ", ".join(sorted({_whole(one.name, self.zone) for one in removals}))
            what = f"somebody to confirm the removal of more than half of the records: {names}"
            remedy = f"annotate Environment {environment.name} with {CONFIRM_REMOVAL}=any-token"
            return Waiting(what, now + _PERSON, reason="RemovalHeldBack", remedy=remedy, system="dns")
        nudge = _record_nudge(account, self.zone, self.marker, removals[0], _told(removals[0], self.zone))
        return replace(nudge, act=partial(self._remove, nudge))

    async def _remove(self, nudge: Nudge) -> Facts:
        await self.newest()
        return await nudge.act()


REPAIR = "/repair"
"""Ends the epoch under which an environment writes its own Applications."""


def epoch_of(environment: Environment) -> str:
    """Return the epoch of the next change that the environment makes itself: it takes the slot under this number."""
    return f"{environment.metadata.uid}/{environment.status.epoch + 1}{REPAIR}"


async def _planned(
    account: ZoneRecords,
    zone: DNSZone,
    environment: Environment,
    desired: Sequence[records.Desired],
    marker: Marker,
    step: SetupStep,
    since: datetime | None = None,
) -> tuple[records.Plan, Sequence[RecordSet]]:
    moments = (step.claim.at if step.claim else None, since)
    actual = await account.snapshot(zone.spec.domain, max((at for at in moments if at), default=None))
    named = adopted(environment.metadata.annotations, environment.status.handled)
    adopt = records.keys_to_adopt(named, zone.spec.domain)
    policy = records.Policy(zone.spec.policy.value)
    return records.plan(desired, actual, marker=marker, policy=policy, adopt=adopt), actual


def _record_nudge(account: ZoneRecords, zone: DNSZone, marker: Marker, change: records.Change, told: Change) -> Nudge:
    record = change.record
    identity = f"Environment/{marker.uid}/keep/{change.action}/{record.type}/{record.name}/{fingerprint(record)}"
    return dns_nudge(shortened(identity, _LONGEST_IDENTITY), zone.spec.domain, account, change, told)


def _told(change: records.Change, zone: DNSZone) -> Change:
    record, before = change.record, change.before
    name = f"{record.type} {_whole(record.name, zone)}"
    if change.action is records.Action.DELETE:
        return Change("dns", "Record", name, Action.DELETE)
    if before is None:
        return Change("dns", "Record", name, Action.CREATE)
    fields = [FieldChange("values", ", ".join(before.values), ", ".join(record.values))]
    if before.values == record.values:
        fields = [FieldChange("ttl", str(before.ttl), str(record.ttl))]
    return Change("dns", "Record", name, Action.UPDATE, tuple(fields))


def _whole(name: str, zone: DNSZone) -> str:
    return zone.spec.domain if name == "@" else f"{name}.{zone.spec.domain}"
