"""Planning: what the next comparison of an environment would change outside, found by its own looks."""

from dataclasses import dataclass

from reconciler.domain.changes import Change
from reconciler.domain.clock import Clock
from reconciler.domain.errors import Invalid
from reconciler.domain.plans import Plan, Untold, plan_of
from reconciler.domain.resources import DevOpsProject, DriftPolicy, Environment, SetupStep
from reconciler.engine.foretelling import foretold
from reconciler.engine.invalid import readable
from reconciler.engine.patience import Patience
from reconciler.environments.keeping import Keeping
from reconciler.environments.upkeep import is_to_keep


@dataclass(frozen=True, slots=True)
class EnvironmentsPlanner:
    """Plans the Applications and DNS records of a project's environments."""

    keeping: Keeping
    clock: Clock
    patience: Patience

    async def plan(self, project: DevOpsProject) -> Plan:
        """Look at all environments in which something is current."""
        bodies = self.keeping.store.list_(Environment.kind, project.namespace, project=project.name)
        environments = [one for body in bodies if (one := readable(Environment, body)) is not None]
        return plan_of([await self._plan_one(environment, project) for environment in environments])

    async def _plan_one(self, environment: Environment, project: DevOpsProject) -> Plan:
        name = f"{environment.kind} {environment.name}"
        if environment.is_deleting or not environment.status.current:
            return Plan()
        if not is_to_keep(environment, project):
            return Plan(notes=(f"{name} is on pause or being changed: nothing of it is compared until that is over",))
        try:
            looks = self.keeping.looks(environment, project)
        except Invalid as error:
            return Plan(untold=(Untold(name, error.message),))
        steps = {step.name: step for step in environment.status.steps}
        changes, untold, notes = list[Change](), list[Untold](), list[str]()
        for look in looks:
            step, now = steps.get(look.name) or SetupStep(name=look.name), self.clock.now()
            if look.policy is DriftPolicy.IGNORE and look.is_done_in(step):
                continue
            found = await foretold(name, look.name, look.asked(step, now), now, self.patience)
            match found:
                case Untold():
                    untold.append(found)
                case Change():
                    changes.append(found)
                    if look.policy is DriftPolicy.REPORT and look.is_done_in(step):
                        notes.append(f"{found.title} is drift that is only reported: driftPolicy is Report")
                case None:
                    continue
        return Plan(tuple(changes), tuple(untold), tuple(notes))
