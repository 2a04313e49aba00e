"""kubectl against a sandbox that runs: what a platform engineer sees and does, with the real operator behind it."""

import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from support.sandboxed import NAMESPACE, PATIENCE, Running, sandbox, start

REVISION = "4be1c05d" * 5
PATH = "jsonpath={.status.phase}"
SECRETS = ("sandbox-jenkins-token", "sandbox-argocd-token", "sandbox-password", "sandbox-secret")


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with sandbox(tmp_path_factory.mktemp("sandbox"), "--pace", "0") as running:
        running.apply(project("shop"))
        running.kubectl("wait", "dop/shop", "--for=condition=Ready", "--timeout=60s")
        yield running


def body(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "freeleaps.com/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def project(name: str) -> dict[str, Any]:
    return body(
        "DevOpsProject",
        name,
        git={"url": f"https://git.acme.example/{name}.git"},
        components=[{"name": "api", "port": 8080}, {"name": "worker"}],
        environments=[{"name": "alpha", "domain": f"{name}.acme.example", "dnsTarget": "203.0.113.7"}],
    )


def deploy(up: Running, name: str, project: str = "shop") -> None:
    up.apply(body("DeploymentRecord", name, projectRef=project, environment="alpha", revision=REVISION))
    up.kubectl("wait", f"dr/{name}", f"--for={PATH}=Succeeded", "--timeout=60s")


def test_projects_and_environments_are_readable_tables(up: Running) -> None:
    (row,) = up.table("dop", "shop")
    age = row.pop("AGE")
    assert row == {"NAME": "shop", "GIT": "https://git.acme.example/shop.git", "READY": "True", "REASON": "Ready"}
    assert age
    (environment,) = up.table("env", "shop--alpha")
    assert (environment["PROJECT"], environment["PHASE"], environment["READY"]) == ("shop", "Idle", "True")


def test_a_record_that_is_applied_is_deployed(up: Running) -> None:
    deploy(up, "by-hand")
    (row,) = up.table("dr", "by-hand")
    shown = {name: row[name] for name in ("NAME", "PROJECT", "ENVIRONMENT", "PHASE", "PROGRESS", "WAITING_FOR")}
    assert shown == {
        "NAME": "by-hand",
        "PROJECT": "shop",
        "ENVIRONMENT": "alpha",
        "PHASE": "Succeeded",
        "PROGRESS": "100",
        "WAITING_FOR": "",
    }
    addresses = up.kubectl("get", "dr", "by-hand", "-o", "jsonpath={.status.artifacts[*].address}")
    assert addresses.strip() == "https://api.shop.acme.example"


def test_describe_shows_events(up: Running) -> None:
    deploy(up, "described")
    deadline = time.monotonic() + PATIENCE
    while "<none>" in (events := up.kubectl("describe", "dr", "described").partition("Events:")[2]):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "devops-reconciler" in events
    assert "Succeeded" in events


def test_all_our_kinds_are_in_the_category_and_explained(up: Running) -> None:
    listed = up.kubectl("get", "freeleaps")
    kinds = ("devopsproject", "environment", "jenkinssettings", "argosettings", "containerregistry", "dnszone")
    assert all(f"{kind}.freeleaps.com/shop" in listed for kind in kinds)
    explained = up.kubectl("explain", "dr.spec")
    assert "A full commit id." in explained
    assert "-required-" in explained


def test_what_the_schema_forbids_is_refused_with_its_field(up: Running) -> None:
    file = up.home / "bad.yaml"
    file.write_text(
        '{"apiVersion":"freeleaps.com/v1alpha1","kind":"DeploymentRecord","metadata":{"name":"bad"},'
        '"spec":{"projectRef":"shop","environment":"alpha","revision":"main"}}'
    )
    assert "spec.revision" in up.kubectl("apply", "-f", str(file), fails=True)


def test_a_patch_of_the_project_makes_another_environment(up: Running) -> None:
    more = '[{"op": "add", "path": "/spec/environments/-", "value": {"name": "beta"}}]'
    up.kubectl("patch", "dop", "shop", "--type=json", "-p", more)
    up.kubectl("wait", "env/shop--beta", "--for=create", "--timeout=30s")
    up.kubectl("wait", "env/shop--beta", "--for=condition=Ready", "--timeout=30s")


def test_watch_prints_the_deployment_as_it_goes_on(up: Running) -> None:
    with subprocess.Popen(
        up.command("get", "dr", "--watch"), env=up.environment(), stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        deploy(up, "watched")
        seen = ""
        for line in watching.stdout:
            seen += line if "watched" in line else ""
            if "Succeeded" in line and "watched" in line:
                break
        watching.terminate()
    assert "Running" in seen


def test_a_deleted_project_takes_everything_of_its_own_with_it(up: Running) -> None:
    up.apply(project("gone"))
    up.kubectl("wait", "dop/gone", "--for=condition=Ready", "--timeout=60s")
    deploy(up, "before-the-end", "gone")
    up.kubectl("delete", "dr", "before-the-end", "--timeout=30s")
    up.kubectl("delete", "dop", "gone", "--timeout=60s")
    left = up.kubectl("get", "freeleaps", "-o", "name").split()
    assert not [name for name in left if "gone" in name or "before-the-end" in name]


def test_it_tells_how_to_use_it_is_ready_soon_and_ends_in_order_without_a_secret(up: Running) -> None:
    """The last one of this module: it ends the sandbox."""
    begun = time.monotonic()
    assert up.end(signal.SIGTERM) == 0, up.errors
    assert time.monotonic() - begun < 25
    told = up.output + up.errors
    assert f"export KUBECONFIG={up.kubeconfig}" in told
    assert f"kubectl get dop,env,dr -n {NAMESPACE}" in told
    assert "/readyz?verbose" in told
    assert "AMQP_URL=amqp://" in told
    assert "Traceback" not in told
    assert not [secret for secret in SECRETS if secret in told]


def test_interrupted_while_deployments_run_it_ends_in_order(tmp_path_factory: pytest.TempPathFactory) -> None:
    with sandbox(tmp_path_factory.mktemp("interrupted")) as running:
        running.apply(project("shop"))
        running.apply(body("DeploymentRecord", "one", projectRef="shop", environment="alpha", revision=REVISION))
        running.kubectl("wait", "dr/one", f"--for={PATH}=Running", "--timeout=30s")
        assert running.end(signal.SIGINT) == 0, running.errors
        assert "Traceback" not in running.output + running.errors


def test_a_message_can_be_sent_from_the_command_line(tmp_path_factory: pytest.TempPathFactory) -> None:
    with sandbox(tmp_path_factory.mktemp("sent"), "--pace", "0") as running:
        assert running.process.stdout is not None
        url = next(line.split("=", 1)[1].strip() for line in running.process.stdout if "AMQP_URL=" in line)
        message, _ = start("sandbox", "message", "initialize").communicate(timeout=30)
        file = running.home / "message.json"
        file.write_text(message)
        sent, errors = start("send", str(file), AMQP_URL=url).communicate(timeout=30)
        assert "sent" in sent, errors
        running.kubectl("wait", "dop/shop", "--for=create", "--timeout=30s")
        running.kubectl("wait", "dop/shop", "--for=condition=Ready", "--timeout=30s")


def test_the_demo_prints_plain_lines_without_a_terminal_and_ends_by_itself() -> None:
    demo = start("demo", "--pace", "0.1")
    output, errors = demo.communicate(timeout=60)
    assert demo.returncode == 0, errors
    assert "\x1b" not in output
    assert "100 % Succeeded" in output
    assert "https://shop.acme.example" in output
    assert "4 builds in Jenkins, 4 syncs in Argo CD" in output
    assert not [secret for secret in SECRETS if secret in output + errors]
