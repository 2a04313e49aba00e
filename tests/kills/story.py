"""A project's life as its people see it, whoever dies meanwhile: set up, deployed, rolled back, cancelled, removed."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from reconciler.domain.errors import NotFound, ReconcilerError
from reconciler.domain.keys import named
from reconciler.domain.names import application_name, record_name
from support.clusters import until
from support.town import Town, is_ready

COMPONENTS = ("api", "worker")
ENVIRONMENT = "alpha"
TARGET = "203.0.113.7"
_FOR_EVER = 3600.0
"""Whoever runs the stories has less patience, and only after the last kill."""
_SECONDS_BETWEEN = 0.25
"""Many stories ask the process that all the systems live in, too."""


@dataclass
class Story:
    """One project.

    Attributes:
        name: the project's.
        has_address: whether one component has a public address.
        ends: in which ways each operation may end.
        bad: the operations whose messages must be among the dead letters.
        waits_for: what it waits for now.
    """

    town: Town
    name: str
    has_address: bool = False
    ends: dict[str, frozenset[str]] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)
    waits_for: str = ""

    async def live(self) -> None:
        """Live from the first message to the removal of the last trace."""
        if self.has_address:
            await self._own_folder()
        await self._initialize("init")
        await self._ended("init", "Succeeded")
        await self._deploy("good")
        await self._ended("good", "Succeeded")
        await self._send_nonsense()
        self.town.world.argocd.fail_syncs(application_name(self.name, ENVIRONMENT, COMPONENTS[0]))
        await self._deploy("broken")
        await self._ended("broken", "RolledBack")
        await self._initialize("change", preview={"ttl": "72h"})
        await self._deploy("cancelled")
        await self._cancel("cancelled")
        await self._ended("cancelled", "Cancelled", "Succeeded")
        await self._ended("change", "Succeeded")
        await self._by_hand()
        await self._remove()

    @property
    def folder(self) -> str:
        """The project's folder in Jenkins."""
        return f"team-{self.name}" if self.has_address else "freeleaps"

    async def _own_folder(self) -> None:
        """Make settings by hand, for a folder that is not there yet."""
        await self.town.engineer.apply(*self._settings, {"projectRef": self.name, "folder": self.folder})

    @property
    def _settings(self) -> tuple[str, str]:
        return "JenkinsSettings", f"{self.name}-jenkins"

    async def _initialize(self, operation: str, **more: Any) -> None:
        environment: dict[str, Any] = {"name": ENVIRONMENT, "rollback": "Automatic"}
        first: dict[str, Any] = {"name": COMPONENTS[0]}
        if self.has_address:
            environment |= {"domain": f"{self.name}.acme.example", "dnsTarget": TARGET}
            first |= {"port": 8080}
            more |= {"jenkinsRef": {"name": self._settings[1]}}
        spec = {
            "git": {"url": f"https://git.acme.example/{self.name}.git"},
            "components": [first, {"name": COMPONENTS[1]}],
            "environments": [environment],
            **more,
        }
        await self.town.office.initialize(self.name, spec, self._id(operation))

    async def _deploy(self, operation: str) -> None:
        await self.town.office.deploy(self._id(operation), self.name, ENVIRONMENT)

    async def _send_nonsense(self) -> None:
        """Send what can never be accepted: a dead letter, and an answer."""
        operation = self._id("bad")
        self.bad.add(operation)
        await self.town.office.deploy(operation, self.name, ENVIRONMENT, revision="main")
        await self._ended("bad", "Failed")

    async def _cancel(self, operation: str) -> None:
        """Say that a deployment is not wanted any more, as soon as it is there."""
        kind, name = named("DeploymentRecord"), record_name(self._id(operation))
        engineer = self.town.engineer

        async def said() -> bool:
            with suppress(ReconcilerError):
                await engineer.api.patch(kind, engineer.namespace, name, {"spec": {"cancel": True}})
                return True
            return False

        await self._eventually(said, f"{name} to be there")

    async def _by_hand(self) -> None:
        """Create a record without our finalizer, as kubectl does, and delete it when it has ended."""

        async def has_project() -> bool:
            project = await self.town.engineer.read("DevOpsProject", self.name)
            return bool(project) and is_ready(project)

        await self._eventually(has_project, "its project to be ready")
        operation = self._id("hand")
        await self.town.engineer.deploy(operation, ENVIRONMENT, self.name)
        await self._ended("hand", "Succeeded")
        await self.town.engineer.delete("DeploymentRecord", record_name(operation))
        await self._gone("DeploymentRecord", record_name(operation))

    async def _remove(self) -> None:
        await self.town.engineer.delete("DevOpsProject", self.name)
        await self._gone("DevOpsProject", self.name)
        if self.has_address:
            await self.town.engineer.delete(*self._settings)
            await self._gone(*self._settings)

    async def _ended(self, operation: str, *ways: str) -> None:
        name = self._id(operation)
        self.ends[name] = frozenset(ways)

        async def is_told() -> bool:
            return bool(self.town.office.ends_of(name))

        await self._eventually(is_told, f"the end of {name} to be told")

    async def _gone(self, kind: str, name: str) -> None:
        async def is_gone() -> bool:
            try:
                await self.town.engineer.api.get(named(kind), self.town.engineer.namespace, name)
            except NotFound:
                return True
            return False

        await self._eventually(is_gone, f"{kind} {name} to be gone")

    def _id(self, operation: str) -> str:
        return f"{self.name}-{operation}"

    async def _eventually(self, holds: Callable[[], Awaitable[bool]], what: str) -> None:
        self.waits_for = what
        await until(holds, _FOR_EVER, every=_SECONDS_BETWEEN)
        self.waits_for = ""
