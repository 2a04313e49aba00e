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
from reconciler.engine.store import Store
from reconciler.projects.children import children_of, is_made_by
from reconciler.removal.leaving import Leaving

_RESYNC = timedelta(minutes=5)


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
        if not waits_for or self.leaving.is_over(project):
            await self.store.remove_finalizer(project.body)
            return None
        await self._tell(project, waits_for)
        return self.leaving.next_look(project, self.clock.now() + _RESYNC)

    async def _delete(self, bodies: list[Body]) -> None:
        for body in bodies:
            if not body["metadata"].get("deletionTimestamp"):
                await self.store.delete(body)

    async def _tell(self, project: DevOpsProject, waits_for: list[Body]) -> None:
        listed = ", ".join(f"{body['kind']} {body['metadata']['name']}" for body in waits_for[:5])
        conditions = kstatus(
            project.status.conditions,
            "Reconciling",
            "Removing",
            f"waits for {listed}",
            project.metadata.generation,
            self.clock.now(),
        )
        status = project.status.model_copy(update={"conditions": conditions})
        await self.store.write_status(project.body, status.dump())
