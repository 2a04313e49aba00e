"""What is left of ours and what others lost is found by the simulators' own lists, by name."""

from collections.abc import Iterator

import pytest

from reconciler.sandbox.godaddy.zone import Record
from reconciler.sandbox.jenkins.configuration import read_configuration
from reconciler.sandbox.jenkins.items import Folder, make_item
from reconciler.sandbox.remains import plant_foreign, remains, standing
from reconciler.sandbox.world import DOMAIN, World

FOLDER = b"<com.cloudbees.hudson.plugins.folder.Folder/>"
JOB = b"<flow-definition/>"


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    plant_foreign(world)
    yield world
    world._folder.cleanup()


def test_an_untouched_world_has_nothing_of_ours_and_all_of_others(world: World) -> None:
    found = remains(world, standing(world))
    assert list(found.problems) == []
    assert "GoDaddy: nothing of ours is left, 6 of others' untouched" in list(found.text())


def test_what_is_left_is_named_with_the_folder_that_it_is_in(world: World) -> None:
    before = standing(world)
    folder = make_item("freeleaps", world.jenkins.root, read_configuration(FOLDER))
    assert isinstance(folder, Folder)
    make_item("shop", folder, read_configuration(JOB))
    world.jenkins.stores.of(folder).entries["shop-git"] = read_configuration(JOB).root
    world.godaddy.zone(DOMAIN).set([*world.godaddy.zone(DOMAIN).records, Record("TXT", "_freeleaps-a.shop", "x", 600)])
    assert sorted(remains(world, before).problems) == [
        "left in GoDaddy: TXT _freeleaps-a.shop x 600",
        "left in Jenkins: Credential freeleaps/shop-git",
        "left in Jenkins: Folder freeleaps",
        "left in Jenkins: Job freeleaps/shop",
    ]


def test_what_others_lost_or_what_was_changed_of_theirs_is_named(world: World) -> None:
    before, zone = standing(world), world.godaddy.zone(DOMAIN)
    del world.jenkins.root.children["nightly"]
    zone.set([Record(one.type, one.name, "elsewhere", one.ttl) if one.name == "www" else one for one in zone.records])
    assert sorted(remains(world, before).problems) == [
        "foreign, lost in GoDaddy: CNAME www @ 3600",
        "foreign, lost in Jenkins: Job nightly (Nightly, by the platform team)",
        "left in GoDaddy: CNAME www elsewhere 3600",
    ]
