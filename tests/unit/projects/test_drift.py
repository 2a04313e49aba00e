"""Drift: what somebody changed outside is put right, told or ignored as the project says, and no fight goes unseen."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from reconciler.domain.changes import Action, Change
from reconciler.domain.drift import DriftRules, as_repair, as_reported
from reconciler.domain.keys import Body
from reconciler.domain.outside.images import ImageRepository
from reconciler.domain.resources import ArgoSettings, ContainerRegistry, DriftState, GitCredential, JenkinsSettings
from reconciler.reporting.happenings import happenings
from support.moments import EIGHT
from support.projects import ARGO, JENKINS, PROJECT, REGISTRY, SetupWorld
from support.scene import environment

JOB = "freeleaps/shop"
BRANCH = "~ Job freeleaps/shop  branch: theirs -> main"


async def set_up(**spec: Any) -> SetupWorld:
    world = SetupWorld(**spec)
    world.add(JenkinsSettings)
    await world.settings.look(JENKINS)
    return world


def meddle(world: SetupWorld, branch: str = "theirs") -> None:
    job = world.jenkins.jobs[JOB]
    assert job.shape is not None
    world.jenkins.jobs[JOB] = replace(job, shape=replace(job.shape, branch=branch))


async def poll(world: SetupWorld, seconds: float = 300) -> Body:
    """Let a poll go by and return the body before it."""
    before = world.store.read(JENKINS)
    assert before is not None
    world.clock.advance(seconds)
    await world.settings.look(JENKINS)
    return before


def told(world: SetupWorld, before: Body) -> dict[str, str]:
    after = world.store.read(JENKINS)
    assert after is not None
    return {one.reason: one.message for one in happenings(before, after) if "Drift" in one.reason}


def drift(world: SetupWorld) -> list[tuple[str, str, int]]:
    return [(one["change"], one["state"], one["times"]) for one in world.store.status(JENKINS)["drift"]]


async def test_drift_is_put_right_and_told_with_its_field() -> None:
    world = await set_up()
    meddle(world)
    seen: list[Body] = [world.store.read(JENKINS) or {}]
    world.store.after_write = lambda: seen.append(world.store.read(JENKINS) or {})
    await poll(world)
    assert world.jenkins.changes[-1] == "update freeleaps/shop"
    assert drift(world) == [(BRANCH, "Repaired", 1)]
    reasons = [one.reason for before, after in pairwise(seen) for one in happenings(before, after)]
    assert reasons.count("DriftRepaired") == 1
    assert world.conditions(JENKINS)["Ready"] == ("True", "Ready")
    assert "Drifted" not in world.conditions(JENKINS)


async def test_what_was_removed_outside_is_made_again_and_told() -> None:
    world = await set_up()
    world.jenkins.jobs.clear()
    await poll(world)
    assert drift(world) == [("+ Job freeleaps/shop", "Repaired", 1)]
    assert set(world.jenkins.jobs) == {JOB}


async def test_reported_drift_changes_nothing_outside_and_stands_in_the_status() -> None:
    world = await set_up(driftPolicy="Report")
    changes = list(world.jenkins.changes)
    meddle(world)
    before = await poll(world)
    assert world.jenkins.changes == changes
    assert drift(world) == [(BRANCH, "Reported", 0)]
    assert world.conditions(JENKINS)["Drifted"] == ("True", "Drifted")
    assert world.conditions(JENKINS)["Ready"] == ("True", "Drifted")
    assert told(world, before) == {"Drifted": f"{BRANCH}; nothing is changed: driftPolicy is Report"}


async def test_reported_drift_is_told_once_and_its_end_too() -> None:
    world = await set_up(driftPolicy="Report")
    meddle(world)
    await poll(world)
    writes = len(world.store.writes)
    before = await poll(world)
    assert (told(world, before), len(world.store.writes)) == ({}, writes)
    meddle(world, branch="main")
    before = await poll(world)
    assert told(world, before) == {"DriftEnded": f"is as wanted again: {BRANCH}"}
    assert world.conditions(JENKINS)["Drifted"] == ("False", "AsWanted")
    assert drift(world) == []


async def test_a_changed_spec_is_carried_out_whatever_is_done_about_drift() -> None:
    world = await set_up(driftPolicy="Report")
    world.store.edit(PROJECT, git={"url": "https://git.example.com/acme/shop.git", "branch": "next"})
    await world.settings.look(JENKINS)
    job = world.jenkins.jobs[JOB]
    assert job.shape is not None
    assert job.shape.branch == "next"
    assert world.store.status(JENKINS)["drift"] == []


async def test_ignored_drift_is_not_even_looked_at() -> None:
    world = await set_up(driftPolicy="Ignore")
    questions = world.jenkins.questions
    meddle(world)
    await poll(world)
    assert world.jenkins.questions == questions
    assert world.store.status(JENKINS)["drift"] == []
    assert world.conditions(JENKINS)["Ready"] == ("True", "Ready")


async def test_reported_drift_is_put_right_when_the_policy_says_so() -> None:
    world = await set_up(driftPolicy="Report")
    meddle(world)
    await poll(world)
    world.store.edit(PROJECT, driftPolicy="Repair")
    await poll(world)
    assert drift(world) == [(BRANCH, "Repaired", 1)]
    assert world.conditions(JENKINS)["Drifted"] == ("False", "AsWanted")


async def test_a_new_environment_is_no_drift() -> None:
    world = SetupWorld(driftPolicy="Report")
    world.add(ArgoSettings)
    await world.settings.look(ARGO)
    world.store.put(environment("alpha"))
    await world.settings.look(ARGO)
    assert world.argo.changes[-1] == "update shop"
    assert world.store.status(ARGO)["drift"] == []


async def test_a_new_git_credential_is_no_drift() -> None:
    world = await set_up(driftPolicy="Report")
    world.add(GitCredential, "git", urlPrefix="https://git.example.com", secretRef={"name": "git"})
    await world.settings.look(JENKINS)
    assert world.jenkins.changes[-1] == "update freeleaps/shop"
    assert world.store.status(JENKINS)["drift"] == []


async def test_each_projects_policy_holds_in_a_shared_registry() -> None:
    world = SetupWorld(driftPolicy="Report")
    world.add(ContainerRegistry, namespace="acme")
    await world.settings.look(REGISTRY)
    world.repositories.names.clear()
    world.clock.advance(300)
    await world.settings.look(REGISTRY)
    assert world.repositories.names == {}
    assert world.store.status(REGISTRY)["drift"][0]["change"] == "+ Repository acme/shop-api"
    world.repositories.names["acme/shop-api"] = ImageRepository("acme/shop-api")
    world.clock.advance(300)
    await world.settings.look(REGISTRY)
    assert world.store.status(REGISTRY)["drift"] == []


async def fight(world: SetupWorld, rounds: int) -> list[int]:
    """Undo each repair before the next poll; return in which polls there was a repair."""
    repaired = []
    for number in range(rounds):
        meddle(world)
        repairs = len(world.jenkins.changes)
        await poll(world)
        if len(world.jenkins.changes) > repairs:
            repaired.append(number)
    return repaired


async def test_a_repair_that_is_undone_again_and_again_backs_off_and_names_the_field() -> None:
    world = await set_up()
    repaired = await fight(world, 26)
    assert repaired[:3] == [0, 1, 2]
    pauses = [later - sooner for sooner, later in pairwise(repaired[2:])]
    assert pauses == [3, 6, 12], "a quarter of the window, then half of it, then all of it"
    assert world.conditions(JENKINS)["Stalled"] == ("True", "DriftFought")
    waiting = world.store.status(JENKINS)["waitingFor"]
    assert "branch of Job freeleaps/shop" in waiting
    assert drift(world)[0][:2] == (BRANCH, "Fought")


async def test_a_fight_that_ends_is_told_and_all_is_ready_again() -> None:
    world = await set_up()
    await fight(world, 4)
    meddle(world, branch="main")
    before = await poll(world, 900)
    assert told(world, before) == {"DriftEnded": f"is as wanted again: {BRANCH}"}
    assert world.conditions(JENKINS)["Ready"] == ("True", "Ready")


async def test_repairs_that_last_are_no_fight() -> None:
    world = await set_up()
    for _ in range(6):
        meddle(world)
        await poll(world)
        await poll(world, 3700)
    assert drift(world) == [(BRANCH, "Repaired", 1)]


@pytest.mark.parametrize(("times", "minutes"), [(1, 0), (2, 0), (3, 15), (4, 30), (5, 60), (50, 60)])
def test_pauses_grow_up_to_the_window(times: int, minutes: int) -> None:
    entries = as_repair([], "job", Change("jenkins", "Job", "a", Action.UPDATE), EIGHT, DriftRules())
    entry = entries[0].model_copy(update={"times": times})
    assert DriftRules().pause_until(entry) == EIGHT + timedelta(minutes=minutes)


def test_at_most_twenty_are_kept_and_history_goes_first() -> None:
    change = Change("jenkins", "Job", "a", Action.UPDATE)
    entries = as_reported([], "standing", change, EIGHT)
    for number in range(30):
        entries = as_repair(entries, f"job-{number}", change, EIGHT, DriftRules())
        entries[-1] = entries[-1].model_copy(update={"state": DriftState.REPAIRED})
    assert len(entries) == 20
    assert entries[0].step == "standing"
