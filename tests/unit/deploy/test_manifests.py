"""The manifests and the code agree: kinds, settings, probes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from reconciler.domain.resources import KINDS
from reconciler.settings import groups

DEPLOY = Path(__file__).parents[3] / "deploy"


def documents(name: str) -> list[Any]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def variables_in(name: str) -> Iterator[str]:
    lines = (DEPLOY / name).read_text().splitlines()
    return (line.partition("=")[0] for line in lines if line and not line.startswith("#"))


def test_the_role_covers_every_kind_and_its_status() -> None:
    role = next(each for each in documents("rbac.yaml") if each["kind"] == "Role")
    allowed = {
        resource for rule in role["rules"] if "freeleaps.com" in rule["apiGroups"] for resource in rule["resources"]
    }
    assert allowed == {name for kind in KINDS for name in (kind.plural, f"{kind.plural}/status")}


def test_the_example_settings_are_known_variables() -> None:
    kinds = (kind for kind in vars(groups).values() if isinstance(kind, type) and issubclass(kind, groups.Group))
    known = {name for kind in kinds for names in kind.variables().values() for name in names}
    given = {*variables_in("settings.env"), *variables_in("secret.example.env")}
    assert given <= known, given - known


def test_every_file_named_by_the_kustomization_is_there() -> None:
    kustomization = documents("kustomization.yaml")[0]
    files = [
        *kustomization["resources"],
        *(name for each in kustomization["configMapGenerator"] for name in each["envs"]),
    ]
    assert [name for name in files if not (DEPLOY / name).exists()] == []


def test_the_deployment_has_all_three_probes_and_time_to_end() -> None:
    pod = documents("deployment.yaml")[0]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
    assert pod["terminationGracePeriodSeconds"] > 25


def test_two_replicas_run_and_may_hold_the_lease() -> None:
    assert documents("deployment.yaml")[0]["spec"]["replicas"] == 2
    role = next(each for each in documents("rbac.yaml") if each["kind"] == "Role")
    leases = next(rule for rule in role["rules"] if "leases" in rule["resources"])
    assert leases["apiGroups"] == ["coordination.k8s.io"]
    assert {"get", "create", "update"} <= set(leases["verbs"])


def test_the_role_lets_secrets_be_watched_and_not_written() -> None:
    role = next(each for each in documents("rbac.yaml") if each["kind"] == "Role")
    (secrets,) = (rule for rule in role["rules"] if "secrets" in rule["resources"])
    assert set(secrets["verbs"]) == {"get", "list", "watch"}
