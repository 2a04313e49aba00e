"""The whole world on loopback: every system around the operator, and the settings that lead to them."""

import asyncio
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.domain.clock import Clock, SystemClock
from reconciler.domain.crds import crds
from reconciler.domain.errors import AlreadyExists, NotFound, Unavailable
from reconciler.domain.keys import OUR_KINDS, Kind
from reconciler.sandbox.argocd import ArgoCD
from reconciler.sandbox.broker import Broker
from reconciler.sandbox.dockerhub import DockerHub
from reconciler.sandbox.godaddy import GoDaddy
from reconciler.sandbox.jenkins import Jenkins
from reconciler.sandbox.kube import KubeApi
from reconciler.sandbox.weather import Weather

NAMESPACE = "freeleaps-devops-system"
DOMAIN = "acme.example"
ORGANISATION = "acme"
_SERVED_WITHIN = 10.0
_JENKINS_TOKEN = "sandbox-jenkins-token"
_ARGO_TOKEN = "sandbox-argocd-token"
_STRUCK = 0.1
_AMQP_PORTS = {"amqp": 5672, "amqps": 5671}


class World:
    """All simulated systems. Nothing below the sandbox knows that they are not the real ones."""

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        seed: int = 0,
        pace: float = 0.0,
        kubeconfig: Path | None = None,
        rabbitmq: str = "",
    ) -> None:
        """Make the systems.

        Args:
            clock: time, for all of them.
            seed: of everything random.
            pace: 0 is instant; 1 is what a person can follow (builds of some seconds).
            kubeconfig: of a real API server; then the simulated one is not started.
            rabbitmq: the URL of a real broker; then the simulated one is not started.
        """
        clock = clock or SystemClock()
        self._given_kubeconfig = kubeconfig
        self._given_rabbitmq = rabbitmq
        self.kube = KubeApi(clock=clock)
        self.broker = Broker(clock=clock)
        self.dockerhub = DockerHub(clock=clock, seed=seed, namespace=ORGANISATION, username=ORGANISATION)
        self.jenkins = Jenkins(
            clock=clock,
            seed=seed,
            token=_JENKINS_TOKEN,
            build_seconds=2.5 * pace,
            quiet_seconds=0.5 * pace,
            executable_lag=0.1 * pace,
            on_success=self._push,
        )
        self.argocd = ArgoCD(
            clock=clock,
            seed=seed,
            token=_ARGO_TOKEN,
            pickup_seconds=0.3 * pace,
            sync_seconds=1.0 * pace,
            reconcile_seconds=0.3 * pace,
        )
        self.godaddy = GoDaddy(clock=clock, seed=seed, domains=(DOMAIN,))
        self._http = {"jenkins": self.jenkins, "argocd": self.argocd, "registry": self.dockerhub, "dns": self.godaddy}
        for system in self._http.values():
            system.faults.latency = 0.15 * pace
        self._parts = (
            *(() if kubeconfig else (self.kube,)),
            *(() if rabbitmq else (self.broker,)),
            *self._http.values(),
        )
        self._folder = tempfile.TemporaryDirectory(prefix="reconciler-sandbox-")

    async def start(self, port_base: int = 0) -> None:
        """Start everything and apply namespace and CRDs; with a port base, on the ports that follow it."""
        for number, part in enumerate(self._parts):
            await part.start(port=port_base + number if port_base else 0)
        if self._given_kubeconfig is None:
            self._write_kubeconfig()
        await install(Credentials.from_kubeconfig(Path(self.kubeconfig)))

    async def stop(self) -> None:
        """Stop everything."""
        for part in reversed(self._parts):
            await part.stop()
        self._folder.cleanup()

    def _write_kubeconfig(self) -> None:
        path = Path(self.kubeconfig)
        path.write_text(self.kube.kubeconfig(), encoding="utf-8")
        path.chmod(0o600)

    @property
    def kubeconfig(self) -> str:
        """The path of a kubeconfig for the API server, simulated or real."""
        return str(self._given_kubeconfig or Path(self._folder.name) / "kubeconfig")

    @property
    def rabbitmq(self) -> str:
        """The URL of the broker, simulated or real, credentials included."""
        return self._given_rabbitmq or self.broker.url

    @property
    def has_own_broker(self) -> bool:
        """Whether the broker is the simulated one."""
        return not self._given_rabbitmq

    def environ(self) -> dict[str, str]:
        """Return the variables that make an operator work in this world."""
        return {
            "KUBECONFIG": self.kubeconfig,
            **_broker_variables(self.rabbitmq),
            "JENKINS_ENDPOINT": self.jenkins.url,
            "JENKINS_USERNAME": "reconciler",
            "JENKINS_TOKEN": _JENKINS_TOKEN,
            "JENKINS_WATCH_INTERVAL": "500ms",
            "ARGOCD_ENDPOINT": self.argocd.url,
            "ARGOCD_TOKEN": _ARGO_TOKEN,
            "REGISTRY_ENDPOINT": self.dockerhub.url,
            "DOCKER_HUB_ENDPOINT": self.dockerhub.url,
            "DOCKER_HUB_NAMESPACE": ORGANISATION,
            "DOCKER_HUB_USERNAME": ORGANISATION,
            "DOCKER_HUB_PASSWORD": self.dockerhub.account.password,
            "GODADDY_ENDPOINT": self.godaddy.url,
            "GODADDY_DOMAIN": DOMAIN,
            "GODADDY_KEY": self.godaddy.key,
            "GODADDY_SECRET": self.godaddy.secret,
            "GODADDY_STARTS_FULL": "false",
            "GODADDY_READ_LAG": "1s",
            # An outage here lasts seconds, not minutes; nothing takes longer than a few seconds to answer.
            "RECONCILER_BREAKER_OPEN": "2s",
            "JENKINS_TIMEOUT": "5s",
            "ARGOCD_TIMEOUT": "5s",
            "RECONCILER_HTTP_PORT": "0",
        }

    def set_weather(self, weather: Weather, *systems: str) -> None:
        """Change the weather over the named systems (`jenkins`, `argocd`, `registry`, `dns`), or over all.

        It is as bad as a person has patience for: a tenth of the requests is struck, and a 429 asks for one second,
        where the real systems ask for half a minute.
        """
        for name in systems or self._http:
            faults = self._http[name].faults
            faults.weather, faults.retry_after = weather, 1
            faults.flapping = faults.limited = _STRUCK
        if weather is Weather.DOWN and (not systems or "argocd" in systems):
            self.argocd.stream.cut_all()

    def _push(self, parameters: Mapping[str, str]) -> None:
        image, tag = parameters.get("IMAGE", ""), parameters.get("IMAGE_TAG", "")
        if image and tag:
            self.dockerhub.push(image.removeprefix("docker.io/"), tag)


def _broker_variables(url: str) -> dict[str, str]:
    broker = urlsplit(url)
    vhost = unquote(broker.path.removeprefix("/")) or "/"
    return {
        "RABBITMQ_HOST": broker.hostname or "localhost",
        "RABBITMQ_PORT": str(broker.port or _AMQP_PORTS.get(broker.scheme, _AMQP_PORTS["amqp"])),
        "RABBITMQ_USERNAME": unquote(broker.username or "guest"),
        "RABBITMQ_PASSWORD": unquote(broker.password or "guest"),
        "RABBITMQ_VHOST": vhost,
        "RABBITMQ_TLS": str(broker.scheme == "amqps").lower(),
    }


async def install(credentials: Credentials) -> None:
    """Apply what an operator needs to a cluster: its namespace and the CRDs; return when all kinds are served."""
    kubernetes = Kubernetes(credentials)
    try:
        for body in (_namespace(NAMESPACE), *crds()):
            with suppress(AlreadyExists):
                await kubernetes.create(body["kind"], "", body)
        for kind in OUR_KINDS:
            await _served(kubernetes, kind)
    finally:
        await kubernetes.close()


async def _served(kubernetes: Kubernetes, kind: Kind) -> None:
    async with asyncio.timeout(_SERVED_WITHIN):
        while True:
            try:
                await kubernetes.list_(kind, NAMESPACE, limit=1)
            except (NotFound, Unavailable):
                await asyncio.sleep(0.02)
            else:
                return


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
