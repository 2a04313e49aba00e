"""All that use one key share one limit, and how far it is used up can be told."""

import math
from datetime import timedelta

import pytest

from reconciler.app.connections import Connections
from reconciler.app.endpoints import Endpoints
from reconciler.app.secrets import SecretReader
from reconciler.clients.endpoint import Endpoint
from reconciler.domain.errors import CircuitOpen, RateLimited
from reconciler.domain.health import Condition
from reconciler.domain.keys import Body, Kind
from reconciler.domain.resources import DNSZone
from reconciler.domain.resources.common import api_object
from reconciler.settings import Settings
from reconciler.telemetry.metrics import Metrics
from support.moments import ManualClock


class Secrets:
    """Two Secrets with the same key and one with another."""

    async def get(self, kind: Kind, namespace: str, name: str) -> Body:
        key = "b3RoZXI=" if name == "other" else "a2V5"
        return {"metadata": {"uid": name, "resourceVersion": "1"}, "data": {"key": key, "secret": "c2VjcmV0"}}


class Town:
    def __init__(self, *, starts_full: bool = True) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        plain = Settings()
        godaddy = plain.godaddy.model_copy(update={"requests_per_minute": 2, "starts_full": starts_full})
        settings = plain.model_copy(update={"godaddy": godaddy})
        self.endpoints = Endpoints(settings.outside, self.clock, str, self.metrics)
        self.connections = Connections(
            settings,
            self.endpoints,
            SecretReader(Secrets(), self.clock, lambda _: None),
            self.clock,
            mask=str,
            build_changed=lambda _: None,
            application_changed=lambda *_: None,
        )

    async def door(self, secret: str) -> Endpoint:
        """The endpoint of a zone, closed to the network: who gets through has taken a place in the window."""
        spec = {
            "provider": "GoDaddy",
            "domain": f"{secret}.example",
            "endpoint": "http://127.0.0.1:9",
            "credentialsRef": {"name": secret},
        }
        zone = DNSZone(api_object(DNSZone, secret, "shop", spec))
        client = (await self.connections.records(zone)).client
        endpoint = client._endpoint
        assert isinstance(endpoint, Endpoint)
        return endpoint

    async def passes(self, door: Endpoint) -> bool:
        await door._authorized(door._url("/x", None))
        try:
            await door._take_place()
        except RateLimited:
            return False
        return True


async def test_two_secrets_with_the_same_key_share_one_limit() -> None:
    town = Town(starts_full=False)
    one, twin, other = [await town.door(name) for name in ("one", "twin", "other")]
    assert [await town.passes(door) for door in (one, twin, one, twin)] == [True, True, False, False]
    assert await town.passes(other)
    await town.connections.close()


async def test_a_429_for_one_key_is_obeyed_under_every_secret_that_holds_it() -> None:
    town = Town(starts_full=False)
    one, twin, other = [await town.door(name) for name in ("one", "twin", "other")]
    await town.passes(one)
    assert one._limiter is not None
    one._limiter.leave_alone(90)
    assert [await town.passes(door) for door in (twin, other)] == [False, True]
    await town.connections.close()


async def test_what_is_used_up_is_told_with_the_time_of_the_next_place() -> None:
    town = Town()
    assert town.endpoints.state_of("dns").state is Condition.UNKNOWN
    await town.passes(await town.door("one"))
    told = town.endpoints.state_of("dns")
    assert told.state is Condition.OK
    until = (town.clock.now() + timedelta(seconds=61.2)).strftime("%H:%M:%SZ")
    assert "own limit of 2: used up until" in told.detail
    assert until in told.detail
    assert "0 of 8 permits in use, 0 wait" in told.detail
    await town.connections.close()


async def test_an_open_breaker_is_told_with_the_time_of_the_next_probe() -> None:
    town = Town()
    door = await town.door("one")
    for _ in range(5):
        door.breaker.admit().failed()
    told = town.endpoints.state_of("dns")
    assert (told.state, told.since) == (Condition.DEGRADED, town.clock.now())
    assert told.detail.startswith(f"breaker open, next probe at {town.clock.now().year}-")
    with pytest.raises(CircuitOpen, match=r"breaker open, next probe at \d{4}-\d\d-\d\dT"):
        door.breaker.admit()
    await town.connections.close()
    strain = town.endpoints.strain_on("dns")
    assert strain is not None
    assert not math.isnan(strain.permits)
