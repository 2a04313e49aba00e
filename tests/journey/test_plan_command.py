"""`reconciler plan` beside a running sandbox: the real program, asking the real operator's world, changing nothing."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.sandboxed import NAMESPACE, PROGRAM, Running, sandbox

SHOP: dict[str, Any] = {
    "apiVersion": "freeleaps.com/v1alpha1",
    "kind": "DevOpsProject",
    "metadata": {"name": "shop", "namespace": NAMESPACE},
    "spec": {
        "git": {"url": "https://git.acme.example/shop.git"},
        "components": [{"name": "api", "port": 8080}],
        "environments": [{"name": "alpha", "domain": "alpha.acme.example", "dnsTarget": "203.0.113.7"}],
    },
}
PATIENCE = 60.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("plan")
    with sandbox(folder, "--write-environment", str(folder / "environment")) as it:
        yield it


def plan(running: Running, *arguments: str, variables: dict[str, str] | None = None) -> tuple[int, str]:
    lines = (running.home / "environment").read_text().splitlines()
    known = dict(line.split("=", 1) for line in lines)
    done = subprocess.run(
        [PROGRAM, "plan", *arguments],
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **known, **(variables or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert "sandbox-jenkins-token" not in done.stdout + done.stderr
    return done.returncode, done.stdout + done.stderr


def written(running: Running, **spec: Any) -> str:
    path = running.home / "project.yaml"
    path.write_text(yaml.safe_dump({**SHOP, "spec": {**SHOP["spec"], **spec}}))
    return str(path)


def wait_until_ready(running: Running) -> None:
    ends = time.monotonic() + PATIENCE
    while running.table("dop")[0]["READY"] != "True":
        assert time.monotonic() < ends, running.kubectl("get", "dop", "-o", "yaml")
        time.sleep(0.2)


def test_a_plan_tells_all_before_anything_is_made_nothing_after_it_and_what_a_change_would_change(
    running: Running,
) -> None:
    status, text = plan(running, "-f", written(running))
    assert status == 2, text
    for line in (
        "  + DevOpsProject shop",
        "  + JenkinsSettings shop",
        "  + Environment shop--alpha",
        "  + Job freeleaps/shop",
        "  + AppProject shop",
        "  + Repository https://git.acme.example/shop.git",
        "  + Repository acme/shop-api",
    ):
        assert line in text.splitlines(), text
    assert running.kubectl("get", "dop").startswith("No resources found"), "a plan makes nothing"

    running.apply(SHOP)
    wait_until_ready(running)
    assert plan(running) == (0, "Plan: 0 to create, 0 to update, 0 to delete.\n")
    assert plan(running, "-f", written(running))[0] == 0

    git = {"url": "https://git.acme.example/shop.git", "branch": "next"}
    status, text = plan(running, "-f", written(running, git=git))
    assert status == 2, text
    assert "      git.branch: main -> next" in text.splitlines()
    assert "  ~ Job freeleaps/shop" in text.splitlines()
    assert "      branch: main -> next" in text.splitlines()
    assert text.splitlines()[-1] == "Plan: 0 to create, 2 to update, 0 to delete."
    assert plan(running)[0] == 0, "a plan changes nothing"

    status, text = plan(running, "-f", written(running, git=git), "--json")
    document = json.loads(text)
    job = next(one for one in document["changes"] if one["kind"] == "Job")
    assert (status, job["system"], job["action"]) == (2, "jenkins", "Update")
    assert job["fields"] == [{"path": "branch", "before": "main", "after": "next"}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: Deployment\nmetadata: {name: x}\n", "document 1 is none of"),
        ("kind: DevOpsProject\nmetadata: {name: x}\nspec: {git: {}}\n", "spec.git.url"),
        ("kind: [\n", "while parsing"),
    ],
)
def test_what_cannot_be_planned_is_named_and_exits_with_1(running: Running, text: str, words: str) -> None:
    path = running.home / "bad.yaml"
    path.write_text(text)
    status, said = plan(running, "-f", str(path))
    assert status == 1
    assert words in said


def test_an_unknown_project_is_named_and_exits_with_1(running: Running) -> None:
    assert plan(running, "--project", "nope") == (1, "there is no DevOpsProject nope\n")


def test_a_system_that_does_not_answer_is_told_and_nothing_is_said_about_it(running: Running, tmp_path: Path) -> None:
    status, text = plan(running, "-f", written(running), variables={"JENKINS_ENDPOINT": "http://127.0.0.1:9"})
    assert status == 1
    assert "1 cannot be told: JenkinsSettings shop" in text
