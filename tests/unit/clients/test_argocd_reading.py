"""Argo CD's JSON in our words, odd as it may be."""

from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.clients.argocd import reading, translator
from reconciler.clients.asks import Reply
from reconciler.domain.errors import (
    AlreadyExists,
    Busy,
    Conflict,
    Invalid,
    Missing,
    ReconcilerError,
    Unavailable,
)
from reconciler.domain.outside.applications import Health, OperationPhase, SyncState


def operation(**state: Any) -> Any:
    return reading.application({"status": {"operationState": state}}).operation


def test_an_empty_object_is_an_application_nothing_is_known_of() -> None:
    found = reading.application({"metadata": {"name": "a"}})
    assert (found.sync, found.health) == (SyncState.UNKNOWN, Health.UNKNOWN)
    assert (found.operation, found.reconciled_at, found.images, found.marker) == (None, None, (), None)


def test_running_with_an_end_is_retrying() -> None:
    assert operation(phase="Running", finishedAt="2026-11-23T08:00:00Z").is_retrying
    assert not operation(phase="Running").is_retrying
    assert not operation(phase="Failed", finishedAt="2026-11-23T08:00:00Z").is_retrying


def test_only_our_info_entry_is_a_request_id() -> None:
    foreign = {"info": [{"name": "freeleaps.com/other", "value": "x"}]}
    ours = {"info": [{"name": "why", "value": "x"}, {"name": "freeleaps.com/request-id", "value": "r"}]}
    assert operation(phase="Running", operation=foreign).request_id == ""
    assert operation(phase="Running", operation=ours).request_id == "r"


def test_unknown_words_are_read_cautiously() -> None:
    assert operation(phase="Sleeping").phase is OperationPhase.RUNNING
    tree = {"status": {"sync": {"status": "New"}, "health": {"status": "New"}}}
    found = reading.application(tree)
    assert (found.sync, found.health) == (SyncState.UNKNOWN, Health.UNKNOWN)


def test_null_where_a_list_should_be_is_no_list() -> None:
    tree = {"status": {"summary": {"images": None}, "conditions": None}, "spec": {"syncPolicy": {"syncOptions": None}}}
    found = reading.application(tree)
    assert (found.images, found.conditions, found.shape.sync_options) == ((), (), ())


def test_automation_that_is_switched_off_is_none() -> None:
    tree = {"spec": {"syncPolicy": {"automated": {"enabled": False, "prune": True}}}}
    assert not reading.application(tree).shape.auto_sync


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-23T08:00:00Z", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("2026-11-23T08:00:00+00:00", datetime(2026, 11, 23, 8, tzinfo=UTC)),
        ("", None),
        (None, None),
        ("yesterday", None),
    ],
)
def test_moments(text: Any, expected: datetime | None) -> None:
    assert reading.moment(text) == expected


@pytest.mark.parametrize(
    ("status", "code", "said", "expected"),
    [
        (400, 9, "another operation is already in progress", Busy),
        (400, 9, "error resolving repo revision: rpc error: code = Unknown desc = dial tcp", Unavailable),
        (400, 9, "Cannot sync to a: auto-sync currently set to b", Invalid),
        (400, 3, 'app is not allowed in project "x", or the project does not exist', Missing),
        (400, 3, "existing application spec is different, use upsert flag to force update", AlreadyExists),
        (400, 3, "application spec for a is invalid: InvalidSpecError: no such path", None),
        (400, 3, "application spec for a is invalid: rpc error: code = Unavailable desc = repo server", Unavailable),
        (400, 3, "project is referenced by 3 applications", Busy),
        (500, 2, "error applying patch: testing value /x failed: test failed", Conflict),
        (500, 13, "Failed to update application. Too many conflicts", Conflict),
        (500, 2, "account already has token with id 'x'", AlreadyExists),
        (500, 2, "something else", None),
        (403, 7, "permission denied", None),
    ],
)
def test_neither_400_nor_500_is_read_by_number(
    status: int, code: int, said: str, expected: type[ReconcilerError] | None
) -> None:
    raw = reply_body(code, said)
    error = translator()(Reply(status, {"content-type": "application/json"}, raw.encode()), "call")
    assert type(error) is (expected or type(None))


def reply_body(code: int, said: str) -> str:
    escaped = said.replace('"', '\\"')
    return f'{{"code":{code},"message":"{escaped}"}}'


def test_what_is_said_is_masked() -> None:
    translate = translator(lambda said: said.replace("hunter2", "***"))
    error = translate(Reply(400, {}, b'{"code":9,"message":"cannot read with hunter2"}'), "call")
    assert error is not None
    assert "hunter2" not in error.message
