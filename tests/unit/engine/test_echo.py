"""What every look handles is echoed, for every kind, and costs nothing where nobody asks."""

import pytest

from reconciler.domain.keys import Key, key_of
from reconciler.domain.resources import KINDS, Resource
from reconciler.domain.resources.common import api_object
from reconciler.engine.echo import echo
from support.moments import ManualClock
from support.store import MemoryStore

PAUSED, RECONCILE_AT = "freeleaps.com/paused", "freeleaps.com/reconcile-at"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
async def test_a_pause_and_a_wish_to_look_are_echoed_whatever_the_kind(kind: type[Resource]) -> None:
    store = MemoryStore(ManualClock())
    key = key_of(store.put(api_object(kind, "one", "devops", {})))
    store.annotate(key, paused="true", reconcile_at="now")
    await echo(store, key)
    assert store.status(key)["handled"] == {PAUSED: "true", RECONCILE_AT: "now"}
    store.annotate(key, paused="false")
    await echo(store, key)
    assert store.status(key)["handled"] == {RECONCILE_AT: "now"}
    writes = len(store.writes)
    await echo(store, key)
    assert len(store.writes) == writes


async def test_a_resource_that_went_in_its_look_is_echoed_to_nobody() -> None:
    store = MemoryStore(ManualClock())
    await echo(store, Key("Environment", "devops", "gone"))
    assert store.writes == []
