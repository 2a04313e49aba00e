import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.domain.errors import AlreadyExists, Unavailable
from reconciler.reporting.events import EventPoster
from reconciler.reporting.happenings import Happening, happenings

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


class StillClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Api:
    def __init__(self) -> None:
        self.away: Exception | None = None
        self.events: list[dict[str, Any]] = []

    async def create_event(self, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        if self.away:
            raise self.away
        self.events.append(body)
        return body


@asynccontextmanager
async def posting(api: Api, **more: Any) -> AsyncIterator[EventPoster]:
    poster = EventPoster(api, clock=StillClock(), replica="pod-0", **more)
    task = asyncio.get_running_loop().create_task(poster.run())
    try:
        yield poster
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def body(version: str = "1", **status: Any) -> dict[str, Any]:
    metadata = {"name": "op-1", "namespace": "ns", "uid": "u", "resourceVersion": version}
    return {"apiVersion": "freeleaps.com/v1alpha1", "kind": "DeploymentRecord", "metadata": metadata, "status": status}


def stage(name: str, state: str, component: str = "api", **more: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "component": component, **more}


def told(before: Any, after: Any) -> list[tuple[str, bool]]:
    return [(one.reason, one.is_warning) for one in happenings(before, after)]


async def test_an_event_has_what_kubectl_describe_shows() -> None:
    api = Api()
    async with posting(api) as poster:
        poster.changed(body(phase="Running"), body("2", phase="Failed", reason="BuildFailed", message="see it"))
        await poster.flush()
    (event,) = api.events
    assert event["involvedObject"] == {
        "apiVersion": "freeleaps.com/v1alpha1",
        "kind": "DeploymentRecord",
        "namespace": "ns",
        "name": "op-1",
        "uid": "u",
        "resourceVersion": "2",
    }
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "Failed", "BuildFailed: see it")
    moment = "2026-11-23T08:00:00Z"
    assert (event["count"], event["firstTimestamp"], event["lastTimestamp"]) == (1, moment, moment)
    assert event["source"]["component"] == "devops-reconciler"


async def test_the_same_change_has_the_same_name_and_is_posted_once() -> None:
    api = Api()
    async with posting(api) as poster:
        for _ in range(2):
            poster.changed(body(phase="Running"), body("2", phase="Succeeded"))
            await poster.flush()
        api.away = AlreadyExists("there")
        poster.changed(body(phase="Running"), body("2", phase="Succeeded"))
        await poster.flush()
        assert poster.dropped == 0
    assert len({event["metadata"]["name"] for event in api.events}) == 1


async def test_events_are_dropped_and_counted_while_the_api_is_away() -> None:
    api = Api()
    api.away = Unavailable("away")
    async with posting(api) as poster:
        poster.changed(body(phase="Running"), body("2", phase="Succeeded"))
        await poster.flush()
        assert (poster.dropped, poster.posted) == (1, 0)
        api.away = None
        poster.changed(body(phase="Running"), body("3", phase="Succeeded"))
        await poster.flush()
        assert (poster.dropped, poster.posted) == (1, 1)


async def test_a_bug_while_one_is_posted_keeps_no_other_back() -> None:
    api = Api()
    api.away = KeyError("bug")
    async with posting(api) as poster:
        poster.changed(body(phase="Running"), body("2", phase="Succeeded"))
        await poster.flush()
        api.away = None
        poster.changed(body(phase="Running"), body("3", phase="Succeeded"))
        await poster.flush()
        assert (poster.dropped, poster.posted) == (1, 1)


async def test_a_full_queue_drops_and_never_waits() -> None:
    poster = EventPoster(Api(), clock=StillClock(), replica="pod-0", capacity=2)
    for number in range(5):
        poster.post(body(), Happening("Reason", f"{number}"))
    assert poster.dropped == 3


async def test_messages_are_masked_and_cut() -> None:
    api = Api()
    async with posting(api, mask=lambda text: text.replace("hunter2", "***")) as poster:
        poster.post(body(), Happening("Reason", "hunter2" + "x" * 2000))
        await poster.flush()
    assert api.events[0]["message"].startswith("***x")
    assert len(api.events[0]["message"].encode()) == 1024


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (body(phase="Running"), body(phase="Running"), []),
        (body(phase="Pending"), body(phase="Running"), [("Running", False)]),
        (body(phase="Running"), body(phase="RolledBack"), [("RolledBack", True)]),
        (body(stages=[stage("build", "Running")]), body(stages=[stage("build", "Done")]), [("BuildDone", False)]),
        (body(stages=[stage("sync", "Running")]), body(stages=[stage("sync", "Skipped")]), []),
        (
            body(stages=[stage("build", "Running")]),
            body(stages=[stage("build", "Failed", reason="BuildFailed")]),
            [("BuildFailed", True)],
        ),
        (
            body(stages=[stage("build", "Waiting")]),
            body(stages=[stage("build", "Waiting", reason="Refused", remedy="give it rights")]),
            [("Refused", True)],
        ),
        (
            body(conditions=[]),
            body(conditions=[{"type": "Ready", "status": "True", "message": ""}]),
            [("Ready", False)],
        ),
        (
            body(conditions=[]),
            body(conditions=[{"type": "Stalled", "status": "True", "reason": "InvalidSpec"}]),
            [("InvalidSpec", True)],
        ),
    ],
)
def test_only_changes_are_told(before: Any, after: Any, expected: list[tuple[str, bool]]) -> None:
    assert told(before, after) == expected


def test_components_that_are_done_in_one_look_share_one_event() -> None:
    before = body(stages=[stage("build", "Running", name) for name in ("api", "web")])
    after = body(stages=[stage("build", "Done", name) for name in ("api", "web")])
    (happening,) = happenings(before, after)
    assert happening.message == "build of api, web is done"


def test_what_was_there_before_a_restart_is_not_told_again() -> None:
    assert happenings(None, body(phase="Failed")) == []
