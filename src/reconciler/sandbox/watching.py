"""How far operations are, read from resources: what reports and the live view show. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reconciler.domain.keys import Body
from reconciler.domain.messages import EventType
from reconciler.domain.resources import Phase

Part = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage, of one component where it has one."""

    name: str
    component: str
    state: str
    started_at: datetime | None
    finished_at: datetime | None
    attempt: int
    told: str
    """What it waits for, else its message."""

    def seconds(self, now: datetime | None = None) -> float:
        """Return how long it took, or takes until `now`."""
        end = self.finished_at or now
        return max(0.0, (end - self.started_at).total_seconds()) if self.started_at and end else 0.0


@dataclass(frozen=True, slots=True)
class OperationView:
    """One operation."""

    id: str
    type: EventType
    project: str
    environment: str
    state: str
    reason: str
    message: str
    waiting_for: str
    started_at: datetime | None
    finished_at: datetime | None
    stages: tuple[StageView, ...]
    addresses: tuple[str, ...]
    images: Mapping[str, str]

    @property
    def is_over(self) -> bool:
        """Whether nothing comes after its state."""
        return Phase(self.state).is_end

    def seconds(self, now: datetime | None = None) -> float:
        """Return how long it took, or takes until `now`."""
        end = self.finished_at or now
        return max(0.0, (end - self.started_at).total_seconds()) if self.started_at and end else 0.0

    def of(self, component: str) -> tuple[StageView, ...]:
        """Return the stages of a component, in their order; the empty one has what all have in common."""
        return tuple(stage for stage in self.stages if stage.component == component)

    @property
    def components(self) -> tuple[str, ...]:
        """The components, in their order."""
        return tuple(dict.fromkeys(stage.component for stage in self.stages if stage.component))


def deployment(body: Body) -> OperationView:
    """Read a DeploymentRecord."""
    spec, status = body["spec"], body.get("status") or {}
    artifacts = status.get("artifacts") or []
    return OperationView(
        id=spec.get("operationId") or body["metadata"]["name"],
        type=EventType.RECONCILE,
        project=spec["projectRef"],
        environment=spec["environment"],
        state=status.get("phase") or Phase.PENDING.value,
        reason=status.get("reason", ""),
        message=status.get("message", ""),
        waiting_for=status.get("waitingFor", ""),
        started_at=_moment(status.get("startedAt")),
        finished_at=_moment(status.get("finishedAt")),
        stages=tuple(_stages(status.get("stages") or [])),
        addresses=tuple(one["address"] for one in artifacts if one.get("address")),
        images={one["component"]: f"{one['image']}@{one['digest']}" for one in artifacts if one.get("digest")},
    )


def set_up(body: Body, operation_id: str) -> OperationView | None:
    """Read one operation of a DevOpsProject; None where it has none of that id."""
    status = body.get("status") or {}
    known = {one["id"]: one for one in status.get("operations") or []}
    asked = (body["spec"].get("operation") or {}).get("id")
    own = known.get(operation_id, {} if asked == operation_id else None)
    if own is None:
        return None
    steps = status.get("steps") or [] if asked == operation_id else []
    return OperationView(
        id=operation_id,
        type=EventType.INITIALIZE,
        project=body["metadata"]["name"],
        environment="-",
        state=own.get("state") or Phase.PENDING.value,
        reason=own.get("reason", ""),
        message=own.get("message", ""),
        waiting_for="; ".join(dict.fromkeys(one["waitingFor"] for one in steps if one.get("waitingFor"))),
        started_at=_moment(own.get("startedAt")),
        finished_at=_moment(own.get("finishedAt")),
        stages=tuple(_stages(steps)),
        addresses=(),
        images={},
    )


def _stages(stages: list[Part]) -> Iterator[StageView]:
    for stage in stages:
        yield StageView(
            name=stage["name"],
            component=stage.get("component", ""),
            state=stage.get("state", "Pending"),
            started_at=_moment(stage.get("startedAt")),
            finished_at=_moment(stage.get("finishedAt")),
            attempt=stage.get("attempt", 1),
            told=stage.get("waitingFor") or stage.get("message", ""),
        )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
