"""A zone that comes, goes or is another has the environments look: what it holds has a place, or has none."""

from reconciler.domain.keys import Key
from reconciler.domain.resources import DNSZone, Environment
from reconciler.domain.resources.common import api_object
from support.signals import SPACE, Office


def test_environments_look_when_a_zone_comes_and_not_when_only_its_status_is_another() -> None:
    office = Office()
    alpha = office.keep(api_object(Environment, "shop--alpha", SPACE, {"projectRef": "shop", "name": "alpha"}))
    zone = api_object(DNSZone, "zone", SPACE, {"domain": "example.com"}, generation=1)
    office.told.clear()
    office.keep(zone)
    assert alpha in office.told
    office.told.clear()
    office.keep({**zone, "status": {"detail": "seen"}})
    assert alpha not in office.told
    assert Key("DNSZone", SPACE, "zone") in office.told
