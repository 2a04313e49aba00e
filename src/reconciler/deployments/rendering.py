"""The status of a deployment from its stages. Pure: the same stages give the same status, but for the sequence."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reconciler.deployments.chain import failed_of, progress
from reconciler.deployments.scene import StepKey
from reconciler.domain.conditions import deployment_conditions
from reconciler.domain.names import application_name
from reconciler.domain.resources import (
    Artifact,
    DeploymentRecord,
    DeploymentRecordStatus,
    Phase,
    StageName,
    StageStatus,
    StepState,
)
from reconciler.domain.words import cut

Steps = Mapping[StepKey, StageStatus]


def rendered(
    record: DeploymentRecord, steps: Steps, now: datetime, end: Phase | None = None, reason: str = "", message: str = ""
) -> dict[str, Any]:
    """Return the whole status as it is to be written.

    Args:
        record: as it is stored; its sequence rises by one when anything changes.
        steps: the stages as they are now.
        now: for transitions and the end.
        end: the phase it ends in, if it ends.
        reason: CamelCase, of the end.
        message: for a person, of the end.
    """
    old = record.status
    phase = old.phase if old.phase.is_end else end or (Phase.ROLLING_BACK if old.going_back else _phase(steps))
    waiting = [step for step in steps.values() if step.state is StepState.WAITING] if not phase.is_end else []
    due = [step.next_look_at for step in steps.values() if step.next_look_at and not phase.is_end]
    queue = steps.get((StageName.QUEUE, ""))
    back = old.going_back
    said = reason or (back.reason if back else waiting[0].reason if waiting else "")
    text = message or (back.message if back else waiting[0].waiting_for if waiting else "")
    new = old.model_copy(
        update={
            "observed_generation": record.metadata.generation,
            "phase": phase,
            "reason": said[:64],
            "message": cut(text, 512),
            "stages": list(steps.values()),
            "artifacts": _artifacts(record, steps),
            "epoch": int(queue.facts.get("epoch", 0)) if queue else 0,
            "started_at": old.started_at or now,
            "slot_taken_at": queue.finished_at if queue and queue.state is StepState.DONE else None,
            "finished_at": old.finished_at or (now if phase.is_end else None),
            "next_look_at": min(due, default=None),
            "waiting_for": cut("; ".join(dict.fromkeys(step.waiting_for for step in waiting))),
            "progress": progress(steps, is_end=phase.is_end),
            "conditions": deployment_conditions(
                old.conditions, phase, said, text, waiting, record.metadata.generation, now
            ),
        }
    )
    if new != old:
        new = new.model_copy(update={"sequence": old.sequence + 1})
    status = new.dump()
    # Most of a stage is empty most of the time, and the list goes over the wire as a whole at every write.
    return status | {name: [_without_empty(one) for one in status[name]] for name in ("stages", "artifacts")}


def _without_empty(part: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is empty, but for the component: it is part of the list's key and has a default in the schema."""
    return {name: value for name, value in part.items() if value not in ("", {}) or name == "component"}


def _phase(steps: Steps) -> Phase:
    queue = steps.get((StageName.QUEUE, ""))
    if queue is None or queue.state is StepState.PENDING:
        return Phase.PENDING
    return Phase.RUNNING if queue.state is StepState.DONE else Phase.QUEUED


def _artifacts(record: DeploymentRecord, steps: Steps) -> list[Artifact]:
    components = dict.fromkeys(component for _, component in steps if component)
    return [_artifact(record, steps, component) for component in components]


def _artifact(record: DeploymentRecord, steps: Steps, component: str) -> Artifact:
    image = steps[StageName.IMAGE, component].facts
    return Artifact(
        component=component,
        image=image.get("image", ""),
        digest=image.get("digest", ""),
        build_url=steps[StageName.BUILD, component].url,
        application=application_name(record.spec.project_ref, record.spec.environment, component),
        address=steps[StageName.EXPOSE, component].facts.get("address", ""),
    )


def why_failed(status: DeploymentRecordStatus | Steps) -> tuple[str, str]:
    """Return reason and message of the stage that failed."""
    steps = status if isinstance(status, Mapping) else {(s.name, s.component): s for s in status.stages}
    step = failed_of(steps)
    if step is None:
        return "", ""
    where = f"{step.name} of {step.component}" if step.component else step.name
    return step.reason, f"{where}: {step.message}"
