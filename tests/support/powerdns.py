"""A real DNS server with an HTTP API for tests: Debian's `pdns-server` on loopback, private to the session.

It is installed when it is missing and may be installed (root, apt-get); otherwise the tests that need it are skipped,
with the reason. No service is started and all files are in a temporary folder.
"""

import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from support.installing import why_not_installed

DOMAIN = "acme.example"
_PATIENCE = 30.0
_SCHEMA = Path("/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql")
_CONFIG = """\
launch=gsqlite3
gsqlite3-database={folder}/zones.db
socket-dir={folder}
local-address=127.0.0.1
local-port={dns}
api=yes
api-key=test-api-key
webserver=yes
webserver-address=127.0.0.1
webserver-port={http}
webserver-allow-from=127.0.0.1
"""


@dataclass(frozen=True)
class RealPowerDns:
    """Where it listens; `acme.example` is there, with its SOA and NS."""

    url: str
    key: str = "test-api-key"

    def zone(self, domain: str = DOMAIN) -> dict[str, Any]:
        return dict(self._ask("GET", f"/{domain}.").json())

    def make_zone(self, domain: str, kind: str = "Native") -> None:
        body = {"name": f"{domain}.", "kind": kind, "nameservers": ["ns1.acme.example."]}
        if kind == "Slave":
            body = {"name": f"{domain}.", "kind": kind, "masters": ["127.0.0.1"]}
        self._ask("POST", "", body).raise_for_status()

    def put(self, name: str, kind: str, *contents: str, ttl: int = 600, domain: str = DOMAIN) -> None:
        """Make a record as somebody else does."""
        records = [{"content": content, "disabled": False} for content in contents]
        rrset = {"name": f"{name}.{domain}.", "type": kind, "ttl": ttl, "changetype": "REPLACE", "records": records}
        self._ask("PATCH", f"/{domain}.", {"rrsets": [rrset]}).raise_for_status()

    def _ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        url = f"{self.url}/api/v1/servers/localhost/zones{path}"
        return requests.request(method, url, json=body, headers={"X-API-Key": self.key}, timeout=10)


@pytest.fixture(scope="session")
def powerdns(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealPowerDns]:
    """A server with one zone."""
    if (reason := why_not_installed("pdns_server", "pdns-server", "pdns-backend-sqlite3")) is not None:
        print(f"\nreal pdns-server: SKIPPED, {reason}")
        pytest.skip(f"real pdns-server: {reason}")
    folder = tmp_path_factory.mktemp("powerdns")
    with sqlite3.connect(folder / "zones.db") as database:
        database.executescript(_SCHEMA.read_text())
    dns, http = _free_port(), _free_port()
    (folder / "pdns.conf").write_text(_CONFIG.format(folder=folder, dns=dns, http=http))
    with (folder / "pdns.log").open("wb") as output:
        command = ["pdns_server", f"--config-dir={folder}", "--guardian=no", "--daemon=no"]
        server = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            real = RealPowerDns(f"http://127.0.0.1:{http}")
            _wait_until_it_listens(server, http, folder / "pdns.log")
            real.make_zone(DOMAIN)
            yield real
        finally:
            server.terminate()
            server.wait(10)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _wait_until_it_listens(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)  # a program that starts gives nothing else to wait for
    raise RuntimeError(f"pdns_server did not listen: {log.read_text()[-500:]}")
