"""Planning: what the next pass over a project would change, found by the pass's own looks; nothing is ever done.

What a project makes in Kubernetes is planned first and laid over what is there, so that what those resources would make
outside is planned as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydantic import ValidationError

from reconciler.domain.annotations import CONFIRM_REMOVAL
from reconciler.domain.answers import Answer, Facts, Nudge, Waiting
from reconciler.domain.changes import Action, Change, difference
from reconciler.domain.clock import Clock
from reconciler.domain.errors import Busy
from reconciler.domain.keys import Body, Key, key_of
from reconciler.domain.plans import Plan, Untold, plan_of
from reconciler.domain.resources import DevOpsProject, DriftPolicy, Resource, SetupStep
from reconciler.domain.resources.settings import SettingsStatus
from reconciler.engine.foretelling import foretold
from reconciler.engine.invalid import problems
from reconciler.engine.patience import Patience
from reconciler.engine.store import Store
from reconciler.projects.children import Defaults, children_of, plan
from reconciler.projects.projects import settings_of
from reconciler.projects.setup import SetupLook
from reconciler.projects.setups import SETTINGS_KINDS, SetUps

_KUBERNETES = "kubernetes"


class Draft(Store, Protocol):
    """The resources as they would be; what is laid over them is only here."""

    def lay(self, body: Body) -> None:
        """Have a resource be this, as if it were stored."""
        ...

    def take(self, key: Key) -> None:
        """Have a resource be gone."""
        ...


def resource_change(kind: str, name: str, wanted: Any, actual: Any) -> Change | None:
    """Return what makes a resource's spec of `actual` (None: it is not there) what is wanted; None: nothing."""
    if actual is None:
        return Change(_KUBERNETES, kind, name, Action.CREATE)
    fields = difference(wanted, actual)
    return Change(_KUBERNETES, kind, name, Action.UPDATE, fields) if fields else None


@dataclass(frozen=True, slots=True)
class ChildrenPlanner:
    """Plans the settings and environments that a project makes."""

    draft: Draft
    defaults: Defaults

    async def plan(self, project: DevOpsProject) -> Plan:
        """Return what would be changed in Kubernetes, and lay it over the draft."""
        changes = plan(project, children_of(self.draft, project), self.defaults)
        told: list[Change | None] = []
        for body in changes.create:
            self.draft.lay(body)
            told.append(resource_change(body["kind"], body["metadata"]["name"], body["spec"], None))
        for body, patch in changes.patch:
            spec = patched(body.get("spec") or {}, patch["spec"])
            self.draft.lay({**body, "spec": spec})
            told.append(resource_change(body["kind"], body["metadata"]["name"], spec, body.get("spec") or {}))
        for body in changes.delete:
            self.draft.take(key_of(body))
            told.append(Change(_KUBERNETES, body["kind"], body["metadata"]["name"], Action.DELETE))
        why = f"to be removed with others, more than half of all: needs the annotation {CONFIRM_REMOVAL}"
        held = [Untold(_named(body), why) for body in changes.held_back]
        return Plan(tuple(one for one in told if one is not None), tuple(held))


@dataclass(frozen=True, slots=True)
class SettingsPlanner:
    """Plans what the settings of a project would change outside."""

    draft: Draft
    setups: SetUps
    clock: Clock
    patience: Patience

    async def plan(self, project: DevOpsProject) -> Plan:
        """Look at all settings that the project uses."""
        keys = [Key(kind, project.namespace, name) for kind, name in settings_of(project).items()]
        keys += [key_of(body) for body in self.draft.list_("GitCredential", project.namespace)]
        bodies = [body for key in keys if (body := self.draft.read(key)) is not None]
        return plan_of([await self.plan_one(body) for body in bodies])

    async def plan_one(self, body: Body) -> Plan:
        """Look at one settings resource."""
        try:
            resource = SETTINGS_KINDS[body["kind"]](body)
        except ValidationError as error:
            return Plan(untold=(Untold(_named(body), f"correct the spec: {problems(error)}"),))
        if resource.is_deleting:
            return Plan(untold=(Untold(_named(body), "it is being removed"),))
        if resource.is_paused:
            return Plan(notes=(f"{_named(body)} is paused: nothing is changed until it goes on",))
        return await self._looked_at(resource, await self.setups.looks(resource))

    async def _looked_at(self, resource: Resource, looks: Sequence[SetupLook]) -> Plan:
        status = SettingsStatus.model_validate(resource.body.get("status") or {})
        steps = {step.name: step for step in status.steps}
        changes: list[Change] = []
        notes: list[str] = []
        for look in looks:
            step = steps.get(look.name) or SetupStep(name=look.name)
            if look.policy is DriftPolicy.IGNORE and look.is_done_in(step):
                continue
            now = self.clock.now()
            found = await foretold(_named(resource.body), look.name, _foreseen(look, step, now), now, self.patience)
            if isinstance(found, Untold):
                # What stands behind it is not reached by the operator either.
                return Plan(tuple(changes), (found,), tuple(notes))
            if found is not None:
                changes.append(found)
                if look.policy is DriftPolicy.REPORT and look.is_done_in(step):
                    notes.append(f"{found.title} is drift that is only reported: driftPolicy is Report")
        return Plan(tuple(changes), (), tuple(notes))


async def _foreseen(look: SetupLook, step: SetupStep, now: datetime) -> Answer:
    """Look; what is still used and goes after that is planned to go."""
    answer = await look.asked(step, now)
    if look.departure is not None and isinstance(answer, Waiting) and answer.reason == Busy.__name__:
        return Nudge(look.name, _never, look.departure.what(), change=look.departure)
    return answer


async def _never() -> Facts:
    raise AssertionError("a plan does nothing")


def patched(have: Any, patch: Any) -> Any:
    """Return a value with a merge patch (RFC 7386) in it."""
    if not isinstance(patch, dict):
        return patch
    kept = {name: value for name, value in have.items() if name not in patch} if isinstance(have, dict) else {}
    changed = {
        name: patched(have.get(name) if isinstance(have, dict) else None, value)
        for name, value in patch.items()
        if value is not None
    }
    return {**kept, **changed}


def _named(body: Body) -> str:
    return f"{body['kind']} {body['metadata']['name']}"
