"""Looks: for any thing, how it goes. Used by the removal of whoever made it, and by the sweep of leftovers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from reconciler.domain.answers import Answer, Done, Facts, Nudge, Waiting
from reconciler.domain.errors import Busy
from reconciler.domain.outside.builds import JobPath
from reconciler.domain.ownership import Marker
from reconciler.domain.records import Policy, name_in_zone
from reconciler.domain.resources import SetupStep
from reconciler.domain.things import Thing, Where
from reconciler.removal.argocd import (
    GoingApplication,
    GoingProject,
    GoingRepository,
    RemovableApplications,
    RemovableProjects,
)
from reconciler.removal.dns import GoingRecords, RemovableRecords
from reconciler.removal.going import SOON, Look, Removable, Whose, going
from reconciler.removal.jenkins import RemovableItems, removable_item
from reconciler.removal.neighbours import Neighbours

_LATER = timedelta(minutes=1)
_A_FOLLOWER = "a deployment whose build was asked for there"


class Systems(Protocol):
    """The outside systems. Each method raises Missing when a Secret or a key of it is not there."""

    async def removable_items(self, where: Where) -> RemovableItems:
        """Return the folders, jobs and credentials of a build server."""
        ...

    async def removable_applications(self, where: Where) -> RemovableApplications:
        """Return the applications of a deployment tool."""
        ...

    async def removable_projects(self, where: Where) -> RemovableProjects:
        """Return the projects of a deployment tool."""
        ...

    async def removable_records(self, where: Where) -> RemovableRecords:
        """Return the records that a key may change."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """Knows how each kind of thing goes."""

    systems: Systems
    neighbours: Neighbours

    def removing(self, thing: Thing) -> Look:
        """Return how a thing goes with the resource that has it, whichever incarnation of that has marked it."""
        return self._look(thing, thing.marker.is_same_owner)

    def outgrown(self, thing: Thing) -> Look:
        """Return how a thing goes that its resource, which lives, does not want any more: when nobody uses it."""
        remove = self.removing(thing)

        async def look(step: SetupStep, now: datetime) -> Answer:
            if thing.kind == "Folder" and (waiting := await self._used_folder(thing, now)):
                return waiting
            answer = await remove(step, now)
            if not isinstance(answer, Nudge):
                return answer
            if users := await self._users_of(thing):
                return _in_use(thing, users, now)
            return replace(answer, act=partial(self._unless_used, thing, answer))

        return look

    async def _used_folder(self, thing: Thing, now: datetime) -> Waiting | None:
        if not self.neighbours.is_used(thing):
            return None
        found = await (await self._opener(thing)()).find()
        is_ours = found is not None and thing.marker.is_same_owner(found.marker)
        return _in_use(thing, "other settings", now) if is_ours else None

    async def _users_of(self, thing: Thing) -> str:
        """Say what uses a thing, as far as its system lets it go all the same; empty when nothing does."""
        match thing.kind:
            case "Job":
                folder, _, name = thing.name.rpartition("/")
                items = await self.systems.removable_items(thing.where)
                if await items.is_building(JobPath(folder, name)):
                    return "a build that runs there"
                return _A_FOLLOWER if self.neighbours.is_followed(thing) else ""
            case "Repository":
                projects = await self.systems.removable_projects(thing.where)
                users = await projects.list_users(thing.name, thing.place)
                return f"Application {users[0]}" if users else ""
            case _:
                return ""

    async def _unless_used(self, thing: Thing, nudge: Nudge) -> Facts:
        return {} if await self._users_of(thing) else await nudge.act()

    def removing_records(
        self, where: Where, domain: str, marker: Marker, policy: Policy, shown_at: datetime | None = None
    ) -> Look:
        """Return how all records of a resource in a zone go; see `GoingRecords` for `shown_at`."""

        async def look(step: SetupStep, now: datetime) -> Answer:
            records = await self.systems.removable_records(where)
            ours = GoingRecords(records=records, domain=domain, marker=marker, policy=policy, shown_at=shown_at)
            return await ours.look(step, now)

        return look

    def sweeping(self, thing: Thing) -> Look:
        """Return how a leftover goes: by its very uid, and only while nobody has taken it over."""
        look = (
            self._swept_record(thing) if thing.kind == "Record" else self._look(thing, partial(_is_same, thing.marker))
        )

        async def careful(step: SetupStep, now: datetime) -> Answer:
            if await self.neighbours.has_taken_over(thing):
                return Done(message="taken over by the resource that was made anew")
            if thing.kind == "Folder" and self.neighbours.has_leftovers(thing):
                return Waiting(
                    f"what is left in {thing} to be gone", now + SOON, reason="Removing", system=thing.system
                )
            if self._is_followed(thing):
                return _in_use(thing, _A_FOLLOWER, now)
            answer = await look(step, now)
            if isinstance(answer, Nudge):
                return replace(answer, act=partial(self._unless_taken_over, thing, answer))
            return answer

        return careful

    async def _unless_taken_over(self, thing: Thing, nudge: Nudge) -> Facts:
        is_wanted = await self.neighbours.has_taken_over(thing) or self._is_followed(thing)
        return {} if is_wanted else await nudge.act()

    def _is_followed(self, thing: Thing) -> bool:
        """Tell whether a deployment that goes on has its build there: it may use a job before its settings do."""
        return thing.kind == "Job" and self.neighbours.is_followed(thing)

    def _look(self, thing: Thing, is_ours: Whose) -> Look:
        if thing.kind == "Folder":
            return self._folder(thing, is_ours)
        return going(thing, self._opener(thing), is_ours)

    def _folder(self, thing: Thing, is_ours: Whose) -> Look:
        """Let a folder go when it is ours, or one of ours whose maker is gone, and nobody uses it."""

        def is_to_go(found: Marker | None) -> bool:
            has_nobody = found is not None and self.neighbours.has_lost_owner(found, thing.marker)
            return (is_ours(found) or has_nobody) and not self.neighbours.is_used(thing)

        return going(thing, self._opener(thing), is_to_go)

    def _opener(self, thing: Thing) -> Callable[[], Awaitable[Removable]]:
        async def open_() -> Removable:
            match thing.kind:
                case "Application":
                    return GoingApplication(await self.systems.removable_applications(thing.where), thing)
                case "AppProject":
                    return GoingProject(await self.systems.removable_projects(thing.where), thing)
                case "Repository":
                    return GoingRepository(await self.systems.removable_projects(thing.where), thing)
                case _:
                    return removable_item(await self.systems.removable_items(thing.where), thing)

        return open_

    def _swept_record(self, thing: Thing) -> Look:
        async def look(step: SetupStep, now: datetime) -> Answer:
            name = name_in_zone(thing.name, thing.place)
            if name is None:
                return Done(message="not a name of the zone")
            records = await self.systems.removable_records(thing.where)
            gone = GoingRecords(records=records, domain=thing.place, marker=thing.marker, by_uid=True, only=name)
            return await gone.look(step, now)

        return look


def _in_use(thing: Thing, users: str, now: datetime) -> Waiting:
    what = f"{thing} to go, which is not wanted any more and is used by {users}"
    return Waiting(what, now + _LATER, reason=Busy.__name__, system=thing.system)


def _is_same(marker: Marker, found: Marker | None) -> bool:
    return found == marker
