"""Kubeconfigs and service accounts: what is read, what is refused, and what a TLS server sees."""

import base64
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from yarl import URL

from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.clients.kubernetes.credentials import _is_at
from reconciler.domain.errors import Invalid, Refused, Unavailable
from reconciler.domain.keys import SECRET
from support.clusters import write_kubeconfig


def a_kubeconfig(folder: Path, *, user: object = None, cluster: object = None) -> Path:
    content = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"} if cluster is None else cluster}],
        "users": [{"name": "u", "user": user or {}}],
    }
    return write_kubeconfig(folder, yaml.safe_dump(content))


@pytest.mark.parametrize(
    ("user", "field_at_fault"),
    [
        ({"exec": {"command": "aws"}}, "users[u].user.exec"),
        ({"auth-provider": {"name": "gcp"}}, "users[u].user.auth-provider"),
        ({"as": "admin"}, "users[u].user.as"),
    ],
)
def test_a_plugin_or_a_disguise_is_refused_by_name(tmp_path: Path, user: object, field_at_fault: str) -> None:
    with pytest.raises(Invalid, match="not supported") as caught:
        Credentials.from_kubeconfig(a_kubeconfig(tmp_path, user=user))

    assert caught.value.field == field_at_fault


@pytest.mark.parametrize("text", ["", "[]", "{a: b", "{current-context: y, contexts: []}"])
def test_a_file_that_leads_nowhere_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Invalid):
        Credentials.from_kubeconfig(write_kubeconfig(tmp_path, text))


def test_a_missing_file_a_missing_server_and_a_broken_certificate_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        Credentials.from_kubeconfig(tmp_path / "none")
    with pytest.raises(Invalid, match="server"):
        Credentials.from_kubeconfig(a_kubeconfig(tmp_path, cluster={"server": ""}))
    broken = {"server": "https://127.0.0.1:1", "certificate-authority-data": "!"}
    with pytest.raises(Invalid, match="certificate-authority"):
        Credentials.from_kubeconfig(a_kubeconfig(tmp_path, cluster=broken))


def test_no_secret_is_in_the_repr(tmp_path: Path) -> None:
    user = {"token": "hunter2", "username": "anna", "password": "hunter3"}

    shown = repr(Credentials.from_kubeconfig(a_kubeconfig(tmp_path, user=user)))

    assert "hunter" not in shown


def test_a_name_and_a_password_are_basic_authorization(tmp_path: Path) -> None:
    user = {"username": "anna", "password": "x"}

    headers = Credentials.from_kubeconfig(a_kubeconfig(tmp_path, user=user)).authorization()

    assert headers == {"Authorization": "Basic " + base64.b64encode(b"anna:x").decode()}


def test_outside_a_pod_there_is_no_service_account(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="not in a pod"):
        Credentials.in_cluster(tmp_path, {})


@dataclass
class Tls:
    """A TLS server that knows one path, with its certificate, which is its own authority."""

    folder: Path
    url: str
    seen: list[str | None] = field(default_factory=list)

    @property
    def certificate(self) -> str:
        return (self.folder / "tls.crt").read_text()


def make_certificate(folder: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout tls.key -out tls.crt"
    names = ["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    subprocess.run([*make.split(), *names], cwd=folder, check=True, capture_output=True)


@asynccontextmanager
async def a_tls_server(folder: Path) -> AsyncIterator[Tls]:
    make_certificate(folder)
    made = Tls(folder, "")

    async def answer(request: web.Request) -> web.Response:
        made.seen.append(request.headers.get("Authorization"))
        return web.json_response({"items": [], "metadata": {"resourceVersion": "7"}})

    application = web.Application()
    application.router.add_get("/api/v1/secrets", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    made.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield made
    finally:
        await runner.cleanup()


async def listed_at(credentials: Credentials) -> str:
    client = Kubernetes(credentials)
    try:
        return (await client.list_(SECRET))[1]
    finally:
        await client.close()


async def test_a_server_is_trusted_by_its_authority_only(tmp_path: Path) -> None:
    async with a_tls_server(tmp_path) as server:
        data = base64.b64encode(server.certificate.encode()).decode()
        trusted = [
            {"server": server.url, "certificate-authority-data": data},
            {"server": server.url, "certificate-authority": "tls.crt"},
            {"server": server.url, "insecure-skip-tls-verify": True},
        ]
        for cluster in trusted:
            path = a_kubeconfig(tmp_path, cluster=cluster, user={"token": "t"})
            assert await listed_at(Credentials.from_kubeconfig(path)) == "7"
        with pytest.raises(Refused, match="certificate"):
            await listed_at(Credentials.from_kubeconfig(a_kubeconfig(tmp_path, cluster={"server": server.url})))

        assert server.seen == ["Bearer t"] * 3


async def test_a_client_certificate_is_loaded(tmp_path: Path) -> None:
    async with a_tls_server(tmp_path) as server:
        user = {"client-certificate": "tls.crt", "client-key": "tls.key"}
        cluster = {"server": server.url, "certificate-authority": "tls.crt"}

        assert await listed_at(Credentials.from_kubeconfig(a_kubeconfig(tmp_path, cluster=cluster, user=user))) == "7"


async def test_a_pods_service_account_leads_to_the_server(tmp_path: Path) -> None:
    async with a_tls_server(tmp_path) as server:
        (tmp_path / "ca.crt").write_text(server.certificate)
        (tmp_path / "token").write_text("mine\n")
        (tmp_path / "namespace").write_text("devops")
        port = server.url.rpartition(":")[2]
        environment = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": port}
        credentials = Credentials.in_cluster(tmp_path, environment)

        assert await listed_at(credentials) == "7"
        assert (credentials.namespace, server.seen) == ("devops", ["Bearer mine"])


@pytest.mark.parametrize("server", ["http://127.0.0.1:{port}", "http://127.0.0.1:{port}/k8s/clusters/c"])
async def test_only_our_server_learns_who_we_are(server: str) -> None:
    seen: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.json_response({})

    application = web.Application()
    application.router.add_get("/{any:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    credentials = Credentials(server=server.format(port=port), token="t")
    async with credentials.open_session() as session:
        for url in (f"{credentials.server}/api", f"http://localhost:{port}/api"):
            async with session.get(url) as response:
                assert response.status == 200
    await runner.cleanup()

    assert seen == ["Bearer t", None]


@pytest.mark.parametrize(
    ("url", "server", "is_at"),
    [
        ("https://10.0.0.1:443/api", "https://10.0.0.1", True),
        ("https://10.0.0.1/api", "https://10.0.0.1:443", True),
        ("https://10.0.0.1:6443/api", "https://10.0.0.1", False),
        ("http://10.0.0.1:443/api", "https://10.0.0.1:443", False),
        ("https://h/other/api", "https://h/k8s", False),
    ],
)
def test_a_server_is_known_by_scheme_host_port_and_path(url: str, server: str, *, is_at: bool) -> None:
    assert _is_at(URL(url), URL(server)) is is_at


async def test_an_unknown_host_is_just_unavailable() -> None:
    with pytest.raises(Unavailable):
        await listed_at(Credentials(server="http://127.0.0.1:9"))
