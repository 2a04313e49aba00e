"""What a Jenkins holds: folders and jobs in a tree, queue items, builds. State only; time is handled in `works`."""

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote

from reconciler.sandbox.jenkins.configuration import FOLDER, PIPELINE, Configuration

UNSAFE = "?*/\\%!@#$^&|<>[]:;"


class Result(StrEnum):
    """How a build ended."""

    SUCCESS = "SUCCESS"
    UNSTABLE = "UNSTABLE"
    FAILURE = "FAILURE"
    NOT_BUILT = "NOT_BUILT"
    ABORTED = "ABORTED"


Values = dict[str, str]


@dataclass(eq=False)
class Build:
    """One run of a job. Times are seconds since the epoch.

    Attributes:
        plan: the result it is going to have.
        result_at: when the result is set; a pipeline's `post` section runs on after that.
        ends_at: when it has ended.
        result: None until it is set.
    """

    job: "Job"
    number: int
    queue_id: int
    values: Values
    started_at: float
    plan: Result
    result_at: float
    ends_at: float
    result: Result | None = None
    is_building: bool = True
    resists_stop: bool = False


@dataclass(eq=False)
class QueueItem:
    """One wish to build. Times are seconds since the epoch."""

    id: int
    job: "Job"
    values: Values
    since: float
    due: float
    left_at: float | None = None
    is_cancelled: bool = False
    why: str = ""
    build: Build | None = None


@dataclass(eq=False)
class Item:
    """A folder or a job; the root is a folder without parent and configuration."""

    name: str
    parent: "Folder | None"
    configuration: Configuration | None

    @property
    def path(self) -> str:
        """The full name, `folder/name`; empty for the root."""
        above = self.parent.path if self.parent else ""
        return f"{above}/{self.name}" if above else self.name

    @property
    def url_path(self) -> str:
        """The path of its URL, with slashes at both ends."""
        return (self.parent.url_path if self.parent else "/") + (
            f"job/{quote(self.name, safe='')}/" if self.name else ""
        )


@dataclass(eq=False)
class Folder(Item):
    """Holds items."""

    children: dict[str, Item] = field(default_factory=dict)

    def find(self, names: list[str]) -> Item | None:
        """Return the item that the names lead to, from here."""
        here: Item | None = self
        for name in names:
            here = here.children.get(name) if isinstance(here, Folder) else None
        return here

    def jobs_below(self) -> list["Job"]:
        """Return all jobs in the folder and the folders within."""
        found: list[Job] = []
        for child in self.children.values():
            found += child.jobs_below() if isinstance(child, Folder) else [child] if isinstance(child, Job) else []
        return found


@dataclass(eq=False)
class Job(Item):
    """Can be built. `builds` is newest first; a copy cannot be built until it was saved once."""

    builds: list[Build] = field(default_factory=list)
    next_number: int = 1
    is_held_off: bool = False

    @property
    def is_buildable(self) -> bool:
        """Whether a build may be asked for."""
        return not self.is_held_off and not (self.configuration and self.configuration.is_disabled)

    @property
    def is_pipeline(self) -> bool:
        """Whether it is a pipeline."""
        return self.configuration is not None and self.configuration.kind == PIPELINE


def make_item(name: str, parent: Folder, configuration: Configuration) -> Item:
    """Make the item that a configuration describes and put it in its folder."""
    kind = Folder if configuration.kind == FOLDER else Job
    item = kind(name, parent, configuration)
    parent.children[name] = item
    return item


def why_unsafe(name: str) -> str:
    """Return why a name cannot be used; empty when it can."""
    if not name.strip():
        return "No name is specified"
    for letter in name:
        if letter in UNSAFE:
            return f"\u2018{letter}\u2019 is an unsafe character"
        if ord(letter) < 32:
            return "No control code is allowed"
    return "A name cannot end with \u2018.\u2019" if name.endswith(".") else ""
