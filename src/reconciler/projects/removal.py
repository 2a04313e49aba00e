"""The removal of a project: its deployments and environments, then its settings, then the project; never for ever."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.domain.clock import Clock
from reconciler.domain.conditions import kstatus
from reconciler.domain.keys import Body
from reconciler.domain.names import FINALIZER
from reconciler.domain.resources import (
    DeploymentRecord,
    DevOpsProject,
    Environment,
)
from reconciler.domain.resources.devops_project import OperationEnd
from reconciler.engine.store import Store
from reconciler.projects.children import children_of, is_made_by
from reconciler.projects.operations import all_told, cancelled_by_removal
from reconciler.removal.leaving import Leaving

_RESYNC = timedelta(minutes=5)
_ANNOUNCE_BEFORE_REMOVAL = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRemoval:
    """Takes away what belongs to a project, in an order that strands nothing."""

    store: Store
    clock: Clock
    leaving: Leaving

    async def remove(self, project: DevOpsProject) -> datetime | None:
        """Ask for the end of what comes next, and let the project go when nothing of it is left or its time is up."""
        if FINALIZER not in project.metadata.finalizers:
            return None
        environments = list(self.store.list_(Environment.kind, project.namespace, project=project.name))
        records = list(self.store.list_(DeploymentRecord.kind, project.namespace, project=project.name))
        settings = [
            body
            for body in children_of(self.store, project)
            if body["kind"] != Environment.kind and is_made_by(project, body)
        ]
        # Environments first: a deployment in one that is being removed ends without putting anything back.
        await self._delete([*environments, *records])
        if not environments:
            await self._delete(settings)
        waits_for = [*environments, *records, *settings]
        operations = cancelled_by_removal(project, self.clock.now())
        if self.leaving.is_over(project) or (not waits_for and self._has_told(project, operations)):
            await self.store.remove_finalizer(project.body)
            return None
        await self._tell(project, waits_for, operations)
        due = self.clock.now() + _RESYNC if waits_for else self._told_by(project)
        return self.leaving.next_look(project, due)

    def _has_told(self, project: DevOpsProject, operations: list[OperationEnd]) -> bool:
        """Tell whether everybody was told of every end, or the broker was away for too long."""
        return all_told(operations) or self.clock.now() >= self._told_by(project)

    def _told_by(self, project: DevOpsProject) -> datetime:
        return (project.metadata.deleted_at or self.clock.now()) + _ANNOUNCE_BEFORE_REMOVAL

    async def _delete(self, bodies: list[Body]) -> None:
        for body in bodies:
            if not body["metadata"].get("deletionTimestamp"):
                await self.store.delete(body)

    async def _tell(self, project: DevOpsProject, waits_for: list[Body], operations: list[OperationEnd]) -> None:
        listed = ", ".join(f"{body['kind']} {body['metadata']['name']}" for body in waits_for[:5])
        listed = listed or "the announcement of how its last operation ended"
        conditions = kstatus(
            project.status.conditions,
            "Reconciling",
            "Removing",
            f"waits for {listed}",
            project.metadata.generation,
            self.clock.now(),
        )
        status = project.status.model_copy(update={"conditions": conditions, "operations": operations})
        await self.store.write_status(project.body, status.dump())
