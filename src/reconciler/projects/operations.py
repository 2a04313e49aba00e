"""DevOpsInitialize operations of a project: each begins, each ends exactly once. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from reconciler.domain.resources import DevOpsProject, SetupStep, StepState
from reconciler.domain.resources.devops_project import OperationEnd
from reconciler.domain.words import cut

MOST_KEPT = 20
RUNNING, SUCCEEDED, FAILED, SUPERSEDED = "Running", "Succeeded", "Failed", "Superseded"
CANCELLED = "Cancelled"


def operations_after(
    project: DevOpsProject, steps: Sequence[SetupStep], now: datetime, deadline: timedelta
) -> tuple[list[OperationEnd], int]:
    """Return the operations after a look, the newest last, and how many were cut in all.

    The newest succeeds when every step is done at this generation and fails at its deadline with the first reason;
    any other that was running is superseded. `sequence` rises with each change of an operation or of its steps.
    """
    known = _known(project, now)
    newest = project.spec.operation.id if project.spec.operation else ""
    moved = list(steps) != list(project.status.steps)
    after = [_after(one, newest, steps, now, deadline, moved=moved) for one in known]
    cut = max(0, len(after) - MOST_KEPT)
    return after[cut:], project.status.operations_cut + cut


def cancelled_by_removal(project: DevOpsProject, now: datetime) -> list[OperationEnd]:
    """Return the operations of a project that is being deleted: what was under way has ended."""
    end = {"state": CANCELLED, "reason": "ProjectRemoved", "message": "the project was deleted", "finished_at": now}
    return [
        one.model_copy(update={**end, "sequence": one.sequence + 1}) if one.state == RUNNING else one
        for one in _known(project, now)
    ][-MOST_KEPT:]


def all_told(operations: Sequence[OperationEnd]) -> bool:
    """Tell whether the end of every operation was announced."""
    return all(one.announced >= one.sequence for one in operations)


def _known(project: DevOpsProject, now: datetime) -> list[OperationEnd]:
    """Return the operations with the one that the spec asks for."""
    known, asked = list(project.status.operations), project.spec.operation
    if asked is None or any(one.id == asked.id for one in known):
        return known
    generation = project.metadata.generation
    return [*known, OperationEnd(id=asked.id, requested_at=asked.requested_at, generation=generation, started_at=now)]


def _after(
    operation: OperationEnd, newest: str, steps: Sequence[SetupStep], now: datetime, deadline: timedelta, *, moved: bool
) -> OperationEnd:
    if operation.state != RUNNING:
        return operation
    changes: dict[str, object] = {}
    first = next((step for step in steps if step.state is not StepState.DONE), None)
    if operation.id != newest:
        changes = {"state": SUPERSEDED, "reason": "Superseded", "message": f"{newest} was asked for later"}
    elif first is None:
        changes = {"state": SUCCEEDED, "reason": "Ready", "message": ""}
    elif operation.started_at is not None and now >= operation.started_at + deadline:
        message = f"not done in {deadline}; {first.name}: {first.waiting_for or first.message}"
        changes = {"state": FAILED, "reason": first.reason or "DeadlineExceeded", "message": cut(message)}
    if changes:
        changes["finished_at"] = now
    if changes or moved or operation.sequence == 0:
        changes["sequence"] = operation.sequence + 1
    return operation.model_copy(update=changes)
