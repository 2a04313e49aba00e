"""The models refuse what the CRDs refuse, and no status grows beyond 256 KiB."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from reconciler.deployments.chain import stages_of
from reconciler.domain.resources import KINDS, Claim, Condition, InventoryItem, SetupStep, Step, StepState
from reconciler.domain.resources.common import Resource
from reconciler.domain.resources.deployment_record import (
    Artifact,
    DeploymentRecordStatus,
    GoingBack,
    Pause,
    Phase,
    StageName,
    StageStatus,
)
from reconciler.domain.resources.devops_project import DevOpsProjectStatus, OperationEnd
from reconciler.domain.resources.environment import EnvironmentStatus, Hold, Holder, Running
from reconciler.domain.resources.settings import SettingsStatus
from support.bad_resources import BAD_FIELDS, BadField, good
from support.maximal import maximal

LARGEST_STATUS = 256 * 1024
NOW = datetime(2026, 11, 23, 8, 0, 0, 123456, UTC)
COMPONENTS = [f"{number:02}{'c' * 18}" for number in range(20)]
MARKER = "m" * 470
"""An owner of 64, a kind, a namespace of 63, a name of 253 and a uid, in the marker's words."""


def size(status: Any) -> int:
    return len(orjson.dumps(status.dump()))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_the_largest_object_that_the_schema_allows_is_read(kind: type[Resource]) -> None:
    assert kind(maximal(kind)).name


@pytest.mark.parametrize("bad", [bad for bad in BAD_FIELDS if not bad.is_rule_of_the_whole], ids=str)
def test_a_bad_field_is_refused_by_its_name(bad: BadField) -> None:
    with pytest.raises(ValidationError) as refused:
        bad.kind(bad.body())
    places = {".".join(str(part) for part in error["loc"]) for error in refused.value.errors()}
    assert any(bad.names(f"spec.{place}") for place in places), places


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_good_object_is_read_with_its_defaults(kind: type[Resource]) -> None:
    assert kind(good(kind)).status is not None  # type: ignore[attr-defined]  # every kind has one of its own model


# The largest statuses are those that the operator writes at its own bounds: 20 components, a claim where a stage
# changes something, a message where a stage has ended or what it waits for and the remedy where it has not.
CHANGES = {StageName.BUILD, StageName.SYNC, StageName.EXPOSE, StageName.QUEUE}
CLAIM = Claim(key="k" * 160, replica="r" * 63, incarnation="i" * 36, at=NOW, absent_since=NOW)
IMAGE = {"image": "i" * 320, "tag": "t" * 24, "digest": "sha256:" + "d" * 64}


def waiting() -> dict[str, Any]:
    text = {"waiting_for": "w" * 256, "remedy": "r" * 256, "reason": "R" * 64, "system": "s" * 16}
    return {"state": StepState.WAITING, "waiting_since": NOW, "next_look_at": NOW, **text}


def ended() -> dict[str, Any]:
    return {"state": StepState.SKIPPED, "finished_at": NOW, "message": "m" * 256, "reason": ""}


def large_step(step: Step, *, changes: bool, is_last: bool) -> Step:
    claim = {"claim": CLAIM, "external_id": "e" * 64, "url": "u" * 1024} if changes else {}
    return step.model_copy(update={"started_at": NOW, "attempt": 5, **claim, **(waiting() if is_last else ended())})


_QUIET = {"state": StepState.SKIPPED, "waiting_for": "", "remedy": "", "next_look_at": None}


def large_record() -> DeploymentRecordStatus:
    stages = [
        large_step(stage, changes=stage.name in CHANGES, is_last=stage.name is StageName.VERIFY).model_copy(
            update={"facts": IMAGE if stage.name is StageName.IMAGE else {"degradedSince": "n" * 32}}
        )
        for stage in stages_of(COMPONENTS)
    ]
    artifacts = [
        Artifact(
            component=name,
            image="i" * 320,
            digest=IMAGE["digest"],
            build_url="u" * 1024,
            application="a" * 53,
            address="h" * 262,
        )
        for name in COMPONENTS
    ]
    return DeploymentRecordStatus.model_construct(
        **common(),
        stages=stages,
        artifacts=artifacts,
        message="m" * 512,
        waiting_for="w" * 256,
        pauses=[Pause(since=NOW, until=NOW)] * 20,
    )


def large_record_going_back() -> DeploymentRecordStatus:
    forward = large_record()
    facts = {"image": "i" * 420, "revision": "r" * 64, "imageSetAt": "n" * 32, "degradedSince": "n" * 32}
    back = [
        large_step(StageStatus(name=StageName.ROLLBACK, component=name, facts=facts), changes=True, is_last=True)
        for name in COMPONENTS
    ]
    ended_early = [
        stage.model_copy(update=_QUIET) if stage.name is StageName.VERIFY else stage for stage in forward.stages
    ]
    why = GoingBack(ending=Phase.ROLLED_BACK, reason="R" * 64, message="m" * 512, since=NOW)
    return forward.model_copy(update={"stages": [*ended_early, *back], "going_back": why})


def common(inventory: int = 0) -> dict[str, Any]:
    text = {"status": "Unknown", "reason": "R" * 64, "message": "m" * 512, "last_transition_time": NOW}
    items = [
        InventoryItem(
            system="argocd", kind="Application", name=f"{n:03}" + "n" * 260, endpoint="e" * 262, marker=MARKER
        )
        for n in range(inventory)
    ]
    return {
        "conditions": [Condition(type=f"{n:016}", **text) for n in range(8)],
        "inventory": items,
        "handled": {f"freeleaps.com/annotation-{n}": "t" * 256 for n in range(4)},
    }


def large_steps(count: int) -> list[SetupStep]:
    return [large_step(SetupStep(name=f"{n:03}"), changes=True, is_last=n == 0) for n in range(count)]  # type: ignore[misc]


def large_environment() -> EnvironmentStatus:
    running = Running(image="i" * 420, revision="r" * 64, operation="o" * 128, requested_at=NOW, record="n" * 52)
    return EnvironmentStatus.model_construct(
        **common(inventory=60),
        steps=large_steps(40),
        holder=Holder(record="n" * 52, uid="u" * 36, epoch=10**6, since=NOW),
        current=dict.fromkeys(COMPONENTS, running),
        hold=Hold(since=NOW, operation="o" * 128, reason="r" * 256),
        addresses=["h" * 262] * 20,
        leftovers=common(inventory=20)["inventory"],
    )


def large_project() -> DevOpsProjectStatus:
    end = OperationEnd(id="o" * 128, requested_at=NOW, message="m" * 256, reason="R" * 64, started_at=NOW)
    return DevOpsProjectStatus.model_construct(**common(inventory=100), steps=large_steps(8), operations=[end] * 20)


def large_settings() -> SettingsStatus:
    return SettingsStatus.model_construct(**common(inventory=20), steps=large_steps(20), detail="d" * 512)


@pytest.mark.parametrize(
    "make", [large_record, large_record_going_back, large_environment, large_project, large_settings]
)
def test_the_largest_status_is_under_256_kib(make: Any) -> None:
    assert size(make()) < LARGEST_STATUS
