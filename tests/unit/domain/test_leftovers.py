"""Leftovers as ConfigMaps: read as they were written, named by what is left."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.domain.leftovers import LABEL, Leftover, body_of, is_leftover, leftover_of
from reconciler.domain.ownership import Marker
from reconciler.domain.things import Thing, Where
from support.moments import EIGHT

MARKER = Marker("cluster-1", "Environment", "devops", "shop--alpha", "uid-1")
THING = Thing("argocd", "Application", "shop--alpha--api", "shop", Where("https://argo.own", "devops", "argo"), MARKER)
WORDS = st.from_regex(r"[a-z0-9./-]{1,40}", fullmatch=True)


@given(WORDS, WORDS, st.sampled_from(["", "secret"]), st.integers(0, 1000), st.text(max_size=80))
def test_a_leftover_is_read_as_it_was_written(name: str, place: str, secret: str, attempts: int, why: str) -> None:
    where = Where("https://argo.own", "devops" if secret else "", secret)
    leftover = Leftover(replace(THING, name=name, place=place, where=where), why, EIGHT, attempts, handled="t-1")
    body = body_of(leftover, "operator")
    assert leftover_of(body) == leftover
    assert (is_leftover(body), body["metadata"]["labels"]) == (True, {LABEL: "argocd"})


def test_the_same_leftover_twice_has_one_name_and_another_one_another() -> None:
    first = Leftover(THING, "away", EIGHT)
    assert Leftover(THING, "refused", EIGHT, attempts=7).name == first.name
    others = [
        replace(THING, name="shop--alpha--web"),
        replace(THING, place="other"),
        replace(THING, where=Where("https://argo.other", "devops", "argo")),
        replace(THING, marker=replace(MARKER, uid="uid-2")),
    ]
    assert len({first.name, *(Leftover(other, "", EIGHT).name for other in others)}) == 5
    assert len(first.name) <= 63


@pytest.mark.parametrize("field", ["marker", "since", "kind", "uid"])
def test_what_does_not_say_what_is_left_is_not_read(field: str) -> None:
    body = body_of(Leftover(THING, "", EIGHT), "operator")
    body["data"][field] = "?"
    assert (leftover_of(body) is None) is (field != "kind")
    del body["data"][field]
    assert leftover_of(body) is None
