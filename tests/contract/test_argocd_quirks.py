"""The simulated Argo CD has every quirk of FACTS section 7's Argo CD line, and what an operator meets of section 1."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from yarl import URL

from reconciler.sandbox.argocd import ArgoCD

BASE = "/api/v1/applications"
ONE = f"{BASE}/api"
MINE = "?project=shop"
GIT = "https://git.example/shop/deploy.git"
SPEC = {
    "project": "shop",
    "source": {"repoURL": GIT, "path": "api", "targetRevision": "main"},
    "destination": {"name": "in-cluster", "namespace": "shop-alpha"},
}
BODY = {"metadata": {"name": "api"}, "spec": SPEC}
SHOP = {"metadata": {"name": "shop"}, "spec": {"sourceRepos": ["*"], "destinations": [{"name": "*", "namespace": "*"}]}}


class HandClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.seconds)


@dataclass
class Argo:
    """The simulator, a raw connection to it, and its clock."""

    server: ArgoCD
    session: aiohttp.ClientSession
    clock: HandClock

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        text = None if body is None else json.dumps(body)
        url = URL(self.server.url + path, encoded=True)
        kind = {"Content-Type": headers.pop("content_type", "application/json")}
        async with self.session.request(method, url, data=text, headers={**kind, **headers}) as answer:
            raw = await answer.text()
            return answer.status, json.loads(raw) if answer.content_type == "application/json" else raw

    async def application(self) -> dict[str, Any]:
        status, found = await self.ask("GET", ONE + MINE)
        assert status == 200
        assert isinstance(found, dict)
        return found

    async def after(self, seconds: float) -> dict[str, Any]:
        """Let time pass, and all that is due happen."""
        self.pass_time(seconds)
        return await self.application()

    def pass_time(self, seconds: float) -> None:
        end = self.clock.seconds + seconds
        while self.clock.seconds < end:
            self.clock.seconds = min(self.clock.seconds + 0.5, end)
            self.server.controller.settle()

    async def sync(self, **more: Any) -> tuple[int, Any]:
        infos = [{"name": "operator.request-id", "value": "r-1"}]
        return await self.ask("POST", f"{ONE}/sync", {"project": "shop", "infos": infos, **more})

    async def patch(self, patch: Any, kind: str = "json") -> tuple[int, Any]:
        return await self.ask("PATCH", ONE, {"patch": json.dumps(patch), "patchType": kind, "project": "shop"})


@asynccontextmanager
async def argo_with(**pace: float) -> AsyncIterator[Argo]:
    clock = HandClock()
    server = ArgoCD(clock=clock, **pace)  # type: ignore[arg-type]
    await server.start()
    headers = {"Authorization": "Bearer argocd-token"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(10)) as session:
        argo = Argo(server, session, clock)
        await argo.ask("POST", "/api/v1/projects", {"project": SHOP})
        await argo.ask("POST", BASE, BODY)
        server.controller.settle()
        yield argo
    await server.stop()


@pytest.fixture
async def argo() -> AsyncIterator[Argo]:
    pace = {"pickup_seconds": 5, "sync_seconds": 10, "reconcile_seconds": 3, "progress_seconds": 20}
    async with argo_with(**pace, delete_seconds=30, retry_seconds=7) as found:
        yield found


async def test_missing_is_403_without_a_project_and_404_with_one(argo: Argo) -> None:
    for path in (f"{BASE}/nobody", f"{BASE}/nobody/operation"):
        method = "DELETE" if path.endswith("operation") else "GET"
        assert (await argo.ask(method, path))[0] == 403
        assert (await argo.ask(method, path + MINE))[0] == 404
    assert (await argo.ask("POST", f"{BASE}/nobody/sync", {}))[0] == 403
    assert (await argo.ask("POST", f"{BASE}/nobody/sync", {"project": "shop"}))[0] == 404
    assert (await argo.ask("GET", f"{ONE}?project=default"))[0] == 404


async def test_the_probe_tells_a_403_for_missing_from_one_for_forbidden(argo: Argo) -> None:
    path = f"/api/v1/account/can-i/applications/get/{quote('shop/api', safe='')}"
    assert await argo.ask("GET", path) == (200, {"value": "yes"})
    argo.server.deny_project("shop")
    assert await argo.ask("GET", path) == (200, {"value": "no"})
    assert (await argo.ask("GET", ONE + MINE))[0] == 403


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "text/plain", "application/x-www-form-urlencoded"])
async def test_any_other_content_type_is_415_on_every_change(argo: Argo, kind: str) -> None:
    for method, path in (("POST", BASE), ("PATCH", ONE), ("DELETE", ONE), ("PUT", ONE), ("POST", f"{ONE}/sync")):
        assert await argo.ask(method, path, {}, content_type=kind) == (415, "Invalid content type")
    assert (await argo.ask("GET", ONE, content_type=kind))[0] == 200


async def test_a_second_operation_is_busy_as_400_with_code_9(argo: Argo) -> None:
    await argo.sync()
    status, said = await argo.sync()
    assert (status, said["code"], said["message"]) == (400, 9, "another operation is already in progress")


async def test_a_sync_is_answered_without_an_operation_state(argo: Argo) -> None:
    await argo.sync()
    await argo.after(20)
    status, found = await argo.sync()
    assert status == 200
    assert found["operation"]["info"] == [{"name": "operator.request-id", "value": "r-1"}]
    assert "operationState" not in found["status"]


async def test_the_controller_picks_an_operation_up_later_and_clears_it_at_the_end(argo: Argo) -> None:
    await argo.sync()
    assert "operationState" not in (await argo.after(4))["status"]
    running = await argo.after(2)
    assert running["status"]["operationState"]["phase"] == "Running"
    assert "operation" in running
    ended = await argo.after(10)
    assert ended["status"]["operationState"]["phase"] == "Succeeded"
    assert "operation" not in ended
    assert ended["status"]["operationState"]["operation"]["info"][0]["value"] == "r-1"


async def test_a_failed_attempt_is_running_with_an_end_until_its_retry(argo: Argo) -> None:
    argo.server.retry_once("api")
    await argo.sync()
    state = (await argo.after(16))["status"]["operationState"]
    assert (state["phase"], state["retryCount"]) == ("Running", 1)
    assert state["finishedAt"]
    assert "Retrying attempt #1" in state["message"]
    state = (await argo.after(7))["status"]["operationState"]
    assert (state["phase"], "finishedAt" in state) == ("Running", False)
    assert (await argo.after(10))["status"]["operationState"]["phase"] == "Succeeded"
    assert len(argo.server.syncs) == 1


async def test_health_is_stale_until_reconciled_after_the_end(argo: Argo) -> None:
    await argo.sync()
    await argo.after(60)
    setting = {"op": "add", "path": "/spec/source/helm", "value": {"parameters": [{"name": "tag", "value": "2"}]}}
    await argo.patch([setting])
    await argo.after(10)
    await argo.sync()
    status = (await argo.after(15))["status"]
    assert status["operationState"]["phase"] == "Succeeded"
    assert status["health"]["status"] == "Healthy"
    assert status["summary"]["images"] != ["api:2"]
    assert status["reconciledAt"] < status["operationState"]["finishedAt"]
    status = (await argo.after(3))["status"]
    assert status["reconciledAt"] >= status["operationState"]["finishedAt"]
    assert (status["health"]["status"], status["summary"]["images"]) == ("Progressing", ["api:2"])
    assert (await argo.after(30))["status"]["health"]["status"] == "Healthy"


async def test_an_empty_list_has_items_null(argo: Argo) -> None:
    assert (await argo.ask("GET", f"{BASE}?projects=default"))[1]["items"] is None
    assert len((await argo.ask("GET", f"{BASE}?projects=default&projects=shop"))[1]["items"]) == 1


async def test_a_field_that_the_list_does_not_know_is_left_out(argo: Argo) -> None:
    fields = "items.metadata.name,items.status.sync.status,items.status.reconciledAt,items.status"
    found = (await argo.ask("GET", f"{BASE}?fields={fields}"))[1]["items"]
    assert found == [{"metadata": {"name": "api"}, "status": {"sync": {"status": "Unknown"}}}]


async def test_terminating_before_the_pickup_is_400(argo: Argo) -> None:
    path = f"{ONE}/operation{MINE}"
    await argo.sync()
    status, said = await argo.ask("DELETE", path)
    assert status == 400
    assert said["message"] == "Unable to terminate operation. No operation is in progress"
    await argo.after(6)
    assert await argo.ask("DELETE", path) == (200, {})
    state = (await argo.after(0))["status"]["operationState"]
    assert (state["phase"], state["message"]) == ("Failed", "Operation terminated")
    assert (await argo.ask("DELETE", path))[0] == 400


async def test_deleting_answers_at_once_and_ends_later(argo: Argo) -> None:
    path = f"{ONE}{MINE}&cascade=true&propagationPolicy=foreground"
    assert await argo.ask("DELETE", path) == (200, {})
    found = await argo.application()
    assert found["metadata"]["deletionTimestamp"]
    assert found["metadata"]["finalizers"] == ["resources-finalizer.argocd.argoproj.io"]
    assert await argo.ask("DELETE", path) == (200, {})
    status, said = await argo.sync()
    assert (status, said["message"]) == (400, "application is deleting")
    argo.pass_time(30)
    assert (await argo.ask("GET", ONE + MINE))[0] == 404


async def test_a_deletion_without_cascade_takes_no_policy_and_no_time(argo: Argo) -> None:
    assert (await argo.ask("DELETE", f"{ONE}{MINE}&cascade=false&propagationPolicy=foreground"))[0] == 400
    assert (await argo.ask("DELETE", f"{ONE}{MINE}&propagationPolicy=sideways"))[0] == 400
    assert (await argo.ask("DELETE", f"{ONE}{MINE}&cascade=false"))[0] == 200
    assert (await argo.ask("GET", ONE + MINE))[0] == 404


async def test_a_stuck_deletion_says_why(argo: Argo) -> None:
    argo.server.hold_deletion("api")
    await argo.ask("DELETE", ONE + MINE)
    found = await argo.after(100)
    assert found["status"]["conditions"][0]["type"] == "DeletionError"


@asynccontextmanager
async def stream(argo: Argo, *, is_sse: bool = True) -> AsyncIterator[aiohttp.StreamReader]:
    headers = {"Accept": "text/event-stream"} if is_sse else {}
    async with argo.session.get(f"{argo.server.url}/api/v1/stream/applications", headers=headers) as answer:
        yield answer.content


async def test_the_stream_keeps_itself_alive_with_comments() -> None:
    async with argo_with(keep_alive_seconds=0.02) as argo, stream(argo) as lines:
        assert (await lines.readline()).startswith(b'data: {"result":{"type":"ADDED"')
        assert await lines.readline() == b"\n"
        assert await lines.readline() == b":\n"


async def test_the_stream_without_sse_is_one_document_per_line(argo: Argo) -> None:
    async with stream(argo, is_sse=False) as lines:
        assert json.loads(await lines.readline())["result"]["application"]["metadata"]["name"] == "api"


async def test_a_cut_stream_ends_without_a_word(argo: Argo) -> None:
    async with stream(argo) as lines:
        await lines.readline()
        argo.server.stream.cut_all()
        with pytest.raises(aiohttp.ClientPayloadError):
            await lines.read()


async def test_identical_events_in_a_row_are_sent_once(argo: Argo) -> None:
    async with stream(argo) as lines:
        await lines.readline()
        watch = next(iter(argo.server.store.watches))
        same = argo.server.store.event("ADDED", "api")
        watch.put(same)
        watch.put(same)
        argo.server.store.touch("api")
        assert await lines.readline() == b"\n"
        assert b'"type":"MODIFIED"' in await lines.readline()


async def test_a_reader_that_is_too_slow_loses_its_stream(argo: Argo) -> None:
    async with stream(argo) as lines:
        await lines.readline()
        for _ in range(1001):
            argo.server.store.touch("api")
        with pytest.raises(aiohttp.ClientPayloadError):
            await lines.read()


async def test_a_repository_is_connected_to_first_and_500_says_that_it_failed(argo: Argo) -> None:
    argo.server.break_repository(GIT, "authentication required")
    status, said = await argo.ask("POST", "/api/v1/repositories", {"repo": GIT})
    assert (status, said["code"], said["message"]) == (500, 2, "authentication required")
    assert argo.server.repositories == {}
    assert (await argo.ask("POST", "/api/v1/repositories", {"repo": GIT, "project": "shop"}))[0] == 200


async def test_an_upserted_repository_comes_back_with_its_password(argo: Argo) -> None:
    one = {"repo": GIT, "type": "git", "username": "bot", "password": "old", "project": "shop"}
    assert (await argo.ask("POST", "/api/v1/repositories", one))[1] == {"repo": GIT, "type": "git", "name": ""}
    assert (await argo.ask("POST", "/api/v1/repositories", one))[0] == 200
    other = {**one, "password": "new"}
    assert (await argo.ask("POST", "/api/v1/repositories", other))[0] == 400
    assert (await argo.ask("POST", "/api/v1/repositories?upsert=true", other))[1]["password"] == "new"
    path = f"/api/v1/repositories/{quote(GIT, safe='')}"
    assert "password" not in (await argo.ask("GET", f"{path}?appProject=shop"))[1]
    assert (await argo.ask("GET", f"{path}?appProject=other"))[0] == 500


async def test_a_missing_repository_is_403(argo: Argo) -> None:
    path = f"/api/v1/repositories/{quote(GIT, safe='')}"
    assert (await argo.ask("GET", path))[0] == 403
    assert (await argo.ask("DELETE", path))[0] == 403


async def test_a_taken_token_id_is_500(argo: Argo) -> None:
    path = "/api/v1/account/operator/token"
    assert (await argo.ask("POST", path, {"id": "reconciler"}))[0] == 200
    status, said = await argo.ask("POST", path, {"id": "reconciler"})
    assert status == 500
    assert "account already has token with id" in said["message"]
    assert (await argo.ask("DELETE", f"{path}/reconciler"))[0] == 200
    assert (await argo.ask("DELETE", f"{path}/reconciler"))[0] == 404


async def test_a_wrong_password_and_a_wrong_token_are_401(argo: Argo) -> None:
    for password in ("", "wrong"):
        status, said = await argo.ask("POST", "/api/v1/session", {"username": "admin", "password": password})
        assert (status, said["message"]) == (401, "Invalid username or password")
    status, said = await argo.ask("GET", ONE, Authorization="Bearer old")
    assert (status, said["message"].split(":")[0]) == (401, "invalid session")
    _, session = await argo.ask("POST", "/api/v1/session", {"username": "admin", "password": "argocd-password"})
    bearer = f"Bearer {session['token']}"
    assert (await argo.ask("GET", ONE, Authorization=bearer))[0] == 200
    argo.clock.seconds += 86_401
    assert (await argo.ask("GET", ONE, Authorization=bearer))[0] == 401


async def test_strangers_learn_only_the_version(argo: Argo) -> None:
    assert set((await argo.ask("GET", "/api/version", Authorization=""))[1]) == {"Version"}
    assert "BuildDate" in (await argo.ask("GET", "/api/version"))[1]
    assert await argo.ask("GET", "/api/v1/session/userinfo", Authorization="") == (200, {})


async def test_a_project_is_upserted_by_its_body_and_only_its_spec(argo: Argo) -> None:
    path, other = "/api/v1/projects", {"metadata": {"name": "shop", "labels": {"a": "b"}}, "spec": {"description": "x"}}
    assert (await argo.ask("POST", path, {"project": SHOP}))[0] == 200
    status, said = await argo.ask("POST", path, {"project": other})
    assert status == 400
    assert "existing project spec is different; use upsert flag" in said["message"]
    status, found = await argo.ask("POST", path, {"project": other, "upsert": True})
    assert (status, found["spec"]) == (200, {"description": "x"})
    assert "labels" not in found["metadata"]


async def test_a_stale_project_is_409_and_one_in_use_400(argo: Argo) -> None:
    path = "/api/v1/projects/shop"
    _, found = await argo.ask("GET", path)
    assert (await argo.ask("PUT", path, {"project": found}))[0] == 200
    assert (await argo.ask("PUT", path, {"project": found}))[0] == 409
    status, said = await argo.ask("DELETE", path)
    assert (status, said["message"]) == (400, "project is referenced by 1 applications")
    assert (await argo.ask("DELETE", "/api/v1/projects/default"))[0] == 400
    assert (await argo.ask("DELETE", "/api/v1/projects/nobody"))[0] == 404


async def test_a_project_cannot_be_narrowed_under_its_applications(argo: Argo) -> None:
    _, found = await argo.ask("GET", "/api/v1/projects/shop")
    found["spec"]["sourceRepos"] = []
    status, said = await argo.ask("PUT", "/api/v1/projects/shop", {"project": found})
    assert (status, "1 applications source became invalid" in said["message"]) == (400, True)


async def test_creating_again_is_fine_only_when_all_is_equal(argo: Argo) -> None:
    assert (await argo.ask("POST", BASE, BODY))[0] == 200
    other = {"metadata": {"name": "api", "labels": {"a": "b"}}, "spec": SPEC}
    assert (await argo.ask("POST", BASE, other))[0] == 400
    assert (await argo.ask("POST", f"{BASE}?upsert=true", other))[1]["metadata"]["labels"] == {"a": "b"}


async def test_a_project_that_is_not_there_is_400(argo: Argo) -> None:
    body = {"metadata": {"name": "b"}, "spec": {**SPEC, "project": "nobody"}}
    status, said = await argo.ask("POST", BASE, body)
    assert (status, said["message"]) == (
        400,
        'app is not allowed in project "nobody", or the project does not exist',
    )


async def test_a_failing_test_in_a_patch_is_500_and_changes_nothing(argo: Argo) -> None:
    test = {"op": "test", "path": "/spec/project", "value": "other"}
    status, said = await argo.patch([test, {"op": "remove", "path": "/spec/source"}])
    assert status == 500
    assert said["message"] == "error applying patch: testing value /spec/project failed: test failed"
    assert (await argo.application())["spec"] == SPEC


async def test_a_merge_patch_replaces_lists_and_another_type_is_400(argo: Argo) -> None:
    first = {"spec": {"source": {"helm": {"parameters": [{"name": "a", "value": "1"}]}}}}
    second = {"spec": {"source": {"helm": {"parameters": [{"name": "b", "value": "2"}]}}}}
    await argo.patch(first, "merge")
    _, found = await argo.patch(second, "merge")
    assert found["spec"]["source"]["helm"]["parameters"] == [{"name": "b", "value": "2"}]
    assert (await argo.patch([], "strategic"))[0] == 400


async def test_replacing_the_whole_loses_what_is_omitted(argo: Argo) -> None:
    await argo.patch([{"op": "add", "path": "/metadata/annotations", "value": {"a": "b"}}])
    status, found = await argo.ask("PUT", f"{ONE}?project=shop", BODY)
    assert (status, "annotations" in found["metadata"]) == (200, False)


async def test_a_refresh_blocks_until_the_controller_took_the_annotation_away(argo: Argo) -> None:
    asked = asyncio.create_task(argo.ask("GET", f"{ONE}{MINE}&refresh=normal"))
    while "annotations" not in argo.server.applications["api"]["metadata"]:  # noqa: ASYNC110 - only the server knows
        await asyncio.sleep(0)
    assert not asked.done()
    argo.clock.seconds += 3
    status, found = await asked
    assert status == 200
    assert "annotations" not in found["metadata"]
    assert found["status"]["reconciledAt"] == "2026-11-23T00:00:03Z"


async def test_revision_resolution_sync_windows_and_auto_sync_refuse_in_their_own_ways(argo: Argo) -> None:
    argo.server.break_git()
    status, said = await argo.sync()
    assert (status, said["code"]) == (400, 9)
    argo.server.block_syncs("api")
    assert (await argo.sync())[0] == 403
    argo.server.allow_syncs("api")
    await argo.patch([{"op": "add", "path": "/spec/syncPolicy", "value": {"automated": {}}}])
    status, said = await argo.sync(revision="c" * 40)
    assert (status, "auto-sync currently set to main" in said["message"]) == (400, True)


async def test_only_a_sync_changes_what_runs(argo: Argo) -> None:
    setting = {"parameters": [{"name": "image.repository", "value": "acme/api"}, {"name": "image.tag", "value": "2"}]}
    await argo.patch([{"op": "add", "path": "/spec/source/helm", "value": setting}])
    found = await argo.after(60)
    assert found["status"]["sync"]["status"] == "OutOfSync"
    assert argo.server.live_images("api") == ()
    await argo.sync()
    await argo.after(60)
    assert argo.server.live_images("api") == ("acme/api:2",)


async def test_an_automated_application_syncs_itself_once_per_spec(argo: Argo) -> None:
    await argo.patch([{"op": "add", "path": "/spec/syncPolicy", "value": {"automated": {"prune": True}}}])
    await argo.after(60)
    assert [(run.is_automated, run.result) for run in argo.server.syncs] == [(True, "Succeeded")]
    argo.server.fail_syncs("api", times=5)
    await argo.patch([{"op": "replace", "path": "/spec/source/path", "value": "other"}])
    await argo.patch([{"op": "replace", "path": "/spec/source/targetRevision", "value": "next"}])
    await argo.after(600)
    await argo.ask("GET", f"{ONE}{MINE}")
    assert [run.result for run in argo.server.syncs] == ["Succeeded", "Failed"]
