"""Who else lives: whether a folder or a job is used, and whether a thing was taken over by a resource made anew."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reconciler.domain.errors import NotFound
from reconciler.domain.keys import CONFIG_MAP, Body, Key
from reconciler.domain.leftovers import is_leftover, leftover_of
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import DeploymentRecord, JenkinsSettings, Place, StepState
from reconciler.domain.things import Thing
from reconciler.engine.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """Asks the store about other resources than the one whose things go.

    Attributes:
        own_endpoints: of the operator, by system: what an empty endpoint stands for.
    """

    store: Store
    own_endpoints: Mapping[str, str]

    def endpoint(self, system: str, named: str) -> str:
        """Return an endpoint in the one way in which endpoints are compared."""
        return (named or self.own_endpoints.get(system, "")).rstrip("/")

    def is_used(self, folder: Thing) -> bool:
        """Tell whether somebody who stays builds in a folder, or below it."""
        where = self.endpoint(folder.system, folder.where.endpoint)
        for body in self.store.list_(JenkinsSettings.kind):
            spec, metadata = body.get("spec") or {}, body["metadata"]
            if metadata["uid"] == folder.marker.uid or metadata.get("deletionTimestamp"):
                continue
            if self.endpoint(folder.system, spec.get("endpoint") or "") != where:
                continue
            if f"{spec.get('folder', '')}/".startswith(f"{folder.name}/"):
                return True
        return False

    def is_followed(self, job: Thing) -> bool:
        """Tell whether a deployment that goes on asked for a build in a job, and has not seen its end.

        It may have ended there: whoever takes the job away takes the news of that away as well.
        """
        where = self.endpoint(job.system, job.where.endpoint)
        records = self.store.list_(DeploymentRecord.kind, job.marker.namespace, active_only=True)
        return any(
            (self.endpoint(job.system, place.endpoint), place.name) == (where, job.name)
            for record in records
            for place in _places_in(record)
        )

    def has_lost_owner(self, marker: Marker, ours: Marker) -> bool:
        """Tell whether a thing was made by a resource of the same kind and operator that is not there any more.

        The last who uses a folder takes it away, whoever made it.
        """
        if (marker.owner, marker.kind) != (ours.owner, ours.kind):
            return False
        body = self.store.read(Key(marker.kind, marker.namespace, marker.name))
        return body is None or bool(body["metadata"].get("deletionTimestamp"))

    def has_leftovers(self, folder: Thing) -> bool:
        """Tell whether something else is left in a folder, which goes first."""
        left = (leftover_of(body) for body in self.store.list_(CONFIG_MAP.kind) if is_leftover(body))
        things = (one.thing for one in left if one is not None)
        return any(
            thing.where.endpoint == folder.where.endpoint and thing.name.startswith(f"{folder.name}/")
            for thing in things
            if thing.system == folder.system
        )

    async def has_taken_over(self, thing: Thing) -> bool:
        """Tell whether a resource made anew under the same name has the thing in its inventory: it removes it itself.

        Asked of the API server, not of a cache: what is made anew writes what it will use before it uses it.
        """
        marker = thing.marker
        try:
            body = await self.store.fetch(Key(marker.kind, marker.namespace, marker.name))
        except NotFound:
            return False
        return body["metadata"]["uid"] != marker.uid and self._has(body, thing)

    def _has(self, body: Body, thing: Thing) -> bool:
        """Tell whether an inventory has the very thing: what is of its name elsewhere is another one."""
        inventory = (body.get("status") or {}).get("inventory") or ()
        of_its_name = (item for item in inventory if (item["kind"], item["name"]) == (thing.kind, thing.name))
        if thing.kind == "Record":
            return any(item.get("place", "") == thing.place for item in of_its_name)
        where = self.endpoint(thing.system, thing.where.endpoint)
        return any(self.endpoint(thing.system, item.get("endpoint") or "") == where for item in of_its_name)


def _places_in(record: Body) -> Iterator[Place]:
    """Yield where the stages of a deployment that have not ended claimed something."""
    for stage in (record.get("status") or {}).get("stages") or ():
        place = (stage.get("claim") or {}).get("place")
        if place and not StepState(stage["state"]).is_end:
            yield Place.model_validate(place)
