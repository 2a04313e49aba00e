"""Health is believed only after the sync, and an application is written and synced only when nobody is in the way."""

from dataclasses import replace
from datetime import timedelta

import pytest

from reconciler.domain.errors import CircuitOpen
from reconciler.domain.keys import Key
from reconciler.domain.outside.applications import Application, Health, Operation, OperationPhase, SyncState
from reconciler.domain.outside.dns import RecordSet
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import StageName
from support.outside import application
from support.scene import OWNER, SPACE, World

APP = "shop--alpha--api"


async def at_sync(world: World) -> Key:
    key = world.ask()
    await world.until_waiting_in(StageName.SYNC, key)
    return key


def waits_for(world: World, key: Key) -> str:
    return world.record(key).status.waiting_for


async def test_what_was_healthy_before_the_sync_is_not_believed_after_it() -> None:
    world = World()
    first = world.ask("op-1")
    await world.until_ended(first)
    world.outside.argo.reconciles = False
    second = world.ask("op-2")
    await world.until_waiting_in(StageName.SYNC, second)
    world.clock.advance(10)
    await world.look(second)
    there = world.outside.argo.applications[APP]
    assert (there.health, there.operation.phase if there.operation else None) == (Health.HEALTHY, "Succeeded")
    assert waits_for(world, second) == f"the state of Application {APP} after the sync"
    await world.until_ended(second)
    assert world.phase(second) == "Succeeded"
    assert world.outside.argo.refreshes == 1


async def test_the_digest_must_run() -> None:
    world = World()
    key = await at_sync(world)
    world.outside.argo.alter = lambda there: replace(there, images=("docker.io/acme/shop-api:old",))
    await world.go_on(key, seconds=60)
    assert waits_for(world, key) == f"the image to run in Application {APP}"
    world.outside.argo.alter = lambda there: there
    world.clock.advance(300)
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"


async def test_degraded_health_fails_only_when_it_lasts() -> None:
    world = World()
    key = await at_sync(world)
    world.outside.argo.alter = lambda there: replace(there, health=Health.DEGRADED, health_message="crash loop")
    await world.go_on(key, seconds=50)
    assert not world.record(key).status.phase.is_end
    await world.go_on(key, seconds=40)
    assert world.end_of(key) == ("Failed", "Degraded")
    assert world.holder() == ""


async def test_health_that_recovers_starts_the_time_of_being_degraded_anew() -> None:
    world = World()
    key = await at_sync(world)
    for health in (Health.DEGRADED, Health.PROGRESSING, Health.DEGRADED):
        world.outside.argo.alter = lambda there, health=health: replace(there, health=health)  # type: ignore[misc]
        await world.go_on(key, seconds=50)
    assert not world.record(key).status.phase.is_end


async def test_out_of_sync_between_two_moments_of_being_degraded_ends_the_first() -> None:
    world = World()
    key = await at_sync(world)
    for health, sync in (
        (Health.DEGRADED, SyncState.SYNCED),
        (Health.HEALTHY, SyncState.OUT_OF_SYNC),
        (Health.DEGRADED, SyncState.SYNCED),
    ):
        world.outside.argo.alter = lambda there, health=health, sync=sync: replace(  # type: ignore[misc]
            there, health=health, sync=sync
        )
        await world.go_on(key, seconds=40)
    assert not world.record(key).status.phase.is_end


@pytest.mark.parametrize("health", [Health.PROGRESSING, Health.MISSING, Health.UNKNOWN, Health.SUSPENDED])
async def test_other_health_waits_and_says_so(health: Health) -> None:
    world = World()
    key = await at_sync(world)
    world.outside.argo.alter = lambda there: replace(there, health=health)
    await world.go_on(key, seconds=120)
    assert waits_for(world, key) == f"Application {APP} to be Healthy, now {health}"


async def test_resources_that_were_not_pruned_do_not_keep_it_waiting() -> None:
    world = World()
    key = await at_sync(world)

    def skipping(there: Application) -> Application:
        operation = replace(there.operation, prune_skipped=True) if there.operation else None
        return replace(there, sync=SyncState.OUT_OF_SYNC, operation=operation)

    world.outside.argo.alter = skipping
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"
    stage = next(one for one in world.record(key).status.stages if one.name is StageName.SYNC)
    assert stage.message == "resources to prune were skipped"


async def test_what_is_out_of_sync_otherwise_waits() -> None:
    world = World()
    key = await at_sync(world)
    world.outside.argo.alter = lambda there: replace(there, sync=SyncState.OUT_OF_SYNC)
    await world.go_on(key, seconds=60)
    assert waits_for(world, key) == f"Application {APP} to be Synced, now OutOfSync"


async def test_a_sync_that_will_be_retried_is_not_over() -> None:
    world = World()
    key = await at_sync(world)

    def retrying(there: Application) -> Application:
        if there.operation is None:
            return there
        again = replace(
            there.operation,
            phase=OperationPhase.RUNNING,
            finished_at=world.clock.now(),
            is_retrying=True,
            message="one or more objects failed to apply",
        )
        return replace(there, operation=again, is_operation_requested=True)

    world.outside.argo.alter = retrying
    await world.go_on(key, seconds=60)
    assert waits_for(world, key).startswith(f"the next try of the sync of Application {APP}")
    world.outside.argo.alter = lambda there: there
    await world.until_ended(key)
    assert (world.phase(key), world.outside.argo.syncs) == ("Succeeded", [APP])


@pytest.mark.parametrize("phase", [OperationPhase.FAILED, OperationPhase.ERROR])
async def test_a_sync_that_failed_fails_the_deployment_with_its_words(phase: OperationPhase) -> None:
    world = World()
    key = await at_sync(world)

    def failed(there: Application) -> Application:
        if there.operation is None:
            return there
        return replace(there, operation=replace(there.operation, phase=phase, message="quota exceeded"))

    world.outside.argo.alter = failed
    await world.until_ended(key)
    assert world.end_of(key) == ("Failed", "SyncFailed")
    assert "quota exceeded" in world.record(key).status.message


async def test_what_is_corrected_after_a_first_deployment_failed_reaches_the_application() -> None:
    world = World()
    world.outside.argo.alter = lambda there: (
        replace(there, operation=replace(there.operation, phase=OperationPhase.FAILED)) if there.operation else there
    )
    first = world.ask("op-1")
    await world.until_ended(first)
    assert world.end_of(first) == ("Failed", "SyncFailed")
    world.store.edit(Key("ArgoSettings", SPACE, "shop"), syncPolicy={"syncOptions": ["ServerSideApply=true"]})
    world.outside.argo.alter = lambda there: there
    second = world.ask("op-2")
    await world.until_ended(second)
    assert world.phase(second) == "Succeeded"
    assert world.outside.argo.applications[APP].shape.sync_options == ("ServerSideApply=true",)
    assert world.outside.argo.shape_writes == [APP]


async def test_a_shape_that_the_server_words_otherwise_is_written_once() -> None:
    world = World()
    world.outside.argo.alter = lambda there: replace(there, shape=replace(there.shape, cluster="https://in-cluster"))
    await world.until_ended(world.ask("op-1"))
    assert world.outside.argo.shape_writes == []
    world.store.set_status(Key("Environment", SPACE, "shop--alpha"), current={"api": None})
    second = world.ask("op-2")
    await world.until_ended(second)
    assert (world.phase(second), world.outside.argo.shape_writes) == ("Succeeded", [APP])


async def with_foreign_operation(world: World, **changes: object) -> Key:
    """Have one deployment behind us and somebody else's operation in the way of the next."""
    await world.until_ended(world.ask("op-1"))
    plain = {"request_id": "somebody", "phase": OperationPhase.RUNNING, "started_at": None, **changes}
    there = world.outside.argo.applications[APP]
    operation = Operation(**plain)  # type: ignore[arg-type]
    world.outside.argo.applications[APP] = replace(there, operation=operation, is_operation_requested=True)
    key = world.ask("op-2")
    await world.until_waiting_in(StageName.SYNC, key)
    return key


async def test_somebody_elses_operation_is_waited_for_and_never_overwritten() -> None:
    world = World()
    key = await with_foreign_operation(world)
    await world.go_on(key, seconds=60)
    assert waits_for(world, key) == f"operation somebody on Application {APP} to end"
    assert world.outside.argo.image_writes == [APP]
    there = world.outside.argo.applications[APP]
    assert there.operation is not None
    ended = replace(there.operation, phase=OperationPhase.SUCCEEDED, finished_at=world.clock.now())
    world.outside.argo.applications[APP] = replace(there, operation=ended, is_operation_requested=False)
    await world.until_ended(key)
    assert (world.phase(key), world.outside.argo.syncs) == ("Succeeded", [APP, APP])


async def test_our_sync_overwritten_by_the_tools_own_counts_when_it_brought_our_image() -> None:
    world = World()
    key = await at_sync(world)
    await world.look(key)
    world.clock.advance(5)
    there = world.outside.argo.applications[APP]
    own = Operation("", OperationPhase.RUNNING, started_at=world.clock.now())
    world.outside.argo.applications[APP] = replace(there, operation=own, is_operation_requested=True)
    await world.until_ended(key)
    assert (world.phase(key), world.outside.argo.syncs) == ("Succeeded", [APP])


async def test_with_auto_sync_no_sync_is_started() -> None:
    world = World()
    world.store.edit(Key("ArgoSettings", SPACE, "shop"), syncPolicy={"automated": True})
    key = await at_sync(world)
    world.outside.argo.reconciles = False
    await world.go_on(key, seconds=30)
    assert world.outside.argo.syncs == []
    there = world.outside.argo.applications[APP]
    own = Operation("", OperationPhase.RUNNING, started_at=world.clock.now())
    world.outside.argo.applications[APP] = replace(there, operation=own, is_operation_requested=True)
    world.outside.argo.reconciles = True
    await world.until_ended(key)
    assert (world.phase(key), world.outside.argo.syncs) == ("Succeeded", [])


async def test_with_auto_sync_a_sync_that_the_tool_lost_is_told_in_its_words() -> None:
    world = World()
    world.store.edit(Key("ArgoSettings", SPACE, "shop"), syncPolicy={"automated": True})
    key = await at_sync(world)
    world.outside.argo.alter = lambda there: replace(
        there,
        images=(),
        operation=Operation("", OperationPhase.FAILED, 'namespaces "shop" not found'),
        conditions=("SyncError: Failed last sync attempt",),
    )
    await world.go_on(key, seconds=30)
    assert waits_for(world, key) == (
        f'the image to run in Application {APP} (namespaces "shop" not found; SyncError: Failed last sync attempt)'
    )


async def test_an_environment_made_anew_writes_its_uid_on_what_it_takes_over() -> None:
    world = World()
    former = Marker(OWNER, "Environment", SPACE, "shop--alpha", "uid-of-before")
    world.outside.argo.applications[APP] = application(APP, marker=former, epoch="uid-of-before/7")
    await world.until_ended(world.ask())
    marker = world.outside.argo.applications[APP].marker
    assert marker is not None
    assert (marker.uid, marker.is_same_owner(former)) == (world.slot().metadata.uid, True)


@pytest.mark.parametrize(
    "marker",
    [None, Marker(OWNER, "Environment", SPACE, "other--alpha", "uid-9"), Marker("x", "Environment", SPACE, "a", "b")],
    ids=["no marker", "another environment's", "another cluster's"],
)
async def test_an_application_of_somebody_else_is_not_touched(marker: Marker | None) -> None:
    world = World()
    world.outside.argo.applications[APP] = application(APP, marker=marker)
    before = world.outside.argo.applications[APP]
    key = await at_sync(world)
    await world.go_on(key, seconds=60)
    assert world.record(key).status.reason == "NameTaken"
    assert waits_for(world, key).startswith(f"Application {APP}, owned by")
    assert world.outside.argo.applications[APP] == before


@pytest.mark.parametrize("name", ["api.alpha"])
async def test_a_record_of_somebody_else_is_not_touched(name: str) -> None:
    world = World()
    foreign = RecordSet(name, "A", ("198.51.100.9",), 600)
    world.outside.dns.records = [foreign]
    key = world.ask()
    await world.until_waiting_in(StageName.EXPOSE, key)
    await world.go_on(key, seconds=60)
    assert world.record(key).status.reason == "NameTaken"
    assert (world.outside.dns.records, world.outside.dns.changes) == ([foreign], [])


async def test_an_application_that_is_being_deleted_is_waited_for() -> None:
    world = World()
    first = world.ask("op-1")
    await world.until_ended(first)
    there = world.outside.argo.applications[APP]
    world.outside.argo.applications[APP] = replace(there, is_deleting=True)
    second = world.ask("op-2")
    await world.until_waiting_in(StageName.SYNC, second)
    assert waits_for(world, second) == f"Application {APP} to be gone"
    del world.outside.argo.applications[APP]
    await world.until_ended(second)
    assert world.phase(second) == "Succeeded"


async def test_with_the_revision_strategy_the_revision_must_be_what_runs() -> None:
    world = World()
    world.store.edit(Key("ArgoSettings", SPACE, "shop"), imageStrategy={"type": "Revision"})
    key = await at_sync(world)
    await world.go_on(key, seconds=60)
    assert waits_for(world, key) == f"the revision to run in Application {APP}"
    world.outside.argo.alter = lambda there: replace(there, revision=there.image.target_revision or "")
    world.clock.advance(300)
    await world.until_ended(key)
    assert world.phase(key) == "Succeeded"


async def test_a_check_that_is_asked_for_must_be_answered_as_expected() -> None:
    world = World(verify={"path": "/", "status": 204, "timeout": "30s"})
    world.outside.probe.answers = 503
    key = world.ask()
    await world.until_ended(key)
    assert world.end_of(key) == ("Failed", "VerifyFailed")
    assert "to answer 204, now 503" in world.record(key).status.message


async def test_an_address_that_does_not_answer_at_all_fails_when_its_time_is_over() -> None:
    world = World(verify={"path": "/", "timeout": "30s"})
    key = world.ask()
    world.outside.probe.outage = CircuitOpen("not asked", retry_after=timedelta(seconds=60), system="address")
    await world.until_waiting_in(StageName.VERIFY, key)
    due = await world.look(key)
    assert due is not None
    assert due - world.clock.now() <= timedelta(seconds=30)
    world.clock.advance(30)
    await world.look(key)
    assert world.end_of(key) == ("Failed", "VerifyFailed")
    assert "address to answer: not asked" in world.record(key).status.message


async def test_an_address_has_the_time_that_its_environment_gives_it() -> None:
    world = World(verify={"path": "/", "timeout": "20m"})
    world.outside.probe.answers = 503
    key = world.ask()
    await world.until_waiting_in(StageName.VERIFY, key)
    await world.go_on(key, seconds=900)
    world.outside.probe.answers = 200
    await world.look(key)
    assert world.phase(key) == "Succeeded"


async def test_a_lost_slot_is_never_written_without() -> None:
    world = World()
    key = world.ask()
    await world.until_waiting_in(StageName.BUILD, key)
    world.store.set_status(world.environment, holder={"record": "x", "uid": "uid-x", "epoch": 9}, epoch=9)
    world.clock.advance(300)
    await world.until_ended(key, every=timedelta(seconds=5).total_seconds())
    assert world.end_of(key) == ("Failed", "SlotLost")
    assert (world.outside.argo.image_writes, world.holder()) == ([], "x")
