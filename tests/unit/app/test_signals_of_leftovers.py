"""As long as something is left, it is listed often: nobody watches ConfigMaps, and a person may ask for a sweep."""

from reconciler.domain.leftovers import Leftover, body_of
from reconciler.domain.ownership import Marker
from reconciler.domain.things import Thing, Where
from reconciler.leftovers.listing import listing_key
from reconciler.operator.cache import Source
from support.moments import EIGHT
from support.signals import Office

OWN = "reconciler-system"
THING = Thing(
    "jenkins", "Job", "freeleaps/shop", "", Where(), Marker("one", "JenkinsSettings", "devops", "shop", "uid-1")
)


def test_from_what_is_left_anew_the_leftovers_are_listed() -> None:
    office = Office()
    left = office.keep(body_of(Leftover(THING, "it was away", EIGHT), OWN), Source.OWN_WRITE)
    assert office.told == {left, listing_key(OWN)}
    office.told.clear()
    office.keep(body_of(Leftover(THING, "it is away", EIGHT, attempts=1), OWN), Source.OWN_WRITE)
    assert listing_key(OWN) not in office.told
