"""Resources that name what is not there, or what nobody has: each says what it waits for, and goes on by itself."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from reconciler.domain.errors import Invalid
from reconciler.domain.keys import OUR_KINDS, named
from reconciler.domain.names import record_name
from support.bad_resources import BAD_FIELDS, BadField
from support.town import REVISION, SHOP, Town, a_town, condition_of, stage_of, status_of


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with a_town() as town:
        yield town


# References to what does not exist


@pytest.mark.parametrize(
    ("reference", "kind", "spec"),
    [
        ({"jenkinsRef": {"name": "ci"}}, "JenkinsSettings", {"projectRef": "shop"}),
        ({"argoRef": {"name": "cd"}}, "ArgoSettings", {"projectRef": "shop"}),
        ({"registry": {"ref": {"name": "hub"}}}, "ContainerRegistry", {"namespace": "acme"}),
        ({"dns": {"zoneRef": {"name": "zone"}}}, "DNSZone", {"domain": "acme.example"}),
        (
            {"git": {**SHOP["git"], "credentialRef": {"name": "git"}}},
            "GitCredential",
            {"urlPrefix": "https://git.acme.example/", "secretRef": {"name": "git"}},
        ),
    ],
    ids=["jenkinsRef", "argoRef", "registry.ref", "zoneRef", "credentialRef"],
)
async def test_a_project_waits_for_what_it_names_and_goes_on_when_it_is_made(
    town: Town, reference: dict[str, Any], kind: str, spec: dict[str, Any]
) -> None:
    (name,) = _names(reference)
    await town.engineer.secret("git", username="u", password="hush-hush")
    async with town.operator():
        await town.engineer.apply("DevOpsProject", "shop", {**SHOP, **reference})
        await town.engineer.stalled("DevOpsProject", "shop", f"{kind} {name}")
        await town.engineer.deploy("op-1")
        await town.engineer.apply(kind, name, spec)
        await town.engineer.ready()
        record = await town.engineer.ended("op-1")
        assert status_of(record)["phase"] == "Succeeded", condition_of(record)


def _names(reference: dict[str, Any]) -> list[str]:
    found = [reference["name"]] if "name" in reference else []
    return found + [name for inner in reference.values() if isinstance(inner, dict) for name in _names(inner)]


# Records for what does not exist


async def test_a_record_waits_for_its_project_and_goes_on_when_it_is_made(town: Town) -> None:
    async with town.operator():
        await town.engineer.deploy("op-1")
        body = await town.engineer.until(
            "DeploymentRecord", "op-1", lambda b: stage_of(b, "queue", "").get("waitingFor")
        )
        assert stage_of(body, "queue", "")["waitingFor"] == "DevOpsProject shop"
        assert "create DevOpsProject shop" in stage_of(body, "queue", "")["remedy"]
        await town.engineer.apply("DevOpsProject", "shop", SHOP)
        record = await town.engineer.ended("op-1")
        assert status_of(record)["phase"] == "Succeeded", condition_of(record)


async def test_a_record_whose_project_never_comes_fails_and_says_so_to_the_office(town: Town) -> None:
    async with town.operator(RECONCILER_PROJECT_WAIT="1s"):
        await town.office.deploy("op-1", project="nowhere")
        assert await town.office.end_of("op-1") == "Failed"
        body = await town.engineer.ended("op-1")
        assert condition_of(body)["reason"] == "ProjectNotFound"
        assert "nowhere" in condition_of(body)["message"]


@pytest.mark.parametrize(
    ("spec", "reason", "word"),
    [
        ({"environment": "gamma"}, "EnvironmentNotFound", "gamma"),
        ({"components": ["worker"]}, "ComponentNotFound", "worker"),
    ],
    ids=["environment", "component"],
)
async def test_a_record_for_an_unknown_part_fails_at_once_and_names_it(
    town: Town, spec: dict[str, Any], reason: str, word: str
) -> None:
    async with town.operator():
        await town.engineer.apply("DevOpsProject", "shop", SHOP)
        await town.engineer.ready()
        await town.engineer.deploy("op-1", **spec)
        body = await town.engineer.ended("op-1")
        assert (status_of(body)["phase"], condition_of(body)["reason"]) == ("Failed", reason)
        assert word in condition_of(body)["message"]
        assert await town.office.end_of("op-1") == "Failed"
        assert town.world.jenkins.builds == []


async def test_a_record_that_is_not_named_after_its_operation_fails_and_says_its_right_name(town: Town) -> None:
    spec = {"projectRef": "shop", "environment": "alpha", "revision": REVISION, "operationId": "Op:Other"}
    async with town.operator():
        await town.engineer.apply("DevOpsProject", "shop", SHOP)
        await town.engineer.ready()
        await town.engineer.apply("DeploymentRecord", "op-1", spec)
        body = await town.engineer.ended("op-1")
        assert condition_of(body)["reason"] == "InvalidSpec"
        assert record_name("Op:Other") in condition_of(body)["message"]
        assert town.world.jenkins.builds == []


# What the API server refuses, and what it would have refused


async def test_bad_resources_are_refused_by_the_api_server_with_the_field_named(town: Town) -> None:
    for bad in BAD_FIELDS:
        body = bad.body()
        with pytest.raises(Invalid) as refused:
            await town.engineer.apply(bad.kind.kind, body["metadata"]["name"], body["spec"])
        named_at = bad.named.removeprefix("metadata.").split(".")[0 if bad.is_rule_of_the_whole else -1]
        assert named_at in refused.value.message or bad.is_rule_of_the_whole, str(bad)


async def test_bad_resources_from_before_the_rules_wait_for_a_person_with_the_field_named(town: Town) -> None:
    await _forget_the_rules(town)
    async with town.operator() as operator:
        for bad in BAD_FIELDS:
            if bad.is_rule_of_the_whole:
                continue
            await _is_told(town, bad)
        await town.engineer.apply("DevOpsProject", "shop", SHOP)
        await town.engineer.ready()
        assert operator.health.dead() == []


async def _is_told(town: Town, bad: BadField) -> None:
    body = bad.body()
    kind, name = bad.kind.kind, body["metadata"]["name"]
    await town.engineer.apply(kind, name, body["spec"])
    told = await town.engineer.until(kind, name, condition_of)
    stalled = condition_of(told, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "InvalidSpec"), str(bad)
    assert bad.named.split(".")[1] in stalled["message"], (str(bad), stalled["message"])
    await town.engineer.delete(kind, name)
    await town.engineer.gone(kind, name)


async def _forget_the_rules(town: Town) -> None:
    """Let the API server take anything, as it did before its definitions said otherwise."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": anything, "status": anything}}
    definition = named("CustomResourceDefinition")
    for kind in OUR_KINDS:
        name = f"{kind.plural}.{kind.group}"
        body = await town.engineer.api.get(definition, "", name)
        body["spec"]["versions"][0]["schema"] = {"openAPIV3Schema": schema}
        await town.engineer.api.patch(definition, "", name, {"spec": {"versions": body["spec"]["versions"]}})
