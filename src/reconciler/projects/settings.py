"""Settings: what one look at a settings resource does, whatever its kind."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import ValidationError

from reconciler.domain.annotations import ADOPT, RECONCILE_AT, asked, with_request
from reconciler.domain.clock import Clock
from reconciler.domain.drift import DriftRules
from reconciler.domain.keys import Body, Key, key_of
from reconciler.domain.names import FINALIZER
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import (
    ArgoSettings,
    DeletionPolicy,
    DNSZone,
    JenkinsSettings,
    Resource,
)
from reconciler.domain.resources.settings import SettingsStatus
from reconciler.domain.wanted import marker_of
from reconciler.domain.words import cut
from reconciler.engine.engine import Engine
from reconciler.engine.invalid import readable, tell_invalid
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store
from reconciler.projects.access import (
    GitLogins,
)
from reconciler.projects.argocd import ArgoRemoval
from reconciler.projects.jenkins import JenkinsRemoval
from reconciler.projects.polls import Polls, next_poll
from reconciler.projects.setup import SetupLook, SetupWork
from reconciler.projects.setups import SETTINGS_KINDS, SetUps, Systems, looks_or_why_not
from reconciler.resilience.errand import sweeping

_POLL = timedelta(seconds=300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Looks at settings resources."""

    store: Store
    engine: Engine
    clock: Clock
    patience: Patience
    systems: Systems
    logins: GitLogins
    owner: str
    rules: DriftRules = field(default_factory=DriftRules)
    interval: timedelta = timedelta(seconds=300)
    polls: Polls = field(default_factory=Polls)

    @property
    def setups(self) -> SetUps:
        """What the settings' steps are."""
        return SetUps(store=self.store, systems=self.systems, logins=self.logins, owner=self.owner)

    async def look(self, key: Key) -> datetime | None:
        """Bring in order what the settings own outside; return when to look again."""
        body = self.store.read(key)
        if body is None:
            return None
        try:
            resource = SETTINGS_KINDS[key.kind](body)
        except ValidationError as error:
            await tell_invalid(self.store, body, error, self.clock.now())
            return None
        if resource.is_deleting:
            return await self._remove(resource)
        if resource.is_paused:
            return None
        resource.body = await self.store.ensure_finalizer(body)
        with sweeping() if _is_settled(resource) else nullcontext():
            return await self._compare(resource)

    async def _compare(self, resource: Resource) -> datetime | None:
        """Compare what the settings own with what is wanted, if it is time or something else is wanted than before."""
        work = self._work(resource, await self.setups.looks(resource))
        key, every = key_of(resource.body), self._interval_of(resource)
        annotations = resource.metadata.annotations
        work.handled = with_request({}, annotations, ADOPT)
        now, checked_at = self.clock.now(), work.status.checked_at
        is_asked_for = asked(annotations, work.status.handled, RECONCILE_AT) is not None
        work.poll = self.polls.is_due(key, every, now, checked_at) or is_asked_for
        await self.engine.carry_out(work)
        if not work.is_done:
            return work.status.next_look_at
        if work.poll:
            self.polls.took(key, now)
        return next_poll(key, every, now)

    def _work(self, resource: Resource, looks: Sequence[SetupLook]) -> SetupWork:
        status = SettingsStatus.model_validate(resource.body.get("status") or {})
        return SetupWork(
            resource, status, looks, store=self.store, clock=self.clock, patience=self.patience, rules=self.rules
        )

    async def _carry_out(self, resource: Resource, looks: Sequence[SetupLook]) -> datetime | None:
        work = self._work(resource, looks)
        await self.engine.carry_out(work)
        return work.status.next_look_at

    def _interval_of(self, resource: Resource) -> timedelta:
        return resource.spec.poll_interval if isinstance(resource, JenkinsSettings) else self.interval

    async def _remove(self, resource: Resource) -> datetime | None:
        """Remove what is ours outside, once nobody uses the settings any more; then let the resource go."""
        self.polls.forget(key_of(resource.body))
        if FINALIZER not in resource.metadata.finalizers:
            return None
        if users := self._still_used_by(resource):
            status = SettingsStatus.model_validate(resource.body.get("status") or {})
            text = f"{', '.join(users[:5])} to be gone"
            await self.store.write_status(resource.body, status.model_copy(update={"waiting_for": cut(text)}).dump())
            return self.clock.now() + _POLL
        looks = await looks_or_why_not(self._tear_down(resource))
        next_look = await self._carry_out(resource, looks) if looks else None
        steps = {step["name"]: step for step in (resource.body.get("status") or {}).get("steps", [])}
        if all(steps.get(look.name, {}).get("state") == "Done" for look in looks):
            await self.store.remove_finalizer(resource.body)
            return None
        return next_look

    async def _tear_down(self, resource: Resource) -> Sequence[SetupLook]:
        if self._is_orphaned(resource):
            return []
        match resource:
            case JenkinsSettings():
                return JenkinsRemoval(await self.systems.jobs(resource), resource, self._marker(resource)).looks()
            case ArgoSettings():
                tool = await self.systems.argo_projects(resource)
                return ArgoRemoval(tool, resource, self._marker(resource)).looks()
            case _:
                return []

    def _is_orphaned(self, resource: Resource) -> bool:
        reference = (resource.body.get("spec") or {}).get("projectRef", "")
        project = self.setups.project_of(resource, reference)
        return project is not None and project.spec.deletion_policy is DeletionPolicy.ORPHAN

    def _still_used_by(self, resource: Resource) -> list[str]:
        match resource:
            case JenkinsSettings() | ArgoSettings():
                name = resource.spec.project_ref
                users = self.store.list_("Environment", resource.namespace, project=name)
            case DNSZone():
                others = self._other_zones(resource)
                users = [
                    body
                    for body in self.store.list_("Environment", resource.namespace)
                    if _holds(resource, body) and not any(_holds(other, body) for other in others)
                ]
            case _:
                return []
        return [f"Environment {body['metadata']['name']}" for body in users]

    def _other_zones(self, zone: DNSZone) -> list[DNSZone]:
        """Return the zones that stay: what they hold as well does not need this one any more."""
        zones = (readable(DNSZone, body) for body in self.store.list_(DNSZone.kind, zone.namespace))
        return [other for other in zones if other and other.name != zone.name and not other.is_deleting]

    def _marker(self, resource: Resource) -> Marker:
        return marker_of(resource, self.owner)


def _holds(zone: DNSZone, environment: Body) -> bool:
    """Tell whether an environment's domain lies in a zone."""
    return f".{environment['spec'].get('domain', '')}".endswith(f".{zone.spec.domain}")


def _is_settled(resource: Resource) -> bool:
    """Tell whether nobody waits for this look: all was brought in order before, and is looked at for drift."""
    status = SettingsStatus.model_validate(resource.body.get("status") or {})
    is_ready = any(one.type == "Ready" and one.status == "True" for one in status.conditions)
    token = resource.metadata.annotations.get(RECONCILE_AT)
    is_asked_for = token not in (None, status.handled.get(RECONCILE_AT))
    return is_ready and not is_asked_for and status.observed_generation == resource.metadata.generation
