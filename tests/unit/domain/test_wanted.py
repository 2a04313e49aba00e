"""What specs ask for outside: names, shapes, images, addresses."""

from typing import Any

import pytest

from reconciler.domain.errors import Invalid
from reconciler.domain.names import application_name, shortened
from reconciler.domain.outside.applications import ImageSetting
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import ArgoSettings, ContainerRegistry, DevOpsProject, DNSZone, Environment
from reconciler.domain.resources.common import api_object
from reconciler.domain.wanted import (
    address_of,
    application_shape,
    filled,
    image_name,
    image_setting,
    inventory_of,
    is_image_set,
    repository_of,
    words_of,
)
from support.outside import application
from support.scene import REVISION, SPACE, environment, project

PROJECT = DevOpsProject(project(("api", "web")))
ALPHA = Environment(environment())
DIGEST = "sha256:" + "a" * 64


def argo(**spec: Any) -> ArgoSettings:
    return ArgoSettings(api_object(ArgoSettings, "shop", SPACE, {"projectRef": "shop", **spec}))


def registry(**spec: Any) -> ContainerRegistry:
    return ContainerRegistry(api_object(ContainerRegistry, "shop", SPACE, spec))


def zone() -> DNSZone:
    return DNSZone(api_object(DNSZone, "example.com", SPACE, {"domain": "example.com"}))


def setting(**strategy: Any) -> ImageSetting:
    words = words_of(PROJECT, ALPHA, "api", REVISION)
    return image_setting(argo(imageStrategy=strategy), words, image="docker.io/acme/shop-api", tag="t", digest=DIGEST)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (
            {"type": "Helm"},
            ImageSetting({"image.repository": "docker.io/acme/shop-api", "image.tag": f"t@{DIGEST}"}),
        ),
        (
            {"type": "Helm", "helm": {"digestParameter": "image.digest"}},
            ImageSetting({"image.repository": "docker.io/acme/shop-api", "image.digest": DIGEST}),
        ),
        (
            {"type": "Helm", "helm": {"repositoryParameter": "{component}.repo", "tagParameter": "{component}.tag"}},
            ImageSetting({"api.repo": "docker.io/acme/shop-api", "api.tag": f"t@{DIGEST}"}),
        ),
        ({"type": "Kustomize"}, ImageSetting(kustomize_images=(f"api=docker.io/acme/shop-api@{DIGEST}",))),
        (
            {"type": "Kustomize", "kustomize": {"name": "{project}/{component}"}},
            ImageSetting(kustomize_images=(f"shop/api=docker.io/acme/shop-api@{DIGEST}",)),
        ),
        ({"type": "Revision"}, ImageSetting(target_revision=REVISION)),
    ],
)
def test_an_image_is_set_as_the_strategy_says(strategy: dict[str, Any], expected: ImageSetting) -> None:
    assert setting(**strategy) == expected


def test_an_image_is_set_whatever_else_the_application_says() -> None:
    wanted = setting(type="Helm")
    there = application("a", marker=None, image=ImageSetting({**wanted.parameters, "replicas": "2"}))
    assert is_image_set(there, wanted)
    assert not is_image_set(application("a", marker=None), wanted)


def test_a_chart_is_named_with_template_words_too() -> None:
    shape = application_shape(PROJECT, ALPHA, "api", argo(source={"chart": "{project}-{component}"}), REVISION)
    assert (shape.chart, shape.path) == ("shop-api", "")


def test_the_revision_strategy_needs_the_projects_own_repository() -> None:
    settings = argo(imageStrategy={"type": "Revision"}, source={"repoURL": "https://git.example.com/other.git"})
    with pytest.raises(Invalid, match=r"git\.url"):
        application_shape(PROJECT, ALPHA, "api", settings, REVISION)


def test_a_word_that_is_no_template_word_is_named() -> None:
    with pytest.raises(Invalid, match=r"\{colour\}"):
        filled("deploy/{colour}")


def test_names_that_are_too_long_stay_different() -> None:
    one, other = (application_name("p" * 20, "e" * 20, "c" * 19 + last) for last in "ab")
    assert len(one) == len(other) == 53
    assert one != other
    assert shortened("short", 64) == "short"


@pytest.mark.parametrize(
    ("host", "expected"),
    [(None, "https://api.alpha.example.com"), ("@", "https://alpha.example.com"), ("x", "https://x.alpha.example.com")],
)
def test_an_address_is_host_and_domain(host: str | None, expected: str) -> None:
    shop = DevOpsProject(project(({"name": "api", "port": 80, "host": host},)))
    assert address_of(ALPHA, shop.spec.components[0]) == expected


@pytest.mark.parametrize(("port", "domain"), [(None, "alpha.example.com"), (80, None)])
def test_without_a_port_or_a_domain_there_is_no_address_and_no_record(port: int | None, domain: str | None) -> None:
    shop = DevOpsProject(project(({"name": "api", "port": port},)))
    bare = Environment(environment(domain=domain))
    assert address_of(bare, shop.spec.components[0]) == ""
    marker = Marker("o", "Environment", SPACE, "shop--alpha", "u")
    items = inventory_of(shop, bare, shop.spec.components, argo(), zone(), marker)
    assert [item.kind for item in items] == ["Application"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"namespace": "acme"}, "docker.io/acme/shop-api"),
        (
            {"provider": "OCI", "endpoint": "https://r.example.com:5000", "namespace": "x"},
            "r.example.com:5000/x/shop-api",
        ),
    ],
)
def test_an_image_is_named_with_its_registrys_host(spec: dict[str, Any], expected: str) -> None:
    assert image_name(repository_of(PROJECT, "api", registry(**spec)), registry(**spec)) == expected
