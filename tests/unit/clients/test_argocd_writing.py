"""Patches touch only the fields concerned and are headed by a test of the epoch."""

from typing import Any

from reconciler.clients.argocd import reading, writing
from reconciler.domain.outside.applications import ApplicationShape, ImageSetting, ProjectShape
from reconciler.domain.outside.builds import GitLogin
from reconciler.domain.ownership import Marker

MARKER = Marker("o", "Environment", "ns", "shop--alpha", "u")
SHAPE = ApplicationShape("api", "shop", "https://git.example/x", "main", path="p", namespace="n")
IMAGE = ImageSetting({"image.tag": "2"})


def tree(**source: Any) -> dict[str, Any]:
    made = writing.application(SHAPE, MARKER, ImageSetting(), "e/1")
    made["spec"]["source"] |= source
    return made


def paths(patch: writing.Patch) -> list[tuple[str, str]]:
    return [(step["op"], step["path"]) for step in patch]


EPOCH = "/metadata/annotations/freeleaps.com~1epoch"


def test_an_image_patch_tests_the_epoch_first_and_writes_only_the_image() -> None:
    patch = writing.image_patch(tree(), IMAGE, expected_epoch="e/1", epoch="e/2")
    assert patch[0] == {"op": "test", "path": EPOCH, "value": "e/1"}
    assert paths(patch) == [("test", EPOCH), ("add", EPOCH), ("add", "/spec/source/helm")]


def test_a_list_that_is_there_is_tested_before_it_is_replaced() -> None:
    have = [{"name": "a", "value": "1"}]
    patch = writing.image_patch(tree(helm={"parameters": have}), IMAGE, expected_epoch="e/1", epoch="e/1")
    place = "/spec/source/helm/parameters"
    assert paths(patch) == [("test", EPOCH), ("test", place), ("add", place)]
    assert patch[1]["value"] == have
    assert patch[2]["value"] == [*have, {"name": "image.tag", "value": "2", "forceString": True}]


def test_no_epoch_yet_is_tested_as_absent() -> None:
    made = tree()
    del made["metadata"]["annotations"][reading.EPOCH]
    assert writing.image_patch(made, IMAGE, expected_epoch="", epoch="e/1")[0]["value"] is None


def test_a_shape_as_it_should_be_needs_no_more_than_the_test() -> None:
    patch = writing.shape_patch(tree(), SHAPE, MARKER, expected_epoch="e/1", epoch="e/1")
    assert paths(patch) == [("test", EPOCH)]


def test_a_kustomize_image_replaces_the_one_of_its_key_only() -> None:
    setting = ImageSetting(kustomize_images=("api=new:2",))
    patch = writing.image_patch(
        tree(kustomize={"images": ["api@sha256:1", "web=x:1"]}), setting, expected_epoch="e/1", epoch="e/1"
    )
    assert patch[-1]["value"] == ["api=new:2", "web=x:1"]


def test_a_cluster_is_written_by_name_or_by_url() -> None:
    assert writing.destination("in-cluster", "n") == {"name": "in-cluster", "namespace": "n"}
    assert writing.destination("https://k8s.example", "n") == {"server": "https://k8s.example", "namespace": "n"}


def test_a_repository_has_only_the_secrets_it_needs() -> None:
    assert writing.repository("https://x", None, "") == {"repo": "https://x", "type": "git"}
    login = GitLogin("g", ssh_private_key="key")
    assert writing.repository("ssh://x", login, "shop")["sshPrivateKey"] == "key"
    assert "username" not in writing.repository("ssh://x", login, "shop")


def test_a_project_keeps_what_we_have_no_word_for() -> None:
    shape = ProjectShape("shop", "d", ("r",), (("in-cluster", "n"),))
    before = {"metadata": {"name": "shop", "resourceVersion": "7"}, "spec": {"roles": [1]}, "status": {}}
    after = writing.project(shape, MARKER, before)
    assert (after["metadata"]["resourceVersion"], after["spec"]["roles"]) == ("7", [1])
    assert reading.project(after).shape == shape
