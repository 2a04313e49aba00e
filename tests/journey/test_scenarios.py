"""Every scenario in every kind of weather it makes sense in, judged by the counters of the systems it ran among.

The performances are programs of their own that mostly wait: some run side by side, each test waits for its own.
(`outage` is the weather "down".)
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from support.sandboxed import Played, play, start

WITHIN = 170
PERFORMANCES = [
    *[("first-deployment", weather) for weather in ("calm", "slow", "flapping", "rate-limited")],
    *[("broken-build", weather) for weather in ("calm", "slow", "flapping", "rate-limited")],
    *[("outage", weather) for weather in ("calm", "slow", "flapping", "rate-limited")],
    *[("bad-message", weather) for weather in ("calm", "rate-limited")],
    ("crash", "calm"),
    ("broker-down", "calm"),
    *[("flapping", weather) for weather in ("calm", "slow")],
    *[("supersede", weather) for weather in ("calm", "slow")],
    *[("cancel", weather) for weather in ("calm", "slow")],
    *[("rollback", weather) for weather in ("calm", "slow")],
    *[("clean-up", weather) for weather in ("calm", "flapping")],
]
EXTERNAL = {
    "first-deployment": {"builds": 4, "syncs": 4, "records": 4, "repositories": 2},
    "broken-build": {"builds": 4, "syncs": 2, "records": 2, "repositories": 2},
    "outage": {"builds": 4, "syncs": 4, "records": 4, "repositories": 2},
    "bad-message": {"builds": 12, "syncs": 12, "records": 4, "repositories": 2},
    "crash": {"builds": 6, "syncs": 6, "records": 4, "repositories": 2},
    "broker-down": {"builds": 8, "syncs": 8, "records": 4, "repositories": 2},
    "flapping": {"builds": 12, "syncs": 12, "records": 4, "repositories": 2},
    "supersede": {"builds": 4, "syncs": 2, "records": 2, "repositories": 2},
    "cancel": {"builds": 6, "syncs": 6, "records": 2, "repositories": 2},
    "rollback": {"builds": 6, "records": 2, "repositories": 2},
    "clean-up": {"builds": 4, "syncs": 4, "records": 4, "repositories": 2},
}
"""How many syncs a rollback takes depends on which component had begun when the other one failed."""
SIDE_BY_SIDE = 6
Started = dict[tuple[str, str], Future[Played]]


@pytest.fixture(scope="module")
def started() -> Iterator[Started]:
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        futures: Started = {}
        for seed, (scenario, weather) in enumerate(PERFORMANCES, start=1):
            wishes = ("--scenario", scenario, "--weather", weather, "--seed", str(seed), "--within", str(WITHIN))
            futures[scenario, weather] = pool.submit(run, *wishes)
        yield futures
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(("scenario", "weather"), PERFORMANCES, ids=["-".join(each) for each in PERFORMANCES])
def test_a_scenario_ends_as_expected_by_the_simulators_counters(started: Started, scenario: str, weather: str) -> None:
    played = started[scenario, weather].result()
    assert played.status == 0, played.errors
    assert played.document["ok"] is True
    assert played.document["scenario"] == scenario
    assert played.external.items() >= EXTERNAL[scenario].items()
    assert played.ends() == ENDS.get(scenario, played.ends())
    for operation in played.document["operations"]:
        assert operation["terminalHeartbeats"] == 1, operation
        assert operation["heartbeats"] >= 1


ENDS = {
    "first-deployment": ["Succeeded"] * 3,
    "broken-build": ["Succeeded", "Failed", "Succeeded"],
    "outage": ["Succeeded"] * 3,
    "crash": ["Succeeded"] * 4,
    "broker-down": ["Succeeded"] * 5,
    "flapping": ["Succeeded"] * 7,
    "supersede": ["Succeeded", "Superseded", "Succeeded", "Superseded"],
    "cancel": ["Succeeded", "Succeeded", "Cancelled", "Cancelled"],
    "rollback": ["Succeeded", "Succeeded", "RolledBack", "Superseded", "Succeeded"],
    "clean-up": ["Succeeded"] * 3,
}


@pytest.mark.parametrize("weather", ["calm", "flapping"])
def test_a_clean_up_leaves_nothing_of_ours_and_all_of_others(started: Started, weather: str) -> None:
    found = started["clean-up", weather].result().document["remains"]
    nothing: dict[str, list[str]] = {"Jenkins": [], "Argo CD": [], "GoDaddy": []}
    assert (found["left"], found["lost"]) == (nothing, nothing)
    assert found["untouched"] == {"Jenkins": 1, "Argo CD": 1, "GoDaddy": 6}
    assert found["kept"] == ["acme/shop-api", "acme/shop-web"]


def run(*arguments: str) -> Played:
    return play(start("sandbox", "run", *arguments, "--json"), WITHIN + 30)


def test_the_document_has_the_agreed_shape() -> None:
    document = run("--scenario", "first-deployment").document
    assert list(document) == ["scenario", "ok", "seed", "operations", "external"]
    wanted = [
        "id",
        "type",
        "state",
        "reason",
        "durationSeconds",
        "stages",
        "heartbeats",
        "terminalHeartbeats",
        "addresses",
    ]
    assert [list(operation) for operation in document["operations"]] == [wanted] * 3
    stages: list[dict[str, Any]] = [stage for each in document["operations"] for stage in each["stages"]]
    assert {tuple(stage) for stage in stages} == {("name", "component", "state", "durationSeconds")}
    assert document["operations"][1]["addresses"] == [
        "https://api.alpha.shop.acme.example",
        "https://alpha.shop.acme.example",
    ]


def test_a_seed_decides_who_asks_for_what() -> None:
    ids = [
        [each["id"] for each in run("--scenario", "first-deployment", "--seed", seed).document["operations"]]
        for seed in ("7", "7", "8")
    ]
    assert ids[0] == ids[1] != ids[2]


def test_as_many_operations_as_are_asked_for_are_spread_and_all_succeed() -> None:
    played = run("--scenario", "first-deployment", "--operations", "24")
    assert played.document["ok"] is True, played.errors
    assert played.ends() == ["Succeeded"] * 24
    assert played.external == {"builds": 44, "syncs": 44, "records": 8, "repositories": 4}
