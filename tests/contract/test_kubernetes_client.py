from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from reconciler.clients.kubernetes import Call, Credentials, Kubernetes
from reconciler.domain.errors import (
    AlreadyExists,
    Conflict,
    Invalid,
    NotFound,
    OutcomeUnknown,
    RateLimited,
    Refused,
    Unavailable,
)
from reconciler.domain.health import Condition
from reconciler.domain.keys import CONFIG_MAP, DEPLOYMENT_RECORD, SECRET
from reconciler.sandbox.kube import KubeApi
from support.clusters import BOAT, a_boat, a_cluster, write_kubeconfig


@pytest.fixture
async def cluster() -> AsyncIterator[tuple[KubeApi, Kubernetes]]:
    async with a_cluster(BOAT) as both:
        yield both


@pytest.fixture
def api(cluster: tuple[KubeApi, Kubernetes]) -> KubeApi:
    return cluster[0]


@pytest.fixture
def client(cluster: tuple[KubeApi, Kubernetes]) -> Kubernetes:
    return cluster[1]


async def a_stored_boat(client: Kubernetes, name: str = "a", **parts: Any) -> dict[str, Any]:
    return await client.create(BOAT, "default", a_boat(name, **parts))


def version(body: dict[str, Any]) -> str:
    return str(body["metadata"]["resourceVersion"])


async def test_what_is_created_is_found(client: Kubernetes) -> None:
    await a_stored_boat(client, spec={"size": 3})

    assert (await client.get(BOAT, "default", "a"))["spec"] == {"size": 3}


async def test_what_is_not_there_is_not_found(client: Kubernetes) -> None:
    assert await client.find(BOAT, "default", "a") is None
    with pytest.raises(NotFound):
        await client.get(BOAT, "default", "a")


async def test_a_kind_that_is_not_served_is_not_found(client: Kubernetes) -> None:
    with pytest.raises(NotFound):
        await client.list_(DEPLOYMENT_RECORD)


async def test_a_kind_may_be_given_by_name_and_completes_the_body(client: Kubernetes) -> None:
    stored = await client.create("ConfigMap", "default", {"metadata": {"name": "a"}, "data": {"x": "1"}})

    assert (stored["kind"], stored["apiVersion"]) == ("ConfigMap", "v1")
    assert await client.find("ConfigMap", "default", "a") is not None


async def test_creating_twice_says_that_it_exists(client: Kubernetes) -> None:
    await a_stored_boat(client)

    with pytest.raises(AlreadyExists):
        await a_stored_boat(client)


async def test_what_breaks_a_rule_is_invalid_and_names_the_field(client: Kubernetes) -> None:
    with pytest.raises(Invalid) as caught:
        await a_stored_boat(client, spec={"size": 11})

    assert caught.value.field == "spec.size"


async def test_a_list_comes_in_pages_of_one_version_with_its_kinds(client: Kubernetes) -> None:
    for number in range(5):
        await client.create(SECRET, "default", {"metadata": {"name": f"s{number}"}})

    pages = [page async for page in client.pages(SECRET, "default", limit=2)]
    items, listed_at = await client.list_(SECRET, "default", limit=2)

    assert [len(page) for page, _ in pages] == [2, 2, 1]
    assert {at for _, at in pages} == {listed_at}
    assert [item["metadata"]["name"] for item in items] == [f"s{number}" for number in range(5)]
    assert {item["kind"] for item in items} == {"Secret"}


async def test_a_list_may_be_chosen_by_label_in_all_namespaces(client: Kubernetes) -> None:
    for namespace, label in (("default", "x"), ("kube-system", "x"), ("default", "y")):
        body = {"metadata": {"generateName": "m-", "labels": {"l": label}}}
        await client.create(CONFIG_MAP, namespace, body)

    items, _ = await client.list_(CONFIG_MAP, label_selector="l=x")

    assert sorted(item["metadata"]["namespace"] for item in items) == ["default", "kube-system"]


async def test_a_status_is_written_only_at_the_version_it_was_decided_on(client: Kubernetes) -> None:
    boat = await a_stored_boat(client)

    written = await client.patch_status(BOAT, "default", "a", {"status": {"phase": "x"}}, version(boat))
    with pytest.raises(Conflict):
        await client.patch_status(BOAT, "default", "a", {"status": {"phase": "y"}}, version(boat))

    assert written["status"] == {"phase": "x"}
    assert (await client.get(BOAT, "default", "a"))["status"] == {"phase": "x"}


async def test_a_guarded_patch_and_replace_refuse_an_old_version(client: Kubernetes) -> None:
    boat = await a_stored_boat(client)
    await client.patch(BOAT, "default", "a", {"metadata": {"labels": {"l": "1"}}}, version(boat))

    with pytest.raises(Conflict):
        await client.patch(BOAT, "default", "a", {"spec": {"size": 2}}, version(boat))
    with pytest.raises(Conflict):
        await client.replace(BOAT, "default", "a", boat)


async def test_a_json_patch_whose_test_fails_is_a_conflict_and_changes_nothing(client: Kubernetes) -> None:
    boat = await a_stored_boat(client)
    operations = [
        {"op": "add", "path": "/metadata/labels", "value": {"l": "1"}},
        {"op": "test", "path": "/metadata/uid", "value": "another"},
    ]

    with pytest.raises(Conflict):
        await client.json_patch(BOAT, "default", "a", operations)

    assert version(await client.get(BOAT, "default", "a")) == version(boat)


async def test_only_the_resource_with_the_uid_is_deleted(client: Kubernetes) -> None:
    boat = await a_stored_boat(client)

    with pytest.raises(Conflict):
        await client.delete(BOAT, "default", "a", uid="another")
    assert await client.delete(BOAT, "default", "a", uid=boat["metadata"]["uid"]) is None
    with pytest.raises(NotFound):
        await client.delete(BOAT, "default", "a")


async def test_deleting_what_has_finalizers_returns_what_is_left(client: Kubernetes) -> None:
    await a_stored_boat(client, metadata={"finalizers": ["example.com/f"]})

    left = await client.delete(BOAT, "default", "a")

    assert left is not None
    assert left["metadata"]["deletionTimestamp"]


async def test_an_event_is_posted(client: Kubernetes) -> None:
    body = {
        "metadata": {"generateName": "a."},
        "involvedObject": {"kind": "Boat", "namespace": "default", "name": "a"},
        "reason": "Sailed",
        "message": "away",
        "type": "Normal",
    }

    assert (await client.create_event("default", body))["reason"] == "Sailed"


@pytest.mark.parametrize(
    ("status", "read", "change"),
    [
        (429, RateLimited, RateLimited),
        (503, Unavailable, Unavailable),
        (500, Unavailable, OutcomeUnknown),
        (504, Unavailable, OutcomeUnknown),
    ],
)
async def test_a_server_in_trouble_is_unavailable_and_a_change_may_have_been_stored(
    api: KubeApi, client: Kubernetes, status: int, read: type[Exception], change: type[Exception]
) -> None:
    api.faults.fail_next(2, status)

    with pytest.raises(Unavailable) as asked:
        await client.get(BOAT, "default", "a")
    with pytest.raises(Unavailable) as changed:
        await a_stored_boat(client)

    assert (type(asked.value), type(changed.value)) == (read, change)


async def test_a_server_says_when_to_ask_again(api: KubeApi, client: Kubernetes) -> None:
    api.faults.fail_next(1, 429)

    with pytest.raises(RateLimited) as caught:
        await client.get(BOAT, "default", "a")

    assert caught.value.retry_after == timedelta(seconds=1)


async def test_a_change_whose_answer_is_lost_has_an_unknown_outcome(api: KubeApi, client: Kubernetes) -> None:
    api.faults.down = True

    with pytest.raises(OutcomeUnknown):
        await a_stored_boat(client)
    with pytest.raises(Unavailable) as caught:
        await client.get(BOAT, "default", "a")
    assert type(caught.value) is Unavailable


async def test_a_change_that_was_never_sent_is_just_unavailable(api: KubeApi) -> None:
    client = Kubernetes(Credentials(server="http://127.0.0.1:9"))

    with pytest.raises(Unavailable) as caught:
        await client.create(BOAT, "default", a_boat())
    await client.close()

    assert type(caught.value) is Unavailable


async def test_a_slow_server_is_given_up_in_time(api: KubeApi) -> None:
    client = Kubernetes(Credentials(server=api.url, token=api.token), timeout=timedelta(seconds=0.2))
    api.faults.latency = 0.6

    with pytest.raises(Unavailable) as asked:
        await client.get(BOAT, "default", "a")
    with pytest.raises(OutcomeUnknown):
        await client.create(BOAT, "default", a_boat())
    await client.close()

    assert type(asked.value) is Unavailable


async def test_a_wrong_token_is_refused(api: KubeApi) -> None:
    client = Kubernetes(Credentials(server=api.url, token="wrong"))

    with pytest.raises(Refused):
        await client.get(BOAT, "default", "a")
    await client.close()


async def test_a_renewed_token_is_used_at_once(api: KubeApi, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("wrong")
    config = f"""
        clusters: [{{name: c, cluster: {{server: "{api.url}"}}}}]
        users: [{{name: u, user: {{tokenFile: token}}}}]
        contexts: [{{name: x, context: {{cluster: c, user: u, namespace: here}}}}]
    """
    credentials = Credentials.from_kubeconfig(write_kubeconfig(tmp_path, config), "x")
    client = Kubernetes(credentials)
    with pytest.raises(Refused):
        await client.list_(BOAT)

    (tmp_path / "token").write_text(f"{api.token}\n")
    await client.list_(BOAT)
    await client.close()

    assert credentials.namespace == "here"


async def test_the_servers_own_clock_is_told(client: Kubernetes, api: KubeApi) -> None:
    told = await client.ask_time()

    assert abs(told - datetime.now(UTC)) < timedelta(seconds=5)
    assert client.server_time() >= told


async def test_each_call_is_told_to_who_counts(api: KubeApi) -> None:
    calls: list[Call] = []
    client = Kubernetes(Credentials(server=api.url, token=api.token), observe=calls.append)
    await client.find(BOAT, "default", "a")
    await client.close()

    assert [(call.verb, call.kind, call.status) for call in calls] == [("GET", "Boat", 404)]


async def test_the_sandboxs_kubeconfig_leads_to_it(api: KubeApi, tmp_path: Path) -> None:
    client = Kubernetes(Credentials.from_kubeconfig(write_kubeconfig(tmp_path, api.kubeconfig())))

    assert await client.list_(BOAT)
    await client.close()


async def test_its_state_is_how_the_server_answered_last(api: KubeApi, client: Kubernetes) -> None:
    await client.find(BOAT, "default", "a")
    calm = client.state()
    api.faults.fail_next(1, 503)
    with pytest.raises(Unavailable):
        await client.find(BOAT, "default", "a")
    troubled = client.state()
    api.token = "another"
    with pytest.raises(Refused):
        await client.find(BOAT, "default", "a")

    assert calm.state is Condition.OK
    assert (troubled.state, troubled.detail) == (Condition.DEGRADED, "HTTP 503")
    assert client.state().state is Condition.FAILED
