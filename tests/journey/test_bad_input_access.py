"""Credentials that are missing, incomplete or refused: named with the remedy, and work goes on by itself."""

from collections.abc import AsyncIterator

import pytest

from reconciler.domain.keys import Body, named
from support.town import SHOP, Town, a_town, condition_of, is_ready, message_of, stage_of, status_of


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town() as town:
        yield town


async def test_settings_wait_for_their_secrets_and_for_each_key_in_them(town: Town) -> None:
    world, engineer = town.world, town.engineer
    secret = {"credentialsRef": {"name": "access"}}
    made = {
        "JenkinsSettings": {"projectRef": "shop", "endpoint": world.jenkins.url, **secret},
        "ArgoSettings": {"projectRef": "shop", "endpoint": world.argocd.url, **secret},
        "ContainerRegistry": {"endpoint": world.dockerhub.url, "namespace": "acme", **secret},
        "DNSZone": {"domain": "acme.example", "endpoint": world.godaddy.url, **secret},
        "GitCredential": {"urlPrefix": "https://git.other.example/", "secretRef": {"name": "access"}},
    }
    first_key = {
        "JenkinsSettings": "key username in Secret access",
        "ArgoSettings": "key token, or username and password, in Secret access",
        "ContainerRegistry": "key username in Secret access",
        "DNSZone": "key key in Secret access",
        "GitCredential": "key username in Secret access",
    }
    references = {"jenkinsRef": {"name": "own"}, "argoRef": {"name": "own"}, "dns": {"zoneRef": {"name": "own"}}}
    async with town.operator() as operator:
        await engineer.apply("DevOpsProject", "shop", {**SHOP, **references, "registry": {"ref": {"name": "own"}}})
        for kind, spec in made.items():
            await engineer.apply(kind, "own", spec)
        for kind in made:
            body = await engineer.stalled(kind, "own", "Secret access")
            assert "Missing" in message_of(body)
        await engineer.stalled("DevOpsProject", "shop", "Secret access")
        await engineer.secret("access", colour="blue")
        for kind, words in first_key.items():
            await engineer.stalled(kind, "own", words)
        await put(
            town,
            "access",
            username="acme",
            password=world.dockerhub.account.password,
            token=world.argocd.accounts.token,
            key=world.godaddy.key,
            secret=world.godaddy.secret,
        )
        world.jenkins.doors.username = "acme"
        world.jenkins.doors.tokens.add(world.argocd.accounts.token)
        for kind in made:
            await engineer.ready(kind, "own")
        await engineer.ready()
        assert operator.health.dead() == []


async def put(town: Town, name: str, **values: str) -> None:
    """Write into a Secret."""
    await town.engineer.api.patch(named("Secret"), town.engineer.namespace, name, {"stringData": values})


async def look_now(town: Town, kind: str, name: str) -> None:
    """Ask for a look, as a person does who has mended something."""
    patch = {"metadata": {"annotations": {"freeleaps.com/reconcile-at": "now"}}}
    await town.engineer.api.patch(named(kind), town.engineer.namespace, name, patch)


async def test_an_account_that_godaddy_does_not_let_in_is_told_why_in_zone_and_project(town: Town) -> None:
    town.world.godaddy.restricted = True
    async with town.operator():
        await town.engineer.apply("DevOpsProject", "shop", SHOP)
        zone = await town.engineer.stalled("DNSZone", "shop", "Refused", "10 or more domains")
        assert condition_of(zone, "DNSReachable")["status"] == "False"
        project = await town.engineer.stalled("DevOpsProject", "shop", "dns:", "10 or more domains")
        assert condition_of(project, "Stalled")["status"] == "True"
        town.world.godaddy.restricted = False
        await look_now(town, "DNSZone", "shop")
        await town.engineer.ready()


async def test_a_token_that_jenkins_refuses_is_named_in_settings_project_and_deployment(town: Town) -> None:
    async with town.operator():
        await town.engineer.apply("DevOpsProject", "shop", SHOP)
        await town.engineer.ready()
        tokens = town.world.jenkins.doors.tokens.copy()
        town.world.jenkins.doors.tokens.clear()
        await look_now(town, "JenkinsSettings", "shop")
        await town.engineer.stalled("JenkinsSettings", "shop", "Refused", "check the credentials")
        await town.engineer.stalled("DevOpsProject", "shop", "jenkins:", "check the credentials")
        await town.office.deploy("op-1")
        body = await town.engineer.until("DeploymentRecord", "op-1", lambda b: stage_of(b, "build").get("remedy"))
        assert stage_of(body, "build")["reason"] == "Refused"
        assert condition_of(body, "JenkinsReachable")["status"] == "False"
        town.world.jenkins.doors.tokens.update(tokens)
        await look_now(town, "JenkinsSettings", "shop")
        await town.engineer.ready()
        await look_now(town, "DeploymentRecord", "op-1")
        assert status_of(await town.engineer.ended("op-1"))["phase"] == "Succeeded"
        assert list(town.world.jenkins.effective_builds.values()) == [1]


async def test_a_secret_that_was_mended_is_read_again_when_the_old_one_is_refused(town: Town) -> None:
    settings = {"projectRef": "shop", "endpoint": town.world.jenkins.url, "credentialsRef": {"name": "ci"}}
    await town.engineer.secret("ci", username="reconciler", token="old")
    town.world.jenkins.doors.tokens.add("old")
    async with town.operator():
        await town.engineer.apply("JenkinsSettings", "ci", settings)
        await town.engineer.apply("DevOpsProject", "shop", {**SHOP, "jenkinsRef": {"name": "ci"}})
        await town.engineer.ready()
        town.world.jenkins.doors.tokens.clear()
        town.world.jenkins.doors.tokens.add("new")
        await put(town, "ci", token="new")
        await look_now(town, "JenkinsSettings", "ci")
        await town.engineer.until("JenkinsSettings", "ci", lambda b: is_ready(b) and status_of(b)["checkedAt"] > "2026")
        await town.engineer.deploy("op-1")
        assert status_of(await town.engineer.ended("op-1"))["phase"] == "Succeeded"


async def test_a_secret_that_changes_is_noticed_by_itself_and_credentials_that_are_refused_are_told(
    town: Town,
) -> None:
    engineer, doors = town.engineer, town.world.jenkins.doors
    settings = {"projectRef": "shop", "endpoint": town.world.jenkins.url, "credentialsRef": {"name": "ci"}}
    await engineer.secret("ci", username="reconciler", token="old-token")
    doors.tokens.add("old-token")

    async def told(status: str, reason: str) -> None:
        def holds(body: Body) -> bool:
            condition = condition_of(body, "CredentialsRefused")
            return (condition.get("status"), condition.get("reason")) == (status, reason) and is_ready(body)

        await engineer.until("JenkinsSettings", "ci", holds)

    async with town.operator():
        await engineer.apply("JenkinsSettings", "ci", settings)
        await engineer.apply("DevOpsProject", "shop", {**SHOP, "jenkinsRef": {"name": "ci"}})
        await engineer.ready()
        await put(town, "ci", token="wrong-token")
        await told("True", "CredentialsRefused")
        doors.tokens.add("new-token")
        await put(town, "ci", token="new-token")
        await told("False", "CredentialsAccepted")
        doors.tokens.discard("old-token")
        await engineer.deploy("op-1")
        assert status_of(await engineer.ended("op-1"))["phase"] == "Succeeded"

    events, _ = await engineer.api.list_(named("Event"), engineer.namespace)
    of_settings = [one for one in events if one["involvedObject"]["kind"] == "JenkinsSettings"]
    assert {"CredentialsRefused", "CredentialsAccepted"} <= {one["reason"] for one in of_settings}
    assert "wrong-token" not in str(events)
