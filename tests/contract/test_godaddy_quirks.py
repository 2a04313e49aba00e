"""Each habit of GoDaddy that FACTS section 7 names, asked of the simulator by plain HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from reconciler.sandbox.godaddy import GoDaddy
from reconciler.sandbox.weather import Strike
from support.contracts import recording
from support.vendor_contracts import GODADDY

Ask = Callable[..., Awaitable[tuple[int, Any]]]
RECORDS = "/v1/domains/acme.example/records"


class HandClock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def godaddy(clock: HandClock) -> AsyncIterator[GoDaddy]:
    simulator = GoDaddy(clock=clock, key="k", secret="s")
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def ask(godaddy: GoDaddy) -> AsyncIterator[Ask]:
    async with recording(godaddy.url) as recorder, aiohttp.ClientSession() as session:

        async def send(method: str, path: str, json: Any = None, *, key: str = "sso-key k:s") -> tuple[int, Any]:
            headers = {"Authorization": key}
            async with session.request(method, recorder.url + path, json=json, headers=headers) as answer:
                return answer.status, await answer.json() if answer.content_type == "application/json" else None

        yield send
    GODADDY.check(recorder.exchanges)


async def test_put_replaces_all_values_of_type_and_name(godaddy: GoDaddy, ask: Ask) -> None:
    one, two = [{"data": "1.2.3.4", "ttl": 600}], [{"data": "5.6.7.8", "ttl": 600}, {"data": "5.6.7.9", "ttl": 600}]
    assert (await ask("PUT", f"{RECORDS}/A/api", one))[0] == 200
    assert (await ask("PUT", f"{RECORDS}/A/api", two))[0] == 200
    assert godaddy.values("acme.example", "A", "api") == ["5.6.7.8", "5.6.7.9"]
    assert godaddy.writes["acme.example", "A", "api"] == 2


async def test_patch_adds_and_a_duplicate_is_an_error(godaddy: GoDaddy, ask: Ask) -> None:
    record = [{"type": "A", "name": "api", "data": "1.2.3.4", "ttl": 600}]
    assert (await ask("PATCH", RECORDS, record))[0] == 200
    status, body = await ask("PATCH", RECORDS, record)
    assert (status, body["code"]) == (422, "DUPLICATE_RECORD")
    assert (await ask("PATCH", RECORDS, [{**record[0], "data": "1.2.3.5"}]))[0] == 200
    assert godaddy.values("acme.example", "A", "api") == ["1.2.3.4", "1.2.3.5"]


async def test_an_empty_array_is_422(ask: Ask) -> None:
    status, body = await ask("PUT", f"{RECORDS}/A/api", [])
    assert (status, body["code"]) == (422, "INVALID_BODY")


async def test_an_object_instead_of_an_array_is_422(ask: Ask) -> None:
    status, body = await ask("PUT", f"{RECORDS}/A/api", {"data": "1.2.3.4"})
    assert (status, body["code"]) == (422, "INVALID_BODY")


async def test_a_ttl_below_600_is_422_and_names_the_field(ask: Ask) -> None:
    status, body = await ask("PUT", f"{RECORDS}/A/api", [{"data": "1.2.3.4", "ttl": 300}])
    assert status == 422
    assert body["fields"][0] == {
        "code": "UNKNOWN_RESTRICTION",
        "message": "must have a minimum value of 600",
        "path": "records[0].ttl",
    }


async def test_a_value_that_is_no_address_is_422(ask: Ask) -> None:
    status, body = await ask("PUT", f"{RECORDS}/A/api", [{"data": "nowhere", "ttl": 600}])
    assert (status, body["fields"][0]["code"]) == (422, "MISMATCH_FORMAT")


async def test_a_small_account_is_403_in_the_vendors_words(godaddy: GoDaddy, ask: Ask) -> None:
    godaddy.restricted = True
    status, body = await ask("GET", "/v1/domains")
    assert status == 403
    assert body == {"code": "ACCESS_DENIED", "message": "Authenticated user is not allowed access"}


async def test_a_wrong_key_is_401(ask: Ask) -> None:
    status, body = await ask("GET", "/v1/domains", key="sso-key k:wrong")
    assert (status, body["code"]) == (401, "UNABLE_TO_AUTHENTICATE")


async def test_the_61st_request_of_a_minute_to_one_endpoint_is_429(
    ask: Ask, clock: HandClock, godaddy: GoDaddy
) -> None:
    for _ in range(60):
        assert (await ask("GET", RECORDS))[0] == 200
        clock.seconds += 0.5
    status, body = await ask("GET", RECORDS)
    assert status == 429
    assert body["retryAfterSec"] == 30
    assert (await ask("GET", "/v1/domains"))[0] == 200
    clock.seconds += 30
    assert (await ask("GET", RECORDS))[0] == 200


async def test_a_429_may_come_without_any_hint(ask: Ask, godaddy: GoDaddy) -> None:
    godaddy.hints = False
    godaddy.faults.plan(Strike.LIMIT)
    status, body = await ask("GET", RECORDS)
    assert (status, body["code"]) == (429, "QUOTA_EXCEEDED")
    assert "retryAfterSec" not in body


async def test_reads_stay_behind_writes_for_the_lag(godaddy: GoDaddy, ask: Ask, clock: HandClock) -> None:
    godaddy.read_lag = 5
    await ask("PUT", f"{RECORDS}/A/api", [{"data": "1.2.3.4", "ttl": 600}])
    assert await ask("GET", f"{RECORDS}/A/api") == (200, [])
    clock.seconds += 5
    assert [row["data"] for row in (await ask("GET", f"{RECORDS}/A/api"))[1]] == ["1.2.3.4"]


async def test_a_504_may_have_been_applied(godaddy: GoDaddy, ask: Ask) -> None:
    godaddy.timeouts = 1
    assert (await ask("PUT", f"{RECORDS}/A/api", [{"data": "1.2.3.4", "ttl": 600}]))[0] == 504
    assert godaddy.values("acme.example", "A", "api") == ["1.2.3.4"]
    assert (await ask("DELETE", f"{RECORDS}/A/api"))[0] == 204


async def test_a_new_domain_carries_parking_records(ask: Ask) -> None:
    _, rows = await ask("GET", RECORDS)
    assert {(row["type"], row["name"]) for row in rows} == {("A", "@"), ("CNAME", "www"), ("NS", "@"), ("SOA", "@")}


async def test_an_address_beside_a_cname_is_422_until_the_cname_is_deleted(ask: Ask) -> None:
    record = [{"data": "1.2.3.4", "ttl": 600}]
    assert (await ask("PUT", f"{RECORDS}/A/www", record))[0] == 422
    assert (await ask("DELETE", f"{RECORDS}/CNAME/www"))[0] == 204
    assert (await ask("PUT", f"{RECORDS}/A/www", record))[0] == 200


@pytest.mark.parametrize("name", ["api", "@"])
async def test_a_cname_is_422_beside_another_record_and_at_the_apex(ask: Ask, name: str) -> None:
    await ask("PUT", f"{RECORDS}/TXT/api", [{"data": "hello", "ttl": 600}])
    assert (await ask("PUT", f"{RECORDS}/CNAME/{name}", [{"data": "elsewhere.example", "ttl": 600}]))[0] == 422


async def test_a_missing_record_is_an_empty_array(ask: Ask) -> None:
    assert await ask("GET", f"{RECORDS}/A/nothing") == (200, [])


async def test_an_unknown_domain_is_404(ask: Ask) -> None:
    status, body = await ask("GET", "/v1/domains/other.example/records/A/@")
    assert (status, body["code"]) == (404, "UNKNOWN_DOMAIN")


async def test_deleting_nothing_is_204_or_404(godaddy: GoDaddy, ask: Ask) -> None:
    assert (await ask("DELETE", f"{RECORDS}/A/nothing"))[0] == 204
    godaddy.absent_is_404 = True
    assert (await ask("DELETE", f"{RECORDS}/A/nothing"))[0] == 404


async def test_name_servers_cannot_be_deleted(ask: Ask) -> None:
    assert (await ask("DELETE", f"{RECORDS}/NS/@"))[0] == 422


async def test_a_locked_domain_refuses_changes_with_409(godaddy: GoDaddy, ask: Ask) -> None:
    godaddy.zone("acme.example").status = "EXPIRED"
    assert (await ask("PUT", f"{RECORDS}/A/api", [{"data": "1.2.3.4", "ttl": 600}]))[0] == 409
    assert (await ask("GET", RECORDS))[0] == 200


async def test_replacing_a_type_or_the_zone_wipes_other_names(godaddy: GoDaddy, ask: Ask) -> None:
    await ask("PUT", f"{RECORDS}/A/api", [{"data": "1.2.3.4", "ttl": 600}])
    await ask("PUT", f"{RECORDS}/A", [{"name": "web", "data": "1.2.3.4", "ttl": 600}])
    assert godaddy.values("acme.example", "A", "api") == []
    await ask("PUT", RECORDS, [{"type": "A", "name": "new", "data": "1.2.3.4", "ttl": 600}])
    assert godaddy.values("acme.example", "A", "web") == []
    assert godaddy.values("acme.example", "NS", "@") != []


async def test_domains_are_paged_by_marker(godaddy: GoDaddy, ask: Ask) -> None:
    for number in range(4):
        godaddy.add_domain(f"d{number}.example")
    _, first = await ask("GET", "/v1/domains?limit=2")
    _, second = await ask("GET", f"/v1/domains?limit=2&marker={first[-1]['domain']}")
    assert [row["domain"] for row in first + second] == ["acme.example", "d0.example", "d1.example", "d2.example"]
