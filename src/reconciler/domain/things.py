"""Things: external objects of ours, each with all that is needed to remove it when nothing else is left to ask."""

from dataclasses import dataclass

from reconciler.domain.ownership import Marker, find_marker
from reconciler.domain.resources import InventoryItem


@dataclass(frozen=True, slots=True)
class Where:
    """One endpoint under one credential.

    Attributes:
        endpoint: of the system; empty for the operator's own.
        namespace: of the Secret; empty without one.
        provider: of DNS, where systems of one sort speak differently; empty elsewhere.
        secret: its name; without one the operator's own credentials are meant, which go only to its own endpoint.
    """

    endpoint: str = ""
    namespace: str = ""
    secret: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Thing:
    """One external object.

    Attributes:
        system: `jenkins`, `argocd` or `dns`.
        kind: `Job`, `Credential`, `Folder`, `Application`, `AppProject`, `Repository` or `Record`.
        name: as the system knows it; of a record the whole host.
        place: what the name is within: the AppProject of an application or repository, the domain of a record.
        marker: whose it is; its uid says of which incarnation.
    """

    system: str
    kind: str
    name: str
    place: str
    where: Where
    marker: Marker

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def thing_of(item: InventoryItem, namespace: str, marker: Marker) -> Thing:
    """Return what an item of the inventory of a resource in a namespace stands for.

    Args:
        item: of the inventory.
        namespace: of the resource, and so of the Secret that the item names.
        marker: of the resource, for items that carry none that can be read.
    """
    where = Where(item.endpoint, namespace if item.credentials else "", item.credentials, item.provider)
    return Thing(item.system, item.kind, item.name, item.place, where, find_marker(item.marker) or marker)
