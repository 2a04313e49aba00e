"""In every weather each call of the Argo CD client succeeds or raises an error of ours."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import timedelta

import pytest

from reconciler.clients.argocd import ArgoCD as Client
from reconciler.clients.argocd import ArgoSession, translator
from reconciler.clients.endpoint import Bounds, Endpoint
from reconciler.domain.errors import OutcomeUnknown, RateLimited, ReconcilerError, Unavailable
from reconciler.domain.outside.builds import GitLogin
from reconciler.resilience.breaker import Breaker, Rules
from reconciler.sandbox.argocd import ArgoCD
from reconciler.sandbox.weather import Strike, Weather
from support.argocd import GIT, IMAGE, NAME, NONE, OURS, PROJECT, SHAPE

ROUNDS = 6


async def first_event(client: Client) -> object:
    """Return the first event; a stream without applications has none."""
    with suppress(TimeoutError):
        async with asyncio.timeout(1.5), aclosing(client.watch_applications()) as events:
            return await anext(events)
    return None


CALLS: dict[str, Callable[[Client], Awaitable[object]]] = {
    "version": lambda it: it.version(),
    "find_project": lambda it: it.find_project("shop"),
    "create_project": lambda it: it.create_project(PROJECT, OURS),
    "update_project": lambda it: it.update_project(PROJECT, OURS),
    "find_repository": lambda it: it.find_repository(GIT, "shop"),
    "apply_repository": lambda it: it.apply_repository(GIT, GitLogin("g", "bot", "secret"), "shop"),
    "delete_repository": lambda it: it.delete_repository(GIT, "shop"),
    "find_application": lambda it: it.find_application("shop", NAME),
    "create_application": lambda it: it.create_application(SHAPE, OURS, NONE, "e"),
    "list_applications": lambda it: it.list_applications(["shop"]),
    "set_image": lambda it: it.set_image("shop", NAME, IMAGE, expected_epoch="e", epoch="e"),
    "reshape": lambda it: it.reshape("shop", NAME, SHAPE, OURS, expected_epoch="e", epoch="e"),
    "start_sync": lambda it: it.start_sync("shop", NAME, "r", revision=None, prune=True),
    "refresh": lambda it: it.refresh("shop", NAME),
    "terminate": lambda it: it.terminate("shop", NAME),
    "watch_applications": first_event,
    "delete_application": lambda it: it.delete_application("shop", NAME),
    "delete_project": lambda it: it.delete_project("shop"),
}


@asynccontextmanager
async def patient(server: ArgoCD) -> AsyncIterator[Client]:
    """Connect with a breaker that never opens and no rest after a 429: every call is to meet the weather."""
    bounds = Bounds(timeout=timedelta(seconds=5), limited_for=timedelta(0))
    breaker = Breaker("argocd", rules=Rules(failures=10_000, calls=10_000))
    login = Endpoint("argocd", server.url, translate=translator(), bounds=bounds, breaker=breaker)
    session = ArgoSession(asks=login, username="admin", password="argocd-password")
    endpoint = Endpoint(
        "argocd", server.url, authorization=session, translate=translator(), bounds=bounds, breaker=breaker
    )
    try:
        yield Client(endpoint, session=session)
    finally:
        await endpoint.close()
        await login.close()


@pytest.mark.parametrize("weather", Weather)
async def test_each_call_succeeds_or_raises_an_error_of_ours(weather: Weather) -> None:
    server = ArgoCD(seed=7)
    await server.start()
    server.faults.weather = weather
    outcomes: Counter[str] = Counter()
    try:
        async with patient(server) as client:
            if weather is Weather.SLOW:  # all at once: a slow system is asked by many
                outcomes.update(await asyncio.gather(*(outcome(call, client) for call in CALLS.values())))
            else:
                for call in [*CALLS.values()] * ROUNDS:
                    outcomes[await outcome(call, client)] += 1
    finally:
        await server.stop()
    print(weather, dict(outcomes))
    assert (outcomes["ok"] > 0) is (weather is not Weather.DOWN)
    assert {Weather.DOWN: "Unavailable", Weather.RATE_LIMITED: "RateLimited"}.get(weather, "ok") in outcomes


async def outcome(call: Callable[[Client], Awaitable[object]], client: Client) -> str:
    try:
        await call(client)
    except ReconcilerError as error:
        return type(error).__name__
    return "ok"


async def test_a_lost_answer_to_a_change_is_an_unknown_outcome_and_to_a_read_is_not() -> None:
    server = ArgoCD()
    await server.start()
    try:
        async with patient(server) as client:
            await client.create_project(PROJECT, OURS)
            await client.create_application(SHAPE, OURS, NONE, "e")
            server.faults.plan(Strike.LOSE_ANSWER, method="POST", path="/sync")
            with pytest.raises(OutcomeUnknown):
                await client.start_sync("shop", NAME, "r", revision=None, prune=True)
            server.faults.plan(Strike.LOSE_ANSWER, method="GET", times=2)
            with pytest.raises(Unavailable) as lost:
                await client.find_application("shop", NAME)
            assert not isinstance(lost.value, OutcomeUnknown)
            server.faults.plan(Strike.LIMIT)
            with pytest.raises(RateLimited):
                await client.find_application("shop", NAME)
    finally:
        await server.stop()
