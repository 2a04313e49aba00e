"""Who waits for the slot of an environment looks when it may be taken, whatever kept it before."""

from typing import Any

import pytest

from reconciler.domain.keys import Body
from reconciler.domain.resources import DeploymentRecord, Environment
from reconciler.domain.resources.common import api_object
from reconciler.operator.cache import Source
from support.signals import SPACE, Office

HELD: dict[str, Any] = {"holder": {"record": "op-0", "uid": "uid-0", "epoch": 1}}
ON_HOLD: dict[str, Any] = {"hold": {"since": "2026-11-28T08:00:00Z", "operation": "op-0"}}


def environment(**status: Any) -> Body:
    body = api_object(Environment, "shop--alpha", SPACE, {"projectRef": "shop", "name": "alpha"}, generation=1)
    return {**body, "status": status}


@pytest.mark.parametrize(
    ("before", "after", "looks"),
    [
        (HELD, {}, True),
        (ON_HOLD, {}, True),
        (HELD, ON_HOLD, True),
        (ON_HOLD, HELD, False),
        ({}, {"phase": "Idle"}, False),
    ],
    ids=["given back", "released", "rolled back", "taken", "free before"],
)
def test_who_comes_first_looks_when_the_slot_may_be_taken(
    before: dict[str, Any], after: dict[str, Any], *, looks: bool
) -> None:
    office = Office()
    spec = {"projectRef": "shop", "environment": "alpha", "operationId": "op-1", "requestedAt": "2026-11-28T07:00:00Z"}
    waiting = office.keep(api_object(DeploymentRecord, "op-1", SPACE, {**spec, "revision": "1" * 40}))
    office.keep(environment(**before))
    office.told.clear()
    office.keep(environment(**after), Source.OWN_WRITE)
    assert (waiting in office.told) is looks


def test_who_comes_next_looks_when_who_comes_first_is_put_on_pause() -> None:
    office = Office()
    spec = {"projectRef": "shop", "environment": "alpha", "revision": "1" * 40}
    keys = [
        office.keep(
            api_object(
                DeploymentRecord,
                f"op-{number}",
                SPACE,
                {**spec, "operationId": f"op-{number}", "requestedAt": f"2026-11-28T07:00:0{number}Z"},
            )
        )
        for number in (1, 2)
    ]
    first = office.cache.read(keys[0])
    assert first is not None
    office.told.clear()
    office.keep({**first, "metadata": {**first["metadata"], "annotations": {"freeleaps.com/paused": "true"}}})
    assert office.told == set(keys)
