"""The PowerDNS client against Debian's `pdns-server`, and the plan of records carried out there."""

from collections.abc import AsyncIterator, Sequence

import pytest

from reconciler.clients.asks import Headers
from reconciler.clients.endpoint import Endpoint
from reconciler.clients.powerdns import PowerDns, translate
from reconciler.domain.errors import Invalid, NotFound, Refused
from reconciler.domain.outside.dns import RecordSet, Zone
from reconciler.domain.ownership import Marker
from reconciler.domain.records import Action, Desired, plan
from support.powerdns import DOMAIN, RealPowerDns

API = RecordSet("api", "A", ("203.0.113.10",), 600)
MARKER = Marker("owner-1", "Environment", "team", "shop--alpha", "uid-1")


def _endpoint(real: RealPowerDns, key: str) -> Endpoint:
    async def authorization() -> Headers:
        return {"X-API-Key": key}

    return Endpoint("dns", real.url, authorization=authorization, translate=translate)


@pytest.fixture
async def client(powerdns: RealPowerDns) -> AsyncIterator[PowerDns]:
    endpoint = _endpoint(powerdns, powerdns.key)
    client = PowerDns(endpoint)
    yield client
    for one in await client.list_record_sets(DOMAIN):
        if one.type not in ("SOA", "NS"):
            await client.delete_record_set(DOMAIN, one.type, one.name)
    await endpoint.close()


async def test_a_replaced_record_set_is_found_again_and_twice_is_once(client: PowerDns) -> None:
    for _ in range(2):
        await client.replace_record_set(DOMAIN, API)
    assert await client.find_record_set(DOMAIN, "A", "api") == API
    assert [one for one in await client.list_record_sets(DOMAIN) if one.name == "api"] == [API]


@pytest.mark.parametrize(
    "record",
    [
        RecordSet("@", "A", ("203.0.113.1", "203.0.113.2"), 600),
        RecordSet("*", "A", ("203.0.113.3",), 600),
        RecordSet("*.preview", "AAAA", ("2001:db8::1",), 3600),
        RecordSet("www", "CNAME", ("lb.acme.example",), 600),
        RecordSet("_freeleaps-a.api", "TXT", ('says "a", and \\ too; b=1',), 600),
    ],
    ids=lambda record: f"{record.type}-{record.name}",
)
async def test_every_type_and_name_comes_back_as_it_was_written_and_goes_again(
    client: PowerDns, record: RecordSet
) -> None:
    await client.replace_record_set(DOMAIN, record)
    assert await client.find_record_set(DOMAIN, record.type, record.name) == record
    for _ in range(2):
        await client.delete_record_set(DOMAIN, record.type, record.name)
    assert await client.find_record_set(DOMAIN, record.type, record.name) is None


async def test_an_address_beside_a_cname_is_refused_with_the_servers_words(client: PowerDns) -> None:
    await client.replace_record_set(DOMAIN, RecordSet("www", "CNAME", ("lb.acme.example",), 600))
    with pytest.raises(Invalid, match="Conflicts with pre-existing RRset"):
        await client.replace_record_set(DOMAIN, RecordSet("www", "A", ("203.0.113.1",), 600))


async def test_types_that_are_not_ours_are_never_written(client: PowerDns) -> None:
    with pytest.raises(Invalid, match="is not written"):
        await client.replace_record_set(DOMAIN, RecordSet("@", "NS", ("ns2.acme.example",), 600))


async def test_a_zone_is_found_a_secondary_says_where_it_is_changed_and_an_unknown_one_is_none(
    client: PowerDns, powerdns: RealPowerDns
) -> None:
    powerdns.make_zone("secondary.example", "Slave")
    assert await client.find_zone(DOMAIN) == Zone(DOMAIN)
    secondary = await client.find_zone("secondary.example")
    assert secondary is not None
    assert "changed at its primary server" in secondary.problem
    assert await client.find_zone("nowhere.example") is None
    with pytest.raises(NotFound):
        await client.list_record_sets("nowhere.example")


async def test_a_wrong_key_is_refused(powerdns: RealPowerDns) -> None:
    endpoint = _endpoint(powerdns, "wrong")
    with pytest.raises(Refused, match="API key"):
        await PowerDns(endpoint).find_zone(DOMAIN)
    await endpoint.close()


async def test_a_plan_makes_and_removes_what_is_ours_and_leaves_the_rest_byte_identical(
    client: PowerDns, powerdns: RealPowerDns
) -> None:
    powerdns.put("mail", "A", "198.51.100.7", ttl=120)
    powerdns.put("old", "TXT", '"heritage=external-dns,external-dns/owner=other"')
    foreign = powerdns.zone()["rrsets"]
    wanted = [Desired("@", "203.0.113.10"), Desired("api", "lb.acme.net"), Desired("*.preview", "2001:db8::7", 900)]
    await _carry_out(client, wanted)
    settled = plan(wanted, await client.list_record_sets(DOMAIN), marker=MARKER)
    assert (settled.changes, settled.problems, len(settled.settled)) == ((), (), 3)
    await _carry_out(client, [])
    assert _without_serial(powerdns.zone()["rrsets"]) == _without_serial(foreign)


async def _carry_out(client: PowerDns, wanted: Sequence[Desired]) -> None:
    planned = plan(wanted, await client.list_record_sets(DOMAIN), marker=MARKER)
    assert planned.problems == ()
    for change in planned.changes:
        if change.action is Action.DELETE:
            await client.delete_record_set(DOMAIN, change.record.type, change.record.name)
        else:
            await client.replace_record_set(DOMAIN, change.record)


def _without_serial(rrsets: list[dict[str, object]]) -> list[dict[str, object]]:
    """The server itself counts the zone's serial up with each change."""
    return sorted((one for one in rrsets if one["type"] != "SOA"), key=str)
