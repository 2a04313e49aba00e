"""How resources of Kubernetes are named: their kinds, and the key of one of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from reconciler.domain.names import GROUP, VERSION

Body = dict[str, Any]
"""One resource as JSON. What a cache hands out is shared: whoever wants to change it makes a copy."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource; `group` is empty for the core group. All are namespaced unless they say otherwise."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """Return what stands in a body's `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str = "") -> str:
        """Return the path of the collection or of one resource; `namespace` None is all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        item = f"/{name}" if name else ""
        return f"{root}{scope}/{self.plural}{item}{f'/{subresource}' if subresource else ''}"


class Key(NamedTuple):
    """One resource: the name of its kind (`DeploymentRecord`), its namespace and its name."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def _ours(plural: str, kind: str) -> Kind:
    return Kind(GROUP, VERSION, plural, kind)


PROJECT = _ours("devopsprojects", "DevOpsProject")
ENVIRONMENT = _ours("environments", "Environment")
JENKINS_SETTINGS = _ours("jenkinssettings", "JenkinsSettings")
ARGO_SETTINGS = _ours("argosettings", "ArgoSettings")
CONTAINER_REGISTRY = _ours("containerregistries", "ContainerRegistry")
GIT_CREDENTIAL = _ours("gitcredentials", "GitCredential")
DNS_ZONE = _ours("dnszones", "DNSZone")
DEPLOYMENT_RECORD = _ours("deploymentrecords", "DeploymentRecord")

SECRET = Kind("", "v1", "secrets", "Secret")
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")
NAMESPACE = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
EVENT = Kind("", "v1", "events", "Event")
CUSTOM_RESOURCE_DEFINITION = Kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)

OUR_KINDS = (
    PROJECT,
    ENVIRONMENT,
    JENKINS_SETTINGS,
    ARGO_SETTINGS,
    CONTAINER_REGISTRY,
    GIT_CREDENTIAL,
    DNS_ZONE,
    DEPLOYMENT_RECORD,
)
WATCHED = (*OUR_KINDS, SECRET)
"""What the operator watches: what it works on, and the Secrets that are referred to."""
KINDS: Mapping[str, Kind] = {
    kind.kind: kind for kind in (*OUR_KINDS, SECRET, CONFIG_MAP, LEASE, NAMESPACE, EVENT, CUSTOM_RESOURCE_DEFINITION)
}
"""Every kind we touch, by its name."""


def named(kind: Kind | str) -> Kind:
    """Return the kind that is meant; one of ours, or known here, when it is given by name."""
    return KINDS[kind] if isinstance(kind, str) else kind


def key_of(body: Mapping[str, Any], kind: str = "") -> Key:
    """Return the key of a body; lists of built-in kinds leave `kind` out of their items, so it may be given."""
    metadata = body["metadata"]
    return Key(kind or body["kind"], metadata.get("namespace", ""), metadata["name"])


def revision_of(body: Mapping[str, Any]) -> int:
    """Return the resource version as a number, 0 where there is none: it grows with every write to the server."""
    version = body.get("metadata", {}).get("resourceVersion", "")
    return int(version) if version.isdecimal() else 0
