"""The simulated Jenkins over loopback: each quirk of the checklist (FACTS 7, line Jenkins) by its name."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from yarl import URL

from reconciler.sandbox.jenkins import Jenkins

TOKEN, PASSWORD = "11token", "pass word"
FOLDER = "<com.cloudbees.hudson.plugins.folder.Folder/>"
PARAMETERS = ("OPERATION_ID", "COMPONENT", "IMAGE_TAG")


class HandClock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def move(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    text: str
    json: Any
    cookies: dict[str, str]


class Browser:
    """Sends plain requests and follows nothing."""

    def __init__(self, jenkins: Jenkins, session: aiohttp.ClientSession) -> None:
        self.jenkins = jenkins
        self.session = session
        self.secret = TOKEN

    async def send(self, method: str, path: str, body: str | None = None, **headers: str) -> Answer:
        basic = base64.b64encode(f"reconciler:{self.secret}".encode()).decode()
        sent = {"Authorization": f"Basic {basic}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        url = URL(self.jenkins.url + path, encoded=True)
        async with self.session.request(method, url, data=body, headers=sent, allow_redirects=False) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json"
            cookies = {name: morsel.value for name, morsel in answer.cookies.items()}
            return Answer(
                answer.status, dict(answer.headers), text, (await answer.json()) if is_json else None, cookies
            )

    async def create(self, path: str, name: str, xml: str) -> Answer:
        return await self.send("POST", f"{path}/createItem?name={name}", xml, Content_Type="application/xml")

    async def get(self, path: str) -> Any:
        answer = await self.send("GET", path)
        assert answer.status == 200, answer.text
        return answer.json

    async def build(self, **parameters: str) -> Answer:
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return await self.send("POST", f"/job/f/job/shop/buildWithParameters?{query}")


def pipeline(*names: str, extra: str = "") -> str:
    definitions = "".join(
        f"<hudson.model.StringParameterDefinition><name>{name}</name></hudson.model.StringParameterDefinition>"
        for name in names
    )
    declared = (
        f"<hudson.model.ParametersDefinitionProperty><parameterDefinitions>{definitions}{extra}"
        "</parameterDefinitions></hudson.model.ParametersDefinitionProperty>"
    )
    return (
        f"<?xml version='1.1' encoding='UTF-8'?><flow-definition><properties>{declared if names else ''}</properties>"
        "<definition class='org.jenkinsci.plugins.workflow.cps.CpsFlowDefinition'><script>node {}</script></definition>"
        "</flow-definition>"
    )


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def jenkins(clock: HandClock) -> AsyncIterator[Jenkins]:
    jenkins = Jenkins(clock=clock, token=TOKEN, password=PASSWORD, build_seconds=60, quiet_seconds=5)
    await jenkins.start()
    yield jenkins
    await jenkins.stop()


@pytest.fixture
async def browser(jenkins: Jenkins) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        browser = Browser(jenkins, session)
        assert (await browser.create("", "f", FOLDER)).status == 200
        assert (await browser.create("/job/f", "shop", pipeline(*PARAMETERS))).status == 200
        yield browser


def item_id(answer: Answer) -> str:
    return answer.headers["Location"].rstrip("/").rpartition("/")[2]


async def test_a_queued_build_is_201_and_an_equal_one_folds_into_it_with_303(browser: Browser) -> None:
    first = await browser.build(OPERATION_ID="a")
    second = await browser.build(OPERATION_ID="a")
    third = await browser.build(OPERATION_ID="b")
    assert (first.status, second.status, third.status) == (201, 303, 201)
    assert item_id(first) == item_id(second) != item_id(third)


async def test_an_equal_build_does_not_fold_once_the_first_has_started(browser: Browser, clock: HandClock) -> None:
    await browser.build(OPERATION_ID="a")
    clock.move(6)
    assert (await browser.build(OPERATION_ID="a")).status == 201


async def test_a_vetoed_build_is_302_without_an_item(browser: Browser, jenkins: Jenkins) -> None:
    jenkins.veto_builds()
    answer = await browser.build(OPERATION_ID="a")
    assert (answer.status, answer.headers["Location"]) == (302, ".")
    assert (await browser.get("/queue/api/json"))["items"] == []


async def test_a_disabled_job_is_409_until_it_is_enabled(browser: Browser) -> None:
    assert (await browser.send("POST", "/job/f/job/shop/disable")).status == 302
    assert (await browser.build()).status == 409
    assert (await browser.send("POST", "/job/f/job/shop/enable")).status == 302
    assert (await browser.build()).status == 201


async def test_parameters_for_a_job_without_any_are_400(browser: Browser) -> None:
    await browser.create("/job/f", "plain", pipeline())
    assert (await browser.send("POST", "/job/f/job/plain/buildWithParameters")).status == 400
    assert (await browser.send("POST", "/job/f/job/plain/build")).status == 201
    assert (await browser.send("POST", "/job/f/job/plain/build")).status == 201


async def test_a_plain_build_of_a_parameterised_job_wants_the_form(browser: Browser) -> None:
    assert (await browser.send("POST", "/job/f/job/shop/build")).status == 400
    assert (await browser.send("POST", "/job/f/job/shop/build?json=%7B%7D")).status == 201


async def test_a_bad_choice_is_500(browser: Browser) -> None:
    choice = (
        "<hudson.model.ChoiceParameterDefinition><name>SIZE</name><choices><a><string>S</string><string>L</string></a>"
        "</choices></hudson.model.ChoiceParameterDefinition>"
    )
    await browser.create("/job/f", "choosy", pipeline("A", extra=choice))
    assert (await browser.send("POST", "/job/f/job/choosy/buildWithParameters?SIZE=XXL")).status == 500
    assert (await browser.send("POST", "/job/f/job/choosy/buildWithParameters?SIZE=L")).status == 201


async def test_location_names_another_host(browser: Browser, jenkins: Jenkins) -> None:
    location = URL((await browser.build()).headers["Location"])
    assert location.host != URL(jenkins.url).host
    assert location.path.startswith("/queue/item/")


async def test_the_quiet_period_holds_a_build_back(browser: Browser, clock: HandClock) -> None:
    await browser.build(OPERATION_ID="a")
    (item,) = (await browser.get("/queue/api/json?tree=items[why]"))["items"]
    assert item == {"_class": "hudson.model.Queue$WaitingItem", "why": "In the quiet period. Expires in 5.0 sec"}
    clock.move(5)
    assert (await browser.get("/queue/api/json?tree=items[id]"))["items"] == []
    assert len((await browser.get("/job/f/job/shop/api/json?tree=builds[number]"))["builds"]) == 1


@pytest.mark.parametrize(("delay", "is_started"), [("0sec", True), ("5", True), ("2sec", False), ("2000", False)])
async def test_a_delay_without_unit_is_milliseconds(browser: Browser, delay: str, *, is_started: bool) -> None:
    await browser.build(OPERATION_ID="a", delay=delay)
    assert (not (await browser.get("/queue/api/json"))["items"]) is is_started


async def test_a_left_item_is_readable_for_five_minutes_only(browser: Browser, clock: HandClock) -> None:
    path = f"/queue/item/{item_id(await browser.build(OPERATION_ID='a'))}/api/json"
    clock.move(5)
    left = await browser.get(path)
    assert (left["_class"], left["cancelled"], left["executable"]["number"]) == (
        "hudson.model.Queue$LeftItem",
        False,
        1,
    )
    clock.move(299)
    assert (await browser.send("GET", path)).status == 200
    clock.move(2)
    assert (await browser.send("GET", path)).status == 404


async def test_executable_is_null_for_a_moment(browser: Browser, jenkins: Jenkins, clock: HandClock) -> None:
    jenkins.pace.executable_lag = 0.5
    path = f"/queue/item/{item_id(await browser.build(OPERATION_ID='a'))}/api/json?tree=executable[number]"
    clock.move(5)
    assert (await browser.get(path))["executable"] is None
    clock.move(0.5)
    assert (await browser.get(path))["executable"]["number"] == 1


async def test_a_crash_loses_the_queue_and_shows_another_session(browser: Browser, jenkins: Jenkins) -> None:
    before = await browser.build(OPERATION_ID="a")
    jenkins.restart()
    after = await browser.send("GET", "/queue/api/json")
    assert after.json["items"] == []
    assert after.headers["X-Jenkins-Session"] != before.headers["X-Jenkins-Session"]


async def test_a_restart_in_order_keeps_the_queue_and_the_builds(browser: Browser, clock: HandClock) -> None:
    await browser.build(OPERATION_ID="a")
    clock.move(5)
    await browser.build(OPERATION_ID="b")
    assert (await browser.send("POST", "/safeRestart")).status == 302
    assert len((await browser.get("/queue/api/json"))["items"]) == 1
    assert (await browser.get("/job/f/job/shop/1/api/json"))["building"] is True


async def test_a_starting_server_answers_503_in_html(browser: Browser, jenkins: Jenkins, clock: HandClock) -> None:
    jenkins.restart(seconds=10)
    answer = await browser.send("GET", "/api/json")
    assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (503, "text/html")
    assert "Retry-After" not in answer.headers
    clock.move(10)
    assert (await browser.send("GET", "/api/json")).status == 200


async def test_a_result_can_be_set_while_still_building(browser: Browser, jenkins: Jenkins, clock: HandClock) -> None:
    jenkins.pace.post = 10
    await browser.build(OPERATION_ID="a", delay="0sec")
    clock.move(61)
    path = "/job/f/job/shop/1/api/json?tree=building,inProgress,result"
    build = await browser.get(path)
    assert (build["result"], build["building"], build["inProgress"]) == ("SUCCESS", True, True)
    clock.move(10)
    assert (await browser.get(path))["building"] is False


async def test_progressive_text_counts_the_raw_log(browser: Browser, clock: HandClock) -> None:
    await browser.build(OPERATION_ID="a", delay="0sec")
    path = "/job/f/job/shop/1/logText/progressiveText?start="
    first = await browser.send("GET", f"{path}0")
    size = int(first.headers["X-Text-Size"])
    assert first.headers["X-More-Data"] == "true"
    assert size > len(first.text)
    clock.move(60)
    rest = await browser.send("GET", f"{path}{size}")
    assert "X-More-Data" not in rest.headers
    assert first.text + rest.text == (await browser.send("GET", "/job/f/job/shop/1/consoleText")).text


async def test_progressive_text_beyond_the_size_starts_again(browser: Browser, clock: HandClock) -> None:
    await browser.build(OPERATION_ID="a", delay="0sec")
    clock.move(60)
    path = "/job/f/job/shop/1/logText/progressiveText?start="
    assert (await browser.send("GET", f"{path}999999")).text == (await browser.send("GET", f"{path}0")).text


async def test_a_log_that_is_not_there_yet_has_size_0_and_more_to_come(browser: Browser, jenkins: Jenkins) -> None:
    jenkins.pace.executable_lag = 1
    await browser.build(OPERATION_ID="a", delay="0sec")
    answer = await browser.send("GET", "/job/f/job/shop/1/logText/progressiveText?start=0")
    assert (answer.headers["X-Text-Size"], answer.headers["X-More-Data"], answer.text) == ("0", "true", "")


async def test_actions_succeed_with_302(browser: Browser) -> None:
    await browser.build(OPERATION_ID="a", delay="0sec")
    for path in ("/job/f/job/shop/1/stop", "/job/f/job/shop/1/term", "/quietDown", "/cancelQuietDown"):
        assert (await browser.send("POST", path)).status == 302, path
    assert (await browser.send("POST", "/job/f/job/shop/doDelete")).status == 302
    assert (await browser.send("DELETE", "/job/f/")).status == 204


@pytest.mark.parametrize(
    ("name", "content_type", "says"),
    [
        ("shop", "application/xml", "A job already exists with the name \u2018shop\u2019"),
        ("a%3Fb", "application/xml", "\u2018?\u2019 is an unsafe character"),
        ("dot.", "application/xml", "A name cannot end with \u2018.\u2019"),
        ("new", "", "No Content-Type header set"),
    ],
)
async def test_failures_are_400_with_x_error(browser: Browser, name: str, content_type: str, says: str) -> None:
    browser.session._skip_auto_headers = frozenset({"Content-Type"})
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await browser.send("POST", f"/job/f/createItem?name={name}", pipeline(), **headers)
    assert (answer.status, answer.headers["X-Error"]) == (400, says)


async def test_malformed_and_unknown_configurations_are_500(browser: Browser) -> None:
    assert (await browser.create("/job/f", "new", "<flow-definition>")).status == 500
    assert (await browser.create("/job/f", "new", "<com.example.Unknown/>")).status == 500
    changed = await browser.send("POST", "/job/f/job/shop/config.xml", FOLDER, Content_Type="application/xml")
    assert changed.status == 500


async def test_a_password_needs_the_crumb_of_its_session_and_a_token_needs_none(browser: Browser) -> None:
    browser.secret = PASSWORD
    assert (await browser.send("POST", "/quietDown")).status == 403
    issued = await browser.send("GET", "/crumbIssuer/api/json")
    ((session, identity),) = issued.cookies.items()
    crumb = issued.json["crumb"]
    assert (await browser.send("POST", "/quietDown", Jenkins_Crumb=crumb)).status == 403
    other = f"{session}=another"
    assert (await browser.send("POST", "/quietDown", Jenkins_Crumb=crumb, Cookie=other)).status == 403
    kept = f"{session}={identity}"
    assert (await browser.send("POST", "/quietDown", Jenkins_Crumb=crumb, Cookie=kept)).status == 302
    browser.secret = TOKEN
    assert (await browser.send("POST", "/cancelQuietDown")).status == 302


async def test_there_is_no_crumb_issuer_without_protection(browser: Browser, jenkins: Jenkins) -> None:
    jenkins.doors.is_crumb_needed = False
    browser.secret = PASSWORD
    assert (await browser.send("GET", "/crumbIssuer/api/json")).status == 404
    assert (await browser.send("POST", "/quietDown")).status == 302


async def test_a_token_can_be_made_and_revoked(browser: Browser) -> None:
    path = "/user/reconciler/descriptorByName/jenkins.security.ApiTokenProperty"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    made = (await browser.send("POST", f"{path}/generateNewToken", "newTokenName=x", **form)).json["data"]
    browser.secret = made["tokenValue"]
    assert (await browser.send("GET", "/api/json")).status == 200
    await browser.send("POST", f"{path}/revoke", f"tokenUuid={made['tokenUuid']}", **form)
    assert (await browser.send("GET", "/api/json")).status == 401


async def test_unknown_parameters_are_silently_ignored_and_missing_ones_are_default(browser: Browser) -> None:
    await browser.build(OPERATION_ID="a", OPERATOIN_ID="typo")
    path = "/queue/api/json?tree=items[actions[parameters[name,value]]]"
    (item,) = (await browser.get(path))["items"]
    values = {each["name"]: each["value"] for each in item["actions"][0]["parameters"]}
    assert values == {"OPERATION_ID": "a", "COMPONENT": "", "IMAGE_TAG": ""}
    assert item["actions"][1:] == [{"_class": "hudson.model.CauseAction"}, {}]


async def test_credentials_are_redacted_and_posting_that_back_destroys_them(browser: Browser, jenkins: Jenkins) -> None:
    base = "/job/f/credentials/store/folder/domain/_"
    entry = (
        "<com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl><id>git</id><username>u</username>"
        "<password>s3cret</password></com.cloudbees.plugins.credentials.impl.UsernamePasswordCredentialsImpl>"
    )
    xml = {"Content-Type": "application/xml"}
    assert (await browser.send("POST", f"{base}/createCredentials", entry, **xml)).status == 200
    assert (await browser.send("POST", f"{base}/createCredentials", entry, **xml)).status == 409
    shown = await browser.send("GET", f"{base}/credential/git/config.xml")
    assert "<secret-redacted" in shown.text
    assert "s3cret" not in shown.text
    assert [each["id"] for each in (await browser.get(f"{base}/api/json"))["credentials"]] == ["git"]
    assert jenkins.secret_of("f", "git") == "s3cret"
    assert (await browser.send("POST", f"{base}/credential/git/config.xml", shown.text, **xml)).status == 200
    assert jenkins.secret_of("f", "git") == ""
    assert (await browser.send("DELETE", f"{base}/credential/git/config.xml")).status == 200
    assert (await browser.send("GET", f"{base}/credential/git/config.xml")).status == 404


async def test_config_xml_is_never_what_was_sent(browser: Browser) -> None:
    shown = (await browser.send("GET", "/job/f/job/shop/config.xml")).text
    assert shown.startswith("<?xml version='1.1' encoding='UTF-8'?>")
    assert 'plugin="workflow-job@' in shown
    assert "<keepDependencies>false</keepDependencies>" in shown


async def test_a_copy_cannot_be_built_until_it_is_saved(browser: Browser) -> None:
    assert (await browser.send("POST", "/job/f/createItem?name=copy&mode=copy&from=shop")).status == 302
    assert (await browser.send("POST", "/job/f/job/copy/buildWithParameters")).status == 409
    saved = pipeline(*PARAMETERS)
    await browser.send("POST", "/job/f/job/copy/config.xml", saved, Content_Type="application/xml")
    assert (await browser.send("POST", "/job/f/job/copy/buildWithParameters")).status == 201


async def test_cancelling_is_204_once_and_404_after(browser: Browser) -> None:
    path = f"/queue/cancelItem?id={item_id(await browser.build())}"
    assert (await browser.send("POST", path)).status == 204
    assert (await browser.send("POST", path)).status == 404


async def test_a_quieting_server_accepts_and_holds(browser: Browser, clock: HandClock) -> None:
    await browser.send("POST", "/quietDown")
    assert (await browser.build(OPERATION_ID="a")).status == 201
    clock.move(60)
    (item,) = (await browser.get("/queue/api/json?tree=items[blocked]"))["items"]
    assert item == {"_class": "hudson.model.Queue$BlockedItem", "blocked": True}
    await browser.send("POST", "/cancelQuietDown")
    assert (await browser.get("/queue/api/json"))["items"] == []


async def test_a_pipeline_that_resists_stop_yields_to_term(browser: Browser, jenkins: Jenkins) -> None:
    jenkins.resist_stops()
    await browser.build(OPERATION_ID="a", delay="0sec")
    await browser.send("POST", "/job/f/job/shop/1/stop")
    assert [each.state for each in jenkins.builds] == ["building"]
    await browser.send("POST", "/job/f/job/shop/1/term")
    assert [each.state for each in jenkins.builds] == ["ABORTED"]


async def test_an_image_is_pushed_though_nobody_looks() -> None:
    pushed = asyncio.Event()
    values: list[Mapping[str, str]] = []

    def push(given: Mapping[str, str]) -> None:
        values.append(given)
        pushed.set()

    jenkins = Jenkins(token=TOKEN, quiet_seconds=0.01, build_seconds=0.02, on_success=push)
    await jenkins.start()
    async with aiohttp.ClientSession() as session:
        browser = Browser(jenkins, session)
        await browser.create("", "f", FOLDER)
        await browser.create("/job/f", "shop", pipeline(*PARAMETERS))
        await browser.build(OPERATION_ID="op", COMPONENT="api", IMAGE_TAG="t")
    await asyncio.wait_for(pushed.wait(), 5)
    await jenkins.stop()
    assert values == [{"OPERATION_ID": "op", "COMPONENT": "api", "IMAGE_TAG": "t"}]
    assert jenkins.effective_builds == {("op", "api", "t"): 1}
    assert [(each.job, each.number, each.state) for each in jenkins.builds] == [("f/shop", 1, "SUCCESS")]


async def test_a_push_that_fails_is_not_hidden(browser: Browser) -> None:
    def push(_: Mapping[str, str]) -> None:
        raise RuntimeError("the registry is full")

    jenkins = Jenkins(token=TOKEN, quiet_seconds=0.01, on_success=push)
    await jenkins.start()
    there = Browser(jenkins, browser.session)
    await there.create("", "plain", pipeline())
    await there.send("POST", "/job/plain/build")
    ticker = jenkins._ticker
    assert ticker is not None
    await asyncio.wait([ticker], timeout=5)
    with pytest.raises(RuntimeError, match="full"):
        await jenkins.stop()


async def test_builds_lists_a_hundred_and_all_builds_all(browser: Browser) -> None:
    for number in range(103):
        await browser.build(OPERATION_ID=str(number), delay="0sec")
    job = await browser.get("/job/f/job/shop/api/json?tree=builds[number],allBuilds[number]{100,110}")
    assert len(job["builds"]) == 100
    assert [each["number"] for each in job["allBuilds"]] == [3, 2, 1]


async def test_a_malformed_tree_is_500(browser: Browser) -> None:
    assert (await browser.send("GET", "/api/json?tree=jobs[name")).status == 500


async def test_what_is_unknown_is_404_and_bad_credentials_are_401(browser: Browser) -> None:
    for path in (
        "/job/nobody/api/json",
        "/job/f/job/shop/7/api/json",
        "/no/such/page",
        "/job/f/job/shop/job/x/api/json",
    ):
        assert (await browser.send("GET", path)).status == 404, path
    assert (await browser.create("/job/nobody", "x", FOLDER)).status == 404
    browser.secret = "wrong"
    assert (await browser.send("GET", "/api/json")).status == 401


async def test_deleting_a_folder_deletes_what_is_in_it_and_aborts_its_builds(
    browser: Browser, jenkins: Jenkins
) -> None:
    await browser.build(OPERATION_ID="a", delay="0sec")
    await browser.get("/api/json")
    await browser.send("DELETE", "/job/f/")
    assert [each.state for each in jenkins.builds] == ["ABORTED"]
    assert (await browser.get("/api/json"))["jobs"] == []


async def test_every_answer_names_version_and_session(browser: Browser) -> None:
    for path in ("/api/json", "/job/nobody/api/json"):
        answer = await browser.send("GET", path)
        assert answer.headers["X-Jenkins"] == "2.579"
        assert answer.headers["X-Jenkins-Session"]
