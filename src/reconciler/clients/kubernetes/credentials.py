"""Where the API server is and who we are: read from a kubeconfig, or from the service account of the pod."""

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp.client_middlewares import ClientHandlerType
from yarl import URL

from reconciler.domain.errors import Invalid

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
USER_AGENT = "freeleaps-devops-reconciler"
_UNSUPPORTED = ("exec", "auth-provider", "as", "as-groups", "as-uid", "as-user-extra")


@dataclass(slots=True)
class TokenFile:
    """A token that somebody else renews: read again whenever the file is another one."""

    path: Path
    _token: str = field(default="", repr=False)
    _seen: tuple[int, int, int] = (0, 0, 0)

    def read(self) -> str:
        """Return the token as it is now; the last one known while the file cannot be read."""
        try:
            found = self.path.stat()
            seen = (found.st_mtime_ns, found.st_ino, found.st_size)
            if seen != self._seen:
                self._token = self.path.read_text(encoding="utf-8").strip()
                self._seen = seen
        except OSError as exc:
            if not self._token:
                raise Invalid(f"the token file {self.path} cannot be read", field="tokenFile") from exc
        return self._token


@dataclass(frozen=True, slots=True)
class Credentials:
    """The way to one API server. The repr shows no secret.

    Attributes:
        server: base URL without a trailing slash; `http://` is fine (a sandbox, a proxy beside us).
        namespace: the default one of the context or of the pod.
    """

    server: str
    namespace: str = "default"
    token: str = field(default="", repr=False)
    token_file: TokenFile | None = field(default=None, repr=False)
    basic: tuple[str, str] | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    proxy: str | None = None

    @classmethod
    def from_kubeconfig(cls, path: Path, context: str | None = None) -> "Credentials":
        """Read a kubeconfig. Raises Invalid, naming the field, for what is missing or not supported."""
        return _Kubeconfig(path).credentials(context)

    @classmethod
    def in_cluster(cls, folder: Path = SERVICE_ACCOUNT, environment: Mapping[str, str] = os.environ) -> "Credentials":
        """Read the service account of the pod. Raises Invalid when this is not a pod."""
        host, port = environment.get("KUBERNETES_SERVICE_HOST", ""), environment.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            message = "not in a pod, where Kubernetes sets it: set KUBECONFIG to the path of a kubeconfig"
            raise Invalid(message, field="KUBERNETES_SERVICE_HOST")
        token_file = TokenFile(folder / "token")
        token_file.read()
        namespace = folder / "namespace"
        return cls(
            server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
            namespace=namespace.read_text(encoding="utf-8").strip() if namespace.exists() else "default",
            token_file=token_file,
            tls=ssl.create_default_context(cafile=folder / "ca.crt"),
        )

    def authorization(self) -> dict[str, str]:
        """Return the headers that say who we are, as of now."""
        if self.basic is not None:
            return {"Authorization": aiohttp.encode_basic_auth(*self.basic)}
        token = self.token_file.read() if self.token_file is not None else self.token
        return {"Authorization": f"Bearer {token}"} if token else {}

    def open_session(
        self, *, connections: int = 50, traces: Sequence[aiohttp.TraceConfig] = ()
    ) -> aiohttp.ClientSession:
        """Open a session that authorizes each request as it is sent; whoever asked for it closes it.

        Args:
            connections: the most there will be at once; each watch keeps one of them for good.
            traces: told of each request, for metrics and health.
        """
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, ssl=self.tls if self.tls is not None else True),
            headers={"User-Agent": USER_AGENT},
            middlewares=(self._authorize,),
            trace_configs=list(traces),
            proxy=self.proxy,
            auto_decompress=True,
        )

    async def _authorize(self, request: aiohttp.ClientRequest, handler: ClientHandlerType) -> aiohttp.ClientResponse:
        # Never to another server: where a redirect or an absolute URL leads is not where we are known.
        if _is_at(request.url, URL(self.server)):
            request.headers.update(self.authorization())
        return await handler(request)


def _is_at(url: URL, server: URL) -> bool:
    # Part by part: to yarl, an origin with the scheme's own port and one without are two.
    same = (url.scheme, url.host, url.port) == (server.scheme, server.host, server.port)
    return same and url.path.startswith(server.path)


class _Kubeconfig:
    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as exc:
            raise Invalid(f"the kubeconfig {path} cannot be read", field="kubeconfig") from exc
        if not isinstance(content, dict):
            raise Invalid(f"the kubeconfig {path} is not a mapping", field="kubeconfig")
        self.content = content

    def credentials(self, wanted: str | None) -> Credentials:
        name = wanted or self.content.get("current-context") or ""
        context = self._named("contexts", "context", name)
        cluster = self._named("clusters", "cluster", context.get("cluster", ""))
        user = self._named("users", "user", context["user"]) if context.get("user") else {}
        at = f"users[{context.get('user', '')}].user"
        for key in _UNSUPPORTED:
            if user.get(key):
                raise Invalid(f"{at}.{key} is not supported: use a token or a client certificate", field=f"{at}.{key}")
        server = str(cluster.get("server") or "").rstrip("/")
        if not server.startswith(("http://", "https://")):
            raise Invalid("the cluster has no server URL", field=f"clusters[{context.get('cluster', '')}].server")
        token_file = TokenFile(self._beside(user["tokenFile"])) if user.get("tokenFile") else None
        return Credentials(
            server=server,
            namespace=context.get("namespace") or "default",
            token=str(user.get("token") or ""),
            token_file=token_file,
            basic=(user["username"], user.get("password", "")) if user.get("username") else None,
            tls=self._tls(cluster, user) if server.startswith("https://") else None,
            proxy=cluster.get("proxy-url"),
        )

    def _named(self, section: str, item: str, name: str) -> dict[str, Any]:
        for entry in self.content.get(section) or []:
            if isinstance(entry, dict) and entry.get("name") == name:
                return dict(entry.get(item) or {})
        raise Invalid(f"the kubeconfig has no {item} named {name!r}", field=f"{section}[{name}]")

    def _beside(self, path: str) -> Path:
        return self.path.parent / path

    def _pem(self, source: Mapping[str, Any], key: str) -> str:
        """Return a PEM, from `<key>-data` (base64) or the file `<key>` names; empty if there is neither."""
        try:
            if source.get(f"{key}-data"):
                words = "".join(str(source[f"{key}-data"]).split())
                return base64.b64decode(words, validate=True).decode("ascii")
            return self._beside(source[key]).read_text(encoding="ascii") if source.get(key) else ""
        except (OSError, UnicodeDecodeError, binascii.Error) as exc:
            raise Invalid(f"{key} of the kubeconfig cannot be read", field=key) from exc

    def _tls(self, cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cadata=self._pem(cluster, "certificate-authority") or None)
            certificate, key = self._pem(user, "client-certificate"), self._pem(user, "client-key")
            if certificate and key:
                _load_certificate(context, certificate, key)
        except ssl.SSLError as exc:
            raise Invalid("a certificate or key of the kubeconfig is not valid", field="certificate-authority") from exc
        if cluster.get("insecure-skip-tls-verify"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _load_certificate(context: ssl.SSLContext, certificate: str, key: str) -> None:
    # Python's ssl reads a client certificate only from a file: one that only we can read, for this moment.
    with tempfile.NamedTemporaryFile("w", encoding="ascii") as file:
        file.write(f"{certificate}\n{key}\n")
        file.flush()
        context.load_cert_chain(file.name)
