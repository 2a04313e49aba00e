"""A real kube-apiserver and etcd on loopback, where KUBEBUILDER_ASSETS says they are; gone when the session ends.

Callers: conformance tests, through the fixture `real_api`. Nothing but the two binaries is needed: tokens come from a
file, every request of the token's owner is allowed (group system:masters).
"""

import http.client
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest

TOKEN = "conformance"
_PATIENCE = 60.0


@dataclass(frozen=True)
class RealApi:
    """Where a real API server listens, and as whom to ask."""

    url: str
    token: str = TOKEN
    version: str = ""

    def context(self) -> ssl.SSLContext:
        """Return what a client on loopback needs to talk to a server that signed itself."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context


@pytest.fixture(scope="session")
def real_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealApi]:
    """A real API server that belongs to this session alone; skipped, loudly, where there are no binaries."""
    assets = os.environ.get("KUBEBUILDER_ASSETS", "")
    if not assets or not (Path(assets) / "kube-apiserver").exists():
        reason = "KUBEBUILDER_ASSETS does not point at kube-apiserver and etcd"
        print(f"\nreal kube-apiserver: SKIPPED, {reason}")
        pytest.skip(reason)
    with running(Path(assets), tmp_path_factory.mktemp("real-api")) as api:
        yield api


@contextmanager
def running(assets: Path, folder: Path) -> Iterator[RealApi]:
    """Run etcd and kube-apiserver from `assets` with all their files in `folder`."""
    client, peer, secure = _free_ports(3)
    etcd = [
        str(assets / "etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls=http://127.0.0.1:{client}",
        f"--advertise-client-urls=http://127.0.0.1:{client}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=default=http://127.0.0.1:{peer}",
        "--unsafe-no-fsync",
    ]
    (folder / "tokens.csv").write_text(f'{TOKEN},conformance,conformance,"system:masters"\n')
    key = folder / "service-accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    api = [
        str(assets / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{client}",
        f"--cert-dir={folder / 'certs'}",
        f"--secure-port={secure}",
        "--bind-address=127.0.0.1",
        "--service-cluster-ip-range=10.0.0.0/24",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://conformance.invalid",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
    ]
    with _process(etcd, folder / "etcd.log"), _process(api, folder / "api.log") as server:
        found = RealApi(f"https://127.0.0.1:{secure}")
        _wait_until_ready(found, server, folder / "api.log")
        yield found


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_ready(api: RealApi, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        if _is_ready(api):
            return
        time.sleep(0.2)
    raise RuntimeError(f"kube-apiserver did not get ready:\n{log.read_text()[-2000:]}")


def _is_ready(api: RealApi) -> bool:
    connection = http.client.HTTPSConnection(api.url.removeprefix("https://"), timeout=2, context=api.context())
    try:
        connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {api.token}"})
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
