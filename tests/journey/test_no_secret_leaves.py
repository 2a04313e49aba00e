"""Canary secrets everywhere, systems that repeat them in every answer, and none of them in anything that leaves."""

import base64
import html
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote, quote_plus

import aio_pika
import orjson
import pytest
from aiohttp import ClientSession, web
from yarl import URL

from reconciler.domain.keys import CONFIG_MAP, EVENT, LEASE, OUR_KINDS, named
from support.clusters import until
from support.process import OperatorProcess, an_operator
from support.town import PATIENCE, SHOP, Town, a_town, is_ready, message_of, status_of

_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding", "host"}
NAMES = ("jenkins", "argocd", "registry", "dns")
GIT_IN_URL = "urlKq8wZ-in-url"


def canary(name: str) -> str:
    """Return a secret whose first eight characters are its own, with what URLs, HTML and JSON write otherwise."""
    return f'{name[:3]}Kq8wZ-{name}/+&"<tail'


OWN = {name: canary(f"o{name}") for name in (*NAMES, "git")}
USERS = {name: canary(f"u{name}") for name in (*NAMES, "git", "ssh")}
WRONG = canary("wrong")


class Parrot:
    """Stands before a system; in a mood it answers itself, and repeats all that it was told."""

    def __init__(self, target: str, foreign: str) -> None:
        self.target, self.foreign = target, foreign
        self.mood = 0
        self.asked = 0
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.mood == 0:
            return await self._forward(request)
        if self.mood == 302:
            return web.Response(status=302, headers={"Location": f"{self.foreign}/stolen"})
        said = request.headers.get("Authorization", "") + " " + request.headers.get("X-API-Key", "")
        scheme, _, value = said.strip().partition(" ")
        plain = base64.b64decode(value).decode() if scheme == "Basic" else value
        everything = [*OWN.values(), *USERS.values()]
        words = " ".join(["x" * (self.asked * 7 % 250), said, plain, html.escape(plain), *everything])
        shown = {"error": words, "message": words, "code": 16, "detail": words, "errors": [{"message": words}]}
        headers = {"X-Error": words.replace("\n", " ")[:4000], "Content-Type": "application/json"}
        return web.Response(status=self.mood, body=orjson.dumps(shown), headers=headers)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        url = URL(self.target + request.raw_path, encoded=True)
        body = await request.read()
        async with (
            ClientSession(auto_decompress=False, skip_auto_headers=("Content-Type",)) as session,
            session.request(request.method, url, data=body or None, headers=headers, allow_redirects=False) as answer,
        ):
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP]
            reply = web.StreamResponse(status=answer.status, headers=kept)
            await reply.prepare(request)
            async for chunk in answer.content.iter_any():
                await reply.write(chunk)
            await reply.write_eof()
            return reply


@asynccontextmanager
async def served(answer: web.RequestHandler) -> AsyncIterator[str]:
    application = web.Application(client_max_size=8 * 1024**2)
    application.router.add_route("*", "/{tail:.*}", answer)  # type: ignore[arg-type]
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town() as town:
        world = town.world
        for name in (OWN, USERS):
            world.jenkins.doors.tokens.add(name["jenkins"])
            world.argocd.accounts.tokens["reconciler", name["argocd"]] = name["argocd"]
            world.dockerhub.account.access_tokens.add(name["registry"])
            world.godaddy.other_keys.add(("key", name["dns"]))
        world.godaddy.limit_per_minute = None
        yield town


@pytest.fixture
async def parrots(town: Town) -> AsyncIterator[dict[str, Parrot]]:
    world, stolen = town.world, list[str]()

    async def steal(request: web.Request) -> web.StreamResponse:
        stolen.append(request.path)
        return web.Response()

    targets = dict(zip(NAMES, (world.jenkins, world.argocd, world.dockerhub, world.godaddy), strict=True))
    async with served(steal) as foreign:  # type: ignore[arg-type]
        parrots = {name: Parrot(target.url, foreign) for name, target in targets.items()}
        async with (
            served(parrots["jenkins"].answer) as parrots["jenkins"].url,  # type: ignore[arg-type]
            served(parrots["argocd"].answer) as parrots["argocd"].url,  # type: ignore[arg-type]
            served(parrots["registry"].answer) as parrots["registry"].url,  # type: ignore[arg-type]
            served(parrots["dns"].answer) as parrots["dns"].url,  # type: ignore[arg-type]
        ):
            world.dockerhub.registry.realm = f"{parrots['registry'].url}/token"
            yield parrots
        assert stolen == []


def variables(parrots: dict[str, Parrot]) -> dict[str, str]:
    """Return what gives the operator canaries of its own."""
    return {
        "JENKINS_ENDPOINT": parrots["jenkins"].url,
        "JENKINS_TOKEN": OWN["jenkins"],
        "ARGOCD_ENDPOINT": parrots["argocd"].url,
        "ARGOCD_TOKEN": OWN["argocd"],
        "REGISTRY_ENDPOINT": parrots["registry"].url,
        "DOCKER_HUB_ENDPOINT": parrots["registry"].url,
        "DOCKER_HUB_PASSWORD": OWN["registry"],
        "GODADDY_ENDPOINT": parrots["dns"].url,
        "GODADDY_KEY": "key",
        "GODADDY_SECRET": OWN["dns"],
        "DEFAULT_GIT_USERNAME": "bot",
        "DEFAULT_GIT_PASSWORD": OWN["git"],
        "DEFAULT_GIT_URL_PREFIX": "https://git.acme.example/",
        "RECONCILER_LOG_FORMAT": "json",
        "RECONCILER_DEBUG": "true",
    }


async def set_up(town: Town, parrots: dict[str, Parrot]) -> None:
    """Make a project of the operator's credentials, and one whose settings name Secrets of every kind."""
    engineer = town.engineer
    await engineer.secret("jenkins", username="reconciler", token=USERS["jenkins"])
    await engineer.secret("argocd", token=USERS["argocd"])
    await engineer.secret("registry", username="acme", password=USERS["registry"])
    await engineer.secret("dns", key="key", secret=USERS["dns"])
    await engineer.secret("git", username="git-bot", password=USERS["git"])
    await engineer.secret("ssh", **{"ssh-privatekey": USERS["ssh"]})
    urls = {name: {"endpoint": parrot.url, "credentialsRef": {"name": name}} for name, parrot in parrots.items()}
    await engineer.apply("JenkinsSettings", "own", {"projectRef": "own", **urls["jenkins"]})
    await engineer.apply("ArgoSettings", "own", {"projectRef": "own", **urls["argocd"]})
    await engineer.apply("ContainerRegistry", "own", {"namespace": "acme", **urls["registry"]})
    await engineer.apply("DNSZone", "own", {"domain": "acme.example", **urls["dns"]})
    for name, prefix in (("git", "https://git.own.example/"), ("ssh", "https://ssh.own.example/")):
        await engineer.apply("GitCredential", name, {"urlPrefix": prefix, "secretRef": {"name": name}})
    references = {"jenkinsRef": {"name": "own"}, "argoRef": {"name": "own"}, "dns": {"zoneRef": {"name": "own"}}}
    git = {"git": {"url": "https://git.own.example/own.git"}}
    await engineer.apply("DevOpsProject", "own", {**SHOP, **git, **references, "registry": {"ref": {"name": "own"}}})
    await engineer.apply("DevOpsProject", "shop", SHOP)
    for name in ("own", "shop"):
        await engineer.ready("DevOpsProject", name)


async def look_at(town: Town, kind: str, name: str, token: str) -> None:
    patch = {"metadata": {"annotations": {"freeleaps.com/reconcile-at": token}}}
    await town.engineer.api.patch(named(kind), town.engineer.namespace, name, patch)


async def suffer(town: Town, parrots: dict[str, Parrot], mood: int) -> None:
    """Let every system repeat what it was told until settings of each kind have met it, then be well again."""
    engineer, name = town.engineer, f"mood-{mood}"
    for parrot in parrots.values():
        parrot.mood = mood
    # Another path is another endpoint, of which nothing is known yet: it is asked at once.
    at = {one: {"endpoint": f"{parrot.url}/{name}", "credentialsRef": {"name": one}} for one, parrot in parrots.items()}
    await engineer.apply("JenkinsSettings", name, {"projectRef": "own", **at["jenkins"]})
    await engineer.apply("ArgoSettings", name, {"projectRef": "own", **at["argocd"]})
    await engineer.apply("ContainerRegistry", name, {"namespace": "acme", **at["registry"]})
    await engineer.apply("DNSZone", name, {"domain": "acme.example", **at["dns"]})
    await engineer.deploy(f"op-{mood}")
    await look_at(town, "JenkinsSettings", "shop", name)
    met = [(kind, name) for kind in ("JenkinsSettings", "ArgoSettings", "ContainerRegistry", "DNSZone")]
    for kind, which in (*met, ("JenkinsSettings", "shop")):
        await engineer.until(kind, which, lambda body: bool(message_of(body)))
    for parrot in parrots.values():
        parrot.mood = 0
    await look_at(town, "JenkinsSettings", "shop", f"{name}-over")


async def what_left(town: Town, operator: OperatorProcess) -> AsyncIterator[tuple[str, str]]:
    """Yield everything that the operator told anybody, by where."""
    yield "log", operator.log.read_text(encoding="utf-8")
    for path in ("/metrics", "/readyz?verbose", "/livez", "/api/v1/deployments", "/api/v1/deployments?limit=x"):
        yield path, (await operator.ask(path))[1]
    for kind in (*OUR_KINDS, EVENT, CONFIG_MAP, LEASE):
        bodies, _ = await town.engineer.api.list_(kind, town.engineer.namespace)
        yield kind.kind, orjson.dumps([{**body, "spec": None} for body in bodies]).decode()
    yield "heartbeats", orjson.dumps(town.office.beats).decode()
    yield "dead letters", await headers_of_dead_letters(town)


async def headers_of_dead_letters(town: Town) -> str:
    connection = await aio_pika.connect(town.world.rabbitmq)
    async with connection:
        queue = await (await connection.channel()).get_queue("devops.dead")
        told = []
        while (letter := await queue.get(no_ack=True, fail=False)) is not None:
            told.append({name: str(value) for name, value in letter.headers.items()})
    assert told
    return orjson.dumps(told).decode()


def traces(secret: str) -> Iterator[str]:
    """Yield what any form of a secret, or of its beginning of eight characters, has in it."""
    yield secret[:8]
    raw = secret[:9].encode()
    for shift, start in ((0, 0), (1, 2), (2, 3)):
        encoded = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")
        yield encoded[start : (shift + len(raw)) * 8 // 6]


@pytest.mark.timeout(300)
async def test_no_canary_is_in_anything_that_leaves(town: Town, parrots: dict[str, Parrot], tmp_path: Path) -> None:
    engineer = town.engineer
    async with an_operator(town.environ | variables(parrots), tmp_path / "log") as operator:
        await operator.ready()
        await set_up(town, parrots)
        for mood in (401, 500, 302):
            await suffer(town, parrots, mood)
        await engineer.api.patch(named("Secret"), engineer.namespace, "jenkins", {"stringData": {"token": WRONG}})
        await engineer.until("JenkinsSettings", "own", lambda body: "CredentialsRefused" in str(status_of(body)))
        in_url = {**SHOP, "git": {"url": f"https://bot:{GIT_IN_URL}@git.acme.example/x.git"}}
        await town.office.initialize("refused", in_url, operation="op-url")
        await until(lambda: "Failed" in town.office.ends_of("op-url"), PATIENCE)
        await engineer.until("JenkinsSettings", "shop", is_ready)
        found, masked = [], set()
        async for where, told in what_left(town, operator):
            assert told, where
            masked |= {where} if "***" in told else set()
            for secret in (*OWN.values(), *USERS.values(), WRONG, GIT_IN_URL):
                found += [(where, secret, context(told, trace)) for trace in traces(secret) if trace in told]
    assert found == []
    # The systems did repeat them: without the masking they would be here.
    assert {"log", "Event", "JenkinsSettings"} <= masked


SECRET = canary("some")


@pytest.mark.parametrize(
    "told",
    [
        SECRET,
        SECRET[:9],
        quote(SECRET),
        quote_plus(SECRET),
        html.escape(SECRET),
        orjson.dumps(SECRET).decode(),
        *(base64.b64encode(f"{before}{SECRET}".encode()).decode() for before in ("", "u", "us", "user:")),
        *(base64.b64encode(f"{before}{SECRET}".encode()).decode()[:20] for before in ("", "u", "us")),
    ],
)
def test_the_search_knows_a_secret_in_every_form(told: str) -> None:
    assert any(trace in f"before {told} after" for trace in traces(SECRET))
    assert not any(trace in "a text without it" for trace in traces(SECRET))


def context(told: str, trace: str) -> str:
    """Return where a trace was found, for whoever must mend it."""
    place = told.index(trace)
    return told[max(0, place - 160) : place + 60]
