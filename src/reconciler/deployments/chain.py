"""Which stages a deployment has, and which of them may go now. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from reconciler.deployments.scene import StepKey
from reconciler.domain.resources import StageName, StageStatus, StepState

PER_COMPONENT = (StageName.BUILD, StageName.IMAGE, StageName.SYNC, StageName.EXPOSE, StageName.VERIFY)
BEFORE_ANY_CHANGE = (StageName.BUILD, StageName.IMAGE)
"""Stages that change nothing of the environment: all components pass them before any of them is synced."""
QUEUE: StepKey = (StageName.QUEUE, "")


_PASSED = (StepState.DONE, StepState.SKIPPED)


def stages_of(components: Iterable[str]) -> list[StageStatus]:
    """Return the stages of a deployment of these components, none begun."""
    stages = [StageStatus(name=StageName.QUEUE)]
    stages += [StageStatus(name=name, component=component) for component in components for name in PER_COMPONENT]
    return stages


def by_key(stages: Iterable[StageStatus]) -> dict[StepKey, StageStatus]:
    """Index stages by name and component."""
    return {(stage.name, stage.component): stage for stage in stages}


def open_now(steps: Mapping[StepKey, StageStatus]) -> Iterator[StepKey]:
    """Yield the stages that may go now: the queue first, then each component's next one.

    A deployment that goes back does nothing else.
    No component is synced before every component's image is there: a broken build changes nothing that runs.
    """
    if not steps[QUEUE].state.is_end:
        yield QUEUE
        return
    if steps[QUEUE].state is not StepState.DONE:
        return
    if back := ways_back(steps):
        yield from (key for key in back if not steps[key].state.is_end)
        return
    images_ready = all(steps[key].state is StepState.DONE for key in steps if key[0] is StageName.IMAGE)
    for component in _components(steps):
        if steps[StageName.BUILD, component].state is StepState.SKIPPED:
            continue
        name = next((name for name in PER_COMPONENT if steps[name, component].state not in _PASSED), None)
        if name is None or steps[name, component].state.is_end:
            continue
        if name in BEFORE_ANY_CHANGE or images_ready:
            yield name, component


def has_changed_environment(steps: Mapping[StepKey, StageStatus]) -> bool:
    """Tell whether anything of the environment may have been changed: from the first claim of a sync stage on."""
    return bool(touched(steps))


def touched(steps: Mapping[StepKey, StageStatus]) -> list[str]:
    """Return the components whose application may have been changed."""
    return [component for (name, component), step in steps.items() if name is StageName.SYNC and step.claim is not None]


def ways_back(steps: Mapping[StepKey, StageStatus]) -> list[StepKey]:
    """Return the stages by which what was current comes back; there are none while a deployment goes forward."""
    return [key for key in steps if key[0] is StageName.ROLLBACK]


def failed_of(steps: Mapping[StepKey, StageStatus]) -> StageStatus | None:
    """Return the first failed stage, if any."""
    return next((step for step in steps.values() if step.state is StepState.FAILED), None)


def being_built(steps: Mapping[StepKey, StageStatus]) -> list[StepKey]:
    """Return the build stages under which something may be running outside."""
    return [key for key, step in steps.items() if key[0] is StageName.BUILD and step.claim and not step.state.is_end]


def skipped(steps: Mapping[StepKey, StageStatus]) -> dict[StepKey, StageStatus]:
    """Return the stages with all that did not end as skipped."""
    rest = {"state": StepState.SKIPPED, "next_look_at": None, "waiting_for": "", "remedy": ""}
    return {key: step if step.state.is_end else step.model_copy(update=rest) for key, step in steps.items()}


def is_complete(steps: Mapping[StepKey, StageStatus]) -> bool:
    """Tell whether every stage is done or not needed."""
    return all(step.state in _PASSED for step in steps.values())


def progress(steps: Mapping[StepKey, StageStatus], *, is_end: bool) -> int:
    """Return 100 x stages done / all; 100 only at an end."""
    if is_end:
        return 100
    done = sum(step.state in _PASSED for step in steps.values())
    return min(99, 100 * done // max(1, len(steps)))


def _components(steps: Mapping[StepKey, StageStatus]) -> list[str]:
    return list(dict.fromkeys(component for _, component in steps if component))
