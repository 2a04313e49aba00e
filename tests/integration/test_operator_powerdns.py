"""The operator with a real DNS server: an address is made, served under our mark, and goes without a trace."""

from typing import Any

from support.powerdns import DOMAIN, RealPowerDns
from support.town import SHOP, Engineer, a_town, status_of

PROJECT = {**SHOP, "dns": {"zoneRef": {"name": "real"}}}


async def _use_the_real_one(engineer: Engineer, real: RealPowerDns, key: str) -> None:
    await engineer.secret("powerdns", key=key)
    zone = {"provider": "PowerDNS", "endpoint": real.url, "domain": DOMAIN, "credentialsRef": {"name": "powerdns"}}
    await engineer.apply("DNSZone", "real", zone)


async def test_an_address_is_served_by_powerdns_and_goes_with_its_project(powerdns: RealPowerDns) -> None:
    powerdns.put("mail", "A", "198.51.100.7")
    before = _served(powerdns)
    async with a_town() as town, town.operator():
        await _use_the_real_one(town.engineer, powerdns, powerdns.key)
        await town.engineer.ready("DNSZone", "real")
        await town.engineer.apply("DevOpsProject", "shop", PROJECT)
        await town.engineer.ready()
        await town.engineer.deploy("op-1")
        assert status_of(await town.engineer.ended("op-1"))["phase"] == "Succeeded"
        during = _served(powerdns)
        assert during["A", "api.alpha"] == ["203.0.113.7"]
        assert "resource=Environment/" in during["TXT", "_freeleaps-a.api.alpha"][0]
        await town.engineer.delete("DevOpsProject", "shop")
        await town.engineer.gone("DevOpsProject", "shop")
        assert _served(powerdns) == before
        assert dict(town.world.godaddy.writes) == {}


async def test_a_key_that_powerdns_refuses_is_named_in_the_zone(powerdns: RealPowerDns) -> None:
    async with a_town() as town, town.operator():
        await _use_the_real_one(town.engineer, powerdns, "wrong")
        await town.engineer.stalled("DNSZone", "real", "Refused", "PowerDNS does not know this API key")


def _served(real: RealPowerDns) -> dict[tuple[str, str], list[str]]:
    """Return what the server has, by type and name, without the serial that it counts up by itself."""
    rrsets: list[dict[str, Any]] = [one for one in real.zone()["rrsets"] if one["type"] != "SOA"]
    return {
        (one["type"], one["name"].removesuffix(f".{DOMAIN}.")): [record["content"] for record in one["records"]]
        for one in rrsets
    }
