"""Rollback: what was current comes back on one component's application, by the same nudges and gate as a sync.

There is such a stage only for a component that the deployment may have changed, from the moment it goes back.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from reconciler.deployments.goal import Goal, goal_back
from reconciler.deployments.scene import Scene
from reconciler.domain.answers import Answer, Failed, Skipped, Waiting
from reconciler.domain.resources import Component, Phase, Settled, StageName, StageStatus

NOTHING = "NothingToGoBackTo"
_SENT_BY = timedelta(seconds=35)
"""After this long a request of unknown outcome is not on its way any more."""


class Sync(Protocol):
    """Brings an image into the environment."""

    async def bring(self, scene: Scene, component: Component, step: StageStatus, goal: Goal) -> Answer:
        """Answer how far the application is on its way to a goal."""
        ...

    async def is_busy(self, scene: Scene, component: Component) -> bool:
        """Tell whether an operation runs on the component's application."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackStage:
    """Puts back what was current for one component."""

    sync: Sync

    async def look(self, scene: Scene, component: Component, step: StageStatus) -> Answer:
        """Answer how far the way back is."""
        claim = scene.steps[StageName.SYNC, component.name].claim
        if claim is not None and claim.settled is Settled.UNKNOWN and scene.now < claim.at + _SENT_BY:
            what = f"the request for the sync of {component.name} to have ended"
            return Waiting(what, claim.at + _SENT_BY, reason="Syncing", system="argocd")
        if scene.environment.is_deleting:
            return Skipped("the environment is being removed")
        if step.facts.get("image"):
            return await self.sync.bring(scene, component, step, goal_back(scene, component, step))
        if _is_cancelled(scene):
            return await self._without_goal(scene, component)
        return Failed(NOTHING, "nothing was current before")

    async def _without_goal(self, scene: Scene, component: Component) -> Answer:
        """Whoever cancels a first deployment has nothing to come back: what runs is let end, and stays."""
        if await self.sync.is_busy(scene, component):
            soon = scene.now + timedelta(seconds=5)
            return Waiting(f"the running sync of {component.name} to end", soon, reason="Syncing", system="argocd")
        return Skipped("nothing was current before; what was set stays")


def _is_cancelled(scene: Scene) -> bool:
    going_back = scene.record.status.going_back
    return going_back is not None and going_back.ending is Phase.CANCELLED
