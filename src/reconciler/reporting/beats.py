"""Heartbeats from resources: what a stored body says about each of its operations, and of an end to come. Pure.

Bodies are read as they are, without models: this runs for every beat of every active operation.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reconciler.domain.annotations import TRACEPARENT
from reconciler.domain.keys import Body, Key, key_of
from reconciler.domain.messages import EventType, Heartbeat, Link
from reconciler.domain.resources import DeploymentRecord, DevOpsProject, Environment, Phase, StepState

NO_ENVIRONMENT = "-"
NO_OPERATION = "-"
_OPEN = frozenset({StepState.RUNNING, StepState.WAITING})
_PASSED = frozenset({StepState.DONE, StepState.SKIPPED})
_LINKS = {"buildUrl": "build", "address": "address"}
_PHASES = {phase.value: phase for phase in Phase}
Part = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OperationKey:
    """One operation of one resource: a record has one, a project the last few; `-` is the environment itself."""

    resource: Key
    operation_id: str


@dataclass(frozen=True, slots=True)
class Operation:
    """How far an operation is, as its resource is stored.

    Attributes:
        sequence: rises with each stored change.
        announced: the sequence whose last word the broker confirmed.
        body: the resource; shared, never changed.
        status: the part of its status that is the operation's own.
    """

    key: OperationKey
    phase: Phase
    sequence: int
    announced: int
    body: Body
    status: Part

    @property
    def uid(self) -> str:
        """Which incarnation of the resource it belongs to."""
        return str(self.body["metadata"].get("uid", ""))

    @property
    def version(self) -> tuple[str, int]:
        """Name this state of the operation."""
        return self.uid, self.sequence

    @property
    def is_last_word(self) -> bool:
        """Whether nothing will be said after it: it is told until the broker has it, and then no more."""
        return self.phase.is_end or self.key.operation_id == NO_OPERATION

    @property
    def is_announced(self) -> bool:
        """Whether the last word was said and everybody was told."""
        return self.is_last_word and self.announced >= self.sequence

    def beat(self, now: datetime) -> Heartbeat:
        """Return the heartbeat that says how far it is."""
        match self.body["kind"]:
            case DeploymentRecord.kind:
                return _beat_of_record(self, now)
            case Environment.kind:
                return _beat_of_environment(self, now)
            case _:
                return _beat_of_project(self, now)


def operations_of(body: Body) -> Iterator[Operation]:
    """Yield the operations of a DeploymentRecord or a DevOpsProject, and the warning of an Environment that ends."""
    key, spec, status = key_of(body), body.get("spec") or {}, body.get("status") or {}
    if key.kind == DeploymentRecord.kind:
        yield _operation(OperationKey(key, spec.get("operationId") or key.name), status.get("phase"), body, status)
    elif key.kind == DevOpsProject.kind:
        known = {one["id"]: one for one in status.get("operations") or ()}
        asked = (spec.get("operation") or {}).get("id")
        if asked and asked not in known:
            known[asked] = {"id": asked}
        for name, one in known.items():
            yield _operation(OperationKey(key, name), one.get("state"), body, one)
    elif key.kind == Environment.kind and (warned := status.get("warned")):
        yield _operation(OperationKey(key, NO_OPERATION), Phase.RUNNING, body, warned)


def _operation(key: OperationKey, phase: str | None, body: Body, status: Part) -> Operation:
    # A project's operation that is under way is Running, which is a phase too.
    return Operation(
        key, Phase(phase or Phase.PENDING), status.get("sequence", 0), status.get("announced", 0), body, status
    )


def _beat_of_record(operation: Operation, now: datetime) -> Heartbeat:
    spec, status = operation.body["spec"], operation.status
    stage = _shown(status.get("stages") or [])
    return _beat(
        operation,
        now,
        type=EventType.RECONCILE,
        project=spec["projectRef"],
        environment=spec["environment"],
        deployment=operation.key.resource.name,
        stage=stage.get("name", ""),
        component=stage.get("component", ""),
        state=stage.get("state", ""),
        progress=100 if operation.phase.is_end else min(status.get("progress", 0), 99),
        message=status.get("message") or _unless_well(operation, stage.get("message", "")),
        waiting_for=status.get("waitingFor", ""),
        next_look_at=status.get("nextLookAt"),
        links=_links(status),
        traceparent=spec.get("traceparent", ""),
    )


def _beat_of_project(operation: Operation, now: datetime) -> Heartbeat:
    status = operation.body.get("status") or {}
    # The steps are those of the newest operation; an older one has only its end.
    asked = (operation.body["spec"].get("operation") or {}).get("id")
    is_newest = asked == operation.key.operation_id
    steps = status.get("steps") or [] if is_newest else []
    annotations = operation.body["metadata"].get("annotations") or {}
    step = _shown(steps)
    passed = sum(one.get("state") in _PASSED for one in steps)
    is_end = operation.phase.is_end
    waiting = dict.fromkeys(one["waitingFor"] for one in steps if one.get("waitingFor"))
    return _beat(
        operation,
        now,
        type=EventType.INITIALIZE,
        project=operation.key.resource.name,
        environment=NO_ENVIRONMENT,
        stage=step.get("name", ""),
        state=step.get("state", ""),
        progress=100 if is_end else min(99, 100 * passed // max(1, len(steps))),
        message=operation.status.get("message") or _unless_well(operation, step.get("message", "")),
        waiting_for="" if is_end else "; ".join(waiting),
        next_look_at=None
        if is_end
        else min((one["nextLookAt"] for one in steps if one.get("nextLookAt")), default=None),
        traceparent=annotations.get(TRACEPARENT, "") if is_newest else "",
    )


def _beat_of_environment(operation: Operation, now: datetime) -> Heartbeat:
    spec, ends = operation.body["spec"], operation.status["expiresAt"]
    return _beat(
        operation,
        now,
        type=EventType.ENVIRONMENT,
        project=spec["projectRef"],
        environment=spec["name"],
        stage="lifetime",
        state=StepState.WAITING,
        message=ends_soon(operation.body),
        waiting_for=f"its end at {ends}",
        next_look_at=ends,
    )


def ends_soon(environment: Body) -> str:
    """Say that an environment ends soon, and what can be done about it."""
    name, ends = environment["metadata"]["name"], environment["status"]["warned"]["expiresAt"]
    return f"Environment {name} expires at {ends}: `reconciler extend {name} 24h` or `reconciler pin {name}` keep it"


def _beat(operation: Operation, now: datetime, **said: Any) -> Heartbeat:
    is_sad_end = operation.phase.is_end and operation.phase is not Phase.SUCCEEDED
    return Heartbeat(
        operation_id=operation.key.operation_id,
        sequence=operation.sequence,
        phase=operation.phase,
        reason=operation.status.get("reason", "") if is_sad_end else "",
        started_at=operation.status.get("startedAt"),
        timestamp=now,
        **said,
    )


def _unless_well(operation: Operation, message: str) -> str:
    """Return what a stage says; a success has nothing to add to itself."""
    return "" if operation.phase is Phase.SUCCEEDED else message


def _shown(stages: list[Part]) -> Part:
    """Return the stage that tells most: the one that failed, else the one under way, else the next, else the last."""
    for wanted in ({StepState.FAILED}, _OPEN, {StepState.PENDING}):
        found = next((stage for stage in stages if stage.get("state", StepState.PENDING) in wanted), None)
        if found is not None:
            return found
    return stages[-1] if stages else {}


def _links(status: Part) -> list[Link]:
    found = [
        Link(name=f"{name}/{artifact['component']}", url=artifact[field])
        for artifact in status.get("artifacts") or ()
        for field, name in _LINKS.items()
        if artifact.get(field)
    ]
    synced = [stage for stage in status.get("stages") or () if stage["name"] == "sync" and stage.get("url")]
    return found + [Link(name=f"application/{stage['component']}", url=stage["url"]) for stage in synced]
