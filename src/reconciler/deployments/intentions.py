"""Intentions: what a stage is about to make is in the environment's inventory first.

The slot is taken with all that the deployment may make then; a zone, a domain or settings that came or changed since
may ask for more, and what no inventory names nobody would remove.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.deployments.scene import Scene
from reconciler.domain.answers import Answer, Facts, Nudge
from reconciler.domain.errors import Conflict
from reconciler.domain.keys import Key
from reconciler.domain.resources import Component, Environment, InventoryItem, StageStatus
from reconciler.domain.slot import holds, with_intended
from reconciler.domain.wanted import inventory_of, marker_of
from reconciler.engine.invalid import readable
from reconciler.engine.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Intentions:
    """Notes what is to be made before it is made."""

    store: Store
    owner: str

    def first(self, scene: Scene, component: Component, step: StageStatus, answer: Answer) -> Answer:
        """Return the answer; where it would make what the inventory does not name, the nudge that writes that there.

        What was claimed before was noted before, and that claim stays: the proof of absence stands on it.
        """
        if not isinstance(answer, Nudge) or (step.claim is not None and step.claim.key == answer.identity):
            return answer
        body = self.store.read(Key(Environment.kind, scene.environment.namespace, scene.environment.name))
        environment = readable(Environment, body) or scene.environment
        marker = marker_of(environment, self.owner)
        intended = inventory_of(scene.project, environment, [component], scene.argo, scene.zone, marker)
        if not (missing := _missing(intended, environment.status.inventory)):
            return answer

        async def act() -> Facts:
            await self._note(scene, environment, missing)
            return {}

        return Nudge(
            identity=f"{answer.identity}/intended",
            act=act,
            what=f"note {', '.join(f'{item.kind} {item.name}' for item in missing)} in the inventory",
            system="kubernetes",
            is_repeatable=True,
        )

    async def _note(self, scene: Scene, seen: Environment, missing: Sequence[InventoryItem]) -> None:
        environment = Environment(await self.store.fetch(Key(seen.kind, seen.namespace, seen.name)))
        if not holds(environment, scene.record):
            raise Conflict(f"{scene.record} does not hold {environment.name} any more", system="kubernetes")
        inventory = with_intended(environment.status.inventory, missing)
        status = environment.status.model_copy(update={"inventory": inventory})
        await self.store.write_status(environment.body, status.dump())


def _missing(intended: Sequence[InventoryItem], inventory: Sequence[InventoryItem]) -> list[InventoryItem]:
    """Return what the inventory does not name, or not as it is reached now."""
    known = [item.model_copy(update={"state": ""}) for item in inventory]
    return [item for item in intended if item.model_copy(update={"state": ""}) not in known]
