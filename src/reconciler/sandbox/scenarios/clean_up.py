"""clean-up: a project is deployed, an environment expires, the project is deleted; nothing of ours is left."""

from reconciler.domain.annotations import EXPIRE
from reconciler.domain.keys import OUR_KINDS
from reconciler.domain.names import environment_name
from reconciler.domain.resources import EnvironmentPhase
from reconciler.sandbox.remains import plant_foreign
from reconciler.sandbox.samples import SHOP
from reconciler.sandbox.scenarios import first_deployment
from reconciler.sandbox.scenarios.play import Play, Scenario


async def farewell(play: Play) -> None:
    """Let the first environment end, as `reconciler expire` does, then delete the projects, as kubectl does."""
    site = environment_name(SHOP.name, SHOP.sites[0].name)
    async with play.chore(f"Expire environment {site}"):
        await play.sandbox.edit("Environment", site, {"metadata": {"annotations": {EXPIRE: "its-time-has-come"}}})
        await play.sandbox.until(lambda: _phase(play, site) == EnvironmentPhase.EXPIRED)
    projects = list(dict.fromkeys(request.project for request in play.sent))
    async with play.chore(f"Delete project {' and '.join(projects)}"):
        for project in projects:
            await play.sandbox.delete("DevOpsProject", project)
        await play.sandbox.until(lambda: not any(play.sandbox.names(kind) for kind in OUR_KINDS))


def _phase(play: Play, environment: str) -> str:
    body = play.sandbox.read("Environment", environment) or {}
    return str((body.get("status") or {}).get("phase", ""))


CLEAN_UP = Scenario(
    "clean-up",
    "A project is set up and deployed to two environments, then all of it is removed again: expired, and deleted.",
    first_deployment.play,
    operations=3,
    before=plant_foreign,
    farewell=farewell,
)
