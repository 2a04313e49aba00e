"""A person whose project uses a server of its own: settings made by hand that name an endpoint, and a Secret, or not.

The Secret is there at once, or comes late; or the settings name none for a while, as those may that are older than the
rule by which the API server refuses that. It may be changed at any time.
"""

# ruff: noqa: S311 - dice, not secrets

import base64
from random import Random
from typing import Any

from tests.simulation.credentials import secret_of
from tests.simulation.dns import DOMAIN
from tests.simulation.kube import KubeApi
from tests.simulation.world import SPACE, World

from reconciler.domain.keys import CONFIG_MAP, SECRET, Key, key_of

_SHARE = 0.12
"""Of the runs in which somebody does so."""
_KEYS = {
    "JenkinsSettings": ("username", "token"),
    "ArgoSettings": ("token",),
    "ContainerRegistry": ("username", "password"),
    "DNSZone": ("key", "secret"),
}
_SPECS: dict[str, dict[str, Any]] = {
    "JenkinsSettings": {"projectRef": "shop", "folder": "freeleaps"},
    "ArgoSettings": {"projectRef": "shop"},
    "ContainerRegistry": {"provider": "DockerHub", "namespace": "acme"},
    "DNSZone": {"domain": DOMAIN},
}
_NAME = "own-server"


class OwnServers:
    """The person. What they do is drawn from dice of their own."""

    def __init__(self, world: World, kube: KubeApi) -> None:
        self._world, self._kube = world, kube
        self._dice = Random(f"own servers {world.seed}")
        self._kind = ""
        self._versions = 0

    def move_in(self) -> None:
        """Make the settings before the project that uses them, and put the rest on the clock."""
        dice, at = self._dice, self._world.loop.call_in_world
        if dice.random() >= _SHARE:
            return
        self._kind = dice.choice(tuple(_KEYS))
        late = dice.uniform(30, 600)
        match dice.choice(("at once", "at once", "late Secret", "late reference")):
            case "at once":
                self._write_secret()
                self._make({"name": _NAME})
            case "late Secret":
                self._make({"name": _NAME})
                at(late, self._write_secret)
            case _:
                self._write_secret()
                self._make(None)
                at(late, self._refer_to_secret)
        if dice.random() < 0.4:
            at(dice.uniform(late, self._world.calm_at), self._write_secret)

    def correct_leftovers(self) -> None:
        """Say in what was left behind before there were credentials with which it can be reached, as a person does."""
        for body in self._kube.all_of(CONFIG_MAP.kind):
            if self._kind and body["data"]["endpoint"] == self._origin and not body["data"]["credentialsRef"]:
                self._kube.edit(key_of(body), {"data": {"credentialsRef": f"{SPACE}/{_NAME}"}})

    @property
    def _origin(self) -> str:
        return f"https://{self._kind.lower()}.acme.example"

    def _make(self, reference: dict[str, str] | None) -> None:
        spec = {**_SPECS[self._kind], "endpoint": self._origin}
        spec |= {"credentialsRef": reference} if reference else {}
        self._world.note(f"somebody makes {self._kind} shop for {self._origin}", count="own servers")
        self._kube.apply({"kind": self._kind, "metadata": {"name": "shop", "namespace": SPACE}, "spec": spec})

    def _refer_to_secret(self) -> None:
        self._world.note(f"somebody names the Secret in {self._kind} shop")
        self._kube.edit(Key(self._kind, SPACE, "shop"), {"spec": {"credentialsRef": {"name": _NAME}}})

    def _write_secret(self) -> None:
        """Make the Secret, or change it."""
        self._versions += 1
        self._world.note(f"somebody writes a Secret, version {self._versions}")
        value = base64.b64encode(secret_of(self._origin, self._versions).encode()).decode()
        data, key = dict.fromkeys(_KEYS[self._kind], value), Key(SECRET.kind, SPACE, _NAME)
        if key in self._kube.objects:
            self._kube.edit(key, {"data": data})
        else:
            self._kube.apply({"kind": key.kind, "metadata": {"name": _NAME, "namespace": SPACE}, "data": data})
