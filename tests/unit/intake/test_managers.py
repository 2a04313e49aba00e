from typing import Any

import pytest

from reconciler.intake.managers import changes, foreign_owner

FIELDS = {"f:spec": {".": {}, "f:git": {"f:url": {}}, "f:components": {}, "f:dns": {"f:target": {}}}}


def resource(manager: str, *, operation: str = "Update", subresource: str = "") -> dict[str, Any]:
    entry = {"manager": manager, "operation": operation, "fieldsV1": FIELDS}
    if subresource:
        entry["subresource"] = subresource
    return {"metadata": {"managedFields": [entry]}}


def test_changes_are_paths_and_a_list_is_one_value() -> None:
    old = {"git": {"url": "a", "branch": "main"}, "components": [{"name": "api"}], "displayName": "x"}
    new = {"git": {"url": "b", "branch": "main"}, "components": [{"name": "web"}], "preview": {"ttl": "1d"}}
    assert list(changes(old, new)) == [("components",), ("displayName",), ("git", "url"), ("preview",)]
    assert list(changes(old, old)) == []


@pytest.mark.parametrize(
    ("manager", "operation", "owns"),
    [
        ("argocd-controller", "Update", True),
        ("argocd-controller", "Apply", True),
        ("kustomize-controller", "Apply", True),
        ("somebody", "Apply", True),
        ("kubectl-edit", "Update", False),
        ("kubectl-client-side-apply", "Update", False),
        ("reconciler", "Apply", False),
    ],
)
def test_gitops_tools_and_server_side_apply_own_fields(manager: str, operation: str, *, owns: bool) -> None:
    found = foreign_owner(resource(manager, operation=operation), [("git", "url")], own="reconciler")
    assert (found == (manager, ("git", "url"))) is owns


@pytest.mark.parametrize(
    ("path", "owned"),
    [
        (("git", "url"), True),
        (("git", "branch"), False),
        (("components",), True),
        (("dns",), True),
        (("preview",), False),
        (("components", "below"), True),
    ],
)
def test_a_path_is_owned_with_what_is_beneath_and_above(path: tuple[str, ...], *, owned: bool) -> None:
    assert (foreign_owner(resource("argocd"), [path], own="reconciler") is not None) is owned


def test_a_status_owned_by_another_is_nobodys_business() -> None:
    assert foreign_owner(resource("argocd", subresource="status"), [("git", "url")], own="reconciler") is None
    assert foreign_owner({"metadata": {}}, [("git", "url")], own="reconciler") is None
