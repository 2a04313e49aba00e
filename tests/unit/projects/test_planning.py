"""Planning: the pass's own looks, over what would be stored; nothing is done, and what is in the way is told."""

from dataclasses import replace
from typing import Any

import pytest

from reconciler.domain.errors import Unavailable
from reconciler.domain.keys import Body, Key, key_of
from reconciler.domain.plans import Plan
from reconciler.domain.resources import ArgoSettings, DevOpsProject, GitCredential, JenkinsSettings
from reconciler.engine.patience import Patience
from reconciler.projects.children import Defaults
from reconciler.projects.planning import ChildrenPlanner, SettingsPlanner, patched
from support.projects import JENKINS, PROJECT, SetupWorld
from support.scene import SPACE
from support.store import MemoryStore, merged_with

GIT = "https://git.example.com/acme/shop.git"


class Draft(MemoryStore):
    """A store whose resources can be what they would be."""

    def lay(self, body: Body) -> None:
        known = self.read(key_of(body)) or {"metadata": {}}
        self.put({**body, "metadata": {**known["metadata"], **body["metadata"]}})

    def take(self, key: Key) -> None:
        self.vanish(key)


async def plan(world: SetupWorld) -> Plan:
    """Plan over a copy of the world's store."""
    draft = Draft(world.clock)
    draft._texts = dict(world.store._texts)
    setups = world.settings.setups
    setups = replace(setups, store=draft)
    body = draft.read(PROJECT)
    assert body is not None
    project = DevOpsProject(body)
    children = await ChildrenPlanner(draft, Defaults(registry={"namespace": "acme"})).plan(project)
    return children + await SettingsPlanner(draft, setups, world.clock, Patience()).plan(project)


def told(found: Plan) -> list[str]:
    return [one.text() for one in found.changes]


async def test_a_new_project_is_planned_with_all_that_its_children_would_make() -> None:
    world = SetupWorld(environments=[{"name": "alpha"}])
    found = await plan(world)
    assert told(found) == [
        "+ Environment shop--alpha",
        "+ JenkinsSettings shop",
        "+ ArgoSettings shop",
        "+ ContainerRegistry shop",
        "+ Folder freeleaps",
        "+ Job freeleaps/shop",
        "+ AppProject shop",
        "+ Repository https://git.example.com/acme/shop.git",
        "+ Repository acme/shop-api",
    ]
    assert (found.untold, world.jenkins.changes, world.store.writes) == ((), [], [])


async def test_what_the_next_pass_leaves_alone_is_not_in_the_plan_and_what_it_changes_is() -> None:
    world = SetupWorld(environments=[{"name": "alpha"}])
    for _ in range(2):
        await world.look_at_all()
    assert await plan(world) == Plan()
    world.store.edit(PROJECT, environments=[{"name": "alpha"}, {"name": "beta"}])
    assert told(await plan(world)) == [
        "+ Environment shop--beta",
        "~ AppProject shop  destinations[]: + in-cluster/shop-beta",
    ]
    world.store.edit(PROJECT, environments=[])
    assert told(await plan(world)) == [
        "- Environment shop--alpha",
        "~ AppProject shop  destinations[]: - in-cluster/shop-alpha",
    ]


async def test_what_stands_in_the_way_is_told_and_the_rest_is_planned() -> None:
    world = SetupWorld()
    world.jenkins.outage = Unavailable("refused", system="jenkins")
    found = await plan(world)
    assert [one.resource for one in found.untold] == ["JenkinsSettings shop"]
    assert "refused" in found.untold[0].why
    assert "+ AppProject shop" in told(found)


@pytest.mark.parametrize(("policy", "expected"), [("Repair", 1), ("Report", 1), ("Ignore", 0)])
async def test_drift_is_planned_as_the_policy_says(policy: str, expected: int) -> None:
    world = SetupWorld(driftPolicy=policy)
    for _ in range(2):
        await world.look_at_all()
    del world.jenkins.jobs["freeleaps/shop"]
    found = await plan(world)
    assert len(found.changes) == expected
    assert any("only reported" in note for note in found.notes) is (policy == "Report")


async def test_what_has_a_former_name_is_planned_to_go_even_while_it_is_used() -> None:
    world = SetupWorld(jenkinsRef={"name": "own"}, argoRef={"name": "own"})
    world.add(JenkinsSettings, "own", job="one")
    world.add(ArgoSettings, "own", project="old")
    for _ in range(2):
        await world.look_at_all()
    world.store.edit(Key("JenkinsSettings", SPACE, "own"), folder="teams", job="two")
    world.store.edit(Key("ArgoSettings", SPACE, "own"), project="new")
    world.jenkins.building.add("freeleaps/one")
    world.argo.users[GIT, "old"] = ("shop--alpha--api",)
    found = await plan(world)
    assert told(found) == [
        "+ Folder teams",
        "+ Job teams/two",
        "- Job freeleaps/one",
        "+ AppProject new",
        f"+ Repository {GIT}",
        f"- Repository {GIT}",
        "- AppProject old",
    ]
    assert found.untold == ()
    assert set(world.jenkins.jobs) == {"freeleaps/one"}


async def test_credentials_that_are_still_to_be_handed_on_are_planned() -> None:
    world = SetupWorld()
    world.add(GitCredential, "git", urlPrefix="https://git.example.com", secretRef={"name": "git"})
    for _ in range(2):
        await world.look_at_all()
    assert await plan(world) == Plan()
    world.accounts.git_version = "uid-1/2"
    assert told(await plan(world)) == ["~ Credential freeleaps/shop-git", f"~ Repository {GIT}"]
    await world.look_at_all()
    assert await plan(world) == Plan()


async def test_a_git_address_that_has_not_reached_the_systems_is_planned() -> None:
    world = SetupWorld()
    for _ in range(2):
        await world.look_at_all()
    moved = GIT.replace("acme", "moved")
    world.store.edit(PROJECT, git={"url": moved})
    assert told(await plan(world)) == [
        f"~ Job freeleaps/shop  git_url: {GIT} -> {moved}",
        f"~ AppProject shop  source_repos[]: - {GIT}; source_repos[]: + {moved}",
        f"+ Repository {moved}",
        f"- Repository {GIT}",
    ]


async def test_what_is_paused_is_noted() -> None:
    world = SetupWorld()
    await world.look_at_all()
    world.store.annotate(JENKINS, paused="true")
    assert "JenkinsSettings shop is paused" in (await plan(world)).notes[0]


@pytest.mark.parametrize(
    ("have", "patch"),
    [({"a": 1, "b": {"c": 2}}, {"b": {"c": None, "d": 3}}), ({}, {"a": {"b": 1}}), ({"a": 1}, {"a": None})],
)
def test_a_merge_patch_is_applied_as_the_api_server_does(have: Any, patch: Any) -> None:
    assert patched(have, patch) == merged_with(have, patch)
