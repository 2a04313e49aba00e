"""Watches over time, the controllers behind them, and the faults that can be switched on."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import orjson
import pytest

from reconciler.sandbox.kube import KubeApi

MAPS = "/api/v1/namespaces/default/configmaps"
MERGE = {"Content-Type": "application/merge-patch+json"}
PATIENCE = 10.0


@pytest.fixture
async def api() -> AsyncIterator[KubeApi]:
    api = KubeApi(compact_after=20)
    await api.start()
    yield api
    await api.stop()


@pytest.fixture
async def session(api: KubeApi) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {api.token}"}
    async with aiohttp.ClientSession(api.url, headers=headers) as session:
        yield session


Session = aiohttp.ClientSession


async def make(session: Session, name: str, path: str = MAPS, **more: Any) -> dict[str, Any]:
    metadata = {"name": name, **more.pop("metadata", {})}
    async with session.post(path, json={"metadata": metadata, **more}) as answer:
        assert answer.status == 201, await answer.text()
        made: dict[str, Any] = await answer.json()
        return made


async def read(session: Session, name: str) -> tuple[int, dict[str, Any]]:
    async with session.get(f"{MAPS}/{name}") as answer:
        return answer.status, await answer.json()


async def delete(session: Session, name: str, **parameters: str) -> dict[str, Any]:
    async with session.delete(f"{MAPS}/{name}", params=parameters) as answer:
        deleted: dict[str, Any] = await answer.json()
        return deleted


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - the API is asked again
            await asyncio.sleep(0.01)


async def next_event(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        event: dict[str, Any] = orjson.loads(await answer.content.readline())
        return event


def owned_by(owner: dict[str, Any], **more: Any) -> dict[str, Any]:
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"]}
    return {"ownerReferences": [{**reference, "uid": owner["metadata"]["uid"], **more}]}


async def test_a_watch_resumes_where_it_was_cut(api: KubeApi, session: Session) -> None:
    async with session.get(MAPS, params={"watch": "1"}) as watch:
        await make(session, "a")
        seen = await next_event(watch)
        api.faults.cut_watches()
        with pytest.raises((aiohttp.ClientError, orjson.JSONDecodeError)):
            await next_event(watch)
    await make(session, "b")
    version = seen["object"]["metadata"]["resourceVersion"]
    async with session.get(MAPS, params={"watch": "1", "resourceVersion": version}) as watch:
        assert (await next_event(watch))["object"]["metadata"]["name"] == "b"


async def test_a_cut_line_is_not_json(api: KubeApi, session: Session) -> None:
    async with session.get(MAPS, params={"watch": "1"}) as watch:
        api.faults.cut_line()
        await make(session, "a")
        with pytest.raises((aiohttp.ClientError, orjson.JSONDecodeError)):
            await next_event(watch)


async def test_an_expired_watch_ends_with_410_in_the_stream(api: KubeApi, session: Session) -> None:
    async with session.get(MAPS, params={"watch": "1"}) as watch:
        api.faults.expire_watches()
        event = await next_event(watch)
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        assert await watch.content.readline() == b""


async def test_history_is_bounded(api: KubeApi, session: Session) -> None:
    first = await make(session, "first")
    for number in range(25):
        await make(session, f"n{number}")
    version = first["metadata"]["resourceVersion"]
    async with session.get(MAPS, params={"watch": "1", "resourceVersion": version}) as watch:
        assert (await next_event(watch))["object"]["reason"] == "Expired"


async def test_an_expired_page_offers_to_go_on(api: KubeApi, session: Session) -> None:
    for number in range(3):
        await make(session, f"n{number}")
    async with session.get(MAPS, params={"limit": "1"}) as answer:
        token = (await answer.json())["metadata"]["continue"]
    await make(session, "n9")
    api.store.compact()
    async with session.get(MAPS, params={"limit": "1", "continue": token}) as answer:
        refused = await answer.json()
        assert (answer.status, refused["reason"]) == (410, "Expired")
    async with session.get(MAPS, params={"continue": refused["metadata"]["continue"]}) as answer:
        assert [item["metadata"]["name"] for item in (await answer.json())["items"]] == ["n1", "n2", "n9"]


async def test_while_down_no_connection_lives_and_afterwards_all_is_there(api: KubeApi, session: Session) -> None:
    await make(session, "a")
    api.faults.down = True
    with pytest.raises(aiohttp.ClientError):
        await read(session, "a")
    api.faults.down = False
    assert (await read(session, "a"))[0] == 200


@pytest.mark.parametrize("status", [429, 500, 503, 504])
async def test_the_next_requests_fail_as_told(api: KubeApi, session: Session, status: int) -> None:
    api.faults.fail_next(2, status)
    statuses = [(await read(session, "a"))[0] for _ in range(3)]
    assert statuses == [status, status, 404]


async def test_guarded_writes_lose_their_race_when_told(api: KubeApi, session: Session) -> None:
    made = await make(session, "a")
    api.faults.conflict_next(1)
    guarded = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"]}, "data": {"k": "v"}}
    statuses = []
    for body in ({"data": {"free": "1"}}, guarded, {"data": {"free": "2"}}):
        async with session.patch(f"{MAPS}/a", json=body, headers=MERGE) as answer:
            statuses.append(answer.status)
    assert statuses == [200, 409, 200]


async def test_requests_are_counted_by_verb_and_resource(api: KubeApi, session: Session) -> None:
    await make(session, "a")
    await read(session, "a")
    async with session.get(MAPS) as answer:
        await answer.read()
    async with session.patch("/api/v1/namespaces/default/status", json={}, headers=MERGE) as answer:
        await answer.read()
    assert api.requests == {
        "POST configmaps": 1,
        "GET configmaps": 1,
        "LIST configmaps": 1,
        "PATCH namespaces/status": 1,
    }


async def test_every_answer_tells_the_servers_time(session: Session) -> None:
    async with session.get(MAPS) as answer:
        assert answer.headers["Date"].endswith("GMT")


async def test_foreground_deletion_waits_for_what_blocks_it(session: Session) -> None:
    owner = await make(session, "owner")
    blocking = {**owned_by(owner, blockOwnerDeletion=True), "finalizers": ["example.com/stay"]}
    await make(session, "blocking", metadata=blocking)
    await make(session, "free", metadata=owned_by(owner))
    await delete(session, "owner", propagationPolicy="Foreground")
    await until(lambda: _gone(session, "free"))
    assert (await read(session, "owner"))[1]["metadata"]["finalizers"] == ["foregroundDeletion"]
    async with session.patch(f"{MAPS}/blocking", json={"metadata": {"finalizers": None}}, headers=MERGE) as answer:
        assert answer.status == 200
    await until(lambda: _gone(session, "owner"))


async def _gone(session: Session, name: str) -> bool:
    return (await read(session, name))[0] == 404


async def test_one_of_two_owners_gone_drops_only_its_reference(session: Session) -> None:
    first, second = await make(session, "first"), await make(session, "second")
    references = owned_by(first)["ownerReferences"] + owned_by(second)["ownerReferences"]
    await make(session, "child", metadata={"ownerReferences": references})
    await delete(session, "first")

    async def dropped() -> bool:
        _, child = await read(session, "child")
        return [owner["name"] for owner in child["metadata"]["ownerReferences"]] == ["second"]

    await until(dropped)


async def test_an_owner_of_an_unknown_kind_keeps_its_dependents(session: Session) -> None:
    reference = {"apiVersion": "nowhere.example.com/v1", "kind": "Ghost", "name": "g", "uid": "0-0"}
    await make(session, "child", metadata={"ownerReferences": [reference]})
    orphan = owned_by({"metadata": {"name": "never", "uid": "1-1"}})
    await make(session, "orphan", metadata=orphan)
    await until(lambda: _gone(session, "orphan"))
    assert (await read(session, "child"))[0] == 200


async def test_a_namespace_waits_for_the_last_finalizer_in_it(session: Session) -> None:
    await make(session, "spare", "/api/v1/namespaces")
    path = "/api/v1/namespaces/spare/configmaps"
    await make(session, "kept", path, metadata={"finalizers": ["example.com/stay"]})
    async with session.delete("/api/v1/namespaces/spare") as answer:
        assert (await answer.json())["status"]["phase"] == "Terminating"

    async def marked() -> bool:
        async with session.get(f"{path}/kept") as answer:
            return "deletionTimestamp" in (await answer.json())["metadata"]

    await until(marked)
    async with session.patch(f"{path}/kept", json={"metadata": {"finalizers": None}}, headers=MERGE) as answer:
        assert answer.status == 200

    async def gone() -> bool:
        async with session.get("/api/v1/namespaces/spare") as answer:
            return answer.status == 404

    await until(gone)


async def test_stopping_ends_open_watches_cleanly() -> None:
    api = KubeApi()
    await api.start()
    async with (
        aiohttp.ClientSession(api.url) as session,
        session.get(MAPS, params={"watch": "1"}) as watch,
    ):
        await api.stop()
        assert await watch.content.read() == b""


async def test_a_restart_keeps_what_was_stored() -> None:
    api = KubeApi()
    await api.start()
    port = int(api.url.rpartition(":")[2])
    async with aiohttp.ClientSession(api.url) as session:
        await make(session, "a")
        await api.stop()
        with pytest.raises(aiohttp.ClientError):
            await read(session, "b")
        await api.start(port=port)
        assert (await read(session, "a"))[0] == 200
        await api.stop()


async def test_bodies_have_a_limit(session: Session) -> None:
    statuses = []
    for size in (1_600_000, 3_200_000):
        async with session.post(
            MAPS, data=io.BytesIO(b"x" * size), headers={"Content-Type": "application/json"}
        ) as answer:
            statuses.append((answer.status, (await answer.json()).get("reason")))
    assert statuses == [(500, None), (413, "RequestEntityTooLarge")]


async def test_a_new_default_shows_at_once_and_is_stored_by_the_next_write(session: Session) -> None:
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    things = "/apis/late.example.com/v1/namespaces/default/things"

    def definition(properties: dict[str, Any]) -> dict[str, Any]:
        spec = {"type": "object", "properties": {"a": {"type": "string"}, **properties}}
        schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
        return {
            "metadata": {"name": "things.late.example.com"},
            "spec": {
                "group": "late.example.com",
                "scope": "Namespaced",
                "names": {"plural": "things", "kind": "Thing"},
                "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
            },
        }

    async def served() -> bool:
        async with session.get(things) as answer:
            return answer.status == 200

    async with session.post(definitions, json=definition({})) as answer:
        assert answer.status == 201
    await until(served)
    kind = {"apiVersion": "late.example.com/v1", "kind": "Thing"}
    made = await make(session, "t", things, spec={"a": "x"}, **kind)
    change = definition({"b": {"type": "integer", "default": 7}})
    async with session.patch(f"{definitions}/things.late.example.com", json=change, headers=MERGE) as answer:
        assert answer.status == 200, await answer.text()

    async def defaulted() -> bool:
        async with session.get(f"{things}/t") as answer:
            found = await answer.json()
            assert found["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
            return bool(found["spec"].get("b") == 7)

    await until(defaulted)
    async with session.patch(f"{things}/t", json={}, headers=MERGE) as answer:
        stored = await answer.json()
    assert stored["metadata"]["generation"] == 1
    assert stored["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
