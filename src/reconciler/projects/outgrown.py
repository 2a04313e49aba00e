"""What settings made under a name, folder or endpoint that they do not have any more: it goes once the new is there."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from reconciler.domain.resources import (
    ArgoSettings,
    DeletionPolicy,
    DevOpsProject,
    InventoryItem,
    JenkinsSettings,
)
from reconciler.domain.things import thing_of
from reconciler.domain.wanted import marker_of, where_of
from reconciler.projects.setup import SetupLook
from reconciler.projects.tear_down import place_in_order
from reconciler.removal.looks import Looks
from reconciler.removal.work import step_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgrown:
    """Compares inventories with what is wanted.

    Attributes:
        looks: how each kind of thing goes.
        owner: whose external objects are ours.
    """

    looks: Looks
    owner: str

    def identity(self, item: InventoryItem) -> Hashable:
        """Return what is the same for two items that stand for one thing outside."""
        return item.kind, item.name, item.place, self.looks.neighbours.endpoint(item.system, item.endpoint)

    def steps(
        self, settings: JenkinsSettings | ArgoSettings, project: DevOpsProject, wanted: Sequence[SetupLook]
    ) -> list[SetupLook]:
        """Return the steps in which goes what stands in the inventory and in none of the wanted steps.

        They come after these: what is new is there before what is old goes.
        """
        if project.spec.deletion_policy is DeletionPolicy.ORPHAN:
            return []
        known = {self.identity(look.item) for look in wanted if look.item is not None}
        items = [item for item in settings.status.inventory if self.identity(item) not in known]
        return [self._step(settings, item) for item in sorted(items, key=place_in_order)]

    def _step(self, settings: JenkinsSettings | ArgoSettings, item: InventoryItem) -> SetupLook:
        where = where_of(settings)
        reached = item.model_copy(update={"credentials": where.secret}) if item.endpoint == where.endpoint else item
        thing = thing_of(reached, settings.namespace, marker_of(settings, self.owner))
        return SetupLook(step_of(thing), item=item, going=self.looks.outgrown(thing))
