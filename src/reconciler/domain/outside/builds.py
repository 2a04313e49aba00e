"""Builds, jobs and folders of a build server."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.domain.ownership import Marker


@dataclass(frozen=True, slots=True)
class JobPath:
    """Where a job is: `<folder>/<name>`; the folder may be nested with `/`."""

    folder: str
    name: str


@dataclass(frozen=True, slots=True)
class BuildKey:
    """The identity of a build: the parameters by which it is found again. The tag holds the attempt."""

    operation_id: str
    component: str
    image_tag: str


class BuildState(StrEnum):
    """How far a build is."""

    QUEUED = "queued"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    ABORTED = "aborted"
    """Stopped, cancelled in the queue, not built, or its agent was lost: another attempt may help."""


@dataclass(frozen=True, slots=True)
class Build:
    """One build, queued or run.

    Attributes:
        number: the build's number; None while queued.
        queue_id: the queue item's id, where known.
        message: why it is queued, or how it ended.
    """

    key: BuildKey
    state: BuildState
    number: int | None = None
    queue_id: int | None = None
    url: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class JobShape:
    """What a job should be like; compared after the server's own normalisation.

    Attributes:
        script: the pipeline itself where it is inline; empty when `script_path` names it in git.
        parameters: names of the string parameters the job must accept.
    """

    git_url: str
    branch: str
    script_path: str = "Jenkinsfile"
    script: str = ""
    credentials_id: str = ""
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is. `shape` is None when it is of a kind that we do not make."""

    path: JobPath
    marker: Marker | None
    shape: JobShape | None
    url: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder as it is; `holds` names something in it, empty when nothing is."""

    path: str
    marker: Marker | None
    holds: str = ""


@dataclass(frozen=True, slots=True)
class Credential:
    """A credential as it is; its secret never comes back."""

    id: str
    marker: Marker | None


@dataclass(frozen=True, slots=True)
class GitLogin:
    """Credentials for git, handed on to build server and deployment tool. Reprs hide the secrets.

    Attributes:
        version: of the Secret they come from; empty where they are the operator's own. It tells a change, for the
            secrets themselves never come back from where they were handed on to.
    """

    id: str
    username: str = ""
    password: str = field(default="", repr=False)
    ssh_private_key: str = field(default="", repr=False)
    version: str = ""


Parameters = Mapping[str, str]
