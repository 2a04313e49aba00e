"""Our Jenkins client against the simulated Jenkins, and both against the (old, unofficial) description."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from reconciler.clients.endpoint import Bounds, Endpoint
from reconciler.clients.jenkins import Jenkins
from reconciler.domain.clock import SystemClock
from reconciler.domain.errors import (
    AlreadyExists,
    Busy,
    Invalid,
    NotFound,
    OutcomeUnknown,
    ReconcilerError,
    Refused,
    Unavailable,
)
from reconciler.domain.outside.builds import BuildKey, BuildState, Credential, GitLogin, JobPath, JobShape
from reconciler.domain.ownership import Marker
from reconciler.resilience.breaker import Breaker, Rules
from reconciler.sandbox.jenkins import Jenkins as Simulated
from reconciler.sandbox.weather import Strike, Weather
from support.contracts import Contract, Deviation, recording

USERNAME, TOKEN, PASSWORD = "reconciler", "11token", "pass word"
NOT_DESCRIBED = "FACTS 2: the description has no such operation"
CONTRACT = Contract(
    "jenkins.openapi.yaml",
    rewrite=lambda path: re.sub(r"(?<=\w)/job/", "%2F", path),
    deviations=(
        Deviation("POST /job/*/createItem", "operation", "", NOT_DESCRIBED + " (folders)"),
        Deviation("POST /job/*/buildWithParameters", "operation", "", NOT_DESCRIBED),
        Deviation("POST /queue/cancelItem", "operation", "", NOT_DESCRIBED),
        Deviation("GET /job/{name}/api/json", "response", "/lastBuild", "null where a job has no build yet", "None"),
        Deviation("* /job/*/credentials/*", "operation", "", NOT_DESCRIBED + " (credentials plugin)"),
        Deviation("DELETE /job/*", "operation", "", NOT_DESCRIBED + ": DELETE answers 204, doDelete 302"),
        Deviation("POST /job/*/stop", "operation", "", NOT_DESCRIBED + " (only lastBuild/stop, with 200 for 302)"),
        Deviation("POST /job/*/term", "operation", "", NOT_DESCRIBED),
        Deviation("GET *", "parameter", "tree", "FACTS 2.5: tree= is how fields are chosen; the description is silent"),
        Deviation("*", "status", "503", "FACTS 2.1: a starting Jenkins answers 503 in HTML"),
        Deviation("POST /job/{name}/*", "status", "302", "FACTS 2.1: 302 is the success status of most actions"),
        Deviation("POST /job/{name}/build", "parameter", "json", "FACTS 2.3: only a parameterised job wants the form"),
        Deviation("POST /job/{name}/build", "status", "409", "FACTS 2.3: a disabled job is not buildable"),
        Deviation("GET /queue/item/*", "status", "404", "FACTS 2.4: five minutes after leaving an item is unknown"),
        Deviation("POST /createItem", "request", "", "FACTS 2.2: the body is XML; the description says JSON"),
        Deviation(
            "POST /job/{name}/config.xml", "request", "", "FACTS 2.2: the body is XML; the description says JSON"
        ),
        Deviation(
            "GET /job/{name}/config.xml", "response", "", "core AbstractItem.doConfigDotXml says application/xml"
        ),
    ),
)
MARKER = Marker("cluster-1", "JenkinsSettings", "apps", "shop", "uid-1")
PATH = JobPath("teams/shop", "shop")
NAMES = ("OPERATION_ID", "COMPONENT", "COMPONENT_PATH", "DOCKERFILE", "REVISION", "IMAGE", "IMAGE_TAG", "TRACEPARENT")
SHAPE = JobShape("https://git.example.com/shop.git", "main", credentials_id="git", parameters=NAMES)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
KEY = BuildKey("op-1", "api", "4be1c05d1234-0a1b2c3d-1")


class AheadClock(SystemClock):
    """The machine's time, ahead by what was moved."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead

    def move(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> AheadClock:
    return AheadClock()


@pytest.fixture
async def simulated(clock: AheadClock) -> AsyncIterator[Simulated]:
    simulated = Simulated(clock=clock, username=USERNAME, token=TOKEN, password=PASSWORD, build_seconds=60)
    await simulated.start()
    yield simulated
    await simulated.stop()


def endpoint(url: str, secret: str = TOKEN, timeout: float = 10, failures: int = 1000) -> Endpoint:
    async def authorize() -> Mapping[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"{USERNAME}:{secret}".encode()).decode()}

    return Endpoint(
        "jenkins",
        url,
        authorization=authorize,
        bounds=Bounds(timeout=timedelta(seconds=timeout), limited_for=timedelta(milliseconds=1)),
        breaker=Breaker("jenkins", rules=Rules(failures=failures, rate=1.1)),
        keeps_cookies=secret != TOKEN,
    )


@pytest.fixture
async def jenkins(simulated: Simulated) -> AsyncIterator[Jenkins]:
    async with recording(simulated.url) as recorder:
        asks = endpoint(recorder.url)
        yield Jenkins(asks)
        await asks.close()
    CONTRACT.check(recorder.exchanges)


@pytest.fixture
async def ready(jenkins: Jenkins) -> Jenkins:
    """Return a client of a Jenkins with the folder and the job."""
    await jenkins.create_folder(PATH.folder, MARKER)
    await jenkins.create_job(PATH, SHAPE, MARKER)
    return jenkins


async def test_plain_answers_are_as_described(simulated: Simulated) -> None:
    """Ask as the description does, without `tree`, which our client never does."""
    simulated.pace.quiet = 5
    async with recording(simulated.url) as recorder:
        asks = endpoint(recorder.url)
        await Jenkins(asks).create_job(JobPath("", "shop"), replace(SHAPE, parameters=()), MARKER)
        described = [
            ("POST", "/job/shop/build", 201),
            ("GET", "/api/json", 200),
            ("GET", "/crumbIssuer/api/json", 200),
            ("GET", "/job/shop/api/json", 200),
            ("GET", "/queue/api/json", 200),
            ("GET", "/queue/item/1/api/json", 200),
            ("POST", "/job/shop/disable", 302),
            ("POST", "/job/shop/build", 409),
            ("POST", "/job/shop/enable", 302),
            ("POST", "/job/shop/doDelete", 302),
            ("GET", "/job/shop/api/json", 404),
        ]
        for method, path, status in described:
            await asks.ask(method, path, expect=(status,))
        await asks.close()
    CONTRACT.check(recorder.exchanges)


async def test_the_version_comes_from_the_header(jenkins: Jenkins) -> None:
    assert await jenkins.version() == "2.579"


async def test_a_folder_is_made_with_those_above_it_and_found_with_its_marker(jenkins: Jenkins) -> None:
    assert await jenkins.find_folder("a/b/c") is None
    await jenkins.create_folder("a/b/c", MARKER)
    for path in ("a", "a/b", "a/b/c"):
        folder = await jenkins.find_folder(path)
        assert folder is not None
        assert (folder.path, folder.marker) == (path, MARKER)
    with pytest.raises(AlreadyExists):
        await jenkins.create_folder("a/b/c", MARKER)


async def test_a_job_where_a_folder_is_wanted_is_invalid(ready: Jenkins) -> None:
    with pytest.raises(Invalid, match="not a folder"):
        await ready.find_folder("teams/shop/shop")


SHAPES = {
    "from git": SHAPE,
    "from git without credentials": replace(SHAPE, credentials_id=""),
    "a full branch name": replace(SHAPE, branch="refs/heads/release"),
    "another script": replace(SHAPE, script_path="ci/Jenkinsfile", parameters=(*NAMES, "EXTRA")),
    "inline": replace(SHAPE, script='node {\r\n  echo "<&> \' \u00e9"\n}\n', credentials_id=""),
    "inline with credentials": replace(SHAPE, script="node {}"),
    "without parameters": replace(SHAPE, parameters=()),
}


@pytest.mark.parametrize("name", SHAPES)
async def test_a_job_is_found_as_it_was_made_after_jenkins_has_rewritten_it(jenkins: Jenkins, name: str) -> None:
    await jenkins.create_folder(PATH.folder, MARKER)
    await jenkins.create_job(PATH, SHAPES[name], MARKER)
    job = await jenkins.find_job(PATH)
    assert job is not None
    assert (job.path, job.marker, job.shape) == (PATH, MARKER, SHAPES[name])
    assert job.url.endswith("/job/teams/job/shop/job/shop/")


async def test_a_job_that_is_not_there_is_none_and_its_folder_is_needed(jenkins: Jenkins) -> None:
    assert await jenkins.find_job(PATH) is None
    with pytest.raises(NotFound):
        await jenkins.create_job(PATH, SHAPE, MARKER)


async def test_a_second_job_of_the_same_name_exists_already(ready: Jenkins) -> None:
    with pytest.raises(AlreadyExists):
        await ready.create_job(PATH, SHAPE, MARKER)


async def test_an_update_changes_shape_and_marker(ready: Jenkins) -> None:
    wanted, marker = SHAPES["inline"], replace(MARKER, uid="uid-2")
    await ready.update_job(PATH, wanted, marker)
    job = await ready.find_job(PATH)
    assert job is not None
    assert (job.shape, job.marker) == (wanted, marker)
    with pytest.raises(NotFound):
        await ready.update_job(JobPath("teams/shop", "other"), wanted, marker)


async def test_a_folder_inside_which_something_is_left_is_not_deleted(ready: Jenkins) -> None:
    with pytest.raises(Busy, match="still holds shop"):
        await ready.delete_item("teams/shop")
    await ready.delete_item("teams/shop/shop")
    await ready.delete_item("teams/shop")
    assert await ready.find_folder("teams/shop") is None
    await ready.delete_item("teams/shop")


async def test_the_root_is_never_deleted(jenkins: Jenkins) -> None:
    with pytest.raises(Invalid):
        await jenkins.delete_item("/")


async def test_the_parameters_of_a_job_are_read_back(ready: Jenkins) -> None:
    assert await ready.list_parameters(PATH) == NAMES
    with pytest.raises(NotFound):
        await ready.list_parameters(JobPath("teams/shop", "other"))


async def test_a_credential_is_made_then_overwritten_whole_then_deleted(simulated: Simulated, ready: Jenkins) -> None:
    assert await ready.find_credential(PATH.folder, "git") is None
    for secret in ("first", "second"):
        await ready.apply_credential(PATH.folder, GitLogin("git", "bot", secret), MARKER)
        assert await ready.find_credential(PATH.folder, "git") == Credential("git", MARKER)
        assert await ready.list_credentials(PATH.folder) == (Credential("git", MARKER),)
        assert simulated.secret_of(PATH.folder, "git") == secret
    await ready.delete_credential(PATH.folder, "git")
    await ready.delete_credential(PATH.folder, "git")
    assert await ready.find_credential(PATH.folder, "git") is None


async def test_a_key_is_a_credential_too(simulated: Simulated, ready: Jenkins) -> None:
    await ready.apply_credential(PATH.folder, GitLogin("key", ssh_private_key="-----BEGIN\nabc\n"), MARKER)
    assert simulated.secret_of(PATH.folder, "key") == "-----BEGIN\nabc\n"


async def test_a_foreign_credential_of_the_same_id_stays_untouched(simulated: Simulated, ready: Jenkins) -> None:
    await ready.apply_credential(PATH.folder, GitLogin("git", "bot", "theirs"), replace(MARKER, name="other"))
    with pytest.raises(AlreadyExists, match="JenkinsSettings/apps/other"):
        await ready.apply_credential(PATH.folder, GitLogin("git", "bot", "ours"), MARKER)
    assert simulated.secret_of(PATH.folder, "git") == "theirs"


async def test_a_build_is_found_queued_running_and_passed(
    simulated: Simulated, ready: Jenkins, clock: AheadClock
) -> None:
    simulated.pace.quiet, simulated.pace.post = 5, 10
    assert await ready.find_build(PATH, KEY, LONG_AGO) is None
    queue_id = await ready.start_build(PATH, KEY, {"REVISION": "4be1c05d"})
    seen = []
    for seconds in (0.0, 6.0, 60.0, 10.0):
        clock.move(seconds)
        build = await ready.find_build(PATH, KEY, LONG_AGO)
        assert build is not None
        assert (build.queue_id, build.key) == (queue_id, KEY)
        assert build == (await ready.list_builds(PATH.folder))[0]
        seen.append((build.state, build.number))
    assert seen == [
        (BuildState.QUEUED, None),
        (BuildState.RUNNING, 1),
        (BuildState.RUNNING, 1),  # the result is set, the build goes on
        (BuildState.PASSED, 1),
    ]


@pytest.mark.parametrize(
    ("result", "state"),
    [
        ("SUCCESS", BuildState.PASSED),
        ("UNSTABLE", BuildState.FAILED),
        ("FAILURE", BuildState.FAILED),
        ("NOT_BUILT", BuildState.ABORTED),
        ("ABORTED", BuildState.ABORTED),
    ],
)
async def test_each_result_has_its_state(
    simulated: Simulated, ready: Jenkins, clock: AheadClock, result: str, state: BuildState
) -> None:
    simulated.fail_builds(component="api", result=result)
    await ready.start_build(PATH, KEY, {})
    clock.move(61)
    build = await ready.find_build(PATH, KEY, LONG_AGO)
    assert build is not None
    assert build.state is state
    assert build.message == ("" if state is BuildState.PASSED else f"the build ended as {result}")


async def test_an_equal_wish_is_the_same_item_while_it_is_queued(simulated: Simulated, ready: Jenkins) -> None:
    simulated.pace.quiet = 5
    assert await ready.start_build(PATH, KEY, {}) == await ready.start_build(PATH, KEY, {})


async def test_of_twins_the_lowest_number_counts(simulated: Simulated, ready: Jenkins) -> None:
    for _ in range(2):
        await ready.start_build(PATH, KEY, {})
        await ready.list_builds(PATH.folder)
    twins = await ready.find_builds(PATH, KEY, LONG_AGO)
    assert [each.number for each in twins] == [1, 2]
    first = await ready.find_build(PATH, KEY, LONG_AGO)
    assert first is not None
    assert first.number == 1


async def test_a_search_goes_back_beyond_any_page(simulated: Simulated, ready: Jenkins, clock: AheadClock) -> None:
    asked_at = clock.now()
    await ready.start_build(PATH, KEY, {})
    simulated.catch_up()
    for number in range(230):
        await ready.start_build(PATH, replace(KEY, operation_id=f"other-{number}"), {})
        simulated.catch_up()
    build = await ready.find_build(PATH, KEY, asked_at)
    assert build is not None
    assert build.number == 1
    assert KEY not in {each.key for each in await ready.list_builds(PATH.folder)}


async def test_a_list_costs_two_requests_however_many_wait(simulated: Simulated, ready: Jenkins) -> None:
    other = JobPath(PATH.folder, "web")
    await ready.create_job(other, SHAPE, replace(MARKER, name="web"))
    simulated.pace.quiet = 5
    keys = [replace(KEY, operation_id=f"op-{number}") for number in range(20)]
    for number, key in enumerate(keys):
        await ready.start_build(other if number % 2 else PATH, key, {})
    simulated.requests.clear()
    assert {each.key for each in await ready.list_builds(PATH.folder)} == set(keys)
    assert simulated.requests.total() == 2


async def test_asking_for_a_job_again_costs_one_request(simulated: Simulated, ready: Jenkins) -> None:
    first = await ready.find_job(PATH)
    simulated.requests.clear()
    assert await ready.find_job(PATH) == first
    assert simulated.requests.total() == 1


async def test_a_list_can_go_beyond_a_hundred(simulated: Simulated, ready: Jenkins) -> None:
    for number in range(130):
        await ready.start_build(PATH, replace(KEY, operation_id=f"op-{number}"), {})
    assert len(await ready.list_builds(PATH.folder, newest=130)) == 130


async def test_builds_of_another_folder_are_not_ours(simulated: Simulated, ready: Jenkins) -> None:
    simulated.pace.quiet = 5
    other = JobPath(f"elsewhere/{PATH.folder}", "shop")
    await ready.create_folder(other.folder, MARKER)
    await ready.create_job(other, SHAPE, MARKER)
    await ready.start_build(other, KEY, {})
    assert await ready.find_build(PATH, KEY, LONG_AGO) is None
    assert await ready.list_builds(PATH.folder) == ()
    assert await ready.find_build(other, KEY, LONG_AGO) is not None


async def test_a_job_is_building_while_a_build_waits_or_runs(
    simulated: Simulated, ready: Jenkins, clock: AheadClock
) -> None:
    simulated.pace.quiet = 5
    seen = [await ready.is_building(PATH)]
    await ready.start_build(PATH, KEY, {"REVISION": "4be1c05d"})
    for seconds in (0.0, 6.0, 300.0):
        clock.move(seconds)
        await ready.find_build(PATH, KEY, LONG_AGO)
        seen.append(await ready.is_building(PATH))
    assert seen == [False, True, True, False]
    assert not await ready.is_building(JobPath("nowhere", "x"))


async def test_what_is_not_there_has_no_builds(jenkins: Jenkins) -> None:
    assert await jenkins.list_builds("nowhere") == ()
    assert await jenkins.find_build(JobPath("nowhere", "x"), KEY, LONG_AGO) is None
    with pytest.raises(NotFound):
        await jenkins.start_build(JobPath("nowhere", "x"), KEY, {})


async def test_a_cancelled_item_is_told_from_one_that_left_and_from_one_unknown(
    simulated: Simulated, ready: Jenkins, clock: AheadClock
) -> None:
    simulated.pace.quiet = 5
    queue_id = await ready.start_build(PATH, KEY, {})
    assert queue_id is not None
    queued = await ready.find_queued(queue_id)
    assert queued is not None
    assert queued.state is BuildState.QUEUED
    assert await ready.cancel_queued(queue_id)
    assert not await ready.cancel_queued(queue_id)
    cancelled = await ready.find_queued(queue_id)
    assert cancelled is not None
    assert cancelled.state is BuildState.ABORTED
    clock.move(301)
    assert await ready.find_queued(queue_id) is None


async def test_an_item_that_just_left_runs_though_its_number_is_not_known(simulated: Simulated, ready: Jenkins) -> None:
    simulated.pace.executable_lag = 60
    queue_id = await ready.start_build(PATH, KEY, {})
    assert queue_id is not None
    left = await ready.find_queued(queue_id)
    assert left is not None
    assert (left.state, left.number) == (BuildState.RUNNING, None)


async def test_a_stopped_build_is_aborted_and_one_that_resists_after_insisting(
    simulated: Simulated, ready: Jenkins
) -> None:
    simulated.resist_stops()
    await ready.start_build(PATH, KEY, {})
    states = []
    for insists in (False, True):
        await ready.list_builds(PATH.folder)
        await ready.stop_build(PATH, 1, insists=insists)
        build = await ready.find_build(PATH, KEY, LONG_AGO)
        assert build is not None
        states.append(build.state)
    assert states == [BuildState.RUNNING, BuildState.ABORTED]
    await ready.stop_build(PATH, 99)


async def test_a_disabled_job_is_refused_with_the_remedy(simulated: Simulated, ready: Jenkins) -> None:
    simulated.disable_job("teams/shop/shop")
    with pytest.raises(Refused, match="enable it"):
        await ready.start_build(PATH, KEY, {})


async def test_a_vetoed_build_is_refused(simulated: Simulated, ready: Jenkins) -> None:
    simulated.veto_builds()
    with pytest.raises(Refused, match="vetoed"):
        await ready.start_build(PATH, KEY, {})


async def test_a_job_without_parameters_is_invalid(ready: Jenkins) -> None:
    await ready.update_job(PATH, SHAPES["without parameters"], MARKER)
    with pytest.raises(Invalid, match="takes no parameters"):
        await ready.start_build(PATH, KEY, {})


async def test_a_parameter_that_would_be_an_order_is_invalid(simulated: Simulated, ready: Jenkins) -> None:
    simulated.requests.clear()
    with pytest.raises(Invalid) as caught:
        await ready.start_build(PATH, KEY, {"delay": "9999sec"})
    assert caught.value.field == "parameters.delay"
    assert not simulated.requests


async def test_a_lost_answer_is_an_unknown_outcome_and_the_build_is_found(simulated: Simulated, ready: Jenkins) -> None:
    simulated.faults.plan(Strike.LOSE_ANSWER, path="buildWithParameters")
    with pytest.raises((OutcomeUnknown, Unavailable)):
        await ready.start_build(PATH, KEY, {})
    assert await ready.find_build(PATH, KEY, LONG_AGO) is not None


async def test_wrong_credentials_are_refused(simulated: Simulated) -> None:
    asks = endpoint(simulated.url, secret="wrong")
    with pytest.raises(Refused):
        await Jenkins(asks).version()
    await asks.close()


async def test_a_password_gets_its_crumb(simulated: Simulated) -> None:
    asks = endpoint(simulated.url, secret=PASSWORD)
    await Jenkins(asks).create_folder("f", MARKER)
    assert await Jenkins(asks).find_folder("f") is not None
    await asks.close()


async def test_a_starting_jenkins_is_unavailable(simulated: Simulated, ready: Jenkins) -> None:
    simulated.restart(seconds=60)
    with pytest.raises(Unavailable, match="503"):
        await ready.version()


CALLS: dict[str, Callable[[Jenkins], Awaitable[object]]] = {
    "version": lambda j: j.version(),
    "find_folder": lambda j: j.find_folder(PATH.folder),
    "create_folder": lambda j: j.create_folder("new/one", MARKER),
    "find_job": lambda j: j.find_job(PATH),
    "create_job": lambda j: j.create_job(JobPath(PATH.folder, "new"), SHAPE, MARKER),
    "update_job": lambda j: j.update_job(PATH, SHAPE, MARKER),
    "delete_item": lambda j: j.delete_item("teams/shop/old"),
    "list_parameters": lambda j: j.list_parameters(PATH),
    "find_credential": lambda j: j.find_credential(PATH.folder, "git"),
    "apply_credential": lambda j: j.apply_credential(PATH.folder, GitLogin("git", "u", "p"), MARKER),
    "delete_credential": lambda j: j.delete_credential(PATH.folder, "git"),
    "list_builds": lambda j: j.list_builds(PATH.folder),
    "find_build": lambda j: j.find_build(PATH, KEY, LONG_AGO),
    "find_queued": lambda j: j.find_queued(1),
    "start_build": lambda j: j.start_build(PATH, KEY, {}),
    "stop_build": lambda j: j.stop_build(PATH, 1),
    "cancel_queued": lambda j: j.cancel_queued(1),
}


@pytest.mark.parametrize("weather", Weather)
async def test_in_every_weather_a_call_succeeds_or_names_what_to_do(simulated: Simulated, weather: Weather) -> None:
    asks = endpoint(simulated.url, timeout=0.7)
    jenkins = Jenkins(asks)
    await jenkins.create_folder(PATH.folder, MARKER)
    await jenkins.create_job(PATH, SHAPE, MARKER)
    simulated.faults.weather = weather
    names = list(CALLS) * 3
    ends = await asyncio.gather(*(CALLS[name](jenkins) for name in names), return_exceptions=True)
    await asks.close()
    wrong = [f"{name}: {end!r}" for name, end in zip(names, ends, strict=True) if not _is_named(end)]
    assert not wrong
    succeeded = sum(not isinstance(end, BaseException) for end in ends)
    assert (succeeded == 0) is (weather is Weather.DOWN)


def _is_named(end: object) -> bool:
    return isinstance(end, ReconcilerError) or not isinstance(end, BaseException)
