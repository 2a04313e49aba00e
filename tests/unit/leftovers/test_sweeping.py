"""Sweeping: what is left goes when its system is back, by marker and uid; what somebody lives with stays."""

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.domain.errors import CircuitOpen, Missing, Unavailable
from reconciler.domain.keys import Body, Key, Kind, key_of
from reconciler.domain.outside.applications import ArgoProject, ProjectShape, Repository
from reconciler.domain.outside.builds import Credential, Folder, Job, JobPath, JobShape
from reconciler.domain.outside.dns import RecordSet
from reconciler.domain.ownership import Marker
from reconciler.domain.record_marks import hash_of, marker_name
from reconciler.domain.things import Where
from reconciler.leftovers.listing import LeftoverList, listing_key
from reconciler.operator.cache import Cache
from support.moments import EIGHT
from support.outside import application
from support.scene import OPERATOR, SPACE, Killed, kill_at, record
from support.sweeping import OLD, OLD_ARGO, OLD_JENKINS, SweepWorld

APP = "shop--alpha--api"
NEW = replace(OLD, uid="uid-new")
THEIRS = Marker("cluster-2", "Environment", "x", "y", "z")
DOWN = Unavailable("connection refused", system="argocd")


def records_of(marker: Marker, name: str = "api.alpha") -> list[RecordSet]:
    """Return a record and its mark."""
    values = ("192.0.2.1",)
    mark = RecordSet(marker_name("A", name), "TXT", (f"{marker.text()},values={hash_of(values)}",), 600)
    return [RecordSet(name, "A", values, 600), mark]


async def test_what_is_left_goes_when_its_system_is_back_and_so_does_its_record() -> None:
    world = SweepWorld()
    world.argo.applications[APP] = application(APP, marker=OLD)
    key = world.leave("Application", APP, "shop")
    world.argo.outage = DOWN
    await world.go_on(key, seconds=300)
    kept = world.read(key)
    assert kept is not None
    assert kept.attempts > 1
    assert "connection refused" in kept.why
    world.argo.outage = None
    await world.go_on(key, seconds=150)
    assert (world.argo.deleted, world.read(key)) == ([APP], None)


async def test_an_operation_that_runs_on_what_is_left_is_ended() -> None:
    world = SweepWorld()
    world.argo.applications[APP] = application(APP, marker=OLD, is_operation_requested=True)
    key = world.leave("Application", APP, "shop")
    await world.go_on(key)
    assert (world.argo.terminated, world.argo.deleted) == ([APP], [APP])


@pytest.mark.parametrize("marker", [None, THEIRS, NEW])
async def test_what_carries_another_uid_or_mark_is_left_alone(marker: Marker | None) -> None:
    world = SweepWorld()
    world.argo.applications[APP] = application(APP, marker=marker)
    key = world.leave("Application", APP, "shop")
    await world.go_on(key)
    assert (world.argo.deleted, world.read(key)) == ([], None)


async def test_what_a_resource_made_anew_is_about_to_use_is_left_alone() -> None:
    world = SweepWorld()
    world.argo.applications[APP] = application(APP, marker=OLD)  # its uid is not written over yet
    world.resource("Environment", "shop--alpha", "uid-new", ("Application", APP))
    key = world.leave("Application", APP, "shop")
    await world.go_on(key)
    assert (world.argo.deleted, world.read(key)) == ([], None)


async def test_what_a_resource_made_anew_has_on_another_server_is_not_what_is_left() -> None:
    world = SweepWorld()
    world.argo.applications[APP] = application(APP, marker=OLD)
    body = world.resource("Environment", "shop--alpha", "uid-new", ("Application", APP))
    item = {**body["status"]["inventory"][0], "endpoint": "https://argo.other"}
    world.store.set_status(key_of(body), inventory=[item])
    key = world.leave("Application", APP, "shop")
    await world.go_on(key)
    assert (world.argo.deleted, world.read(key)) == ([APP], None)


@pytest.mark.parametrize(("zone", "goes"), [("example.org", True), ("example.com", False)])
async def test_a_record_that_a_resource_made_anew_has_in_another_zone_is_not_what_is_left(
    zone: str, *, goes: bool
) -> None:
    world = SweepWorld()
    world.dns.records = records_of(OLD)
    body = world.resource("Environment", "shop--alpha", "uid-new", ("Record", "api.alpha.example.com"))
    item = {**body["status"]["inventory"][0], "place": zone}
    world.store.set_status(key_of(body), inventory=[item])
    key = world.leave("Record", "api.alpha.example.com", "example.com")
    await world.go_on(key, seconds=20)
    assert (world.dns.records == [], world.read(key)) == (goes, None)


async def test_what_a_resource_made_anew_does_not_use_goes() -> None:
    world = SweepWorld()
    world.argo.applications[APP] = application(APP, marker=OLD)
    world.resource("Environment", "shop--alpha", "uid-new", ("Application", "shop--alpha--web"))
    key = world.leave("Application", APP, "shop")
    await world.go_on(key)
    assert (world.argo.deleted, world.read(key)) == ([APP], None)


async def test_what_is_taken_over_between_look_and_deletion_is_left_alone() -> None:
    world = SweepWorld()
    world.argo.applications[APP] = application(APP, marker=OLD)
    key = world.leave("Application", APP, "shop")

    def take_over() -> None:
        world.argo.applications[APP] = application(APP, marker=NEW)

    world.store.after_write = take_over  # right after the claim is stored
    await world.go_on(key, seconds=20)
    assert (world.argo.deleted, world.read(key)) == ([], None)


async def test_records_go_by_the_uid_in_their_mark_the_record_before_the_mark() -> None:
    world = SweepWorld()
    foreign = RecordSet("www", "A", ("198.51.100.9",), 600)
    world.dns.records = [foreign, *records_of(OLD), *records_of(NEW, "web.alpha")]
    keys = [world.leave("Record", f"{name}.alpha.example.com", "example.com") for name in ("api", "web")]
    await world.go_on(*keys, seconds=60)
    assert world.dns.changes == ["delete A api.alpha", "delete TXT _freeleaps-a.api.alpha"]
    assert world.dns.records == [foreign, *records_of(NEW, "web.alpha")]
    assert [world.read(key) for key in keys] == [None, None]


async def test_jobs_credentials_and_folders_go_one_after_the_other() -> None:
    world = SweepWorld()
    world.jenkins.folders["team"] = Folder("team", OLD_JENKINS)
    world.jenkins.jobs["team/shop"] = Job(JobPath("team", "shop"), OLD_JENKINS, JobShape("", ""))
    world.jenkins.credentials["team/shop-git"] = Credential("shop-git", OLD_JENKINS)
    names = (("Job", "team/shop"), ("Credential", "team/shop-git"), ("Folder", "team"))
    keys = [world.leave(kind, name, marker=OLD_JENKINS) for kind, name in names]
    await world.go_on(*keys)
    assert world.jenkins.changes == ["delete team/shop", "delete credential team/shop-git", "delete team"]
    assert [world.read(key) for key in keys] == [None, None, None]


async def test_a_job_stays_while_a_deployment_follows_a_build_that_it_asked_for_there() -> None:
    world = SweepWorld()
    world.jenkins.jobs["team/shop"] = Job(JobPath("team", "shop"), OLD_JENKINS, JobShape("", ""))
    key = world.leave("Job", "team/shop", marker=OLD_JENKINS)
    claim = {"key": "op-1/api/1", "replica": "r", "incarnation": "i", "at": "2026-11-23T08:00:00Z"}
    claim |= {"place": {"endpoint": "", "credentials": "", "name": "team/shop"}}
    stage = {"name": "build", "component": "api", "state": "Waiting", "claim": claim}
    deployment = key_of(world.store.put({**record(), "status": {"phase": "Running", "stages": [stage]}}))
    await world.go_on(key, seconds=120)
    kept = world.read(key)
    assert (world.jenkins.changes, kept is not None and kept.why) == (
        [],
        "Job team/shop to go, which is not wanted any more and is used by a deployment whose build was asked for there",
    )
    world.store.vanish(deployment)
    await world.go_on(key, seconds=120)
    assert (world.jenkins.changes, world.read(key)) == (["delete team/shop"], None)


async def test_a_folder_waits_for_what_is_left_in_it() -> None:
    world = SweepWorld()
    world.jenkins.folders["team"] = Folder("team", OLD_JENKINS)
    world.jenkins.jobs["team/shop"] = Job(JobPath("team", "shop"), OLD_JENKINS, JobShape("", ""))
    keys = [world.leave(kind, name, marker=OLD_JENKINS) for kind, name in (("Folder", "team"), ("Job", "team/shop"))]
    await world.go_on(*keys, seconds=20)
    assert world.jenkins.changes == ["delete team/shop", "delete team"]
    assert [world.read(key) for key in keys] == [None, None]


async def test_a_folder_that_somebody_uses_stays() -> None:
    world = SweepWorld()
    world.jenkins.folders["team"] = Folder("team", OLD_JENKINS)
    world.resource("JenkinsSettings", "other", "uid-3", projectRef="other", folder="team/sub")
    body = world.store.read(Key("JenkinsSettings", SPACE, "other"))
    assert body is not None
    key = world.leave("Folder", "team", marker=OLD_JENKINS)
    await world.go_on(key)
    assert (world.jenkins.changes, world.read(key)) == ([], None)


@pytest.mark.parametrize(("project", "goes"), [(OLD_ARGO, True), (None, True), (THEIRS, False)])
async def test_a_repository_goes_with_our_project_and_not_with_somebody_elses(
    project: Marker | None, *, goes: bool
) -> None:
    world = SweepWorld()
    url = "https://git.example.com/shop.git"
    world.projects.repositories[url, "shop"] = Repository(url, "shop")
    if project is not None:
        world.projects.projects["shop"] = ArgoProject(ProjectShape("shop", "", (), ()), project)
    keys = [world.leave("Repository", url, "shop", marker=OLD_ARGO), world.leave("AppProject", "shop", marker=OLD_ARGO)]
    await world.go_on(*keys)
    assert (world.projects.repositories == {}) is goes
    assert ("shop" in world.projects.projects) is (project is THEIRS)
    assert [world.read(key) for key in keys] == [None, None]


async def test_the_credentials_that_were_used_are_used_and_no_others() -> None:
    world = SweepWorld()
    key = world.leave("Application", APP, "shop", secret="argo")
    await world.go_on(key)
    assert set(world.asked_as) == {Where("https://argo.own", SPACE, "argo")}


async def test_missing_credentials_are_named_and_waited_for() -> None:
    world = SweepWorld()
    world.argo.applications[APP] = application(APP, marker=OLD)
    key = world.leave("Application", APP, "shop", secret="argo")
    world.argo.outage = Missing("Secret argo")
    await world.go_on(key, seconds=600)
    kept = world.read(key)
    assert kept is not None
    assert kept.why == "Secret argo"
    world.argo.outage = None
    await world.go_on(key, seconds=150)
    assert world.read(key) is None


async def test_a_sweep_that_is_asked_for_comes_at_once_and_is_answered() -> None:
    world = SweepWorld()
    key = world.leave("Application", APP, "shop")
    world.argo.outage = DOWN
    await world.go_on(key, seconds=600)
    before = world.read(key)
    assert before is not None
    assert await world.sweeper.look(key) == before.step.next_look_at, "not before its time"
    world.store.annotate(key, reconcile_at="now-please")
    await world.sweeper.look(key)
    after = world.read(key)
    assert after is not None
    assert (after.handled, after.attempts) == ("now-please", before.attempts + 1)


async def test_a_sweep_that_an_open_breaker_turned_away_looks_when_it_is_called() -> None:
    world = SweepWorld()
    world.argo.applications[APP] = application(APP, marker=OLD)
    key = world.leave("Application", APP, "shop")
    world.argo.outage = CircuitOpen("not asked", retry_after=timedelta(seconds=60), system="argocd")
    await world.go_on(key)
    world.clock.advance(60)
    world.argo.outage = None
    await world.go_on(key, seconds=10)
    assert (world.argo.deleted, world.read(key)) == ([APP], None)


async def test_looks_at_a_system_that_is_away_become_seldom() -> None:
    world = SweepWorld()
    key = world.leave("Application", APP, "shop")
    world.argo.outage = DOWN
    await world.go_on(key, seconds=3600)
    kept = world.read(key)
    assert kept is not None
    assert kept.attempts < 45


async def test_each_change_follows_a_stored_claim_and_is_audited() -> None:
    world = SweepWorld()
    world.argo.applications[APP] = application(APP, marker=OLD)
    key = world.leave("Application", APP, "shop")
    claims: list[object] = []
    world.argo.after_act = lambda: claims.append(kept.step.claim if (kept := world.read(key)) else None)
    await world.go_on(key)
    assert claims
    assert None not in claims
    assert [line.split()[0] for line in world.ledger.lines] == ["intended", "outcome"]


@pytest.mark.parametrize("point", range(1, 6))
async def test_a_kill_while_sweeping_strands_nothing(point: int) -> None:
    world = SweepWorld()
    world.dns.records = records_of(OLD)
    key = world.leave("Record", "api.alpha.example.com", "example.com")
    kill_at(point, world.store, world.all)
    try:
        await world.go_on(key, seconds=30)
    except* Killed:
        world.begin_life()
        await world.go_on(key, seconds=90)
    assert (world.dns.records, world.read(key)) == ([], None)


async def test_what_cannot_be_read_is_not_touched() -> None:
    world = SweepWorld()
    key = world.leave("Application", APP, "shop")
    body = world.store.read(key)
    assert body is not None
    world.store._keep({**body, "data": {"name": APP}})
    assert await world.sweeper.look(key) is None
    assert world.store.read(key) is not None


class Listed:
    """An API server with ConfigMaps."""

    def __init__(self, *bodies: Body) -> None:
        self.bodies = list(bodies)
        self.asked: list[tuple[str | None, str]] = []

    async def list_(
        self, kind: Kind, namespace: str | None = None, *, label_selector: str = ""
    ) -> tuple[list[Body], str]:
        self.asked.append((namespace, label_selector))
        return self.bodies, "900"


async def test_leftovers_of_the_life_before_are_found_and_those_that_are_gone_forgotten() -> None:
    world = SweepWorld()
    body = world.store.read(world.leave("Application", APP, "shop"))
    assert body is not None
    cache, api = Cache(), Listed(body)
    listing = LeftoverList(lists=api, memory=cache, clock=world.clock)
    assert await listing.look(listing_key(OPERATOR)) == EIGHT + timedelta(seconds=10)
    assert cache.count("ConfigMap") == 1
    api.bodies = []
    assert await listing.look(listing_key(OPERATOR)) == EIGHT + timedelta(minutes=10)
    assert (cache.count("ConfigMap"), api.asked[0]) == (0, (OPERATOR, "freeleaps.com/leftover"))
