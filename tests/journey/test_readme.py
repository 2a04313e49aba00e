"""The README does what it says: its code blocks are taken out of it and run, in their order, in one checkout."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
WITHIN = 120


def block(start: str) -> str:
    """Return the one block that begins so."""
    (found,) = [text for text in BLOCKS if text.startswith(start)]
    return found


def environment(**variables: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, **variables}


def run(text: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=WITHIN,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def started(text: str, **variables: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=ROOT,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(ran: subprocess.CompletedProcess[str]) -> str:
    assert ran.returncode == 0, f"exit {ran.returncode}\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
    return ran.stdout


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run the README's sandbox, with the kubeconfig in a folder of its own."""
    kubeconfig = tmp_path_factory.mktemp("readme") / "sandbox.kubeconfig"
    command = block(".venv/bin/reconciler sandbox run --write").replace("sandbox.kubeconfig", str(kubeconfig))
    with started(f"exec {command}") as process:
        assert process.stdout is not None
        for _ in process.stdout:
            if kubeconfig.exists():
                break
        yield kubeconfig
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(30) == 0


@pytest.fixture
def kubectl() -> str:
    path = shutil.which("kubectl")
    if path is None:
        pytest.skip("kubectl is not installed")
    return path


def test_every_block_of_the_readme_is_run_here() -> None:
    known = (
        "make demo",
        "make test",
        "make check",
        "make simulate",
        ".venv/bin/reconciler sandbox run --write",
        "export KUBECONFIG=",
        ".venv/bin/reconciler sandbox run --scenario",
        ".venv/bin/reconciler config check",
        ".venv/bin/reconciler crds |",
    )
    assert [text for text in BLOCKS if not text.startswith(known)] == []
    assert len({block(start) for start in known}) == len(BLOCKS)


def test_the_first_minute_ends_by_itself_and_shows_addresses() -> None:
    said = finished(run(block("make demo")))
    assert "https://api.alpha.shop.acme.example" in said
    assert "all as it should be" in said


def test_the_first_minute_ends_with_nothing_of_ours_left_by_the_simulators_own_lists() -> None:
    said = finished(run(block("make demo").replace("make demo", ".venv/bin/reconciler demo --pace 0")))
    for system in ("Jenkins", "Argo CD", "GoDaddy"):
        assert re.search(rf"^  {system}: nothing of ours is left, [1-9]\d* of others' untouched$", said, re.MULTILINE)
    assert "acme/shop-api, acme/shop-web kept" in said


@pytest.mark.parametrize("target", ["test", "check", "simulate"])
def test_the_other_commands_are_targets_of_the_makefile(target: str) -> None:
    finished(run(block(f"make {target}").replace("make", "make --dry-run")))


def test_what_is_typed_at_a_sandbox_works(sandbox: Path, kubectl: str) -> None:
    text = block("export KUBECONFIG=").replace("KUBECONFIG=sandbox.kubeconfig", f"KUBECONFIG={sandbox}")
    done = "kubectl wait -n freeleaps-devops-system dr/deploy-alpha-1 --for=condition=Ready --timeout=60s"
    said = finished(run(f"{text}\n{done}\nkubectl get -n freeleaps-devops-system dr"))
    assert "devopsproject.freeleaps.com/shop condition met" in said
    assert re.search(r"environment\S*/shop--alpha +shop ", said)
    assert "FIELD: revision" in said or "revision\t<string>" in said
    assert re.search(r"deploy-alpha-1 +shop +alpha +Succeeded +100", said)


def test_the_scenario_reports_and_is_well() -> None:
    report = json.loads(finished(run(block(".venv/bin/reconciler sandbox run --scenario"))))
    assert (report["scenario"], report["ok"], report["seed"]) == ("outage", True, 7)


def test_the_configuration_is_checked() -> None:
    text = block(".venv/bin/reconciler config check")
    wrong = run(text)
    assert wrong.returncode == 78
    assert "RABBITMQ_HOST" in wrong.stdout + wrong.stderr
    finished(run(text, RABBITMQ_HOST="rabbitmq.example", JENKINS_ENDPOINT="none", ARGOCD_ENDPOINT="none"))


def test_the_operator_runs_with_a_kubeconfig(sandbox: Path, kubectl: str) -> None:
    text = block(".venv/bin/reconciler crds |").replace(".venv/bin/reconciler run", "exec .venv/bin/reconciler run")
    variables = {"KUBECONFIG": str(sandbox), "RECONCILER_HTTP_PORT": "0", "RECONCILER_LOG_FORMAT": "json"}
    said = []
    with started(text, **variables) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if "ready" in line or "standing by" in line:
                break
        process.terminate()
        said.append(process.stdout.read())
        assert process.wait(30) == 0, "".join(said)
