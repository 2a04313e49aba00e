"""What stands in the simulated systems, by their own lists: what is left of ours, and what others had and lost."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reconciler.sandbox.godaddy.zone import Record
from reconciler.sandbox.jenkins.configuration import read_configuration
from reconciler.sandbox.jenkins.items import Folder, Item, make_item
from reconciler.sandbox.world import DOMAIN, World

Standing = Mapping[str, frozenset[str]]
"""What is there, by the system that it is in; what can be changed in place is listed with its content."""

_FOREIGN_JOB = b"<flow-definition><description>Nightly, by the platform team</description></flow-definition>"
_FOREIGN_RECORD = Record("A", "mail", "203.0.113.99", 3600)


def plant_foreign(world: World) -> None:
    """Let somebody else have things where ours will stand: a job, and a record beside those of a parked domain."""
    make_item("nightly", world.jenkins.root, read_configuration(_FOREIGN_JOB))
    zone = world.godaddy.zone(DOMAIN)
    zone.set([*zone.records, _FOREIGN_RECORD])


def standing(world: World) -> Standing:
    """List everything that somebody made, but image repositories: nobody can delete those."""
    argo = world.argocd
    return {
        "Jenkins": frozenset(_items(world.jenkins.root)) | frozenset(_credentials(world)),
        "Argo CD": frozenset(
            (
                *(f"Application {name}" for name in argo.applications),
                *(f"AppProject {name}" for name in argo.projects),
                *(f"Repository {url} of {project}" for url, project in argo.repositories),
            )
        ),
        "GoDaddy": frozenset(
            f"{one.type} {one.name} {one.data} {one.ttl}" for one in world.godaddy.zone(DOMAIN).records
        ),
    }


@dataclass(frozen=True, slots=True)
class Remains:
    """How the world differs from before anything was asked for.

    Attributes:
        before: what stood there then.
        after: what stands there now.
        kept: image repositories, which Docker Hub has no documented way to delete.
    """

    before: Standing
    after: Standing
    kept: tuple[str, ...]

    @property
    def left(self) -> dict[str, list[str]]:
        """What is there now and was not, by system."""
        return {system: sorted(now - self.before[system]) for system, now in self.after.items()}

    @property
    def lost(self) -> dict[str, list[str]]:
        """What was there and is not any more, or is another, by system."""
        return {system: sorted(then - self.after[system]) for system, then in self.before.items()}

    @property
    def problems(self) -> Iterator[str]:
        """Yield what should not be."""
        yield from (f"left in {system}: {what}" for system, found in self.left.items() for what in found)
        yield from (f"foreign, lost in {system}: {what}" for system, gone in self.lost.items() for what in gone)

    def document(self) -> dict[str, object]:
        """Return it as JSON."""
        untouched = {system: len(then) - len(self.lost[system]) for system, then in self.before.items()}
        return {"left": self.left, "lost": self.lost, "untouched": untouched, "kept": list(self.kept)}

    def text(self) -> Iterator[str]:
        """Yield it in lines for a person."""
        for system, found in self.left.items():
            untouched = len(self.before[system]) - len(self.lost[system])
            ours = ", ".join(found) or "nothing"
            yield f"{system}: {ours} of ours is left, {untouched} of others' untouched"
        yield f"Docker Hub: {', '.join(self.kept) or 'nothing'} kept: it has no documented way to delete them"


def remains(world: World, before: Standing) -> Remains:
    """Compare the world with what stood there before."""
    return Remains(before, standing(world), tuple(world.dockerhub.repositories))


def _items(folder: Folder) -> Iterator[str]:
    for item in folder.children.values():
        yield f"{_kind(item)} {item.path}{_content(item)}"
        if isinstance(item, Folder):
            yield from _items(item)


def _kind(item: Item) -> str:
    return "Folder" if isinstance(item, Folder) else "Job"


def _content(item: Item) -> str:
    return f" ({item.configuration.description})" if item.configuration and item.configuration.description else ""


def _credentials(world: World) -> Iterator[str]:
    for folder, store in world.jenkins.stores.by_folder.items():
        is_there = not folder.path or world.jenkins.root.find(folder.path.split("/")) is folder
        yield from (f"Credential {folder.path}/{name}" for name in store.entries if is_there)
