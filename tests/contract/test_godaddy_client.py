"""The GoDaddy client against the simulator, and both against the official description."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from reconciler.clients.asks import Headers
from reconciler.clients.endpoint import Bounds, Endpoint
from reconciler.clients.godaddy import GoDaddy as Client
from reconciler.clients.godaddy import translate
from reconciler.domain.errors import (
    Conflict,
    Invalid,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    ReconcilerError,
    Refused,
)
from reconciler.domain.outside.dns import RecordSet, Zone
from reconciler.resilience.breaker import Breaker, Rules
from reconciler.sandbox.godaddy import GoDaddy
from reconciler.sandbox.godaddy.zone import Record
from reconciler.sandbox.weather import Strike, Weather
from support.contracts import recording
from support.vendor_contracts import GODADDY

ACME = "acme.example"
API = RecordSet("api", "A", ("1.2.3.4",), 600)


async def _authorization() -> Headers:
    return {"Authorization": "sso-key k:s"}


def _endpoint(url: str, *, bounds: Bounds | None = None) -> Endpoint:
    patient = Breaker("godaddy", rules=Rules(failures=10_000, calls=10_000))
    bounds = bounds or Bounds(limited_for=timedelta(0))
    return Endpoint("godaddy", url, authorization=_authorization, translate=translate, bounds=bounds, breaker=patient)


@pytest.fixture
async def simulator() -> AsyncIterator[GoDaddy]:
    simulator = GoDaddy(key="k", secret="s", limit_per_minute=None)
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def client(simulator: GoDaddy) -> AsyncIterator[Client]:
    async with recording(simulator.url) as recorder:
        endpoint = _endpoint(recorder.url)
        yield Client(endpoint)
        await endpoint.close()
    GODADDY.check(recorder.exchanges)


async def test_a_replaced_record_set_is_found_again_and_twice_is_once(client: Client, simulator: GoDaddy) -> None:
    for _ in range(2):
        await client.replace_record_set(ACME, API)
    assert await client.find_record_set(ACME, "A", "api") == API
    assert simulator.values(ACME, "A", "api") == ["1.2.3.4"]


@pytest.mark.parametrize("name", ["@", "*", "*.preview", "a.b", "_freeleaps-a"])
async def test_apex_wildcard_and_deep_names_are_written_as_they_are(client: Client, name: str) -> None:
    record = RecordSet(name, "TXT", ("hello, world=1",), 600)
    await client.replace_record_set(ACME, record)
    assert await client.find_record_set(ACME, "TXT", name) == record
    await client.delete_record_set(ACME, "TXT", name)
    assert await client.find_record_set(ACME, "TXT", name) is None


@pytest.mark.parametrize(("asked", "kept"), [(60, 600), (3600, 3600), (10**6, 86400)])
async def test_the_ttl_is_brought_into_bounds(client: Client, asked: int, kept: int) -> None:
    await client.replace_record_set(ACME, RecordSet("api", "A", ("1.2.3.4",), asked))
    found = await client.find_record_set(ACME, "A", "api")
    assert found is not None
    assert found.ttl == kept


async def test_the_whole_zone_is_read_in_one_request_and_normalised(client: Client, simulator: GoDaddy) -> None:
    simulator.quirky = True
    zone = simulator.zone(ACME)
    zone.set(
        [
            *zone.records,
            Record("CNAME", "shop", "LB.Example.net", 3600),
            Record("TXT", "shop2", "heritage=x", 3600),
            Record("TXT", "blank", " ", 3600),
            Record("A", "API", "1.2.3.5", 3600),
            Record("A", "api", "1.2.3.4", 600),
            Record("MX", "@", "Mail.acme.example.", 3600, (("priority", 10),)),
        ]
    )
    sets = {(each.type, each.name): each for each in await client.list_record_sets(ACME)}
    assert sets["CNAME", "www"].values == (ACME,)
    assert sets["CNAME", "shop"].values == ("lb.example.net",)
    assert sets["TXT", "shop2"].values == ("heritage=x",)
    assert sets["TXT", "blank"].values == (" ",)
    assert sets["A", "api"] == RecordSet("api", "A", ("1.2.3.4", "1.2.3.5"), 600)
    assert sets["MX", "@"].values == ("10 mail.acme.example",)
    assert sum(simulator.requests.values()) == 1


async def test_a_record_that_is_not_there_is_none_and_deleting_it_is_fine(client: Client, simulator: GoDaddy) -> None:
    assert await client.find_record_set(ACME, "A", "nothing") is None
    await client.delete_record_set(ACME, "A", "nothing")
    simulator.absent_is_404 = True
    await client.delete_record_set(ACME, "A", "nothing")


async def test_a_404_at_deletion_with_the_record_still_shown_is_a_conflict(client: Client, simulator: GoDaddy) -> None:
    await client.replace_record_set(ACME, API)
    simulator.absent_is_404 = True
    zone = simulator.zone(ACME)
    simulator.read_lag = 3600
    zone._versions.insert(1, (float("-inf"), zone.records))
    await client.delete_record_set(ACME, "A", "api")
    with pytest.raises(Conflict):
        await client.delete_record_set(ACME, "A", "api")


async def test_an_unknown_domain_is_not_found(client: Client) -> None:
    assert await client.find_zone("other.example") is None
    with pytest.raises(NotFound):
        await client.find_record_set("other.example", "A", "@")
    with pytest.raises(NotFound):
        await client.delete_record_set("other.example", "A", "@")


async def test_zones_name_their_problem(client: Client, simulator: GoDaddy) -> None:
    simulator.add_domain("away.example").name_servers = ["ns1.elsewhere.example."]
    simulator.add_domain("old.example", status="EXPIRED")
    assert await client.find_zone(ACME) == Zone(ACME)
    found = {zone.domain: zone.problem for zone in await client.list_zones()}
    assert found[ACME] == ""
    assert "ns1.elsewhere.example" in found["away.example"]
    assert "EXPIRED" in found["old.example"]


async def test_a_small_account_is_refused_with_the_reason(client: Client, simulator: GoDaddy) -> None:
    simulator.restricted = True
    with pytest.raises(Refused, match="10 or more domains"):
        await client.find_zone(ACME)


async def test_a_wrong_key_is_refused_without_telling_it(client: Client, simulator: GoDaddy) -> None:
    simulator.secret = "changed"
    with pytest.raises(Refused, match="does not know this key") as refused:
        await client.list_record_sets(ACME)
    assert "k:s" not in str(refused.value)


async def test_a_domain_that_is_locked_is_refused(client: Client, simulator: GoDaddy) -> None:
    simulator.zone(ACME).status = "LOCKED"
    with pytest.raises(Refused, match="locked, expired"):
        await client.delete_record_set(ACME, "A", "api")


async def test_a_record_beside_a_cname_is_invalid_and_names_the_field(client: Client) -> None:
    with pytest.raises(Invalid, match="conflicts with another record") as invalid:
        await client.replace_record_set(ACME, RecordSet("www", "A", ("1.2.3.4",), 600))
    assert invalid.value.field == "records[0].name"


@pytest.mark.parametrize("record", [RecordSet("api", "A", (), 600), RecordSet("@", "NS", ("ns.example",), 600)])
async def test_what_must_not_be_written_is_not_even_sent(client: Client, simulator: GoDaddy, record: RecordSet) -> None:
    with pytest.raises(Invalid):
        await client.replace_record_set(ACME, record)
    assert not simulator.requests


async def test_a_gateway_timeout_on_a_change_leaves_the_outcome_unknown(client: Client, simulator: GoDaddy) -> None:
    simulator.timeouts = 2
    with pytest.raises(OutcomeUnknown):
        await client.replace_record_set(ACME, API)
    assert await client.find_record_set(ACME, "A", "api") == API
    with pytest.raises(OutcomeUnknown):
        await client.delete_record_set(ACME, "A", "api")
    assert await client.find_record_set(ACME, "A", "api") is None


@pytest.mark.parametrize(("hints", "seconds"), [(True, 30), (False, 60)])
async def test_a_limit_says_when_to_come_back_or_a_minute(simulator: GoDaddy, hints: bool, seconds: int) -> None:  # noqa: FBT001 - a case
    simulator.hints = hints
    simulator.faults.plan(Strike.LIMIT)
    endpoint = _endpoint(simulator.url, bounds=Bounds())
    with pytest.raises(RateLimited) as limited:
        await Client(endpoint).find_zone(ACME)
    assert limited.value.retry_after == timedelta(seconds=seconds)
    await endpoint.close()


@pytest.mark.parametrize("weather", list(Weather))
async def test_in_every_weather_a_call_succeeds_or_raises_one_of_our_errors(
    simulator: GoDaddy, weather: Weather
) -> None:
    simulator.faults.weather = weather
    simulator.hints = False
    endpoint = _endpoint(simulator.url)
    client = Client(endpoint)
    outcomes = []
    for _ in range(1 if weather is Weather.SLOW else 15):
        for call in (
            client.find_zone(ACME),
            client.list_record_sets(ACME),
            client.replace_record_set(ACME, API),
            client.find_record_set(ACME, "A", "api"),
            client.delete_record_set(ACME, "A", "api"),
        ):
            try:
                await call
                outcomes.append("ok")
            except ReconcilerError as error:
                outcomes.append(type(error).__name__)
    assert ("ok" in outcomes) == (weather is not Weather.DOWN)
    assert (set(outcomes) == {"ok"}) == (weather in (Weather.CALM, Weather.SLOW))
    await endpoint.close()
