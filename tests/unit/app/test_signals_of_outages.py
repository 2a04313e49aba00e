"""Who waits for a system that is away looks when it is back; meanwhile a few find out whether it is."""

from datetime import datetime
from typing import Any

from reconciler.app.endpoints import Endpoints
from reconciler.app.signals import Signals
from reconciler.domain.keys import Body, key_of
from reconciler.operator.cache import Cache
from reconciler.operator.store import Store
from reconciler.settings import Settings
from reconciler.telemetry.metrics import Metrics
from support.moments import EIGHT, ManualClock

SPACE = "shop"


def resource(kind: str, name: str, **status: Any) -> Body:
    metadata = {"name": name, "namespace": SPACE, "uid": name, "resourceVersion": "1"}
    return {"kind": kind, "apiVersion": "freeleaps.com/v1alpha1", "metadata": metadata, "spec": {}, "status": status}


def waits(system: str, at: str, state: str = "Waiting") -> Body:
    return {"name": "one", "state": state, "system": system, "nextLookAt": f"2026-11-23T08:{at}:00Z"}


def signals_of(*bodies: Body) -> Signals:
    cache = Cache()
    for body in bodies:
        cache.remember(body)
    return Signals(Store(None, cache), lambda _: None, lambda _: None)  # type: ignore[arg-type]


def test_who_waits_for_a_system_is_known_by_when_they_look_again() -> None:
    late = resource("DeploymentRecord", "late", phase="Running", stages=[waits("argocd", "09"), waits("argocd", "30")])
    soon = resource("Environment", "soon", steps=[waits("dns", "01"), waits("argocd", "05")])
    others = (
        resource("DeploymentRecord", "done", phase="Failed", stages=[waits("argocd", "01")]),
        resource("DeploymentRecord", "passed", phase="Running", stages=[waits("argocd", "01", "Done")]),
        resource("ArgoSettings", "elsewhere", steps=[waits("jenkins", "01")]),
        resource("DevOpsProject", "new"),
    )
    assert signals_of(late, soon, *others).waiting_for("argocd") == [key_of(soon), key_of(late)]


async def test_a_breaker_that_opens_tells_when_it_probes_next_and_one_that_closes_that_it_is_back() -> None:
    told: list[tuple[str, datetime | None]] = []
    clock, outside = ManualClock(), Settings().outside
    endpoints = Endpoints(outside, clock, str, Metrics(), lambda system, at: told.append((system, at)))
    breaker = endpoints.make("argocd", "http://127.0.0.1:9", Settings().argocd).breaker
    for _ in range(outside.breaker_failures):
        breaker.admit().failed()
    (system, probe_at), *_ = told
    assert system == "argocd"
    assert probe_at is not None
    clock.advance((probe_at - EIGHT).total_seconds())
    breaker.check()
    breaker.admit().passed()
    assert told == [("argocd", probe_at), ("argocd", None)]
    await endpoints.close()
