"""Who refers to a Secret looks when it changes, and so does who waits for what it opens; nobody else does."""

import pytest

from reconciler.domain.keys import Body, Key
from reconciler.domain.resources import DeploymentRecord, Environment, GitCredential, JenkinsSettings
from reconciler.domain.resources.common import api_object
from support.signals import SPACE, Office


@pytest.fixture
def office() -> Office:
    office = Office()
    record = {"operationId": "op-1", "projectRef": "shop", "environment": "alpha", "revision": "4" * 40}
    office.keep(api_object(DeploymentRecord, "op-1", SPACE, record))
    office.keep(api_object(DeploymentRecord, "op-2", SPACE, {**record, "projectRef": "other"}))
    office.keep(api_object(Environment, "shop--alpha", SPACE, {"projectRef": "shop", "name": "alpha"}))
    return office


def settings(name: str, secret: str) -> Body:
    return api_object(JenkinsSettings, name, SPACE, {"projectRef": "shop", "credentialsRef": {"name": secret}})


RECORD, ENVIRONMENT = Key("DeploymentRecord", SPACE, "op-1"), Key("Environment", SPACE, "shop--alpha")


def test_settings_and_what_waits_for_them_look(office: Office) -> None:
    own = office.keep(settings("own", "ci"))
    assert office.change("ci") == {own, RECORD, ENVIRONMENT}
    assert office.change("something-else") == set()


def test_a_reference_that_was_changed_or_is_gone_is_forgotten(office: Office) -> None:
    own = office.keep(settings("own", "ci"))
    office.keep(settings("own", "ci-2"))
    assert office.change("ci") == set()
    assert own in office.change("ci-2")
    office.cache.forget(own, 1000)
    assert office.change("ci-2") == set()


def test_a_secret_that_goes_is_noticed_too(office: Office) -> None:
    own = office.keep(settings("own", "ci"))
    office.change("ci")
    office.told.clear()
    office.cache.forget(Key("Secret", SPACE, "ci"), 1000)
    assert own in office.told


def test_who_hands_git_credentials_on_looks(office: Office) -> None:
    own = office.keep(settings("own", "ci"))
    git = office.keep(
        api_object(GitCredential, "git", SPACE, {"urlPrefix": "https://git.example/", "secretRef": {"name": "git"}})
    )
    assert {own, git} <= office.change("git")
