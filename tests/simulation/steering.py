"""People who steer by annotations: they have an environment live longer, pin it, or pause something for a while."""

# ruff: noqa: S311 - dice, not secrets

from random import Random

from tests.simulation.replica import Outside
from tests.simulation.world import SPACE, World

from reconciler.domain.annotations import EXTEND, PAUSED, PINNED
from reconciler.domain.keys import Key

_ENVIRONMENTS = ("shop--alpha", "shop--alpha", "shop--pr-1")
_PAUSED = ("Environment",) * 4 + ("DeploymentRecord", "DevOpsProject", "JenkinsSettings", "ArgoSettings")


class Steering:
    """What they do, drawn from dice of their own; all of it is over when all is calm."""

    def __init__(self, world: World, outside: Outside) -> None:
        self._world, self._outside = world, outside
        self._dice = Random(f"steering {world.seed}")

    def move_in(self) -> None:
        """Put it on the clock."""
        dice, until = self._dice, self._world.calm_at
        for _ in range(dice.choice((0, 0, 0, 1, 2))):
            act = dice.choice((self._extend, self._pin, self._pause, self._pause))
            self._world.loop.call_in_world(dice.uniform(60, until - 60), act)

    def _extend(self) -> None:
        self._annotate(self._environment(), EXTEND, f"{self._dice.choice((2, 10, 60))}m/{self._world.loop.time():.0f}")

    def _pin(self) -> None:
        self._hold(self._environment(), PINNED)

    def _pause(self) -> None:
        """Mostly where something is being deployed."""
        kind, objects = self._dice.choice(_PAUSED), self._outside.kube.objects
        there = [key for key in objects if key.kind == kind]
        busy = [key for key in there if (objects[key].get("status") or {}).get("holder")]
        if there:
            self._hold(self._dice.choice(busy or there), PAUSED)

    def _hold(self, key: Key, annotation: str) -> None:
        """Set what lasts until it is taken off again."""
        seconds = self._dice.choice((20.0, 300.0, 600.0)) * self._dice.uniform(0.5, 1.5)
        seconds = min(seconds, self._world.calm_at - self._world.loop.time())
        self._annotate(key, annotation, "true")
        self._world.loop.call_in_world(seconds, self._annotate, key, annotation, None)

    def _annotate(self, key: Key, annotation: str, value: str | None) -> None:
        if key not in self._outside.kube.objects:
            return
        self._world.note(f"somebody sets {annotation} of {key.name} to {value}", count="steered")
        self._outside.oracles.steered(key, annotation, value)
        self._outside.kube.edit(key, {"metadata": {"annotations": {annotation: value}}})

    def _environment(self) -> Key:
        return Key("Environment", SPACE, self._dice.choice(_ENVIRONMENTS))
