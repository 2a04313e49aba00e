"""Which images a source renders to."""

from typing import Any

import pytest

from reconciler.sandbox.argocd.images import images_of, resolve

DIGEST = "sha256:" + "d" * 64
SHA = "4" * 40


def helm(**parameters: str) -> dict[str, Any]:
    return {"helm": {"parameters": [{"name": k.replace("__", "."), "value": v} for k, v in parameters.items()]}}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (helm(image__repository="acme/api", image__tag="1"), ["acme/api:1"]),
        (helm(image__repository="acme/api", image__tag=f"1@{DIGEST}"), [f"acme/api:1@{DIGEST}"]),
        (helm(image__repository="acme/api", image__digest=DIGEST), [f"acme/api@{DIGEST}"]),
        (helm(image__tag="1"), ["api:1"]),
        (
            helm(a__repository="x", a__tag="1", b__repository="y", b__tag="2"),
            ["x:1", "y:2"],
        ),
        ({"kustomize": {"images": [f"api=acme/api@{DIGEST}"]}}, [f"acme/api@{DIGEST}"]),
        ({"kustomize": {"images": ["acme/api:3"]}}, ["acme/api:3"]),
        ({"repoURL": "https://git.example/acme/shop.git", "targetRevision": SHA}, [f"shop:{SHA}"]),
    ],
)
def test_images_follow_from_the_source(source: dict[str, Any], expected: list[str]) -> None:
    assert images_of("api", source, "") == expected


def test_a_commit_means_itself_and_a_branch_always_the_same() -> None:
    source = {"repoURL": "https://git.example/x", "targetRevision": "main"}
    assert resolve(source, SHA) == SHA
    assert resolve(source) == resolve(source, "main") != resolve(source, "next")
