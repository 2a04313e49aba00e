"""What waits for its end to be announced before it goes looks as soon as it was."""

from typing import Any

from reconciler.app.signals import Signals
from reconciler.domain.keys import Body, Key, key_of
from reconciler.domain.resources import DeploymentRecord, DevOpsProject
from reconciler.domain.resources.common import api_object
from reconciler.operator.cache import Cache, Source
from reconciler.operator.store import Store

SPACE = "space"


def told_by_own_write(body: Body, before: dict[str, Any], after: dict[str, Any], *, is_leaving: bool) -> set[Key]:
    """Write a status as the operator does, and return who looks by it."""
    told: set[Key] = set()
    cache = Cache()
    cache.subscribe(Signals(Store(None, cache), told.add, lambda _: None).changed)  # type: ignore[arg-type]
    metadata = {**body["metadata"], "uid": "uid-1", "generation": 1}
    if is_leaving:
        metadata["deletionTimestamp"] = "2026-11-28T08:00:00Z"
    cache.remember({**body, "metadata": {**metadata, "resourceVersion": "1"}, "status": before}, Source.OWN_WRITE)
    told.clear()
    cache.remember({**body, "metadata": {**metadata, "resourceVersion": "2"}, "status": after}, Source.OWN_WRITE)
    return told & {key_of(body)}


RECORD = api_object(DeploymentRecord, "op-1", SPACE, {"projectRef": "shop", "environment": "alpha"})
PROJECT = api_object(DevOpsProject, "shop", SPACE, {})
ENDED: dict[str, Any] = {"phase": "Cancelled", "sequence": 4}
OPERATION: dict[str, Any] = {"id": "init-1", "state": "Cancelled", "sequence": 2}


def test_a_deleted_record_whose_end_is_announced_goes_at_once() -> None:
    assert told_by_own_write(RECORD, ENDED, {**ENDED, "announced": 4}, is_leaving=True) == {key_of(RECORD)}


def test_a_deleted_project_whose_last_operation_is_announced_goes_at_once() -> None:
    before, after = {"operations": [OPERATION]}, {"operations": [{**OPERATION, "announced": 2}]}
    assert told_by_own_write(PROJECT, before, after, is_leaving=True) == {key_of(PROJECT)}


def test_an_announcement_wakes_nobody_who_stays() -> None:
    assert told_by_own_write(RECORD, ENDED, {**ENDED, "announced": 4}, is_leaving=False) == set()
