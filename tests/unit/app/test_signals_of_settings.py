"""Settings and projects have each other look where one uses the other, however many others there are."""

import pytest

from reconciler.domain.keys import Body, Key
from reconciler.domain.resources import ContainerRegistry, DeploymentRecord, DevOpsProject, DNSZone, Environment
from reconciler.domain.resources.common import api_object
from support.signals import SPACE, Office

SHOP, OTHER = Key("DevOpsProject", SPACE, "shop"), Key("DevOpsProject", SPACE, "other")
GENERATION = {"generation": 1}


def project(name: str, **spec: object) -> Body:
    return api_object(
        DevOpsProject, name, SPACE, {"git": {"url": "https://git.example.com/x.git"}, **spec}, **GENERATION
    )


def registry(name: str, **status: object) -> Body:
    return {**api_object(ContainerRegistry, name, SPACE, {}, **GENERATION), "status": status}


@pytest.fixture
def office() -> Office:
    office = Office()
    office.keep(project("shop", registry={"ref": {"name": "common"}}))
    office.keep(project("other"))
    for name in ("common", "other"):
        office.keep(registry(name))
        office.keep(api_object(DNSZone, name, SPACE, {"domain": "example.com"}, **GENERATION))
    office.told.clear()
    return office


def test_only_the_projects_that_use_settings_look_when_those_change(office: Office) -> None:
    common = office.keep(registry("common", detail="reached"))
    assert office.told == {common, SHOP}
    office.told.clear()
    own = office.keep(registry("other", detail="reached"))
    assert office.told == {own, OTHER}


def test_a_project_that_is_made_has_only_the_settings_look_that_it_uses(office: Office) -> None:
    new = office.keep(project("new", registry={"ref": {"name": "common"}}))
    assert office.told == {new, Key("ContainerRegistry", SPACE, "common")}


def test_settings_that_a_project_uses_no_more_look(office: Office) -> None:
    body = project("shop")
    shop = office.keep({**body, "metadata": {**body["metadata"], "generation": 2}})
    assert office.told == {shop, Key("ContainerRegistry", SPACE, "common")}


def test_who_waits_for_a_zone_of_whatever_project_looks_when_one_comes(office: Office) -> None:
    record = {"operationId": "op-1", "projectRef": "shop", "environment": "alpha", "revision": "4" * 40}
    waiting = office.keep(api_object(DeploymentRecord, "op-1", SPACE, record))
    office.told.clear()
    office.keep(api_object(DNSZone, "new", SPACE, {"domain": "example.org"}, **GENERATION))
    assert waiting in office.told


def test_a_zone_that_waits_for_its_environments_to_go_looks_when_one_has_gone(office: Office) -> None:
    body = api_object(DNSZone, "other", SPACE, {"domain": "example.com"}, **GENERATION)
    zone = office.keep({**body, "metadata": {**body["metadata"], "deletionTimestamp": "2026-11-28T08:00:00Z"}})
    alpha = office.keep(api_object(Environment, "shop--alpha", SPACE, {"projectRef": "shop", "name": "alpha"}))
    office.told.clear()
    office.cache.forget(alpha, 1000)
    assert zone in office.told
