import asyncio
from datetime import timedelta

import pytest

from reconciler.resilience.breaker import State
from reconciler.telemetry.loop_lag import measure_lag
from reconciler.telemetry.metrics import BREAKER_STATES, Metrics


def fill(metrics: Metrics) -> None:
    metrics.look_ended("deployments", "done", waited=timedelta(0), took=timedelta(seconds=1))
    metrics.agenda(due={"deployments": 1}, running={"deployments": 2}, scheduled=3, parked=0)
    metrics.bug_met("KeyError")
    metrics.requests_of("jenkins")("start_build", "ok", 0.1)
    metrics.kubernetes_asked("get", "Environment", "200")
    metrics.breaker_turned("argocd", "open")
    metrics.breaker_is("argocd", lambda: "open")
    metrics.permits_are("argocd", in_use=lambda: 3, waiting=lambda: 0)
    metrics.limiter_is("dns", left=lambda: 1, free_in=lambda: 0, waiting=lambda: 0)
    metrics.message_settled("", "dead")
    metrics.heartbeat_sent("confirmed")
    metrics.work_is(heard_of=lambda: 4, left=lambda: 1)
    metrics.deployment_ended("Succeeded")
    metrics.stage_ended("build", "Done", 61.0)
    metrics.connected("rabbitmq", is_connected=True)
    metrics.proof_is("messages", lambda: 3.0)
    metrics.part_restarted("messages")
    metrics.leftover("jenkins", "left")
    metrics.loop_lagged(0.002)


def test_every_declared_metric_can_be_told_and_is_rendered() -> None:
    metrics = Metrics()
    fill(metrics)
    text = metrics.render().decode()
    for declared in metrics.declared():
        sample = declared.name + ("_count" if declared.kind == "histogram" else "")
        assert f"\n{sample}" in text, declared.name
    assert 'reconciler_endpoint_requests_total{operation="start_build",outcome="ok",system="jenkins"} 1.0' in text
    assert 'reconciler_breaker_state{system="argocd"} 2.0' in text
    assert 'reconciler_messages_total{outcome="dead",type="unknown"} 1.0' in text


def test_two_sets_of_metrics_do_not_meet() -> None:
    first, second = Metrics(), Metrics()
    first.deployment_ended("Failed")
    assert b'reconciler_deployments_total{end="Failed"}' not in second.render()


def test_each_metric_is_declared_once_with_a_sentence() -> None:
    declared = Metrics().declared()
    assert len({metric.name for metric in declared}) == len(declared)
    assert all(metric.help.endswith(".") for metric in declared)


def test_every_state_of_a_breaker_has_a_number() -> None:
    assert set(BREAKER_STATES) == {state.value for state in State}


async def test_a_loop_that_was_held_up_is_late() -> None:
    lags: asyncio.Queue[float] = asyncio.Queue()
    measuring = asyncio.ensure_future(measure_lag(lags.put_nowait, every=0.001))
    assert await lags.get() >= 0
    measuring.cancel()
    with pytest.raises(asyncio.CancelledError):
        await measuring
