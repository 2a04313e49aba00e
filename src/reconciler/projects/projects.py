"""Projects: what one look at a DevOpsProject does: its children made and kept, their state told, removal in order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pydantic import ValidationError

from reconciler.domain.annotations import CONFIRM_REMOVAL, with_request
from reconciler.domain.clock import Clock
from reconciler.domain.conditions import KState, kstatus, reachability
from reconciler.domain.errors import AlreadyExists, Invalid, ReconcilerError, Refused
from reconciler.domain.keys import Body, Key
from reconciler.domain.resources import (
    ArgoSettings,
    ContainerRegistry,
    DevOpsProject,
    JenkinsSettings,
    SetupStep,
    StepState,
)
from reconciler.domain.resources.devops_project import DevOpsProjectStatus
from reconciler.domain.resources.environment import is_preview
from reconciler.domain.wanted import FOR_ANOTHER_REMEDY, meant_for_another
from reconciler.domain.words import cut
from reconciler.engine.invalid import readable, tell_invalid
from reconciler.engine.newest import ensure_newest
from reconciler.engine.store import Store
from reconciler.projects.access import repository_steps
from reconciler.projects.children import Changes, Defaults, children_of, plan
from reconciler.projects.operations import RUNNING, operations_after
from reconciler.projects.removal import ProjectRemoval

_SETTINGS = {"jenkins": "JenkinsSettings", "argocd": "ArgoSettings", "registry": "ContainerRegistry", "dns": "DNSZone"}
_RESYNC = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Projects:
    """Looks at projects."""

    store: Store
    clock: Clock
    defaults: Defaults
    removal: ProjectRemoval
    setup_deadline: timedelta = timedelta(minutes=30)

    async def look(self, key: Key) -> datetime | None:
        """Bring a project's children in order and tell how they are; return when to look again."""
        body = self.store.read(key)
        if body is None:
            return None
        try:
            project = DevOpsProject(body)
        except ValidationError as error:
            await tell_invalid(self.store, body, error, self.clock.now())
            return None
        if project.is_deleting:
            return await self.removal.remove(project)
        project = DevOpsProject(await self.store.ensure_finalizer(body))
        changes = plan(project, children_of(self.store, project), self.defaults)
        try:
            if changes.patch or changes.delete:
                await ensure_newest(self.store, project)
            await self._apply(changes)
        except (Refused, Invalid) as error:  # said here too: nothing else of the project would tell of it
            return await self._tell(project, changes, error)
        return await self._tell(project, changes)

    async def _apply(self, changes: Changes) -> None:
        for body in changes.create:
            try:
                await self.store.create(body)
            except AlreadyExists:
                # Somebody made one of that name a moment ago: it is theirs, and the next look sees it.
                continue
        for body, patch in changes.patch:
            await self.store.patch(body, patch)
        for body in changes.delete:
            await self.store.delete(body)

    async def _tell(
        self, project: DevOpsProject, changes: Changes, refusal: ReconcilerError | None = None
    ) -> datetime | None:
        now, generation, old = self.clock.now(), project.metadata.generation, project.status
        steps = [*_refused(refusal), *self._steps(project, changes.held_back, now)]
        operations, cut = operations_after(project, steps, now, self.setup_deadline)
        first = next((step for step in steps if step.state is not StepState.DONE), None)
        text = f"{first.name}: {first.waiting_for or first.message}" if first else ""
        state: KState = "Ready" if first is None else "Stalled" if first.remedy else "Reconciling"
        reason = first.reason if first and first.reason else state
        conditions = kstatus(old.conditions, state, reason, text, generation, now)
        environments = list(self.store.list_("Environment", project.namespace, project=project.name))
        status = old.model_copy(
            update={
                "observed_generation": generation,
                "steps": steps,
                "operations": operations,
                "operations_cut": cut,
                "conditions": reachability(conditions, steps, generation, now),
                "environments": len(environments),
                "previews": sum(is_preview(body) for body in environments),
                "handled": with_request(old.handled, project.metadata.annotations, CONFIRM_REMOVAL),
            }
        )
        await self.store.write_status(project.body, status.dump())
        return self._next_look(status, now)

    def _next_look(self, status: DevOpsProjectStatus, now: datetime) -> datetime:
        running = [one for one in status.operations if one.state == RUNNING and one.started_at]
        deadlines = [one.started_at + self.setup_deadline for one in running if one.started_at]
        return min([*deadlines, now + _RESYNC])

    def _steps(self, project: DevOpsProject, held_back: Sequence[Body], now: datetime) -> list[SetupStep]:
        old = {step.name: step for step in project.status.steps}
        names = settings_of(project)
        steps = [
            self._step(old.get(name) or SetupStep(name=name), project, kind, names[kind], now)
            for name, kind in _SETTINGS.items()
        ]
        if held_back:
            listed = ", ".join(body["metadata"]["name"] for body in held_back[:5])
            changes = {
                "state": StepState.WAITING,
                "reason": "RemovalNotConfirmed",
                "waiting_for": cut(f"confirmation that {len(held_back)} environments go: {listed}"),
                "remedy": f"set the annotation {CONFIRM_REMOVAL} to any token",
            }
            steps.append(SetupStep(name="environments").model_copy(update=changes))
        return steps

    def _step(self, step: SetupStep, project: DevOpsProject, kind: str, name: str, now: datetime) -> SetupStep:
        """Return the step as the settings behind it stand."""
        body = self.store.read(Key(kind, project.namespace, name))
        if body is None and kind == "DNSZone" and project.spec.dns.zone_ref is None:
            return _moved(step, StepState.DONE, now, message="no zone of its own")
        if body is None:
            remedy = "" if name == project.name else f"create {kind} {name}"
            return _moved(
                step, StepState.WAITING, now, waiting_for=f"{kind} {name}", reason="SettingsNotFound", remedy=remedy
            )
        if other := meant_for_another(body, project.name):
            what, remedy = f"{kind} {name}, which is for project {other}", FOR_ANOTHER_REMEDY
            return _moved(step, StepState.WAITING, now, waiting_for=what, reason="ForAnotherProject", remedy=remedy)
        status = body.get("status") or {}
        conditions = {one["type"]: one for one in status.get("conditions") or []}
        ready, stalled = conditions.get("Ready", {}), conditions.get("Stalled", {})
        is_seen = status.get("observedGeneration", 0) >= body["metadata"].get("generation", 0)
        if ready.get("status") == "True" and is_seen and _is_as_of(project, body):
            return _moved(step, StepState.DONE, now, message=cut(status.get("detail", "")))
        text = ready.get("message") or f"{kind} {name} to be set up"
        remedy = "see its conditions" if stalled.get("status") == "True" else ""
        away: Body = next((one for one in status.get("steps") or [] if one.get("system")), {})
        return _moved(
            step,
            StepState.WAITING,
            now,
            waiting_for=cut(text),
            reason=ready.get("reason", ""),
            remedy=remedy,
            system=away.get("system", ""),
        )


def _refused(error: ReconcilerError | None) -> list[SetupStep]:
    """Return the step that says what the API server does not let us make, where there is such a thing."""
    if error is None:
        return []
    changes = {
        "state": StepState.WAITING,
        "reason": type(error).__name__,
        "waiting_for": cut(error.message),
        "remedy": "give the operator the right, or change what forbids it",
        "system": error.system,
    }
    return [SetupStep(name="resources").model_copy(update=changes)]


def settings_of(project: DevOpsProject) -> dict[str, str]:
    """Return the names of the settings that the project uses, by their kind."""
    spec = project.spec
    refs = {
        "JenkinsSettings": spec.jenkins_ref,
        "ArgoSettings": spec.argo_ref,
        "ContainerRegistry": spec.registry.ref,
        "DNSZone": spec.dns.zone_ref,
    }
    return {kind: ref.name if ref else project.name for kind, ref in refs.items()}


def _is_as_of(project: DevOpsProject, body: Body) -> bool:
    """Tell whether settings were set up for the project as it is now, as far as they are made from it."""
    steps = (body.get("status") or {}).get("steps") or []
    match body["kind"]:
        case JenkinsSettings.kind | ArgoSettings.kind:
            return all(step.get("generation", 0) >= project.metadata.generation for step in steps)
        case ContainerRegistry.kind:
            registry, there = readable(ContainerRegistry, body), {step["name"] for step in steps}
            return registry is not None and there.issuperset(repository_steps(project, registry))
        case _:
            return True


def _moved(step: SetupStep, state: StepState, now: datetime, **changes: str) -> SetupStep:
    quiet = {"waiting_for": "", "reason": "", "remedy": "", "message": "", "system": ""}
    moments: dict[str, datetime | None] = {"started_at": step.started_at or now}
    if state is StepState.DONE:
        moments |= {"finished_at": step.finished_at or now, "waiting_since": None}
    else:
        same = step.state is state and step.reason == changes.get("reason", "")
        moments |= {"finished_at": None, "waiting_since": step.waiting_since if same and step.waiting_since else now}
    return step.model_copy(update={**quiet, **moments, **changes, "state": state})
