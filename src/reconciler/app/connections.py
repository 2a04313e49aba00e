"""Connections: the clients of all outside systems, one per endpoint and credential, shared by everybody who needs one.

The operator's own credentials go only to the operator's own endpoints: a resource that names an endpoint is served with
the credentials it names, as its Secret says them now (`logins`).
"""

import base64
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from http import HTTPStatus

from reconciler.app.endpoints import Endpoints
from reconciler.app.limits import KeyLimiter
from reconciler.app.lines import ArgoLine, DnsClient, JenkinsLine, ZoneLine
from reconciler.app.logins import Login, keyed, token_or_password
from reconciler.app.rosters import JobsRoster, ProjectsRoster, RepositoriesRoster, ZonesRoster
from reconciler.app.secrets import SecretReader
from reconciler.clients import godaddy, powerdns
from reconciler.clients.argocd import ArgoCD, ArgoSession, translator
from reconciler.clients.asks import Reply, Translate
from reconciler.clients.dockerhub import DockerHub
from reconciler.clients.endpoint import Bounds, Endpoint
from reconciler.clients.godaddy import GoDaddy
from reconciler.clients.jenkins import Jenkins
from reconciler.clients.oci import Credentials, OciRegistry
from reconciler.clients.powerdns import PowerDns
from reconciler.clients.rosters import FRESH
from reconciler.domain.clock import Clock
from reconciler.domain.errors import Missing, ReconcilerError
from reconciler.domain.outside.builds import GitLogin
from reconciler.domain.resources import (
    ArgoSettings,
    ContainerRegistry,
    DNSZone,
    GitCredential,
    JenkinsSettings,
    Resource,
)
from reconciler.domain.resources.settings import DnsProvider, RegistryProvider
from reconciler.domain.things import Where
from reconciler.domain.urls import longest_prefix
from reconciler.domain.wanted import where_of
from reconciler.settings import Settings

Woken = Callable[[str], None]
Served = JenkinsSettings | ArgoSettings | ContainerRegistry | DNSZone
_MINUTE = timedelta(minutes=1)
LIMITED = frozenset({"dns"})
"""The systems with a limit that we keep from our side."""


class Connections:
    """All clients. Fits the ports of stages, set-ups and removal by shape."""

    def __init__(
        self,
        settings: Settings,
        endpoints: Endpoints,
        secrets: SecretReader,
        clock: Clock,
        *,
        mask: Callable[[str], str],
        build_changed: Woken,
        application_changed: Callable[[ArgoLine, str], None],
    ) -> None:
        """Open nothing yet.

        Args:
            settings: the operator's own endpoints and credentials.
            endpoints: makes what requests go through.
            secrets: credentials that resources name.
            clock: for feeds and snapshots.
            mask: takes secrets out of providers' words.
            build_changed: told the operation id of a build that changed.
            application_changed: told the line and the name of an application that changed.
        """
        self._settings = settings
        # Who compares more often than once a minute wants to see more often what is there.
        self._fresh = min(FRESH, settings.environments.upkeep_interval)
        self._endpoints = endpoints
        self._secrets = secrets
        self._own_secrets = secrets.unwatched()  # nobody may watch the namespace that the operator runs in
        self._clock = clock
        self._mask = mask
        self._build_changed = build_changed
        self._application_changed = application_changed
        self._jobs: dict[Jenkins, JobsRoster] = {}
        self._projects: dict[ArgoCD, ProjectsRoster] = {}
        self._repositories: dict[DockerHub | OciRegistry, RepositoriesRoster] = {}
        self._zone_rosters: dict[DnsClient, ZonesRoster] = {}
        self._jenkins: dict[Where, JenkinsLine] = {}
        self._argo: dict[Where, ArgoLine] = {}
        self._registries: dict[tuple[Where, str, str], DockerHub | OciRegistry] = {}
        self._registry_doors: dict[Where, Endpoint] = {}
        self._zones: dict[Where, ZoneLine] = {}
        self._logins: dict[tuple[str, Where], Login] = {}
        own = settings.godaddy
        self._limits = endpoints.limits("dns", own.requests_per_minute, _MINUTE, starts_full=own.starts_full)

    # Credentials

    def refusal(self, settings: Resource) -> str:
        """Say that newer credentials of the settings are refused, so that the former stay in use; empty when none are.

        It tells of what the last question for their clients found.
        """
        if not isinstance(settings, Served):
            return ""
        try:
            login = self._logins.get((settings.kind, self._where(settings)))
        except Missing:
            return ""
        return self._mask(login.refusal) if login else ""

    def _where(self, settings: Served) -> Where:
        own, named = self._settings, where_of(settings)
        match settings:
            case JenkinsSettings():
                return _opened(named, own.jenkins.endpoint, "JENKINS_ENDPOINT")
            case ArgoSettings():
                return _opened(named, own.argocd.endpoint, "ARGOCD_ENDPOINT")
            case ContainerRegistry():
                return _opened(named, own.registry.endpoint, "REGISTRY_ENDPOINT")
            case DNSZone():
                return self._zone_at(named)

    def _zone_at(self, named: Where) -> Where:
        own = self._settings.godaddy.endpoint if named.provider in {"", DnsProvider.GODADDY} else ""
        return _opened(named, own, "GODADDY_ENDPOINT")

    def _log_in(
        self,
        kind: str,
        where: Where,
        absent: Callable[[Mapping[str, str]], str],
        probe: Callable[[], Awaitable[object]],
        *endpoints: Endpoint,
    ) -> None:
        """Know the credentials that a reference leads to; nothing where there is no reference."""
        if not where.secret or (kind, where) in self._logins:
            return

        async def swapped() -> None:
            for endpoint in endpoints:
                await endpoint.retire_session()

        self._logins[kind, where] = Login(
            self._secrets, self._clock, where.namespace, where.secret, absent=absent, probe=probe, swapped=swapped
        )

    async def _renew(self, kind: str, where: Where) -> None:
        """Take newer credentials, if there are any and they are let in. Raises Missing."""
        if (login := self._logins.get((kind, where))) is not None:
            await login.renew()

    async def _values(self, kind: str, where: Where) -> Mapping[str, str]:
        return (await self._logins[kind, where].reading()).values

    # Jenkins

    async def builds(self, where: Where, folder: str) -> JenkinsLine:
        """Return the builds of a server, ready to list a folder of it."""
        line = await self._jenkins_line(where)
        await line.follow(folder)
        return line

    async def _jenkins_line(self, named: Where) -> JenkinsLine:
        own, kind = self._settings.jenkins, JenkinsSettings.kind
        where = _opened(named, own.endpoint, "JENKINS_ENDPOINT")
        if (line := self._jenkins.get(where)) is None:
            authorization = partial(self._basic, where, own.username, own.token.get_secret_value())
            endpoint = self._endpoints.make(
                "jenkins",
                where.endpoint,
                own,
                authorization=authorization,
                translate=self._doubting(kind, where),
                keeps_cookies=True,
            )
            line = JenkinsLine(Jenkins(endpoint), self._clock, own.watch_interval, self._build_changed)
            self._jenkins[where] = line
            self._log_in(kind, where, keyed("username", "token"), line.client.version, endpoint)
        await self._renew(kind, where)
        return line

    async def jobs(self, settings: JenkinsSettings) -> JobsRoster:
        """Return the jobs of the server that the settings name."""
        client = (await self._jenkins_line(where_of(settings))).client
        return self._jobs.setdefault(client, JobsRoster(client, self._clock))

    async def removable_items(self, where: Where) -> Jenkins:
        """Return the folders, jobs and credentials of a server."""
        return (await self._jenkins_line(where)).client

    async def _basic(self, where: Where, username: str, token: str) -> Mapping[str, str]:
        if where.secret:
            values = await self._values(JenkinsSettings.kind, where)
            username, token = values["username"], values["token"]
        encoded = base64.b64encode(f"{username}:{token}".encode()).decode()
        return {"authorization": f"Basic {encoded}"}

    # Argo CD

    async def applications(self, settings: ArgoSettings) -> ArgoLine:
        """Return the applications of the server that the settings name."""
        return await self._argo_line(where_of(settings))

    async def _argo_line(self, named: Where) -> ArgoLine:
        own, kind = self._settings.argocd, ArgoSettings.kind
        where = _opened(named, own.endpoint, "ARGOCD_ENDPOINT")
        if (line := self._argo.get(where)) is None:
            door = self._endpoints.make("argocd", where.endpoint, own, translate=translator(self._mask))
            session = ArgoSession(asks=door, clock=self._clock)
            endpoint = self._endpoints.make(
                "argocd",
                where.endpoint,
                own,
                authorization=partial(self._bearer, where, session, door),
                translate=self._doubting(kind, where, translator(self._mask)),
            )
            client = ArgoCD(endpoint, session=session, ui_url=where.endpoint)
            line = self._argo[where] = ArgoLine(client, self._clock, self._application_changed, self._fresh)
            self._log_in(kind, where, token_or_password, client.check_access, endpoint)
        await self._renew(kind, where)
        await line.follow()
        return line

    async def removable_applications(self, where: Where) -> ArgoCD:
        """Return the applications of a server."""
        return (await self._argo_line(where)).client

    async def removable_projects(self, where: Where) -> ArgoCD:
        """Return the projects of a server."""
        return (await self._argo_line(where)).client

    async def argo_projects(self, settings: ArgoSettings) -> ProjectsRoster:
        """Return the projects of the server that the settings name."""
        client = (await self.applications(settings)).client
        return self._projects.setdefault(client, ProjectsRoster(client, self._clock))

    async def _bearer(self, where: Where, session: ArgoSession, door: Endpoint) -> Mapping[str, str]:
        """Authorize with the credentials in use; in a trial with others, by a session that nobody else shares."""
        token, username, password = await self._argo_login(where)
        login = self._logins.get((ArgoSettings.kind, where))
        if login is not None and login.is_on_trial:
            session = ArgoSession(token=token, asks=door, username=username, password=password, clock=self._clock)
        else:
            session.use(token=token, username=username, password=password)
        return await session()

    async def _argo_login(self, where: Where) -> tuple[str, str, str]:
        own = self._settings.argocd
        if not where.secret:
            return own.token.get_secret_value(), own.username, own.password.get_secret_value()
        values = await self._values(ArgoSettings.kind, where)
        token, username, password = (values.get(key, "") for key in ("token", "username", "password"))
        return token, username, password

    # Registries

    async def images(self, settings: ContainerRegistry) -> DockerHub | OciRegistry:
        """Return the images of the registry that the settings name."""
        own, spec = self._settings.registry, settings.spec
        where = _opened(where_of(settings), own.endpoint, "REGISTRY_ENDPOINT")
        key = (where, spec.provider.value, spec.namespace or "")
        if (registry := self._registries.get(key)) is None:
            registry = self._registry(where, spec.provider, spec.namespace or own.namespace)
            self._registries[key] = registry
        await self._renew(settings.kind, where)
        return registry

    async def image_repositories(self, settings: ContainerRegistry) -> RepositoriesRoster:
        """Return the repositories of the registry that the settings name."""
        client = await self.images(settings)
        return self._repositories.setdefault(client, RepositoriesRoster(client, self._clock))

    def _registry(self, where: Where, provider: RegistryProvider, namespace: str) -> DockerHub | OciRegistry:
        own = self._settings.registry
        origins = own.token_origins
        credentials = partial(self._registry_credentials, where)
        kind, absent = ContainerRegistry.kind, keyed("username", "password")
        doubting = self._doubting(kind, where)
        registry = self._registry_door(where, doubting, origins)
        if provider is RegistryProvider.OCI:
            oci = OciRegistry(
                registry, origin=where.endpoint, credentials=credentials, token_origins=origins, clock=self._clock
            )
            self._log_in(kind, where, absent, oci.check_access, registry)
            return oci
        hub = self._registry_door(replace(where, endpoint=own.hub_endpoint.rstrip("/")), doubting)
        docker_hub = DockerHub(
            hub,
            registry,
            namespace=namespace,
            credentials=credentials,
            registry_origin=where.endpoint,
            token_origins=origins,
            clock=self._clock,
        )
        self._log_in(kind, where, absent, docker_hub.check_access, hub, registry)
        return docker_hub

    def _registry_door(self, where: Where, translate: Translate, allowed_origins: Collection[str] = ()) -> Endpoint:
        """Return the one endpoint of a registry under one credential: namespaces share breaker, permits and limit."""
        if (door := self._registry_doors.get(where)) is None:
            door = self._registry_doors[where] = self._endpoints.make(
                "registry",
                where.endpoint,
                self._settings.registry,
                translate=translate,
                allowed_origins=allowed_origins,
            )
        return door

    async def _registry_credentials(self, where: Where) -> Credentials | None:
        own = self._settings.registry
        if not where.secret:
            return Credentials(own.username, own.password.get_secret_value()) if own.username else None
        values = await self._values(ContainerRegistry.kind, where)
        return Credentials(values["username"], values["password"])

    # DNS

    async def records(self, settings: DNSZone) -> ZoneLine:
        """Return the records that the settings' key may change."""
        return await self._zone_line(where_of(settings))

    async def _zone_line(self, named: Where) -> ZoneLine:
        is_godaddy = named.provider in {"", DnsProvider.GODADDY}
        where = self._zone_at(named)
        if (line := self._zones.get(where)) is None:
            line = self._zones[where] = self._godaddy(where) if is_godaddy else self._powerdns(where)
        await self._renew(DNSZone.kind, where)
        return line

    def _godaddy(self, where: Where) -> ZoneLine:
        limiter = KeyLimiter(self._limits, where.endpoint)
        endpoint = self._endpoints.make(
            "dns",
            where.endpoint,
            self._settings.godaddy,
            authorization=partial(self._sso_key, where, limiter),
            translate=self._doubting(DNSZone.kind, where, godaddy.translate),
            limiter=limiter,
        )
        client = GoDaddy(endpoint)
        self._log_in(DNSZone.kind, where, keyed("key", "secret"), client.check_access, endpoint)
        return ZoneLine(client, self._clock, self._fresh)

    def _powerdns(self, where: Where) -> ZoneLine:
        endpoint = self._endpoints.make(
            "dns",
            where.endpoint,
            Bounds(),
            authorization=partial(self._api_key, where),
            translate=self._doubting(DNSZone.kind, where, powerdns.translate),
        )
        client = PowerDns(endpoint)
        self._log_in(DNSZone.kind, where, keyed("key"), client.check_access, endpoint)
        return ZoneLine(client, self._clock, self._fresh)

    async def removable_records(self, where: Where) -> ZoneLine:
        """Return the records that a key may change."""
        return await self._zone_line(where)

    async def zones(self, settings: DNSZone) -> ZonesRoster:
        """Return the zones of the account that the settings name."""
        client = (await self.records(settings)).client
        return self._zone_rosters.setdefault(client, ZonesRoster(client, self._clock))

    async def _sso_key(self, where: Where, limiter: KeyLimiter) -> Mapping[str, str]:
        """Authorize with what the Secret says now, under the limit of that key."""
        own = self._settings.godaddy
        key, secret = own.key.get_secret_value(), own.secret.get_secret_value()
        if where.secret:
            values = await self._values(DNSZone.kind, where)
            key, secret = values["key"], values["secret"]
        if not key:
            raise Missing("GODADDY_KEY and GODADDY_SECRET, or credentialsRef of the DNSZone")
        limiter.use(key)
        return {"authorization": f"sso-key {key}:{secret}"}

    async def _api_key(self, where: Where) -> Mapping[str, str]:
        values = await self._values(DNSZone.kind, where)
        return {"x-api-key": values["key"]}

    def _doubting(self, kind: str, where: Where, translate: Translate | None = None) -> Translate:
        """Read answers as the vendor does, and the Secret again after a refusal: it may have been changed."""

        def read(reply: Reply, operation: str) -> ReconcilerError | None:
            is_refusal = reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
            if is_refusal and (login := self._logins.get((kind, where))):
                login.doubt()
            return translate(reply, operation) if translate else None

        return read

    # Git

    async def login(self, credential: GitCredential, identity: str) -> GitLogin:
        """Return the login behind a GitCredential."""
        name = credential.spec.secret_ref.name
        reading = await self._secrets.read(credential.namespace, name)
        if ssh := reading.values.get("ssh-privatekey"):
            username = reading.values.get("username", "git")
            return GitLogin(identity, username=username, ssh_private_key=ssh, version=reading.version)
        return await _git_login(self._secrets, credential.namespace, name, identity)

    async def default_git_login(self, url: str, identity: str) -> GitLogin | None:
        """Return the operator's own git login, where it has one that is for this address."""
        own = self._settings.git
        if not own.url_prefix or longest_prefix(url, [own.url_prefix]) is None:
            return None
        if own.secret:
            namespace = self._settings.kubernetes.own_namespace
            return await _git_login(self._own_secrets, namespace, own.secret, identity)
        if not own.username:
            return None
        return GitLogin(identity, username=own.username, password=own.password.get_secret_value())

    async def close(self) -> None:
        """End the feeds, then close all sessions."""
        for jenkins in self._jenkins.values():
            await jenkins.close()
        for argo in self._argo.values():
            await argo.close()
        await self._endpoints.close()


async def _git_login(secrets: SecretReader, namespace: str, secret: str, identity: str) -> GitLogin:
    """Return what is in a Secret. Raises Missing when it, or a key of it, is not there."""
    reading = await secrets.read(namespace, secret, "username", "password")
    username, password = reading.values["username"], reading.values["password"]
    return GitLogin(identity, username=username, password=password, version=reading.version)


def _opened(named: Where, own: str, variable: str) -> Where:
    """Return where requests go: the operator's own endpoint where none is named.

    Raises Missing without an endpoint, and without a Secret for an endpoint that is not the operator's own: its
    credentials go nowhere else.
    """
    endpoint, own = named.endpoint.rstrip("/"), own.rstrip("/")
    if not endpoint and not own:
        raise Missing(f"an endpoint: none is named and {variable} is not set")
    if endpoint not in {"", own} and not named.secret:
        raise Missing(f"credentialsRef for {endpoint}: the operator's own credentials go only to its own endpoint")
    return replace(named, endpoint=endpoint or own)
