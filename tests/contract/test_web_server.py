from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from reconciler.domain.health import Condition, PartState
from reconciler.domain.keys import Body, Key, key_of
from reconciler.operator.cache import Cache
from reconciler.web.health import Health
from reconciler.web.server import WebServer


def a_record(name: str, requested: str = "2026-11-23T08:00:00Z", phase: str = "Running", **spec: Any) -> Body:
    return {
        "kind": "DeploymentRecord",
        "metadata": {"name": name, "namespace": "ns", "resourceVersion": "1"},
        "spec": {"projectRef": "shop", "environment": "alpha", "requestedAt": requested, **spec},
        "status": {"phase": phase, "stages": [{"name": "queue"}]},
    }


class Served:
    def __init__(self) -> None:
        self.health = Health()
        self.metrics = CollectorRegistry()
        self.cache = Cache()
        self.server = WebServer(
            self.health,
            self.metrics,
            self.cache,
            host="127.0.0.1",
            port=0,
            mask=lambda text: text.replace("hunter2", "***"),
        )

    def hold(self, records: Iterable[Body]) -> None:
        for record in records:
            self.cache.remember(record)

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.server.url + path, headers=headers) as answer:
            return answer.status, await answer.text()

    async def json(self, path: str) -> Any:
        async with aiohttp.ClientSession() as session, session.get(self.server.url + path) as answer:
            return await answer.json()


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    await made.server.start()
    yield made
    await made.server.stop()


async def test_a_living_program_says_so(served: Served) -> None:
    assert await served.get("/livez") == (200, "ok\n")


async def test_a_dead_part_fails_the_liveness_probe(served: Served) -> None:
    served.health.must_live("agenda", lambda: False)

    assert await served.get("/livez") == (503, "dead: agenda\n")


async def test_readiness_fails_with_an_essential_part_only(served: Served) -> None:
    served.health.register("argocd_connection", lambda: PartState(Condition.FAILED))
    first = await served.get("/readyz")
    served.health.register("kopf_operator", lambda: PartState(Condition.FAILED), essential=True)
    second = await served.get("/readyz")

    assert (first, second) == ((200, "ready\n"), (503, "not ready\n"))


async def test_the_verbose_report_names_each_part_and_no_secret(served: Served) -> None:
    served.health.register("jenkins_connection", lambda: PartState(Condition.DEGRADED, "user:hunter2 refused"))

    report = await served.json("/readyz?verbose")

    assert report["parts"]["jenkins_connection"] == {
        "state": "degraded",
        "detail": "user:*** refused",
        "since": None,
    }


async def test_metrics_are_shown_in_prometheus_own_format(served: Served) -> None:
    Counter("looks", "Looks.", registry=served.metrics).inc()

    status, text = await served.get("/metrics")
    _, open_metrics = await served.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")

    assert status == 200
    assert "looks_total 1.0" in text
    assert open_metrics.endswith("# EOF\n")


async def test_deployments_are_listed_newest_first_and_within_the_limit(served: Served) -> None:
    served.hold([a_record("old"), a_record("new", "2026-11-23T09:00:00Z"), a_record("mid", "2026-11-23T08:30:00Z")])

    listed = await served.json("/api/v1/deployments?limit=2")

    assert [item["name"] for item in listed["items"]] == ["new", "mid"]
    assert listed["total"] == 3
    assert "stages" not in listed["items"][0]


async def test_deployments_are_chosen_by_environment_and_activity(served: Served) -> None:
    served.hold([a_record("a"), a_record("b", phase="Succeeded"), a_record("c", environment="beta")])

    listed = await served.json("/api/v1/deployments?namespace=ns&project=shop&environment=alpha&active=true")

    assert [item["name"] for item in listed["items"]] == ["a"]


async def test_one_deployment_is_shown_whole(served: Served) -> None:
    served.hold([a_record("a", requestedBy="hunter2")])

    shown = await served.json("/api/v1/deployments/ns/a")

    assert shown["stages"] == [{"name": "queue"}]
    assert shown["requestedBy"] == "***"


async def test_a_deployment_that_is_not_there_is_not_found(served: Served) -> None:
    status, text = await served.get("/api/v1/deployments/ns/a")

    assert status == 404
    assert "DeploymentRecord ns/a" in text


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=501", "project=shop", "namespace=ns&environment=alpha"])
async def test_a_query_that_makes_no_sense_is_answered_with_the_reason(served: Served, query: str) -> None:
    status, text = await served.get(f"/api/v1/deployments?{query}")

    assert status == 400
    assert query.rsplit("&", maxsplit=1)[-1].split("=", maxsplit=1)[0] in text


async def test_many_deployments_are_listed_whole(served: Served) -> None:
    records = [a_record(f"r{number}", phase="Succeeded") for number in range(1000)]
    served.hold(records)

    listed = await served.json("/api/v1/deployments?limit=500")

    assert (listed["total"], len(listed["items"])) == (1000, 500)
    assert Key("DeploymentRecord", "ns", "r1") == key_of(records[1])


async def test_a_taken_port_is_an_error_and_leaves_nothing_open(served: Served) -> None:
    port = int(served.server.url.rsplit(":", 1)[1])
    other = WebServer(Health(), CollectorRegistry(), Cache(), host="127.0.0.1", port=port)

    with pytest.raises(OSError, match="in use"):
        await other.start()
