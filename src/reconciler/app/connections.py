"""Connections: the clients of all outside systems, one per endpoint and credential, shared by everybody who needs one.

The operator's own credentials go only to the operator's own endpoints: a resource that names an endpoint is served with
the credentials it names.
"""

import base64
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from http import HTTPStatus

from reconciler.app.endpoints import Endpoints
from reconciler.app.limits import KeyLimiter
from reconciler.app.lines import ArgoLine, DnsClient, JenkinsLine, ZoneLine
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
from reconciler.domain.clock import Clock
from reconciler.domain.errors import Missing, ReconcilerError
from reconciler.domain.outside.builds import GitLogin
from reconciler.domain.resources import ArgoSettings, ContainerRegistry, DNSZone, GitCredential, JenkinsSettings
from reconciler.domain.resources.settings import DnsProvider, RegistryProvider
from reconciler.domain.things import Where
from reconciler.domain.urls import longest_prefix
from reconciler.domain.wanted import where_of
from reconciler.settings import Settings

Woken = Callable[[str], None]
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
        self._endpoints = endpoints
        self._secrets = secrets
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
        own = settings.godaddy
        self._limits = endpoints.limits("dns", own.requests_per_minute, _MINUTE, starts_full=own.starts_full)

    # Jenkins

    async def builds(self, settings: JenkinsSettings) -> JenkinsLine:
        """Return the builds of the server that the settings name."""
        line = self._jenkins_line(where_of(settings))
        await line.follow(settings.spec.folder)
        return line

    def _jenkins_line(self, named: Where) -> JenkinsLine:
        own = self._settings.jenkins
        where = _opened(named, own.endpoint, "JENKINS_ENDPOINT")
        if (line := self._jenkins.get(where)) is None:
            authorization = partial(self._basic, where, own.username, own.token.get_secret_value())
            endpoint = self._endpoints.make(
                "jenkins",
                where.endpoint,
                own,
                authorization=authorization,
                translate=self._forgetting(where),
                keeps_cookies=True,
            )
            line = JenkinsLine(Jenkins(endpoint), self._clock, own.watch_interval, self._build_changed)
            self._jenkins[where] = line
        return line

    async def jobs(self, settings: JenkinsSettings) -> JobsRoster:
        """Return the jobs of the server that the settings name."""
        client = (await self.builds(settings)).client
        return self._jobs.setdefault(client, JobsRoster(client, self._clock))

    async def removable_items(self, where: Where) -> Jenkins:
        """Return the folders, jobs and credentials of a server."""
        return self._jenkins_line(where).client

    async def _basic(self, where: Where, username: str, token: str) -> Mapping[str, str]:
        if where.secret:
            values = await self._secrets.read(where.namespace, where.secret, "username", "token")
            username, token = values["username"], values["token"]
        encoded = base64.b64encode(f"{username}:{token}".encode()).decode()
        return {"authorization": f"Basic {encoded}"}

    # Argo CD

    async def applications(self, settings: ArgoSettings) -> ArgoLine:
        """Return the applications of the server that the settings name."""
        return await self._argo_line(where_of(settings))

    async def _argo_line(self, named: Where) -> ArgoLine:
        own = self._settings.argocd
        where = _opened(named, own.endpoint, "ARGOCD_ENDPOINT")
        if (line := self._argo.get(where)) is None:
            session = await self._argo_session(where)
            endpoint = self._endpoints.make(
                "argocd",
                where.endpoint,
                own,
                authorization=partial(self._bearer, where, session),
                translate=self._forgetting(where, translator(self._mask)),
            )
            client = ArgoCD(endpoint, session=session, ui_url=where.endpoint)
            line = self._argo.setdefault(where, ArgoLine(client, self._clock, self._application_changed))
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

    async def _argo_session(self, where: Where) -> ArgoSession:
        own = self._settings.argocd
        token, username, password = await self._argo_login(where)
        door = self._endpoints.make("argocd", where.endpoint, own, translate=translator(self._mask))
        return ArgoSession(token=token, asks=door, username=username, password=password, clock=self._clock)

    async def _argo_login(self, where: Where) -> tuple[str, str, str]:
        own = self._settings.argocd
        if not where.secret:
            return own.token.get_secret_value(), own.username, own.password.get_secret_value()
        values = await self._secrets.read(where.namespace, where.secret)
        token, username, password = (values.get(key, "") for key in ("token", "username", "password"))
        if not token and not (username and password):
            self._secrets.forget(where.namespace, where.secret)
            raise Missing(f"key token, or username and password, in Secret {where.secret}")
        return token, username, password

    async def _bearer(self, where: Where, session: ArgoSession) -> Mapping[str, str]:
        """Authorize with what the Secret says now."""
        token, username, password = await self._argo_login(where)
        session.use(token=token, username=username, password=password)
        return await session()

    # Registries

    async def images(self, settings: ContainerRegistry) -> DockerHub | OciRegistry:
        """Return the images of the registry that the settings name."""
        own, spec = self._settings.registry, settings.spec
        where = _opened(where_of(settings), own.endpoint, "REGISTRY_ENDPOINT")
        key = (where, spec.provider.value, spec.namespace or "")
        if (registry := self._registries.get(key)) is None:
            registry = self._registries[key] = self._registry(where, spec.provider, spec.namespace or own.namespace)
        return registry

    async def image_repositories(self, settings: ContainerRegistry) -> RepositoriesRoster:
        """Return the repositories of the registry that the settings name."""
        client = await self.images(settings)
        return self._repositories.setdefault(client, RepositoriesRoster(client, self._clock))

    def _registry(self, where: Where, provider: RegistryProvider, namespace: str) -> DockerHub | OciRegistry:
        own = self._settings.registry
        origins = own.token_origins
        credentials = partial(self._registry_credentials, where)
        registry = self._registry_door(where, origins)
        if provider is RegistryProvider.OCI:
            return OciRegistry(
                registry, origin=where.endpoint, credentials=credentials, token_origins=origins, clock=self._clock
            )
        hub = self._registry_door(replace(where, endpoint=own.hub_endpoint.rstrip("/")))
        return DockerHub(
            hub,
            registry,
            namespace=namespace,
            credentials=credentials,
            registry_origin=where.endpoint,
            token_origins=origins,
            clock=self._clock,
        )

    def _registry_door(self, where: Where, allowed_origins: Collection[str] = ()) -> Endpoint:
        """Return the one endpoint of a registry under one credential: namespaces share breaker, permits and limit."""
        if (door := self._registry_doors.get(where)) is None:
            door = self._registry_doors[where] = self._endpoints.make(
                "registry", where.endpoint, self._settings.registry, allowed_origins=allowed_origins
            )
        return door

    async def _registry_credentials(self, where: Where) -> Credentials | None:
        own = self._settings.registry
        if not where.secret:
            return Credentials(own.username, own.password.get_secret_value()) if own.username else None
        values = await self._secrets.read(where.namespace, where.secret, "username", "password")
        return Credentials(values["username"], values["password"])

    # DNS

    async def records(self, settings: DNSZone) -> ZoneLine:
        """Return the records that the settings' key may change."""
        return self._zone_line(where_of(settings))

    def _zone_line(self, named: Where) -> ZoneLine:
        is_godaddy = named.provider in {"", DnsProvider.GODADDY}
        where = _opened(named, self._settings.godaddy.endpoint if is_godaddy else "", "GODADDY_ENDPOINT")
        if (line := self._zones.get(where)) is None:
            client = self._godaddy(where) if is_godaddy else self._powerdns(where)
            line = self._zones[where] = ZoneLine(client, self._clock)
        return line

    def _godaddy(self, where: Where) -> GoDaddy:
        limiter = KeyLimiter(self._limits, where.endpoint)
        endpoint = self._endpoints.make(
            "dns",
            where.endpoint,
            self._settings.godaddy,
            authorization=partial(self._sso_key, where, limiter),
            translate=self._forgetting(where, godaddy.translate),
            limiter=limiter,
        )
        return GoDaddy(endpoint)

    def _powerdns(self, where: Where) -> PowerDns:
        endpoint = self._endpoints.make(
            "dns",
            where.endpoint,
            Bounds(),
            authorization=partial(self._api_key, where),
            translate=self._forgetting(where, powerdns.translate),
        )
        return PowerDns(endpoint)

    async def removable_records(self, where: Where) -> ZoneLine:
        """Return the records that a key may change."""
        return self._zone_line(where)

    async def zones(self, settings: DNSZone) -> ZonesRoster:
        """Return the zones of the account that the settings name."""
        client = (await self.records(settings)).client
        return self._zone_rosters.setdefault(client, ZonesRoster(client, self._clock))

    async def _sso_key(self, where: Where, limiter: KeyLimiter) -> Mapping[str, str]:
        """Authorize with what the Secret says now, under the limit of that key."""
        own = self._settings.godaddy
        key, secret = own.key.get_secret_value(), own.secret.get_secret_value()
        if where.secret:
            values = await self._secrets.read(where.namespace, where.secret, "key", "secret")
            key, secret = values["key"], values["secret"]
        if not key:
            raise Missing("GODADDY_KEY and GODADDY_SECRET, or credentialsRef of the DNSZone")
        limiter.use(key)
        return {"authorization": f"sso-key {key}:{secret}"}

    async def _api_key(self, where: Where) -> Mapping[str, str]:
        values = await self._secrets.read(where.namespace, where.secret, "key")
        return {"x-api-key": values["key"]}

    def _forgetting(self, where: Where, translate: Translate | None = None) -> Translate:
        """Read answers as the vendor does, and the Secret again after a refusal: it may have been changed."""

        def read(reply: Reply, operation: str) -> ReconcilerError | None:
            if reply.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) and where.secret:
                self._secrets.forget(where.namespace, where.secret)
            return translate(reply, operation) if translate else None

        return read

    # Git

    async def login(self, credential: GitCredential, identity: str) -> GitLogin:
        """Return the login behind a GitCredential."""
        name = credential.spec.secret_ref.name
        values = await self._secrets.read(credential.namespace, name)
        if ssh := values.get("ssh-privatekey"):
            return GitLogin(identity, username=values.get("username", "git"), ssh_private_key=ssh)
        values = await self._secrets.read(credential.namespace, name, "username", "password")
        return GitLogin(identity, username=values["username"], password=values["password"])

    async def default_git_login(self, url: str, identity: str) -> GitLogin | None:
        """Return the operator's own git login, where it has one that is for this address."""
        own = self._settings.git
        if not own.username or not own.url_prefix or longest_prefix(url, [own.url_prefix]) is None:
            return None
        return GitLogin(identity, username=own.username, password=own.password.get_secret_value())

    async def close(self) -> None:
        """End the feeds, then close all sessions."""
        for jenkins in self._jenkins.values():
            await jenkins.close()
        for argo in self._argo.values():
            await argo.close()
        await self._endpoints.close()


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
