"""What scenarios are made of: the registry, requests by seed, the reading of resources, the judge, the live picture."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any, cast

import pytest
from rich.console import Console

from reconciler.cli.live import LiveView, line_of
from reconciler.domain.messages import EventType
from reconciler.sandbox.judging import problems
from reconciler.sandbox.office import Beat
from reconciler.sandbox.report import External, Outcome, Report, address_records
from reconciler.sandbox.samples import SHOP, Requests
from reconciler.sandbox.scenarios import SCENARIOS, Chore, Play
from reconciler.sandbox.watching import OperationView, deployment, set_up
from reconciler.sandbox.world import DOMAIN, World

NOW = datetime(2026, 11, 23, 8, 0, 30, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64


def record(**status: Any) -> dict[str, Any]:
    return {
        "kind": "DeploymentRecord",
        "metadata": {"name": "op-1"},
        "spec": {"operationId": "op-1", "projectRef": "shop", "environment": "alpha"},
        "status": status,
    }


def stage(name: str, component: str = "", state: str = "Done", **more: Any) -> dict[str, Any]:
    moments = {"startedAt": "2026-11-23T08:00:00Z", "finishedAt": "2026-11-23T08:00:02.5Z"}
    return {"name": name, "component": component, "state": state, **moments, **more}


def outcome(view: OperationView, last_words: int = 1) -> Outcome:
    return Outcome(view, 1.0, 3, last_words)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world._folder.cleanup()


def test_every_scenario_of_the_issue_is_there_with_one_line_about_it() -> None:
    assert set(SCENARIOS) >= {
        *("first-deployment", "broken-build", "outage", "bad-message"),
        *("crash", "broker-down", "flapping", "supersede", "cancel", "rollback", "clean-up"),
    }
    for name, scenario in SCENARIOS.items():
        assert scenario.name == name
        assert 0 < len(scenario.description) < 110
        assert "\n" not in scenario.description


def test_requests_follow_from_the_seed() -> None:
    def bodies(seed: int) -> list[bytes]:
        requests = Requests(Random(seed))  # noqa: S311 - the seed decides, not a secret
        return [requests.initialize(SHOP, NOW).body(), requests.deploy("shop", "alpha", NOW).body()]

    assert bodies(1) == bodies(1)
    assert bodies(1) != bodies(2)


def test_a_record_is_read_with_the_time_of_each_stage() -> None:
    artifacts = [{"component": "api", "image": "acme/shop-api", "digest": DIGEST, "address": "https://x"}]
    view = deployment(record(phase="Succeeded", stages=[stage("queue"), stage("build", "api")], artifacts=artifacts))
    assert view.is_over
    assert view.components == ("api",)
    assert [one.seconds() for one in view.stages] == [2.5, 2.5]
    assert view.addresses == ("https://x",)
    assert view.images == {"api": f"acme/shop-api@{DIGEST}"}


def test_a_stage_under_way_counts_until_now() -> None:
    view = deployment(record(phase="Running", stages=[stage("build", "api", "Waiting", finishedAt=None)]))
    assert view.stages[0].seconds(NOW) == 30.0
    assert not view.is_over


def test_an_operation_of_a_project_is_read_by_its_id() -> None:
    body = {
        "metadata": {"name": "shop"},
        "spec": {"operation": {"id": "init-2"}},
        "status": {
            "steps": [stage("jenkins")],
            "operations": [{"id": "init-1", "state": "Superseded"}, {"id": "init-2", "state": "Succeeded"}],
        },
    }
    new, old = set_up(body, "init-2"), set_up(body, "init-1")
    assert new is not None
    assert old is not None
    assert [one.name for one in new.stages] == ["jenkins"]
    assert (old.state, old.stages) == ("Superseded", ())
    assert set_up(body, "init-3") is None


def test_an_operation_that_is_announced_twice_or_never_is_a_problem(world: World) -> None:
    view = deployment(record(phase="Failed"))
    assert not list(problems(world, [outcome(view)]))
    assert list(problems(world, [outcome(view, 2)])) == ["op-1 was announced 2 times"]
    assert list(problems(world, [outcome(view, 0)])) == ["op-1 was announced 0 times"]


def test_a_build_that_took_effect_twice_is_a_problem(world: World) -> None:
    world.jenkins.works.effective["op-1", "api", "tag"] = 2
    assert list(problems(world, [])) == ["build op-1/api/tag took effect 2 times"]


def test_a_deployment_without_builds_syncs_and_records_is_a_problem(world: World) -> None:
    images = [{"component": "api", "image": "acme/shop-api", "digest": DIGEST}]
    view = deployment(record(phase="Succeeded", stages=[stage("build", "api")], artifacts=images))
    found = "\n".join(problems(world, [outcome(view)]))
    assert "op-1/api: 0 builds for 1 attempts" in found
    assert "op-1/api: syncs [], one is right" in found
    assert "shop--alpha--api runs (), not" in found
    assert "DNS records are {}" in found


def test_a_set_up_without_image_repositories_is_a_problem(world: World) -> None:
    view = replace(deployment(record(phase="Succeeded")), type=EventType.INITIALIZE)
    (found,) = problems(world, [outcome(view)])
    assert "acme/shop-api" in found


def test_only_dns_records_that_carry_a_marker_are_ours(world: World) -> None:
    zone = world.godaddy.zone(DOMAIN)
    zone.replace("A", "api.shop", [{"data": "203.0.113.7"}])
    assert address_records(world) == {}
    zone.replace("TXT", "_freeleaps-a.api.shop", [{"data": "ours"}])
    assert address_records(world) == {"api.shop": "203.0.113.7"}


def test_a_report_is_ok_when_there_is_no_problem() -> None:
    report = Report("first-deployment", 1, (), External(0, 0, 0, 0), ())
    assert report.document()["ok"] is True
    assert replace(report, problems=("one",)).document()["ok"] is False
    assert "problem: one" in list(replace(report, problems=("one",)).text())


def beat(**said: Any) -> Beat:
    usual = {"operation_id": "op-1", "phase": "Running", "stage": "build", "component": "api", "state": "Waiting"}
    rest = {"progress": 9, "message": "", "waiting_for": "the build", "timestamp": "2026-11-23T08:00:00.34Z"}
    return Beat("shop.alpha.op-1", {**usual, **rest, **said}, 0.0)


def test_a_heartbeat_is_one_line() -> None:
    assert line_of(beat()) == "08:00:00.3 shop.alpha.op-1   9 % build/api waits for the build"
    last = beat(phase="Failed", waiting_for="", message="see the log", progress=100)
    assert line_of(last) == "08:00:00.3 shop.alpha.op-1 100 % Failed: see the log"


class Stage:
    """A performance of which only the picture is wanted."""

    sent = ("one",)
    chores = (Chore("Expire environment shop--alpha", NOW, NOW), Chore("Delete project shop", NOW))

    def __init__(self, view: OperationView) -> None:
        self._view = view
        self.office = self

    def listen(self, listener: Any) -> None:
        listener(beat(waiting_for="a very long reason " * 20))

    def view(self, request: str) -> OperationView:
        return self._view


@pytest.mark.parametrize("width", [80, 120])
def test_the_picture_fits_the_terminal(width: int) -> None:
    console = Console(width=width, height=24, force_terminal=True, color_system=None, record=True)
    stages = [stage("queue"), stage("build", "api", "Waiting", finishedAt=None), stage("image", "api", "Pending")]
    view = deployment(record(phase="Running", stages=stages, waitingFor="the build " * 30))
    picture = LiveView(console, cast("Play", Stage(view)), SCENARIOS["first-deployment"].description, lambda: NOW)
    console.print(picture.picture())
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) <= 24
    assert any("Deploy shop to alpha" in line for line in lines)
    assert " ✓ Expire environment shop--alpha  0.0 s" in map(str.rstrip, lines)
    assert any(line.rstrip().endswith(" Delete project shop  0.0 s") for line in lines)
