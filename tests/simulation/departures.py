"""Who is asked to go, and what is made anew under the same name; now and then what was made is out of reach for long.

A deletion that takes too long ends all the same (rule 7). Half an hour is longer than the bad weather of a run, so the
deadline is shorter in the runs in which a system is away for longer than it.
"""

# ruff: noqa: S311 - dice, not secrets

from collections.abc import Callable
from dataclasses import replace
from random import Random

from tests.simulation.replica import Outside
from tests.simulation.world import SPACE, World

from reconciler.domain.keys import Key

_AWAY = ("down", "down", "hanging", "denied")
_SHARE = 0.08
"""Of the runs in which something is left behind."""
_LAST_BEGIN = 900.0
"""So many seconds before all is calm the last deletion of this sort begins."""


class Departures:
    """The deletions of one run, drawn from dice of their own, so that other runs stay what they were."""

    def __init__(self, world: World, outside: Outside) -> None:
        self._world, self._outside = world, outside
        self._make_anew: Callable[[float], None] = lambda _: None
        self._leaves_behind = dice = Random(f"leftovers {world.seed}")
        self._away = ""
        if dice.random() < _SHARE:
            self._away = dice.choice(("argocd", "argocd", "jenkins", "dns"))
            self._deadline = dice.uniform(240, 420)
            outside.shorten_deletions(self._deadline)

    def plan(self, make_anew: Callable[[float], None]) -> None:
        """Put it on the clock; `make_anew` has the project made again at a moment, in seconds."""
        self._make_anew = make_anew
        at, until = self._world.loop.call_in_world, self._world.calm_at
        if self._away:
            dice = self._leaves_behind
            leave = dice.choice((self._delete_project, self._delete_project, self._delete_alpha))
            at(dice.uniform(200, until - _LAST_BEGIN), leave)
            return
        dice = Random(f"rebirth {self._world.seed}")
        if dice.random() > 0.12:
            return
        begins = dice.uniform(100, until * 0.8)
        at(begins, self._delete_project)
        if dice.random() < 0.8:
            self._make_anew(begins + dice.choice((1, 20, 120, 600)) * dice.uniform(0.5, 1.5))

    def delete_environment(self, name: str) -> None:
        """Have somebody delete an environment."""
        self._world.note(f"somebody deletes {name}")
        self._outside.kube.remove(Key("Environment", SPACE, name))

    def _delete_alpha(self) -> None:
        """Delete an environment that the project makes anew at once."""
        self._put_out_of_reach()
        self.delete_environment("shop--alpha")

    def _delete_project(self) -> None:
        """Delete it, be it there or being set up; wait for it where it is not there yet."""
        if self._outside.kube.get("DevOpsProject", "shop") is None:
            self._world.loop.call_in_world(60, self._delete_project)
            return
        self._world.note("somebody deletes project shop", count="projects deleted")
        self._outside.oracles.project_was_deleted = True
        if self._away:
            self._put_out_of_reach()
            dice, now = self._leaves_behind, self._world.loop.time()
            if dice.random() < 0.8:
                self._make_anew(now + dice.choice((60.0, self._deadline + 20, self._deadline + 200)))
        self._outside.kube.remove(Key("DevOpsProject", SPACE, "shop"))

    def _put_out_of_reach(self) -> None:
        """Let a system be away from now on until after the deadline; now and then somebody takes a name there."""
        dice, now = self._leaves_behind, self._world.loop.time()
        for_long = self._deadline + dice.uniform(30, 400)
        self._world.weather.keep_away(self._away, now, now + for_long, dice.choice(_AWAY))
        self._world.note(f"{self._away} is away for {for_long:.0f} s, deletions end after {self._deadline:.0f} s")
        if dice.random() < 0.3:
            taken = dice.uniform(10, for_long)
            self._world.loop.call_in_world(taken, self._take_a_name)

    def _take_a_name(self) -> None:
        """Have somebody else remove what we left, make something of the same name, and tidy it away much later."""
        project = self._outside.argo.projects.get("shop")
        if project is not None:
            self._world.note("somebody else makes an AppProject shop of their own")
            self._outside.argo.keep_project(replace(project, marker=None))
            self._world.loop.call_in_world(1000, self._give_the_name_back)

    def _give_the_name_back(self) -> None:
        project = self._outside.argo.projects.get("shop")
        if project is not None and project.marker is None:
            self._outside.argo.forget_project("shop")
