"""Verify: one GET of the public address, only to hosts below the environment's domain, only where it is asked for."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from reconciler.deployments.scene import Scene
from reconciler.domain.answers import Answer, Done, Skipped, Waiting
from reconciler.domain.resources import Component, StageStatus
from reconciler.domain.wanted import address_of

_LOOK_AGAIN = timedelta(seconds=5)


class Probe(Protocol):
    """Asks public addresses."""

    async def status_of(self, url: str) -> int:
        """Return the HTTP status of a GET without redirects. Raises Unavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyStage:
    """Believes an address when it answers as expected."""

    probe: Probe

    async def look(self, scene: Scene, component: Component, _: StageStatus) -> Answer:
        """Answer with the status that the address gives."""
        wanted, address = scene.environment.spec.verify, address_of(scene.environment, component)
        if wanted is None or not address:
            return Skipped("no check is asked for" if address else "no address")
        status = await self.probe.status_of(f"{address}{wanted.path}")
        if status == wanted.status:
            return Done({"url": address}, f"answers {status}")
        what = f"{address} to answer {wanted.status}, now {status}"
        return Waiting(what, scene.now + _LOOK_AGAIN, reason="NotServed", system="address")
