from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from reconciler.cli.config import config
from reconciler.cli.reference import PAGES, reference
from reconciler.settings import knobs

ROOT = Path(__file__).parents[3]
GOOD: Mapping[str, str] = {
    "RABBITMQ_HOST": "mq",
    "RABBITMQ_PASSWORD": "hush-hush",
    "JENKINS_ENDPOINT": "none",
    "ARGOCD_ENDPOINT": "none",
}


def run(monkeypatch: pytest.MonkeyPatch, environ: Mapping[str, str], *command: str) -> Result:
    for variable in (variable for knob in knobs() for variable in knob.variables):
        monkeypatch.delenv(variable, raising=False)
    return CliRunner().invoke(config, command, env=dict(environ))


def test_check_passes_with_0(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, GOOD, "check").exit_code == 0


@pytest.mark.parametrize("command", ["check", "show"])
def test_problems_are_all_told_and_exit_with_78(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    outcome = run(monkeypatch, {"RABBITMQ_PORT": "x", "RECONCILER_DEBG": "1"}, command)
    assert outcome.exit_code == 78
    for said in ("RABBITMQ_HOST", "RABBITMQ_PORT", "JENKINS_ENDPOINT", "did you mean RECONCILER_DEBUG?"):
        assert said in outcome.stderr


def test_show_lists_every_variable_with_value_and_source(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run(monkeypatch, GOOD, "show")
    rows = {row.split("\t")[0]: row.split("\t")[1:] for row in outcome.output.splitlines()}
    assert set(rows) == {knob.variable for knob in knobs()}
    assert rows["RABBITMQ_HOST"] == ["mq", "environment"]
    assert rows["RECONCILER_DEADLINE_BUILD"] == ["1h", "default"]
    assert rows["RABBITMQ_PASSWORD"] == ["(hidden)", "environment"]
    assert "hush-hush" not in outcome.output


def test_show_can_leave_the_defaults_out(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = run(monkeypatch, GOOD, "show", "--changed")
    assert {row.split("\t")[0] for row in outcome.output.splitlines()} == set(GOOD)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_committed_reference_page_is_fresh(name: str) -> None:
    file = ROOT / f"docs/reference/{name}.md"
    outcome = CliRunner().invoke(reference, [name, "--check", "--file", str(file)])
    assert outcome.exit_code == 0, outcome.output
