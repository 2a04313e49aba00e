"""Settings: what one look at a settings resource does, whatever its kind."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import ValidationError

from reconciler.domain.annotations import ADOPT, RECONCILE_AT, asked, with_request
from reconciler.domain.clock import Clock
from reconciler.domain.drift import DriftRules
from reconciler.domain.keys import Key, key_of
from reconciler.domain.resources import (
    JenkinsSettings,
    Resource,
)
from reconciler.domain.resources.settings import SettingsStatus
from reconciler.engine.engine import Engine
from reconciler.engine.invalid import tell_invalid
from reconciler.engine.patience import Patience
from reconciler.engine.polls import Polls, next_poll
from reconciler.engine.store import Store
from reconciler.projects.access import (
    GitLogins,
)
from reconciler.projects.outgrown import Outgrown
from reconciler.projects.setup import SetupLook, SetupWork
from reconciler.projects.setups import SETTINGS_KINDS, SetUps, Systems
from reconciler.projects.tear_down import TearDown
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
    tear_down: TearDown
    owner: str
    rules: DriftRules = field(default_factory=DriftRules)
    interval: timedelta = timedelta(seconds=300)
    polls: Polls = field(default_factory=Polls)

    @property
    def setups(self) -> SetUps:
        """What the settings' steps are."""
        return SetUps(
            store=self.store, systems=self.systems, logins=self.logins, outgrown=self.outgrown, owner=self.owner
        )

    @property
    def outgrown(self) -> Outgrown:
        """What the settings made under a former name."""
        return Outgrown(looks=self.tear_down.looks, owner=self.owner)

    async def look(self, key: Key) -> datetime | None:
        """Bring in order what the settings own outside; return when to look again."""
        body = self.store.read(key)
        if body is None:
            return None
        try:
            resource = SETTINGS_KINDS[key.kind](body)
        except ValidationError as error:
            if body["metadata"].get("deletionTimestamp"):
                return await self.tear_down.abandon(body, error)
            await tell_invalid(self.store, body, error, self.clock.now())
            return None
        if resource.is_deleting:
            self.polls.forget(key)
            return await self.tear_down.remove(resource)
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
        work.refusal = self.systems.refusal(resource)
        await self.engine.carry_out(work)
        if not work.is_done:
            return work.status.next_look_at
        if work.poll:
            self.polls.took(key, now)
        return next_poll(key, every, now)

    def _work(self, resource: Resource, looks: Sequence[SetupLook]) -> SetupWork:
        status = SettingsStatus.model_validate(resource.body.get("status") or {})
        return SetupWork(
            resource,
            status,
            looks,
            store=self.store,
            clock=self.clock,
            patience=self.patience,
            rules=self.rules,
            identity=self.outgrown.identity,
        )

    def _interval_of(self, resource: Resource) -> timedelta:
        return resource.spec.poll_interval if isinstance(resource, JenkinsSettings) else self.interval


def _is_settled(resource: Resource) -> bool:
    """Tell whether nobody waits for this look: all was brought in order before, and is looked at for drift."""
    status = SettingsStatus.model_validate(resource.body.get("status") or {})
    is_ready = any(one.type == "Ready" and one.status == "True" for one in status.conditions)
    token = resource.metadata.annotations.get(RECONCILE_AT)
    is_asked_for = token not in (None, status.handled.get(RECONCILE_AT))
    return is_ready and not is_asked_for and status.observed_generation == resource.metadata.generation
