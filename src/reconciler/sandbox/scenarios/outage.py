"""outage: Argo CD goes away in the middle of deployments; they wait, say so, and go on by themselves."""

import asyncio

from reconciler.sandbox.samples import SHOP, Request
from reconciler.sandbox.scenarios.play import Play, Scenario
from reconciler.sandbox.weather import Weather

_SYSTEM = "argocd"
_SHORTEST, _LONGEST = 1.0, 3.0


async def play(play: Play) -> None:
    """Take Argo CD away once every environment's first build has begun; bring it back when all are seen to wait."""
    await play.initialize(SHOP)
    weather = play.world.argocd.faults.weather
    sites = [SHOP.sites[number % len(SHOP.sites)].name for number in range(max(1, play.operations - 1))]
    requests = [await play.deploy(SHOP.name, site) for site in sites]
    first = [requests[sites.index(site)] for site in dict.fromkeys(sites)]
    play.world.set_weather(Weather.DOWN, _SYSTEM)
    await play.sandbox.until(lambda: all(_waits_visibly(play, request) for request in first))
    await asyncio.sleep(play.dice.uniform(_SHORTEST, _LONGEST))
    for request in first:
        view = play.view(request)
        play.expect(view and not view.is_over, f"{request.operation_id} ended while Argo CD was away")
    play.world.set_weather(weather, _SYSTEM)
    for request in requests:
        play.expect_end(await play.ended(request), "Succeeded")
    for request in first:
        truths = _conditions(play, request)
        play.expect(truths.get("ArgoReachable") == "True", f"{request.operation_id}: ArgoReachable was not put right")


def _waits_visibly(play: Play, request: Request) -> bool:
    """Tell whether a deployment waits for Argo CD, says so and knows when it looks next."""
    body = play.sandbox.read("DeploymentRecord", request.operation_id)
    status = (body or {}).get("status") or {}
    is_told = _SYSTEM in status.get("waitingFor", "") and bool(status.get("nextLookAt"))
    return is_told and _conditions(play, request).get("ArgoReachable") == "False"


def _conditions(play: Play, request: Request) -> dict[str, str]:
    body = play.sandbox.read("DeploymentRecord", request.operation_id) or {}
    return {one["type"]: one["status"] for one in (body.get("status") or {}).get("conditions") or []}


OUTAGE = Scenario(
    "outage",
    "Argo CD is away for a while: deployments wait and say so, and go on by themselves, with one sync each.",
    play,
    operations=3,
)
