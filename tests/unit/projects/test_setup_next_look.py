"""When a set-up is looked at again: by the first step that is not done; what stands behind it was not asked."""

from datetime import timedelta

from reconciler.domain.answers import Done
from reconciler.domain.resources import ArgoSettings, SetupStep, StepState
from reconciler.domain.resources.settings import SettingsStatus
from reconciler.engine.patience import Patience
from reconciler.projects.setup import SetupLook, SetupWork
from support.moments import ManualClock


async def _done() -> Done:
    return Done({})


def test_the_past_promise_of_a_step_that_is_not_reached_brings_no_look() -> None:
    clock = ManualClock()
    later = clock.now() + timedelta(seconds=30)
    steps = [
        SetupStep(name="folder", state=StepState.WAITING, next_look_at=later),
        SetupStep(name="job", state=StepState.WAITING, next_look_at=clock.now() - timedelta(seconds=30)),
    ]
    body = {
        "apiVersion": "freeleaps.com/v1alpha1",
        "kind": "ArgoSettings",
        "metadata": {"name": "shop", "namespace": "ns", "uid": "u", "resourceVersion": "1", "generation": 1},
        "spec": {"projectRef": "shop", "project": "shop"},
    }
    looks = [SetupLook(step.name, _done) for step in steps]
    work = SetupWork(ArgoSettings(body), SettingsStatus(), looks, store=None, clock=clock, patience=Patience())  # type: ignore[arg-type]  # nothing is stored
    assert work._rendered(steps).next_look_at == later
