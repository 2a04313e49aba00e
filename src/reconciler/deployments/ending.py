"""How a deployment ends, and why: decided from its stages and from what people and newer requests want. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reconciler.deployments.chain import (
    QUEUE,
    by_key,
    failed_of,
    has_changed_environment,
    is_complete,
    skipped,
    touched,
    ways_back,
)
from reconciler.deployments.rendering import why_failed
from reconciler.deployments.scene import Scene, StepKey
from reconciler.domain.answers import INTERNAL_ERROR, Failed, Waiting
from reconciler.domain.lifetimes import end_of
from reconciler.domain.resources import (
    Concurrency,
    DeploymentRecord,
    GoingBack,
    Phase,
    Rollback,
    Running,
    StageName,
    StageStatus,
    StepState,
)
from reconciler.domain.slot import precedence

REMOVED = "EnvironmentRemoved"
_PHASE_OF_REASON = {
    "Superseded": Phase.SUPERSEDED,
    REMOVED: Phase.CANCELLED,
    "Cancelled": Phase.CANCELLED,
}
Steps = Mapping[StepKey, StageStatus]


@dataclass(frozen=True, slots=True)
class Ending:
    """The phase a deployment ends in."""

    phase: Phase
    reason: str
    message: str


def ending_of(scene: Scene, steps: Steps) -> Ending | None:
    """Return the end that the stages say, None while there is something to do."""
    if scene.record.status.going_back is not None:
        return _ending_back(scene.record.status.going_back, steps)
    if failed_of(steps) is not None:
        return ending_with(*why_failed(steps))
    if any(step.state is StepState.SKIPPED for key, step in steps.items() if key[0] is StageName.BUILD):
        # Whoever wanted it stopped may have changed their mind meanwhile: a stopped build makes no image.
        return ending_with(_gave_way(scene) or "Cancelled", "its builds were stopped")
    return Ending(Phase.SUCCEEDED, "Deployed", "") if is_complete(steps) else None


def ending_with(reason: str, message: str) -> Ending:
    """Return the end that a failure's reason means: not all of them are failures of the deployment."""
    return Ending(_PHASE_OF_REASON.get(reason, Phase.FAILED), reason, message)


def ending_from_outside(
    scene: Scene, waiting: Iterable[DeploymentRecord], deadline: timedelta, most_supersedes: int
) -> Ending | None:
    """Return the end that somebody else wants: a person always, a newer request until the environment is changed.

    Args:
        scene: the deployment.
        waiting: the records that wait in the queue of its environment.
        deadline: of the whole deployment, from taking the slot.
        most_supersedes: after so many in a row the running one is let finish.
    """
    record, environment = scene.record, scene.environment
    taken_at = record.status.slot_taken_at
    steps = by_key(record.status.stages)
    is_going_back = record.status.going_back is not None and not environment.is_deleting
    if is_complete(steps) or is_going_back:
        return None
    if environment.is_deleting:
        return Ending(Phase.CANCELLED, REMOVED, f"{environment.name} is being removed")
    began = taken_at or broken_since(steps)
    if began is not None and scene.worked(began) >= deadline:
        last = record.status.waiting_for or "nothing"
        return Ending(Phase.FAILED, "DeadlineExceeded", f"not done in {deadline}; waited for: {last}")
    if record.is_deleting or record.spec.cancel:
        why = "the record was deleted" if record.is_deleting else "spec.cancel was set"
        return Ending(Phase.CANCELLED, "Cancelled", why)
    if environment.spec.concurrency is not Concurrency.SUPERSEDE or taken_at is None:
        return None
    if has_changed_environment(by_key(record.status.stages)):
        return None
    newest = max(waiting, key=precedence, default=None)
    is_newer = newest is not None and precedence(newest) > precedence(record)
    if newest is None or not is_newer or environment.status.superseded_in_row >= most_supersedes:
        return None
    return Ending(Phase.SUPERSEDED, "Superseded", f"{newest.name} was asked for later")


def broken_since(steps: Steps) -> datetime | None:
    """Return since when a bug keeps a deployment from its place in the queue, where that is what it waits for.

    The queue itself has no deadline, and an operation must end all the same.
    """
    queue = steps.get(QUEUE)
    return queue.waiting_since if queue and queue.reason == INTERNAL_ERROR else None


def _ending_back(going_back: GoingBack, steps: Steps) -> Ending | None:
    """Return the end of a deployment that goes back: why it does, or why it could not."""
    back = [steps[key] for key in ways_back(steps)]
    if not all(step.state.is_end for step in back):
        return None
    why = f"{going_back.reason}: {going_back.message}"
    failed = next((step for step in back if step.state is StepState.FAILED), None)
    if failed is not None:
        message = f"going back failed: {failed.component}: {failed.message}; after {why}"
        return Ending(Phase.FAILED, failed.reason, message)
    notes = [f"{step.component}: {step.message}" for step in back if step.state is StepState.SKIPPED]
    return Ending(going_back.ending, going_back.reason, "; ".join([going_back.message, *notes]))


def way_back(scene: Scene, steps: Steps, ending: Ending) -> GoingBack | None:
    """Return why and to which end what was current is put back; None where an end is just an end.

    Nothing is put back in an environment that is being removed: its removal ends what runs, and takes all away.
    """
    if scene.record.status.going_back is not None or not touched(steps) or ending.reason == REMOVED:
        return None
    match ending.phase:
        case Phase.FAILED if scene.environment.spec.rollback is Rollback.AUTOMATIC:
            return GoingBack(ending=Phase.ROLLED_BACK, reason=ending.reason, message=ending.message, since=scene.now)
        case Phase.CANCELLED:
            return GoingBack(ending=ending.phase, reason=ending.reason, message=ending.message, since=scene.now)
        case _:
            return None


def stages_back(current: Mapping[str, Running], steps: Steps) -> dict[StepKey, StageStatus]:
    """Return the stages with those in which each touched component gets back what is current."""
    back = {
        (StageName.ROLLBACK, component): StageStatus(
            name=StageName.ROLLBACK, component=component, facts=_facts_of(current.get(component))
        )
        for component in touched(steps)
    }
    return {**skipped(steps), **back}


def _facts_of(running: Running | None) -> dict[str, str]:
    return {} if running is None else {"image": running.image, "revision": running.revision}


def ending_without_slot(scene: Scene, steps: Steps) -> Ending:
    """Return the end of a deployment that has lost its slot: most likely it gave way and was killed at that."""
    reason = "" if has_changed_environment(steps) else _gave_way(scene)
    return ending_with(reason or "SlotLost", "the environment was given to somebody else meanwhile")


def cancelled_without(record: DeploymentRecord, why: Waiting | Failed) -> Ending:
    """Return the end of a deployment that is not wanted any more while what it needs is not there."""
    names = ", ".join(touched(by_key(record.status.stages)))
    missing = why.what if isinstance(why, Waiting) else why.message
    message = f"what was set for {names} stays, without {missing}" if names else "nothing was begun"
    return Ending(Phase.CANCELLED, "Cancelled", message)


def _gave_way(scene: Scene) -> str:
    return "Superseded" if scene.environment.spec.concurrency is Concurrency.SUPERSEDE else ""


def running_of(scene: Scene, steps: Steps) -> dict[str, Running]:
    """Return what the deployment brought, per component."""
    record = scene.record
    return {
        component.name: Running(
            image=f"{image['image']}:{image['tag']}@{image['digest']}",
            revision=record.spec.revision,
            operation=record.operation_id,
            requested_at=precedence(record)[0],
            record=record.name,
        )
        for component in scene.components
        if (image := steps[StageName.IMAGE, component.name].facts)
    }


def expires_at(scene: Scene, now: datetime) -> datetime | None:
    """Return when the environment ends that a deployment ending now makes current, None for never.

    A pinned one has an end too: it counts once nobody pins it any more.
    """
    return end_of(now, scene.record.spec.ttl or scene.environment.spec.ttl)
