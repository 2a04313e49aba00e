"""What our Jenkins client makes of answers, and what it asks, without a socket."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from reconciler.clients.asks import Headers, Reply
from reconciler.clients.jenkins import Jenkins
from reconciler.domain.errors import Busy, Invalid, Refused, Unavailable
from reconciler.domain.outside.builds import Build, BuildKey, BuildState, JobPath

PATH = JobPath("teams", "shop")
KEY = BuildKey("op-1", "api", "tag-1")
NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
OURS = [{}, {"parameters": [{"name": "OPERATION_ID", "value": "op-1"}, {"name": "COMPONENT", "value": "api"}]}]
OURS[1]["parameters"].append({"name": "IMAGE_TAG", "value": "tag-1"})
JOB_URL = "https://ci.example.com/jenkins/job/teams/job/shop/"


class Told:
    """Answers as told, by the beginning of the path; remembers what was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, Mapping[str, str] | None]] = []
        self.headers: dict[str, str] = {}

    async def ask(
        self,
        method: str,
        path: str,
        *,
        expect: tuple[int, ...] = (200,),
        params: Mapping[str, str] | None = None,
        headers: Headers | None = None,
        json: Any = None,
        body: bytes | str | None = None,
        form: Mapping[str, str] | None = None,
        is_change: bool | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the protocol's
        operation: str = "",
    ) -> Reply:
        self.asked.append((method, path, form or params))
        told = self.answers[path.split("/")[1]]
        answer = told.pop(0) if isinstance(told, list) else told
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Reply):
            return answer
        return Reply(200, self.headers, orjson.dumps(answer))

    def stream(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Headers | None = None,
        read_timeout: float = 45.0,
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        raise NotImplementedError


def item(**fields: Any) -> dict[str, Any]:
    return {"id": 7, "why": "quiet", "task": {"url": JOB_URL}, "actions": OURS, **fields}


def run(number: int = 3, **fields: Any) -> dict[str, Any]:
    ended = {"building": False, "inProgress": False, "result": "SUCCESS", "timestamp": NOW.timestamp() * 1000}
    return {"number": number, "queueId": 7, "url": f"{JOB_URL}{number}/", "actions": OURS, **ended, **fields}


async def builds(queue: list[Any], runs: list[Any]) -> tuple[Build, ...]:
    told = Told(queue={"items": queue}, job={"jobs": [{"url": JOB_URL, "allBuilds": runs}, {"url": "x"}]})
    return await Jenkins(told).list_builds("teams")


async def test_the_queue_is_asked_first() -> None:
    told = Told(queue={"items": []}, job={"jobs": []})
    await Jenkins(told).list_builds("teams/a b")
    assert [path for _, path, _ in told.asked] == ["/queue/api/json", "/job/teams/job/a%20b/api/json"]


async def test_a_run_counts_more_than_its_queue_item() -> None:
    (build,) = await builds([item()], [run()])
    assert (build.number, build.queue_id, build.state) == (3, 7, BuildState.PASSED)


async def test_an_item_whose_id_an_older_build_had_is_still_queued() -> None:
    older = run(actions=[{"parameters": [{"name": "OPERATION_ID", "value": "op-0"}]}])
    assert [each.state for each in await builds([item()], [older])] == [BuildState.PASSED, BuildState.QUEUED]


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"building": True, "result": None}, BuildState.RUNNING),
        ({"building": True, "result": "SUCCESS"}, BuildState.RUNNING),
        ({"inProgress": True, "result": "FAILURE"}, BuildState.RUNNING),
        ({"result": None}, BuildState.RUNNING),
        ({"inProgress": None}, BuildState.PASSED),
        ({"result": "UNSTABLE"}, BuildState.FAILED),
        ({"result": "NEWLY_INVENTED"}, BuildState.FAILED),
        ({"result": "ABORTED"}, BuildState.ABORTED),
        ({"result": "NOT_BUILT"}, BuildState.ABORTED),
    ],
)
async def test_a_result_counts_only_when_nothing_runs_any_more(fields: dict[str, Any], state: BuildState) -> None:
    (build,) = await builds([], [run(**fields)])
    assert build.state is state


async def test_only_what_has_an_operation_id_is_a_build_of_ours() -> None:
    foreign = [{"actions": []}, {"actions": None}, {"actions": [{}, None]}, {"actions": [{"parameters": None}]}]
    assert await builds([item(**each) for each in foreign], [run(**each) for each in foreign]) == ()


@pytest.mark.parametrize(
    ("url", "is_found"),
    [
        (JOB_URL, True),
        ("http://10.0.0.7:8080/jenkins/job/teams/job/shop/", True),
        ("https://ci.example.com/jenkins/job/other/job/teams/job/shop/", False),
        ("", False),
        (None, False),
    ],
)
async def test_a_queue_item_belongs_to_the_job_of_its_path_whatever_the_host(url: Any, *, is_found: bool) -> None:
    assert bool(await builds([item(task={"url": url})], [])) is is_found


async def test_a_search_ends_behind_the_moment_it_goes_back_to() -> None:
    old = (NOW - timedelta(hours=2)).timestamp() * 1000
    pages = [{"url": JOB_URL, "allBuilds": [run(n, actions=[], timestamp=old) for n in range(500, 400, -1)]}]
    told = Told(queue={"items": []}, job=pages)
    assert await Jenkins(told).find_build(PATH, KEY, NOW - timedelta(hours=1)) is None
    assert len(told.asked) == 2


async def test_a_search_goes_on_to_the_last_page_and_pages_overlap() -> None:
    pages: list[Any] = [
        {"url": JOB_URL, "allBuilds": [run(n, actions=[]) for n in range(500, 400, -1)]},
        {"url": JOB_URL, "allBuilds": [run(5), run(4)]},
    ]
    told = Told(queue={"items": []}, job=pages)
    found = await Jenkins(told).find_builds(PATH, KEY, NOW - timedelta(hours=1))
    assert [each.number for each in found] == [4, 5]
    assert [(params or {})["tree"][-8:] for _, _, params in told.asked[1:]] == ["]{0,100}", "{90,190}"]


@pytest.mark.parametrize(
    ("location", "queue_id"),
    [
        ("http://other.host/jenkins/queue/item/42/", 42),
        ("/queue/item/42", 42),
        ("http://other.host/job/shop/", None),
        ("", None),
    ],
)
async def test_only_the_path_of_a_location_is_believed(location: str, queue_id: int | None) -> None:
    told = Told(job=Reply(201, {"location": location}, b""))
    assert await Jenkins(told).start_build(PATH, KEY, {}) == queue_id


async def test_a_build_is_named_by_its_key_whatever_the_parameters_say() -> None:
    told = Told(job=Reply(303, {"location": "/queue/item/1/"}, b""))
    await Jenkins(told).start_build(PATH, KEY, {"OPERATION_ID": "forged", "EXTRA": "x"})
    expected = {"OPERATION_ID": "op-1", "COMPONENT": "api", "IMAGE_TAG": "tag-1", "EXTRA": "x"}
    assert told.asked == [("POST", "/job/teams/job/shop/buildWithParameters", expected)]


@pytest.mark.parametrize("name", ["delay", "token", "json", "cause"])
async def test_a_parameter_that_jenkins_takes_as_an_order_is_never_sent(name: str) -> None:
    told = Told()
    with pytest.raises(Invalid, match="rename it"):
        await Jenkins(told).start_build(PATH, KEY, {name: "x"})


@pytest.mark.parametrize(
    ("build", "asked"),
    [
        (Build(KEY, BuildState.QUEUED, None, 7), ("POST", "/queue/cancelItem", {"id": "7"})),
        (Build(KEY, BuildState.RUNNING, 3, 7), ("POST", "/job/teams/job/shop/3/stop", None)),
        (Build(KEY, BuildState.PASSED, 3, 7), None),
    ],
)
async def test_a_build_is_stopped_where_it_is(build: Build, asked: Any) -> None:
    told = Told(queue=Reply(204, {}, b""), job=Reply(302, {}, b""))
    await Jenkins(told).stop(PATH, build)
    assert told.asked == ([asked] if asked else [])


async def test_an_item_that_is_being_deleted_is_busy() -> None:
    told = Told(job=[{}, Invalid("jenkins answered delete_item with 400: shop is currently being deleted", status=400)])
    with pytest.raises(Busy, match="being deleted"):
        await Jenkins(told).delete_item("teams/shop")


async def test_an_answer_without_the_header_is_not_a_jenkins() -> None:
    with pytest.raises(Unavailable, match="X-Jenkins"):
        await Jenkins(Told(api={})).version()


async def test_an_answer_that_is_no_object_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await Jenkins(Told(queue=["surprise"])).list_builds("teams")


async def test_a_refusal_that_is_not_about_crumbs_is_not_asked_again() -> None:
    told = Told(queue=[Refused("jenkins answered cancel_queued with 403: no right")])
    with pytest.raises(Refused, match="no right"):
        await Jenkins(told).cancel_queued(1)
    assert len(told.asked) == 1


async def test_a_missing_crumb_is_fetched_and_the_change_sent_once_more() -> None:
    refused = Refused("jenkins answered cancel_queued with 403: No valid crumb was included in the request")
    told = Told(queue=[refused, Reply(204, {}, b"")], crumbIssuer={"crumb": "c", "crumbRequestField": "Jenkins-Crumb"})
    assert await Jenkins(told).cancel_queued(1)
    assert [path for _, path, _ in told.asked] == [
        "/queue/cancelItem",
        "/crumbIssuer/api/json",
        "/queue/cancelItem",
    ]
