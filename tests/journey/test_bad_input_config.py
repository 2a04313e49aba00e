"""Wrong configuration: `reconciler run` and `reconciler config check` name everything at once and exit with 78."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.process import COMMAND

COMMANDS = (("run",), ("config", "check"))
GOOD: Mapping[str, str] = {
    "RABBITMQ_HOST": "127.0.0.1",
    "JENKINS_ENDPOINT": "none",
    "ARGOCD_ENDPOINT": "none",
    "KUBECONFIG": "/dev/null",
}

both = pytest.mark.parametrize("command", COMMANDS, ids=" ".join)


def outcome(command: tuple[str, ...], environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": os.environ["PATH"], **environ}
    done = subprocess.run([COMMAND, *command], env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    return done


@both
def test_nothing_set_names_all_that_is_required(command: tuple[str, ...]) -> None:
    done = outcome(command, {})
    assert done.returncode == 78
    for variable in ("RABBITMQ_HOST", "JENKINS_ENDPOINT", "ARGOCD_ENDPOINT"):
        assert f"{variable}: not set" in done.stderr


@both
def test_all_problems_are_told_at_once_with_value_and_rule_and_no_secret(command: tuple[str, ...]) -> None:
    bad = {
        "RABBITMQ_PORT": "70000",
        "RABBITMQ_PASSWORD": "hush-hush-rabbit",
        "JENKINS_ENDPOINT": "https://bot:hush-hush-url@jenkins.example.com",
        "JENKINS_TOKEN": "hush-hush-token",
        "ARGOCD_ENDPOINT": "argocd.example.com",
        "GODADDY_KEY": "hush-hush-key",
        "RECONCILER_DEADLINE_BUILD": "an hour",
        "RECONCILER_DEBG": "1",
        "RABBITMQ_HSOT": "mq",
    }
    done = outcome(command, bad)
    assert done.returncode == 78
    said = [line for line in done.stderr.splitlines() if line.strip()]
    for words in (
        ("RABBITMQ_PORT", "'70000'", "at most 65535"),
        ("JENKINS_ENDPOINT", "(hidden)"),
        ("ARGOCD_ENDPOINT", "'argocd.example.com'", "must be"),
        ("GODADDY_KEY", "need each other"),
        ("RECONCILER_DEADLINE_BUILD", "'an hour'", "must be"),
        ("RECONCILER_DEBG", "did you mean RECONCILER_DEBUG?"),
        ("RABBITMQ_HSOT", "did you mean RABBITMQ_HOST?"),
        ("RABBITMQ_HOST", "not set"),
    ):
        assert any(all(word in line for word in words) for line in said), (words, done.stderr)
    assert "hush-hush" not in done.stdout + done.stderr


def test_a_kubeconfig_that_is_none_is_named_and_exits_with_78(tmp_path: Path) -> None:
    for content in ("{: no yaml", "apiVersion: v1\nkind: Config\n"):
        (tmp_path / "kubeconfig").write_text(content, encoding="utf-8")
        done = outcome(("run",), {**GOOD, "KUBECONFIG": str(tmp_path / "kubeconfig")})
        assert done.returncode == 78, content
        assert "kubeconfig" in done.stderr


def test_no_kubeconfig_outside_a_pod_is_named_and_exits_with_78() -> None:
    done = outcome(("run",), {name: value for name, value in GOOD.items() if name != "KUBECONFIG"})
    assert done.returncode == 78
    assert "KUBECONFIG" in done.stderr
    assert "KUBERNETES_SERVICE_HOST" in done.stderr


def test_a_configuration_that_is_right_passes() -> None:
    assert outcome(("config", "check"), GOOD).returncode == 0
