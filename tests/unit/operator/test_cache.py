from collections.abc import Iterable
from typing import Any

import pytest

from reconciler.domain.keys import Body, Key
from reconciler.operator.cache import Cache, Change, Source


def a_body(
    name: str = "a",
    version: int = 1,
    *,
    kind: str = "DeploymentRecord",
    uid: str = "u-1",
    spec: Body | None = None,
    status: Body | None = None,
    **metadata: Any,
) -> Body:
    return {
        "apiVersion": "freeleaps.com/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": str(version), **metadata},
        "spec": spec or {},
        "status": status or {},
    }


def a_record(
    name: str, environment: str = "alpha", *, phase: str = "Running", version: int = 1, project: str = "shop"
) -> Body:
    return a_body(name, version, spec={"projectRef": project, "environment": environment}, status={"phase": phase})


A = Key("DeploymentRecord", "ns", "a")


def names(bodies: Iterable[Body]) -> list[str]:
    return sorted(body["metadata"]["name"] for body in bodies)


def test_an_older_event_never_replaces_our_own_newer_write() -> None:
    cache = Cache()
    cache.remember(a_body(version=9, status={"phase": "Running"}), Source.OWN_WRITE)

    assert not cache.remember(a_body(version=8, status={"phase": "Queued"}))
    assert cache.read(A)["status"] == {"phase": "Running"}


def test_a_listener_that_fails_keeps_no_other_from_hearing(caplog: pytest.LogCaptureFixture) -> None:
    cache, heard = Cache(), list[Change]()

    def fails(change: Change) -> None:
        raise KeyError(change.key)

    cache.subscribe(fails)
    cache.subscribe(heard.append)

    assert cache.remember(a_body(version=9))
    assert len(heard) == 1
    assert "a listener failed" in caplog.text


def test_versions_are_compared_as_numbers() -> None:
    cache = Cache()
    cache.remember(a_body(version=99))

    assert cache.remember(a_body(version=100))


def test_the_echo_of_our_own_write_is_no_news() -> None:
    cache, changes = Cache(), []
    cache.remember(a_body(version=9), Source.OWN_WRITE)
    cache.subscribe(changes.append)

    assert not cache.remember(a_body(version=9))
    assert changes == []


def test_a_late_event_does_not_bring_back_what_is_gone() -> None:
    cache = Cache()
    cache.remember(a_body(version=5))
    cache.forget(A, 7)

    assert not cache.remember(a_body(version=6))
    assert cache.read(A) is None


def test_what_was_told_as_gone_and_lives_on_at_that_version_is_known_again() -> None:
    cache = Cache()
    cache.remember(a_body(version=5))
    cache.forget(A, 7)

    assert cache.renew(a_body(version=7))


def test_what_a_list_did_not_show_is_not_brought_back_by_an_event_of_that_time() -> None:
    cache = Cache()
    cache.remember(a_body(version=5))
    cache.drop_absent("DeploymentRecord", "ns", (), 7)

    assert not cache.remember(a_body(version=7))


def test_a_name_may_be_used_again_after_a_deletion() -> None:
    cache = Cache()
    cache.remember(a_body(version=5))
    cache.forget(A, 7)

    assert cache.remember(a_body(version=8, uid="u-2"))


def test_the_end_of_a_former_resource_leaves_the_one_of_today() -> None:
    cache = Cache()
    cache.remember(a_body(version=5, uid="u-2"))

    assert not cache.forget(A, 7, uid="u-1")
    assert cache.read(A) is not None


def test_a_list_drops_what_it_did_not_show_but_not_what_came_after_it() -> None:
    cache = Cache()
    for name, version in (("seen", 3), ("gone", 4), ("new", 11)):
        cache.remember(a_body(name, version))

    dropped = cache.drop_absent("DeploymentRecord", "ns", {Key("DeploymentRecord", "ns", "seen")}, 10)

    assert dropped == [Key("DeploymentRecord", "ns", "gone")]
    assert names(cache.list_("DeploymentRecord")) == ["new", "seen"]


def test_records_are_found_by_project_and_environment() -> None:
    cache = Cache()
    cache.remember(a_record("one", "alpha"))
    cache.remember(a_record("two", "beta"))
    cache.remember(a_record("three", "alpha", project="other"))

    assert names(cache.list_("DeploymentRecord", "ns", project="shop")) == ["one", "two"]
    assert names(cache.list_("DeploymentRecord", "ns", project="shop", environment="alpha")) == ["one"]


def test_an_environment_is_found_by_its_own_name() -> None:
    cache = Cache()
    cache.remember(a_body("shop--alpha", kind="Environment", spec={"projectRef": "shop", "name": "alpha"}))

    assert names(cache.list_("Environment", "ns", project="shop", environment="alpha")) == ["shop--alpha"]


def test_a_moved_resource_leaves_its_old_group() -> None:
    cache = Cache()
    cache.remember(a_record("one", "alpha", version=1))
    cache.remember(a_record("one", "beta", version=2))

    assert names(cache.list_("DeploymentRecord", "ns", project="shop", environment="alpha")) == []


def test_finished_records_are_left_out_of_the_active_ones_and_still_read_whole() -> None:
    cache = Cache()
    cache.remember(a_record("done", phase="Succeeded"))
    cache.remember(a_record("busy"))

    assert names(cache.list_("DeploymentRecord", "ns", project="shop", active_only=True)) == ["busy"]
    assert cache.count("DeploymentRecord") == 2
    assert cache.count("DeploymentRecord", active_only=True) == 1
    assert cache.read(Key("DeploymentRecord", "ns", "done"))["spec"]["environment"] == "alpha"


def test_a_condition_chooses_among_the_rest() -> None:
    cache = Cache()
    cache.remember(a_record("one"))
    cache.remember(a_record("two"))

    chosen = cache.list_("DeploymentRecord", where=lambda body: body["metadata"]["name"] == "two")

    assert names(chosen) == ["two"]


def test_a_project_without_a_namespace_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="namespace"):
        list(Cache().list_("DeploymentRecord", project="shop"))


def test_nothing_secret_is_kept_of_a_secret_nor_managed_fields_of_anything() -> None:
    cache = Cache()
    cache.remember({**a_body(kind="Secret", managedFields=[{}]), "data": {"token": "eA=="}})

    kept = cache.read(Key("Secret", "ns", "a"))
    assert set(kept) == {"apiVersion", "kind", "metadata"}
    assert "managedFields" not in kept["metadata"]


def test_listeners_hear_what_was_and_what_is() -> None:
    cache, changes = Cache(), []
    cache.subscribe(changes.append)
    first, second = a_record("a", version=1), a_record("a", phase="Failed", version=2)

    cache.remember(first)
    cache.remember(second, Source.OWN_WRITE)
    cache.forget(A, 3)

    assert changes == [
        Change(A, None, first, Source.EVENT),
        Change(A, first, second, Source.OWN_WRITE),
        Change(A, second, None, Source.EVENT),
    ]


IDLE = {"phase": "Idle", "observedGeneration": 3}


@pytest.mark.parametrize(
    ("kind", "status", "deleted", "rests"),
    [
        ("Environment", IDLE, False, True),
        ("Environment", IDLE | {"phase": "Expired"}, False, True),
        ("Environment", IDLE | {"holder": {"record": "op-1"}}, False, False),
        ("Environment", IDLE | {"phase": "Expiring"}, False, False),
        ("Environment", IDLE | {"observedGeneration": 2}, False, False),
        ("Environment", IDLE, True, False),
        ("Environment", {}, False, False),
        ("DeploymentRecord", {"phase": "Succeeded", "sequence": 4, "announced": 4}, False, True),
        ("DeploymentRecord", {"phase": "Succeeded", "sequence": 4, "announced": 3}, False, False),
        ("DeploymentRecord", {"phase": "Succeeded", "sequence": 4, "announced": 4}, True, False),
        ("DeploymentRecord", {"phase": "Running", "sequence": 4, "announced": 4}, False, False),
        ("DevOpsProject", IDLE, False, False),
    ],
)
def test_what_is_at_rest_is_left_out_when_only_the_awake_are_asked_for(
    kind: str, status: Body, *, deleted: bool, rests: bool
) -> None:
    cache = Cache()
    moment = {"deletionTimestamp": "2026-11-23T08:00:00Z"} if deleted else {}
    cache.remember(a_body(kind=kind, status=status, generation=3, **moment))
    key = Key(kind, "ns", "a")
    assert cache.keys(kind) == (key,)
    assert cache.keys(kind, awake_only=True) == (() if rests else (key,))


def test_places_name_each_environment_that_has_records_once() -> None:
    cache = Cache()
    for number, environment in enumerate(("alpha", "alpha", "beta")):
        cache.remember(a_record(f"op-{number}", environment))
    assert sorted(cache.places("DeploymentRecord")) == [("ns", "shop", "alpha"), ("ns", "shop", "beta")]
