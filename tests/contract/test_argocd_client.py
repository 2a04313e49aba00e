"""The Argo CD client, in our words, against the simulated server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from reconciler.clients.argocd import ArgoCD as Client
from reconciler.domain.errors import (
    AlreadyExists,
    Busy,
    Conflict,
    Invalid,
    Missing,
    NotFound,
    Refused,
    Unavailable,
)
from reconciler.domain.outside.applications import (
    Application,
    ApplicationShape,
    Health,
    ImageSetting,
    OperationPhase,
    SyncState,
)
from reconciler.domain.outside.builds import GitLogin
from reconciler.sandbox.argocd import ArgoCD
from support.argocd import (
    DIGEST,
    GIT,
    IMAGE,
    NAME,
    NONE,
    OURS,
    PROJECT,
    SHAPE,
    THEIRS,
    connected,
    gone,
    has_settled,
    seen,
    until,
)


@pytest.fixture
async def server() -> AsyncIterator[ArgoCD]:
    simulator = ArgoCD()
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def client(server: ArgoCD) -> AsyncIterator[Client]:
    async with connected(server.url) as connection:
        yield connection


@pytest.fixture
async def application(client: Client) -> Application:
    await client.create_project(PROJECT, OURS)
    await client.create_application(SHAPE, OURS, NONE, "e/1")
    return await seen(client)


async def synced(client: Client, request_id: str = "op/api/1", *, revision: str | None = None) -> Application:
    await client.start_sync("shop", NAME, request_id, revision=revision, prune=True)
    return await until(client, lambda found: has_settled(found) and found.images != ())


async def test_the_version_is_the_servers_own(client: Client) -> None:
    assert await client.version() == "v3.6.0"


async def test_a_project_comes_back_as_it_was_made(client: Client) -> None:
    assert await client.find_project("shop") is None
    await client.create_project(PROJECT, OURS)
    found = await client.find_project("shop")
    assert found is not None
    assert (found.shape, found.marker) == (PROJECT, OURS)


async def test_an_equal_project_of_somebody_else_is_not_taken_for_ours(client: Client) -> None:
    await client.create_project(PROJECT, THEIRS)
    with pytest.raises(AlreadyExists):
        await client.create_project(PROJECT, OURS)
    with pytest.raises(AlreadyExists):
        await client.create_project(replace(PROJECT, description="Else"), OURS)


async def test_updating_a_project_keeps_what_others_wrote(client: Client, server: ArgoCD) -> None:
    await client.create_project(PROJECT, OURS)
    server.projects["shop"]["spec"]["roles"] = [{"name": "ci"}]
    server.projects["shop"]["metadata"]["labels"] = {"team": "x"}
    wider = replace(PROJECT, destinations=(("in-cluster", "a"), ("in-cluster", "b")))
    await client.update_project(wider, OURS)
    found = await client.find_project("shop")
    assert found is not None
    assert found.shape == wider
    assert server.projects["shop"]["spec"]["roles"] == [{"name": "ci"}]
    assert server.projects["shop"]["metadata"]["labels"] == {"team": "x"}


async def test_narrowing_a_project_under_its_applications_waits(client: Client, application: Application) -> None:
    with pytest.raises(Busy):
        await client.update_project(replace(PROJECT, destinations=()), OURS)


async def test_a_project_in_use_is_busy_and_a_missing_one_is_gone(
    client: Client, server: ArgoCD, application: Application
) -> None:
    with pytest.raises(Busy):
        await client.delete_project("shop")
    await client.delete_application("shop", NAME)
    await gone(client)
    await client.delete_project("shop")
    await client.delete_project("shop")
    assert "shop" not in server.projects


async def test_a_repository_is_found_only_in_its_own_project(client: Client, server: ArgoCD) -> None:
    assert await client.find_repository(GIT, "shop") is None
    await client.apply_repository(GIT, GitLogin("g", "bot", "s3cret"), "shop")
    found = await client.find_repository(GIT, "shop")
    assert found is not None
    assert found.is_connected
    assert await client.find_repository(GIT, "other") is None
    assert server.repositories[GIT, "shop"]["password"] == "s3cret"


async def test_projects_and_repositories_are_listed_as_they_are_found_one_by_one(client: Client) -> None:
    await client.create_project(PROJECT, OURS)
    await client.apply_repository(GIT, GitLogin("g", "bot", "s3cret"), "shop")
    assert await client.find_project("shop") in await client.list_projects()
    assert [one.url for one in await client.list_repositories()] == [GIT]
    assert await client.list_repositories() == (await client.find_repository(GIT, "shop"),)


async def test_a_repository_is_written_again_and_forgotten(client: Client, server: ArgoCD) -> None:
    await client.apply_repository(GIT, GitLogin("g", "bot", "old"), "shop")
    await client.apply_repository(GIT, GitLogin("g", "bot", "new"), "shop")
    assert server.repositories[GIT, "shop"]["password"] == "new"
    await client.delete_repository(GIT, "shop")
    await client.delete_repository(GIT, "shop")
    assert not server.repositories


async def test_a_repository_that_cannot_be_reached_is_gits_fault(client: Client, server: ArgoCD) -> None:
    server.break_repository(GIT)
    with pytest.raises(Refused, match="authentication required") as locked_out:
        await client.apply_repository(GIT, None, "")
    server.break_repository(GIT, "dial tcp: i/o timeout")
    with pytest.raises(Unavailable, match="i/o timeout") as away:
        await client.apply_repository(GIT, None, "")
    assert {locked_out.value.system, away.value.system} == {"git"}


async def test_a_project_without_rights_is_refused_and_not_missing(client: Client, server: ArgoCD) -> None:
    server.deny_project("shop")
    with pytest.raises(Refused):
        await client.find_application("shop", NAME)
    with pytest.raises(Refused):
        await client.find_repository(GIT, "shop")
    with pytest.raises(Refused):
        await client.delete_repository(GIT, "shop")


async def test_an_application_comes_back_as_it_was_made(application: Application) -> None:
    assert application.shape == SHAPE
    assert (application.marker, application.epoch) == (OURS, "e/1")
    assert application.url == f"https://argocd.example/applications/argocd/{NAME}"
    assert application.operation is None


@pytest.mark.parametrize(
    "shape",
    [
        replace(SHAPE, path="", chart="api"),
        replace(SHAPE, auto_sync=True, self_heal=True),
        replace(SHAPE, auto_sync=True, prune=False),
        replace(SHAPE, prune=False, self_heal=True),
        replace(SHAPE, sync_options=()),
    ],
)
async def test_every_shape_comes_back_as_it_was_made(client: Client, shape: ApplicationShape) -> None:
    await client.create_project(PROJECT, OURS)
    await client.create_application(shape, OURS, IMAGE, "")
    found = await seen(client)
    assert (found.shape, found.epoch, found.image.parameters) == (shape, "", IMAGE.parameters)


async def test_a_name_that_is_taken_exists_already(client: Client, application: Application) -> None:
    await client.create_application(SHAPE, OURS, NONE, "e/1")
    with pytest.raises(AlreadyExists):
        await client.create_application(SHAPE, THEIRS, NONE, "e/1")


async def test_an_application_that_is_being_deleted_exists_still(client: Client, server: ArgoCD) -> None:
    await client.create_project(PROJECT, OURS)
    await client.create_application(SHAPE, OURS, NONE, "e/1")
    server.hold_deletion(NAME)
    await client.delete_application("shop", NAME)
    assert (await seen(client)).is_deleting
    with pytest.raises(AlreadyExists):
        await client.create_application(SHAPE, OURS, NONE, "e/1")


async def test_an_application_waits_for_its_project(client: Client) -> None:
    with pytest.raises(Missing):
        await client.create_application(SHAPE, OURS, NONE, "e/1")


async def test_an_application_outside_its_project_is_invalid(client: Client, application: Application) -> None:
    with pytest.raises(Invalid, match="not permitted"):
        await client.create_application(replace(SHAPE, name="b", repo_url="https://evil.example/x"), OURS, NONE, "")


async def test_setting_an_image_keeps_the_users_parameters(
    client: Client, server: ArgoCD, application: Application
) -> None:
    replicas = {"name": "replicas", "value": "3"}
    helm = {"parameters": [replicas, {"name": "image.tag", "value": "old"}], "releaseName": "api"}
    server.edit(NAME, {"spec": {"source": {**server.applications[NAME]["spec"]["source"], "helm": helm}}})
    await client.set_image("shop", NAME, IMAGE, expected_epoch="e/1", epoch="e/2")
    helm = server.applications[NAME]["spec"]["source"]["helm"]
    assert helm["parameters"][0] == replicas
    assert helm["releaseName"] == "api"
    assert all(p["forceString"] for p in helm["parameters"][1:])
    found = await seen(client)
    assert found.epoch == "e/2"
    assert found.image.parameters == {"replicas": "3", **IMAGE.parameters}


async def test_kustomize_images_and_a_revision_are_set_by_key(
    client: Client, server: ArgoCD, application: Application
) -> None:
    kustomize = {"images": ["sidecar=x:1", "api=old:1"]}
    server.edit(NAME, {"spec": {"source": {**server.applications[NAME]["spec"]["source"], "kustomize": kustomize}}})
    setting = ImageSetting(kustomize_images=(f"api=acme/api@{DIGEST}",), target_revision="b" * 40)
    await client.set_image("shop", NAME, setting, expected_epoch="e/1", epoch="e/2")
    source = server.applications[NAME]["spec"]["source"]
    assert source["kustomize"]["images"] == ["sidecar=x:1", f"api=acme/api@{DIGEST}"]
    assert source["targetRevision"] == "b" * 40


async def test_another_epoch_is_a_conflict_and_writes_nothing(
    client: Client, server: ArgoCD, application: Application
) -> None:
    writes = server.writes[NAME]
    with pytest.raises(Conflict):
        await client.set_image("shop", NAME, IMAGE, expected_epoch="e/0", epoch="e/2")
    with pytest.raises(Conflict):
        await client.reshape("shop", NAME, SHAPE, OURS, expected_epoch="", epoch="e/2")
    assert server.writes[NAME] == writes


async def test_a_change_between_read_and_write_is_a_conflict(
    client: Client, server: ArgoCD, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = client._guarded

    async def overtaken(*args: str, **kwargs: str) -> object:
        tree = await read(*args, **kwargs)
        server.edit(NAME, {"metadata": {"annotations": {"freeleaps.com/epoch": "e/9"}}})
        return tree

    monkeypatch.setattr(client, "_guarded", overtaken)
    with pytest.raises(Conflict):
        await client.set_image("shop", NAME, IMAGE, expected_epoch="e/1", epoch="e/2")
    assert "helm" not in server.applications[NAME]["spec"]["source"]


async def test_reshaping_changes_only_the_shape(client: Client, server: ArgoCD, application: Application) -> None:
    await client.set_image("shop", NAME, IMAGE, expected_epoch="e/1", epoch="e/1")
    server.edit(NAME, {"spec": {"syncPolicy": {"retry": {"limit": 7}}}})
    wanted = replace(SHAPE, path="deploy/other", auto_sync=True, prune=True, sync_options=())
    newer = replace(OURS, uid="uid-2")
    await client.reshape("shop", NAME, wanted, newer, expected_epoch="e/1", epoch="e/2")
    found = await seen(client)
    assert (found.shape, found.marker, found.epoch) == (wanted, newer, "e/2")
    assert found.image.parameters == IMAGE.parameters
    assert server.applications[NAME]["spec"]["syncPolicy"]["retry"] == {"limit": 7}


async def test_a_foreign_application_without_annotations_can_be_adopted(client: Client, server: ArgoCD) -> None:
    await client.create_project(PROJECT, OURS)
    await client.create_application(SHAPE, OURS, NONE, "")
    del server.applications[NAME]["metadata"]["annotations"]
    server.store.touch(NAME)
    assert (await seen(client)).marker is None
    await client.reshape("shop", NAME, SHAPE, OURS, expected_epoch="", epoch="e/1")
    assert (await seen(client)).marker == OURS


async def test_a_sync_carries_our_request_id_and_brings_the_image(
    client: Client, server: ArgoCD, application: Application
) -> None:
    await client.set_image("shop", NAME, IMAGE, expected_epoch="e/1", epoch="e/2")
    assert server.live_images(NAME) == ()
    found = await synced(client)
    assert found.operation is not None
    assert (found.operation.request_id, found.operation.phase) == ("op/api/1", OperationPhase.SUCCEEDED)
    assert (found.sync, found.health) == (SyncState.SYNCED, Health.HEALTHY)
    assert found.images == (f"docker.io/acme/shop-api:abc@{DIGEST}",)
    assert [run.request_id for run in server.syncs] == ["op/api/1"]


async def test_a_sync_to_a_revision_says_which(client: Client, application: Application) -> None:
    found = await synced(client, revision="c" * 40)
    assert found.operation is not None
    assert found.operation.revision == "c" * 40


async def test_a_failed_sync_tells_why(client: Client, server: ArgoCD, application: Application) -> None:
    server.fail_syncs(NAME, message="quota exceeded")
    await client.start_sync("shop", NAME, "r", revision=None, prune=True)
    found = await until(client, has_settled)
    assert found.operation is not None
    assert (found.operation.phase, found.operation.message) == (OperationPhase.FAILED, "quota exceeded")


async def test_what_was_not_pruned_is_told(client: Client, server: ArgoCD, application: Application) -> None:
    server.leave_prune_skipped(NAME)
    found = await synced(client)
    assert found.operation is not None
    assert found.operation.prune_skipped
    assert found.sync is SyncState.OUT_OF_SYNC


async def test_why_a_sync_does_not_start(client: Client, server: ArgoCD, application: Application) -> None:
    server.break_git()
    with pytest.raises(Unavailable, match="resolving"):
        await client.start_sync("shop", NAME, "r", revision=None, prune=True)
    server.block_syncs(NAME)
    with pytest.raises(Refused, match="sync window"):
        await client.start_sync("shop", NAME, "r", revision=None, prune=True)
    server.allow_syncs(NAME)
    server.hold_deletion(NAME)
    await client.delete_application("shop", NAME)
    with pytest.raises(Busy, match="deleting"):
        await client.start_sync("shop", NAME, "r", revision=None, prune=True)
    with pytest.raises(NotFound):
        await client.start_sync("shop", "nobody", "r", revision=None, prune=True)
    assert server.syncs == []


async def test_health_comes_with_its_message(client: Client, server: ArgoCD, application: Application) -> None:
    await synced(client)
    server.degrade(NAME, "crash loop")
    found = await until(client, lambda it: it.health is Health.DEGRADED)
    assert found.health_message == "crash loop"
    server.break_comparison(NAME, "no such chart")
    found = await until(client, lambda it: it.sync is SyncState.UNKNOWN)
    assert found.conditions == ("ComparisonError: no such chart",)


async def test_a_refresh_does_not_hold_the_request(client: Client, server: ArgoCD, application: Application) -> None:
    await client.refresh("shop", NAME)
    assert server.requests["GET /api/v1/applications/{name}"] == 1
    await until(client, lambda _: "argocd.argoproj.io/refresh" not in annotations(server))


def annotations(server: ArgoCD) -> dict[str, str]:
    found: dict[str, str] = server.applications[NAME]["metadata"]["annotations"]
    return found


async def test_deleting_twice_is_fine_and_ends(client: Client, server: ArgoCD, application: Application) -> None:
    await client.delete_application("shop", NAME)
    await gone(client)
    await client.delete_application("shop", NAME)
    assert NAME not in server.applications


async def test_nothing_to_terminate_is_no_error(client: Client, application: Application) -> None:
    assert await client.terminate("shop", NAME) is False
    assert await client.terminate("shop", "nobody") is False


async def test_the_list_is_of_the_projects_asked_for(client: Client, server: ArgoCD, application: Application) -> None:
    assert await client.list_applications(["other"]) == ()
    assert [it.shape.name for it in await client.list_applications(["shop", "other"])] == [NAME]
    found = (await client.list_applications())[0]
    assert found.reconciled_at is not None


async def test_the_stream_tells_what_is_what_changes_and_what_goes(
    client: Client, server: ArgoCD, application: Application
) -> None:
    async with asyncio.timeout(5), aclosing(client.watch_applications(["shop"])) as events:
        first = await anext(events)
        assert isinstance(first, Application)
        await client.delete_application("shop", NAME)
        while not isinstance(event := await anext(events), str):
            assert event.shape.name == NAME
        assert event == NAME


async def test_a_cut_stream_ends_with_unavailable(client: Client, server: ArgoCD, application: Application) -> None:
    async with asyncio.timeout(5), aclosing(client.watch_applications()) as events:
        await anext(events)
        server.stream.cut_all()
        with pytest.raises(Unavailable):
            [event async for event in events]


async def test_a_login_is_kept_and_repeated_once_when_it_ends(server: ArgoCD) -> None:
    async with connected(server.url, is_by_password=True) as client:
        await asyncio.gather(*(client.find_project("shop") for _ in range(5)))
        assert server.accounts.logins == 1
        server.expire_sessions()
        await asyncio.gather(*(client.find_project("shop") for _ in range(5)))
        assert server.accounts.logins == 2


async def test_a_refused_login_is_not_repeated(server: ArgoCD) -> None:
    server.accounts.password = "changed"
    async with connected(server.url, is_by_password=True) as client:
        for _ in range(5):
            with pytest.raises(Refused):
                await client.find_project("shop")
    assert server.accounts.logins == 1


async def test_a_wrong_token_is_refused_without_another_try(server: ArgoCD) -> None:
    server.accounts.token = "changed"
    async with connected(server.url) as client:
        with pytest.raises(Refused):
            await client.find_project("shop")
    assert server.requests["GET /api/v1/projects/{name}"] == 1


async def test_an_application_is_found_in_the_project_that_it_was_made_in_and_moved_from_it(
    client: Client, server: ArgoCD, application: Application
) -> None:
    await client.create_project(replace(PROJECT, name="renamed"), OURS)
    found = await client.find_application("renamed", NAME)
    assert found is not None
    assert found.shape.project == "shop"
    shape = replace(SHAPE, project="renamed")
    await client.reshape("renamed", NAME, shape, OURS, expected_epoch="e/1", epoch="e/2")
    await client.set_image("renamed", NAME, IMAGE, expected_epoch="e/2", epoch="e/2")
    moved = await client.find_application("shop", NAME)
    assert moved is not None
    assert (moved.shape.project, moved.image.parameters) == ("renamed", IMAGE.parameters)
    await client.delete_project("shop")
    assert "shop" not in server.projects


async def test_an_application_that_is_in_no_project_is_not_there(client: Client, server: ArgoCD) -> None:
    await client.create_project(PROJECT, OURS)
    for server.moods.has_null_items in (False, True):
        assert await client.find_application("shop", NAME) is None


async def test_the_users_of_a_repository_are_told(client: Client, application: Application) -> None:
    assert await client.list_users(GIT, "shop") == (NAME,)
    assert await client.list_users(GIT, "other") == ()
    assert await client.list_users("https://git.example.com/other.git", "shop") == ()
