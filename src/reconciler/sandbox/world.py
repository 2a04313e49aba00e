"""The whole world on loopback: every system around the operator, and the settings that lead to them."""

import asyncio
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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


class World:
    """All simulated systems. Nothing below the sandbox knows that they are not the real ones.

    Attributes:
        weather: over all HTTP systems; each has faults of its own as well.
    """

    def __init__(self, *, clock: Clock | None = None, seed: int = 0, pace: float = 0.0) -> None:
        """Make the systems.

        Args:
            clock: time, for all of them.
            seed: of everything random.
            pace: 0 is instant; 1 is what a person can follow (builds of some seconds).
        """
        clock = clock or SystemClock()
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
        self._parts = (self.kube, self.broker, self.dockerhub, self.jenkins, self.argocd, self.godaddy)
        self._folder = tempfile.TemporaryDirectory(prefix="reconciler-sandbox-")

    async def start(self) -> None:
        """Start everything and apply the CRDs."""
        for part in self._parts:
            await part.start()
        await install(Credentials.from_kubeconfig(self._write_kubeconfig()))

    async def stop(self) -> None:
        """Stop everything."""
        for part in reversed(self._parts):
            await part.stop()
        self._folder.cleanup()

    def _write_kubeconfig(self) -> Path:
        path = Path(self.kubeconfig)
        path.write_text(self.kube.kubeconfig(), encoding="utf-8")
        path.chmod(0o600)
        return path

    @property
    def kubeconfig(self) -> str:
        """The path of a kubeconfig for the simulated API server."""
        return str(Path(self._folder.name) / "kubeconfig")

    def environ(self) -> dict[str, str]:
        """Return the variables that make an operator work in this world."""
        broker = urlsplit(self.broker.url)
        return {
            "KUBECONFIG": self.kubeconfig,
            "RABBITMQ_HOST": str(broker.hostname),
            "RABBITMQ_PORT": str(broker.port),
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
            "RECONCILER_HTTP_PORT": "0",
        }

    def set_weather(self, weather: Weather, *systems: str) -> None:
        """Change the weather over the named systems (`jenkins`, `argocd`, `registry`, `dns`), or over all."""
        by_name = {"jenkins": self.jenkins, "argocd": self.argocd, "registry": self.dockerhub, "dns": self.godaddy}
        for name in systems or by_name:
            by_name[name].faults.weather = weather

    def _push(self, parameters: Mapping[str, str]) -> None:
        image, tag = parameters.get("IMAGE", ""), parameters.get("IMAGE_TAG", "")
        if image and tag:
            self.dockerhub.push(image.removeprefix("docker.io/"), tag)


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
