"""Gauges are asked at each scrape: they tell what is, whoever led before."""

from types import SimpleNamespace
from typing import Any

from reconciler.app.operator import Operator
from reconciler.domain.keys import Body
from reconciler.operator.cache import Cache


def leftover() -> Body:
    metadata = {"name": "leftover-jenkins-1", "namespace": "ns", "uid": "u", "resourceVersion": "1"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"system": "jenkins"}}


def test_leftovers_that_were_there_before_the_lead_are_counted_and_on_standby_none_are() -> None:
    cache = Cache()
    cache.remember(leftover())
    replica: Any = SimpleNamespace(cache=cache, shift=SimpleNamespace(is_working=True))
    assert Operator._leftovers(replica) == 1
    replica.shift.is_working = False
    assert Operator._leftovers(replica) == 0
