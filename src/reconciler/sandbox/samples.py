"""Ready-made requests for realistic projects: what a back office sends."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import orjson

from reconciler.domain.messages import EventType
from reconciler.domain.names import host_name
from reconciler.sandbox.world import DOMAIN

_PEOPLE = ("anna", "ben", "chloe", "deniz")


@dataclass(frozen=True, slots=True)
class Request:
    """One message, before it is written down."""

    type: EventType
    payload: Mapping[str, Any]
    sent_at: datetime

    @property
    def operation_id(self) -> str:
        """The operation it asks for."""
        return str(self.payload["operation_id"])

    @property
    def project(self) -> str:
        """The project it is about."""
        return str(self.payload.get("project") or self.payload.get("name"))

    @property
    def environment(self) -> str:
        """The environment it is about, `-` for a set-up."""
        return str(self.payload.get("environment", "-"))

    @property
    def components(self) -> tuple[str, ...]:
        """The components it names; none is all."""
        return tuple(self.payload.get("components", ()))

    def with_(self, sent_at: datetime | None = None, **payload: Any) -> "Request":
        """Return one that differs in something."""
        return replace(self, payload={**self.payload, **payload}, sent_at=sent_at or self.sent_at)

    def document(self) -> dict[str, Any]:
        """Return the message as JSON."""
        stamp = self.sent_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "event_type": self.type.value,
            "event_id": f"{self.operation_id}-{int(self.sent_at.timestamp())}",
            "timestamp": stamp,
            "payload": dict(self.payload),
        }

    def body(self) -> bytes:
        """Return the message as it goes over the wire."""
        return orjson.dumps(self.document())


@dataclass(frozen=True, slots=True)
class Part:
    """A component of a sample project."""

    name: str
    path: str
    port: int
    host: str


@dataclass(frozen=True, slots=True)
class Site:
    """An environment of a sample project."""

    name: str
    domain: str
    target: str
    wishes: Mapping[str, Any] = field(default_factory=dict)
    """What else its declaration says."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A project as people have them: two components, two environments."""

    name: str
    title: str
    parts: tuple[Part, ...]
    sites: tuple[Site, ...]

    def spec(self) -> dict[str, Any]:
        """Return the spec of its DevOpsProject."""
        return {
            "displayName": self.title,
            "git": {"url": f"https://git.{DOMAIN}/{self.name}/{self.name}.git", "branch": "main"},
            "components": [
                {"name": part.name, "path": part.path, "port": part.port, "host": part.host} for part in self.parts
            ],
            "environments": [
                {"name": site.name, "domain": site.domain, "dnsTarget": site.target, **site.wishes}
                for site in self.sites
            ],
        }

    def wishing(self, **wishes: Any) -> "Sample":
        """Return the same project, all environments of which are declared with something more."""
        return replace(self, sites=tuple(replace(site, wishes=wishes) for site in self.sites))

    def records(self, environment: str) -> dict[str, str]:
        """Return the DNS records of an environment: names within the zone, and what they point to."""
        site = next(site for site in self.sites if site.name == environment)
        hosts = (host_name(part.host, site.domain) for part in self.parts)
        return {host.removesuffix(f".{DOMAIN}"): site.target for host in hosts}


SHOP = Sample(
    "shop",
    "Acme Shop",
    (Part("api", "services/api", 8080, "api"), Part("web", "services/web", 3000, "@")),
    (Site("alpha", f"alpha.shop.{DOMAIN}", "203.0.113.10"), Site("prod", f"shop.{DOMAIN}", "203.0.113.20")),
)
BOOKS = Sample(
    "books",
    "Acme Books",
    (Part("catalog", "catalog", 8080, "catalog"), Part("ui", "ui", 3000, "@")),
    (Site("alpha", f"alpha.books.{DOMAIN}", "203.0.113.10"), Site("prod", f"books.{DOMAIN}", "203.0.113.20")),
)
SAMPLES = (SHOP, BOOKS)


class Requests:
    """Makes requests whose ids, revisions and senders follow from a seed."""

    def __init__(self, dice: Random) -> None:
        self._dice = dice

    def initialize(self, sample: Sample, now: datetime) -> Request:
        """Ask for a project to be set up."""
        payload = {
            "operation_id": f"init-{self._hex(8)}",
            "name": sample.name,
            "spec": sample.spec(),
            "requested_by": self._person(),
        }
        return Request(EventType.INITIALIZE, payload, now)

    def deploy(self, project: str, environment: str, now: datetime) -> Request:
        """Ask for a revision to be deployed."""
        payload = {
            "operation_id": f"op-{self._hex(8)}",
            "project": project,
            "environment": environment,
            "revision": self._hex(40),
            "requested_by": self._person(),
        }
        return Request(EventType.RECONCILE, payload, now)

    def _hex(self, digits: int) -> str:
        return f"{self._dice.getrandbits(4 * digits):0{digits}x}"

    def _person(self) -> str:
        return f"{self._dice.choice(_PEOPLE)}@{DOMAIN}"
