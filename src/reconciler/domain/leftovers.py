"""Leftovers: external objects that could not be removed in time, kept as ConfigMaps until they can. Pure.

The name of a leftover derives from what is left and where, so the same leftover twice is one.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from reconciler.domain.clock import rfc3339
from reconciler.domain.keys import CONFIG_MAP, Body, Key
from reconciler.domain.names import GROUP
from reconciler.domain.ownership import find_marker
from reconciler.domain.resources import SetupStep
from reconciler.domain.things import Thing, Where
from reconciler.domain.words import cut

LABEL = f"{GROUP}/leftover"
"""On each leftover; its value is the system."""
_PREFIX = "leftover-"


@dataclass(frozen=True, slots=True)
class Leftover:
    """One leftover.

    Attributes:
        thing: what is left, and where.
        why: why it could not be removed, as it was last seen.
        since: when it was given up.
        attempts: sweeps so far.
        step: the sweep's own step, with its claim and its next look.
        handled: the last token of the annotation that was heard.
    """

    thing: Thing
    why: str
    since: datetime
    attempts: int = 0
    step: SetupStep = field(default_factory=lambda: SetupStep(name="sweep"))
    handled: str = ""

    @property
    def name(self) -> str:
        """The name of its ConfigMap."""
        thing = self.thing
        where = f"{thing.where.endpoint}\n{thing.place}"
        told = f"{thing.system}\n{where}\n{thing.kind}\n{thing.name}\n{thing.marker.text()}"
        return f"{_PREFIX}{thing.system}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    def entries(self) -> dict[str, str]:
        """Return the ConfigMap's `data`."""
        thing, where = self.thing, self.thing.where
        return {
            "system": thing.system,
            "endpoint": where.endpoint,
            "provider": where.provider,
            "kind": thing.kind,
            "name": thing.name,
            "place": thing.place,
            "marker": thing.marker.text(),
            "uid": thing.marker.uid,
            "credentialsRef": f"{where.namespace}/{where.secret}" if where.secret else "",
            "why": cut(self.why),
            "since": rfc3339(self.since),
            "attempts": str(self.attempts),
            "step": self.step.model_dump_json(by_alias=True, exclude_none=True),
            "handled": self.handled,
        }


def body_of(leftover: Leftover, namespace: str) -> Body:
    """Write a leftover as a ConfigMap."""
    return {
        "apiVersion": CONFIG_MAP.api_version,
        "kind": CONFIG_MAP.kind,
        "metadata": {
            "name": leftover.name,
            "namespace": namespace,
            "labels": {LABEL: leftover.thing.system},
        },
        "data": leftover.entries(),
    }


def is_leftover(body: Mapping[str, Any] | None) -> bool:
    """Tell whether a body is a leftover's."""
    return body is not None and body.get("kind") == CONFIG_MAP.kind and LABEL in (body["metadata"].get("labels") or {})


def is_leftover_key(key: Key) -> bool:
    """Tell by its name whether a resource is a leftover."""
    return key.kind == CONFIG_MAP.kind and key.name.startswith(_PREFIX)


def leftover_of(body: Mapping[str, Any]) -> Leftover | None:
    """Read a ConfigMap; None where it does not say what is left, or whose it is."""
    told = body.get("data") or {}
    marker = find_marker(told.get("marker", ""))
    try:
        namespace, _, secret = told.get("credentialsRef", "").rpartition("/")
        where = Where(told.get("endpoint", ""), namespace, secret, told.get("provider", ""))
        if marker is None or marker.uid != told["uid"]:
            return None
        thing = Thing(told["system"], told["kind"], told["name"], told.get("place", ""), where, marker)
        since, attempts = datetime.fromisoformat(told["since"]), int(told.get("attempts") or 0)
        step = SetupStep.model_validate_json(told.get("step") or '{"name": "sweep"}')
    except (KeyError, ValueError, ValidationError):
        return None
    return Leftover(thing, told.get("why", ""), since, attempts, step, told.get("handled", ""))
