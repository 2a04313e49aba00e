"""The store on the real client, against the API in this process."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from reconciler.clients.kubernetes import Kubernetes
from reconciler.domain.errors import Conflict, NotFound, OutcomeUnknown
from reconciler.domain.keys import DEPLOYMENT_RECORD, LEASE, Body, Key
from reconciler.operator.cache import Cache
from reconciler.operator.leadership import Leadership, Terms
from reconciler.operator.store import Store
from reconciler.sandbox.kube import KubeApi
from support.clusters import a_cluster, until

KEY = Key("DeploymentRecord", "default", "a")


@dataclass
class World:
    api: KubeApi
    client: Kubernetes
    cache: Cache
    store: Store

    async def a_record(self, **parts: Body) -> Body:
        metadata = {"name": "a", "namespace": "default", **parts.pop("metadata", {})}
        return await self.store.create({"kind": "DeploymentRecord", "metadata": metadata, **parts})


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_cluster(DEPLOYMENT_RECORD) as (api, client):
        cache = Cache()
        yield World(api, client, cache, Store(client, cache))


async def test_a_status_grows_shrinks_and_stays_as_it_was_told(world: World) -> None:
    body = await world.a_record()
    wanted = {"phase": "Running", "stages": [{"name": "queue", "state": "Done"}], "holder": {"record": "a"}}

    body = await world.store.write_status(body, wanted)
    body = await world.store.write_status(body, {"phase": "Failed", "stages": [], "holder": {}})

    stored = await world.client.get(DEPLOYMENT_RECORD, "default", "a")
    assert stored["status"] == {"phase": "Failed", "stages": [], "holder": {}}
    assert world.store.read(KEY) == {**body, "metadata": world.store.read(KEY)["metadata"]}  # type: ignore[index]


async def test_a_status_decided_on_an_old_body_is_not_written(world: World) -> None:
    old = await world.a_record()
    await world.store.write_status(old, {"phase": "Running"})

    with pytest.raises(Conflict):
        await world.store.write_status(old, {"phase": "Queued"})

    assert (await world.store.fetch(KEY))["status"] == {"phase": "Running"}


async def test_after_a_conflict_a_look_at_the_fetched_body_goes_through(world: World) -> None:
    body = await world.a_record()
    world.api.faults.conflict_next(1)

    with pytest.raises(Conflict):
        await world.store.write_status(body, {"phase": "Running"})
    await world.store.write_status(await world.store.fetch(KEY), {"phase": "Running"})

    assert world.store.read(KEY)["status"] == {"phase": "Running"}  # type: ignore[index]


async def test_the_same_status_again_is_no_request(world: World) -> None:
    body = await world.store.write_status(await world.a_record(), {"phase": "Running", "sequence": 1})
    before = world.api.requests.total()

    await world.store.write_status(body, {"sequence": 1, "phase": "Running"})

    assert world.api.requests.total() == before


async def test_a_finalizer_holds_a_deletion_until_it_is_taken_off(world: World) -> None:
    body = await world.store.ensure_finalizer(await world.a_record())

    left = await world.store.delete(body)
    assert left is not None
    assert world.store.read(KEY)["metadata"]["deletionTimestamp"]  # type: ignore[index]

    assert await world.store.remove_finalizer(left) is None
    assert world.store.read(KEY) is None
    assert await world.store.find(KEY) is None


async def test_a_finalizer_of_somebody_else_in_between_is_not_lost(world: World) -> None:
    body = await world.a_record()
    await world.client.patch(DEPLOYMENT_RECORD, "default", "a", {"metadata": {"finalizers": ["other.com/f"]}})

    with pytest.raises(Conflict):
        await world.store.ensure_finalizer(body)
    body = await world.store.ensure_finalizer(await world.store.fetch(KEY))

    assert body["metadata"]["finalizers"] == ["other.com/f", "freeleaps.com/reconciler"]


async def test_another_resource_of_the_same_name_is_not_deleted(world: World) -> None:
    former = await world.a_record()
    await world.store.delete(former)
    await world.a_record()

    with pytest.raises(Conflict):
        await world.store.delete(former)


async def test_annotations_come_and_go(world: World) -> None:
    body = await world.store.annotate(await world.a_record(), {"freeleaps.com/reconcile-at": "1", "x.com/y": "2"})
    body = await world.store.annotate(body, {"freeleaps.com/reconcile-at": None})

    assert body["metadata"]["annotations"] == {"x.com/y": "2"}


async def test_a_write_whose_answer_is_lost_leaves_the_cache_as_it_was(world: World) -> None:
    body = await world.a_record()
    world.api.faults.down = True

    with pytest.raises(OutcomeUnknown):
        await world.store.write_status(body, {"phase": "Running"})

    assert "status" not in (world.store.read(KEY) or {})


async def test_what_is_made_anew_while_its_absence_is_on_its_way_stays_known(world: World) -> None:
    former = await world.a_record()
    await world.client.delete(DEPLOYMENT_RECORD, "default", "a")
    ordinary = world.client.get

    async def late(*arguments: str) -> Body:
        try:
            return await ordinary(*arguments)  # type: ignore[arg-type]
        finally:
            made = await world.client.create(DEPLOYMENT_RECORD, "default", {"metadata": {"name": "a"}})
            world.cache.remember({**made, "kind": "DeploymentRecord"})

    world.client.get = late  # type: ignore[assignment,method-assign]
    with pytest.raises(NotFound):
        await world.store.fetch(KEY)
    known = world.store.read(KEY)
    assert known is not None
    assert known["metadata"]["uid"] != former["metadata"]["uid"]


async def test_a_lease_is_held_renewed_and_given_back(world: World) -> None:
    terms = Terms(duration=timedelta(seconds=2), every=timedelta(seconds=0.1))
    first = Leadership(world.client, "first", namespace="default", terms=terms)
    second = Leadership(world.client, "second", namespace="default", terms=terms)
    async with asyncio.TaskGroup() as group:
        group.create_task(first.run())
        await first.leading()
        group.create_task(second.run())
        await until(lambda: "first leads" in second.state().detail)
        await first.stop()
        await second.leading()
        await second.stop()

    lease = await world.client.get(LEASE, "default", "freeleaps-devops-reconciler")
    assert (lease["spec"]["holderIdentity"], lease["spec"]["leaseTransitions"]) == ("", 1)
