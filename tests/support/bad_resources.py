"""Resources as people get them wrong, each with the field that the refusal has to name."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from reconciler.domain.crds import crd
from reconciler.domain.names import API_VERSION
from reconciler.domain.resources import (
    ArgoSettings,
    ContainerRegistry,
    DeploymentRecord,
    DevOpsProject,
    DNSZone,
    Environment,
    GitCredential,
    JenkinsSettings,
    Resource,
)
from reconciler.sandbox.kube.schema import Node, compile_schema, fit
from reconciler.sandbox.kube.trees import MISSING
from reconciler.sandbox.kube.validate import validate

_PROJECT = {"git": {"url": "https://git.example.com/shop.git"}, "components": [{"name": "api"}]}
_GOOD: Mapping[type[Resource], tuple[str, dict[str, Any]]] = {
    DevOpsProject: ("shop", _PROJECT),
    Environment: ("shop--alpha", {"projectRef": "shop", "name": "alpha"}),
    JenkinsSettings: ("shop", {"projectRef": "shop"}),
    ArgoSettings: ("shop", {"projectRef": "shop"}),
    ContainerRegistry: ("hub", {}),
    GitCredential: ("git", {"urlPrefix": "https://git.example.com/", "secretRef": {"name": "git"}}),
    DNSZone: ("example-com", {"domain": "example.com"}),
    DeploymentRecord: ("op-1", {"projectRef": "shop", "environment": "alpha", "revision": "4be1c05d" * 5}),
}


def good(kind: type[Resource]) -> dict[str, Any]:
    """Return the smallest object of a kind that is accepted."""
    name, spec = _GOOD[kind]
    return {
        "apiVersion": API_VERSION,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": copy.deepcopy(spec),
    }


def complaints(kind: type[Resource], body: dict[str, Any]) -> list[str]:
    """Return what an API server says against an object by the kind's schema and rules; unknown fields too."""
    node = _schema(kind)
    unknown: list[str] = []
    fitted = fit(copy.deepcopy(body), MISSING, node, "", unknown)
    causes = [f"{cause.field}: {cause.message}" for cause in validate(fitted, MISSING, node)]
    return [*causes, *(f"unknown field {name}" for name in unknown)]


@cache
def _schema(kind: type[Resource]) -> Node:
    return compile_schema(crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


@dataclass(frozen=True)
class BadField:
    """One mistake: `spec` is merged into the good one (None takes a field away), `name` replaces the name."""

    what: str
    kind: type[Resource]
    spec: dict[str, Any] = field(hash=False)
    named: str
    name: str = ""
    is_rule_of_the_whole: bool = False

    def body(self) -> dict[str, Any]:
        """Return the whole object."""
        body = good(self.kind)
        body["metadata"]["name"] = self.name or body["metadata"]["name"]
        body["spec"] = {name: value for name, value in (body["spec"] | self.spec).items() if value is not None}
        return body

    def names(self, place: str) -> bool:
        """Tell whether a place, in the API's or the models' words, is the field at fault or in it."""
        plain = place.replace("[", ".").replace("]", "").lstrip(".")
        return plain == self.named or plain.startswith(f"{self.named}.")

    def __str__(self) -> str:
        return f"{self.kind.kind}: {self.what}"


def _git(url: str) -> dict[str, Any]:
    return {"git": {"url": url}}


def _component(**component: Any) -> dict[str, Any]:
    return {"components": [{"name": "api", **component}]}


_TWICE = [{"name": "api"}, {"name": "api"}]

BAD_FIELDS = (
    BadField("no git", DevOpsProject, {"git": None}, "spec.git"),
    BadField("a password in the git url", DevOpsProject, _git("https://u:p@git.example.com/a.git"), "spec.git.url"),
    BadField("a user in the git url", DevOpsProject, _git("https://u@git.example.com/a.git"), "spec.git.url"),
    BadField("a password in an ssh url", DevOpsProject, _git("ssh://git:p@git.example.com/a.git"), "spec.git.url"),
    BadField("a git url of no known form", DevOpsProject, _git("ftp://git.example.com/a.git"), "spec.git.url"),
    BadField("a git url too long", DevOpsProject, _git("https://git.example.com/" + "a" * 1024), "spec.git.url"),
    BadField("no component", DevOpsProject, {"components": []}, "spec.components"),
    BadField("21 components", DevOpsProject, {"components": [{"name": f"c{n}"} for n in range(21)]}, "spec.components"),
    BadField("a component twice", DevOpsProject, {"components": _TWICE}, "spec.components"),
    BadField("a component with a capital", DevOpsProject, _component(name="Api"), "spec.components.0.name"),
    BadField("a component with --", DevOpsProject, _component(name="a--b"), "spec.components.0.name"),
    BadField("a component too long", DevOpsProject, _component(name="a" * 21), "spec.components.0.name"),
    BadField("port 0", DevOpsProject, _component(port=0), "spec.components.0.port"),
    BadField("a port as text", DevOpsProject, _component(port="http"), "spec.components.0.port"),
    BadField("a path out of the repository", DevOpsProject, _component(path="../x"), "spec.components.0.path"),
    BadField("an absolute path", DevOpsProject, _component(path="/etc"), "spec.components.0.path"),
    BadField(
        "51 environments", DevOpsProject, {"environments": [{"name": f"e{n}"} for n in range(51)]}, "spec.environments"
    ),
    BadField("an environment twice", DevOpsProject, {"environments": _TWICE}, "spec.environments"),
    BadField("a preview that never ends", DevOpsProject, {"preview": {}}, "spec.preview.ttl"),
    BadField("a lifetime without unit", DevOpsProject, {"preview": {"ttl": "72"}}, "spec.preview.ttl"),
    BadField(
        "a word in a preview's domain that does not exist",
        DevOpsProject,
        {"preview": {"ttl": "1d", "domain": "{branch}.example.com"}},
        "spec.preview.domain",
    ),
    BadField(
        "a component in a preview's namespace",
        DevOpsProject,
        {"preview": {"ttl": "1d", "namespace": "{component}"}},
        "spec.preview.namespace",
    ),
    BadField("no previews at all", DevOpsProject, {"preview": {"ttl": "1d", "max": 0}}, "spec.preview.max"),
    BadField("an unknown deletion policy", DevOpsProject, {"deletionPolicy": "Keep"}, "spec.deletionPolicy"),
    BadField("a name of 21", DevOpsProject, {}, "metadata.name", name="a" * 21, is_rule_of_the_whole=True),
    BadField("a name with --", DevOpsProject, {}, "metadata.name", name="a--b", is_rule_of_the_whole=True),
    BadField("a name of another", Environment, {}, "metadata.name", name="shop--beta", is_rule_of_the_whole=True),
    BadField("no project", Environment, {"projectRef": None}, "spec.projectRef"),
    BadField("a domain with a scheme", Environment, {"domain": "https://example.com"}, "spec.domain"),
    BadField("a namespace too long", Environment, {"namespace": "a" * 64}, "spec.namespace"),
    BadField("an unknown concurrency", Environment, {"concurrency": "Parallel"}, "spec.concurrency"),
    BadField("status 99", Environment, {"verify": {"status": 99}}, "spec.verify.status"),
    BadField("a path without /", Environment, {"verify": {"path": "health"}}, "spec.verify.path"),
    BadField(
        "an endpoint without credentials",
        JenkinsSettings,
        {"endpoint": "https://jenkins.example.com"},
        "spec.credentialsRef",
        is_rule_of_the_whole=True,
    ),
    BadField(
        "a login in the endpoint", JenkinsSettings, {"endpoint": "https://u:p@jenkins.example.com"}, "spec.endpoint"
    ),
    BadField(
        "a parameter named like a password", JenkinsSettings, {"parameters": {"DB_PASSWORD": "x"}}, "spec.parameters"
    ),
    BadField("a parameter named key", JenkinsSettings, {"parameters": {"SIGNING_KEY": "x"}}, "spec.parameters"),
    BadField("a parameter named at length", JenkinsSettings, {"parameters": {"A" * 65: "x"}}, "spec.parameters"),
    BadField("33 parameters", JenkinsSettings, {"parameters": {f"P{n}": "x" for n in range(33)}}, "spec.parameters"),
    BadField("a parameter too long", JenkinsSettings, {"parameters": {"P": "x" * 1025}}, "spec.parameters.P"),
    BadField("a folder with a blank", JenkinsSettings, {"folder": "our folder"}, "spec.folder"),
    BadField("an unknown template word", ArgoSettings, {"source": {"path": "deploy/{env}"}}, "spec.source.path"),
    BadField("an open brace", ArgoSettings, {"source": {"path": "deploy/{environment"}}, "spec.source.path"),
    BadField(
        "a login in the repository",
        ArgoSettings,
        {"source": {"repoURL": "https://u:p@h.example.com/r"}},
        "spec.source.repoURL",
    ),
    BadField("an unknown image strategy", ArgoSettings, {"imageStrategy": {"type": "Sed"}}, "spec.imageStrategy.type"),
    BadField(
        "an endpoint without credentials",
        ContainerRegistry,
        {"provider": "OCI", "endpoint": "https://registry.example.com"},
        "spec.credentialsRef",
        is_rule_of_the_whole=True,
    ),
    BadField("an unknown provider", ContainerRegistry, {"provider": "Quay"}, "spec.provider"),
    BadField("a login in the prefix", GitCredential, {"urlPrefix": "https://u:p@git.example.com/"}, "spec.urlPrefix"),
    BadField("no secret", GitCredential, {"secretRef": None}, "spec.secretRef"),
    BadField(
        "a provider without an endpoint", DNSZone, {"provider": "PowerDNS"}, "spec.endpoint", is_rule_of_the_whole=True
    ),
    BadField("a lifetime under 600 s", DNSZone, {"defaultTTL": 60}, "spec.defaultTTL"),
    BadField("a zone that is no domain", DNSZone, {"domain": "example"}, "spec.domain"),
    BadField("a short revision", DeploymentRecord, {"revision": "4be1c05"}, "spec.revision"),
    BadField("a branch as revision", DeploymentRecord, {"revision": "main"}, "spec.revision"),
    BadField("an operation id too long", DeploymentRecord, {"operationId": "o" * 129}, "spec.operationId"),
    BadField("an operation id with a blank", DeploymentRecord, {"operationId": "op 1"}, "spec.operationId"),
    BadField("a component twice", DeploymentRecord, {"components": ["api", "api"]}, "spec.components"),
    BadField("a parameter named token", DeploymentRecord, {"parameters": {"npm.token": "x"}}, "spec.parameters"),
    BadField("a moment that is none", DeploymentRecord, {"requestedAt": "yesterday"}, "spec.requestedAt"),
)
