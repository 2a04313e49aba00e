"""Plans of DNS records, carried out by the client on a simulated zone with its parking records and moods."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from reconciler.clients.asks import Headers
from reconciler.clients.endpoint import Bounds, Endpoint
from reconciler.clients.godaddy import GoDaddy as Client
from reconciler.clients.godaddy import translate
from reconciler.domain.errors import ReconcilerError
from reconciler.domain.ownership import Marker
from reconciler.domain.records import Action, Desired, Key, Plan, Reason, plan
from reconciler.resilience.breaker import Breaker, Rules
from reconciler.sandbox.godaddy import GoDaddy
from reconciler.sandbox.weather import Weather

ACME = "acme.example"
US = Marker("cluster-1", "Environment", "devops", "shop--alpha", "uid-1")


async def _authorization() -> Headers:
    return {"Authorization": "sso-key k:s"}


@pytest.fixture
async def simulator() -> AsyncIterator[GoDaddy]:
    simulator = GoDaddy(key="k", secret="s", limit_per_minute=None)
    simulator.quirky = True
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def client(simulator: GoDaddy) -> AsyncIterator[Client]:
    breaker = Breaker("godaddy", rules=Rules(failures=9999, calls=9999))
    bounds = Bounds(limited_for=timedelta(0))
    endpoint = Endpoint(
        "godaddy", simulator.url, authorization=_authorization, translate=translate, bounds=bounds, breaker=breaker
    )
    yield Client(endpoint)
    await endpoint.close()


async def one_pass(client: Client, desired: Sequence[Desired], adopt: Sequence[Key] = ()) -> Plan:
    """Look, and carry out what is planned until something goes wrong."""
    planned = plan(desired, await client.list_record_sets(ACME), marker=US, adopt=adopt)
    for change in planned.changes:
        record = change.record
        if change.action is Action.DELETE:
            await client.delete_record_set(ACME, record.type, record.name)
        else:
            await client.replace_record_set(ACME, record)
    return planned


async def test_a_plan_carried_out_settles_and_leaves_what_is_not_ours(client: Client, simulator: GoDaddy) -> None:
    before = simulator.zone(ACME).records
    desired = [Desired("api", "192.0.2.1"), Desired("*.p", "192.0.2.1"), Desired("web", "LB.example.net.", 60)]
    await one_pass(client, desired)
    again = await one_pass(client, desired)
    assert (again.changes, {record.name for record in again.settled}) == ((), {"api", "*.p", "web"})
    assert set(before) <= set(simulator.zone(ACME).records)
    await one_pass(client, [])
    assert set(simulator.zone(ACME).records) == set(before)


async def test_a_new_domains_parking_records_are_in_the_way_until_a_person_decides(
    client: Client, simulator: GoDaddy
) -> None:
    desired = [Desired("@", "192.0.2.1"), Desired("www", "192.0.2.1"), Desired("api", "192.0.2.1")]
    planned = await one_pass(client, desired)
    assert {problem.name: problem.reason for problem in planned.problems} == {
        "@": Reason.NAME_TAKEN, "www": Reason.OTHER_TYPE
    }  # fmt: skip
    await one_pass(client, desired, adopt=[("A", "@"), ("CNAME", "www")])
    settled = await one_pass(client, desired)
    assert (settled.changes, len(settled.settled)) == ((), 3)
    assert simulator.values(ACME, "A", "www") == ["192.0.2.1"]


@pytest.mark.parametrize("weather", [Weather.FLAPPING, Weather.RATE_LIMITED])
async def test_in_bad_weather_passes_end_in_the_wanted_zone_and_then_in_the_one_before(
    client: Client, simulator: GoDaddy, weather: Weather
) -> None:
    before = set(simulator.zone(ACME).records)
    simulator.faults.weather = weather
    simulator.timeouts, simulator.hints = 3, False
    for desired in ([Desired("api", "192.0.2.1")], [Desired("api", "lb.example.net")], []):
        for _ in range(200):
            try:
                if (await one_pass(client, desired)).changes == ():
                    break
            except ReconcilerError:
                continue
        targets = [*simulator.values(ACME, "A", "api"), *simulator.values(ACME, "CNAME", "api")]
        assert targets == [each.target for each in desired]
    assert set(simulator.zone(ACME).records) == before
