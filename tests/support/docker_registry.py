"""A real registry for tests: Debian's `docker-registry` on loopback, private to the session, gone at its end.

It is installed when it is missing and may be installed (root, apt-get); otherwise the tests that need it are skipped,
with the reason. No service is started and all files are in a temporary folder.
"""

import hashlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from support.installing import why_not_installed

OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
USER, PASSWORD = "tester", "hunter2"

_PATIENCE = 30.0
_HTPASSWD = "tester:$2b$04$vz3vfneSAza2m0v.L6eCNezytWt2YzfGsmMTy7IX5fKgWGNEcrPsS\n"
_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {folder}/storage}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
{auth}"""


@dataclass(frozen=True)
class RealRegistry:
    """Where it listens, and how to put an image there."""

    url: str
    auth: tuple[str, str] | None = None

    def push(self, repository: str, tag: str, *, content: str = "", kind: str = OCI) -> str:
        """Push an image of one blob by plain HTTP and return its digest."""
        blob = (content or f"{repository}:{tag}").encode()
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        started = requests.post(f"{self.url}/v2/{repository}/blobs/uploads/", auth=self.auth, timeout=10)
        location = started.headers["Location"]
        location += ("&" if "?" in location else "?") + f"digest={digest}"
        requests.put(location, data=blob, auth=self.auth, timeout=10).raise_for_status()
        put = self.put(repository, tag, manifest(digest, len(blob), kind), kind)
        put.raise_for_status()
        return put.headers["Docker-Content-Digest"]

    def put(self, repository: str, tag: str, content: bytes, kind: str = OCI) -> requests.Response:
        url = f"{self.url}/v2/{repository}/manifests/{tag}"
        return requests.put(url, data=content, headers={"Content-Type": kind}, auth=self.auth, timeout=10)

    def ask(self, method: str, path: str, **headers: str) -> requests.Response:
        return requests.request(method, self.url + path, headers=headers, auth=self.auth, timeout=10)


def manifest(config: str, size: int, kind: str = OCI) -> bytes:
    """Write the manifest of an image without layers."""
    config_kind = (
        "application/vnd.oci.image.config.v1+json"
        if kind == OCI
        else ("application/vnd.docker.container.image.v1+json")
    )
    return (
        f'{{"schemaVersion":2,"mediaType":"{kind}",'
        f'"config":{{"mediaType":"{config_kind}","size":{size},"digest":"{config}"}},"layers":[]}}'
    ).encode()


@pytest.fixture(scope="session")
def docker_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """An open registry."""
    _require()
    with _running(tmp_path_factory.mktemp("registry")) as url:
        yield RealRegistry(url)


@pytest.fixture(scope="session")
def docker_registry_with_password(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    """A registry that wants a password (Basic)."""
    _require()
    folder = tmp_path_factory.mktemp("registry-with-password")
    (folder / "htpasswd").write_text(_HTPASSWD)
    with _running(folder, auth=f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n") as url:
        yield RealRegistry(url, (USER, PASSWORD))


def _require() -> None:
    if (reason := why_not_installed("docker-registry", "docker-registry")) is not None:
        print(f"\nreal docker-registry: SKIPPED, {reason}")
        pytest.skip(f"real docker-registry: {reason}")


@contextmanager
def _running(folder: Path, *, auth: str = "") -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config, log = folder / "config.yml", folder / "registry.log"
    config.write_text(_CONFIG.format(folder=folder, port=port, auth=auth))
    with log.open("wb") as output:
        command = ["docker-registry", "serve", str(config)]
        server = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)
        try:
            _wait_until_it_listens(server, port, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(10)


def _wait_until_it_listens(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)  # a program that starts gives nothing else to wait for
    raise RuntimeError(f"docker-registry did not listen: {log.read_text()[-500:]}")
