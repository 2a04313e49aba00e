"""What carries our marks outside, and since when: by that it is judged who removes it, and what is left behind."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.world import World

from reconciler.domain.keys import CONFIG_MAP, Body
from reconciler.domain.leftovers import leftover_of
from reconciler.domain.ownership import Marker

if TYPE_CHECKING:
    from tests.simulation.kube import KubeApi

UNSEEN = 100.0
"""So many seconds may what somebody did stand and still be lost to what we do: the read before ours lags, answers take
their time, and who is frozen for less than the lease goes on. Where nothing is slow that is 2 s (DESIGN, rule 6)."""
Name = tuple[str, str]
"""Kind and name, as inventories and leftovers have them."""


@dataclass(frozen=True, slots=True)
class _Carried:
    marker: Marker | None
    since: float


class Belongings:
    """Told by the models what is there; asked by the judges."""

    def __init__(self, world: World, kube: "KubeApi") -> None:
        self._world, self._kube = world, kube
        self._carried: dict[Name, _Carried] = {}
        kube.listeners.append(self._stored)

    # What the models tell.

    def carries(self, kind: str, name: str, marker: Marker | None) -> None:
        """Hear that something is there under a mark, or under none: then it is somebody else's."""
        known = self._carried.get((kind, name))
        if known is None or known.marker != marker:
            self._carried[kind, name] = _Carried(marker, self._world.loop.time())

    def is_gone(self, kind: str, name: str) -> None:
        """Hear that something is not there any more."""
        self._carried.pop((kind, name), None)

    # What is judged.

    def removes(self, process: str, what: Name, owner: Marker, *, is_sweep: bool) -> None:
        """Rule 6: its maker removes what is its own, of whatever incarnation; a sweep only what has the very mark.

        A folder is removed by the last who uses it, whoever made it.
        """
        carried = self._carried.get(what)
        if carried is None or self._world.loop.time() < carried.since + UNSEEN:
            return
        marker = carried.marker
        is_right = marker == owner if is_sweep else owner.is_same_owner(marker)
        if what[0] == "Folder" and marker is not None:
            is_right = is_right or not self._lives(marker.uid)
        if not is_right:
            word = "sweeps" if is_sweep else "removes"
            kind, name = what
            self._world.fail("rule 6", f"{process} {word} {kind} {name} for {owner.uid}, and it carries {marker}")

    def check_ends(self) -> None:
        """Rule 3, at the end: what is ours is somebody's who is there. A folder stays as it is for whoever uses it.

        What is in the inventory of who was made anew under its maker's name goes with that, marked anew or not.
        """
        there = {body["metadata"]["uid"] for body in self._kube.objects.values()}
        used = {body["spec"]["folder"] for body in self._kube.all_of("JenkinsSettings")}
        for (kind, name), one in self._carried.items():
            is_used = kind == "Folder" and name in used
            if one.marker is None or one.marker.uid in there or is_used:
                continue
            if not self._is_taken_over(kind, name, one.marker):
                self._world.fail("rule 3", f"{kind} {name} of {one.marker} is left behind outside")

    def _is_taken_over(self, kind: str, name: str, marker: Marker) -> bool:
        body = self._kube.get(marker.kind, marker.name) or {}
        inventory = body.get("status", {}).get("inventory") or ()
        return any((item["kind"], item["name"]) == (kind, name) for item in inventory)

    def _stored(self, before: Body | None, after: Body | None) -> None:
        """Rule 7: who goes leaves nothing behind that is not on record."""
        if before is None and after is not None and after["kind"] == CONFIG_MAP.kind:
            self._world.note(f"left behind: {after['data']['kind']} {after['data']['name']}", count="leftovers")
        if before is None or after is not None:
            return
        if before["kind"] == CONFIG_MAP.kind:
            self._world.note(f"leftover {before['data']['kind']} {before['data']['name']} is swept", count="swept")
            return
        uid = before["metadata"]["uid"]
        left = [name for name, one in self._carried.items() if one.marker is not None and one.marker.uid == uid]
        for kind, name in left:
            if not self._is_on_record(kind, name, uid):
                gone = f"{before['kind']} {before['metadata']['name']} of {uid}"
                self._world.fail("rule 7", f"{gone} is gone, and {kind} {name} is left, on no record")

    def _is_on_record(self, kind: str, name: str, uid: str) -> bool:
        records = (leftover_of(body) for body in self._kube.all_of(CONFIG_MAP.kind))
        things = (one.thing for one in records if one is not None)
        return any((one.kind, one.name, one.marker.uid) == (kind, name, uid) for one in things)

    def _lives(self, uid: str) -> bool:
        bodies = (body["metadata"] for body in self._kube.objects.values())
        return any(one["uid"] == uid and not one.get("deletionTimestamp") for one in bodies)
