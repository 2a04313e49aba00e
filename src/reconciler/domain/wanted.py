"""What specs ask for outside: names, shapes and addresses, in one place. Pure."""

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from reconciler.domain.errors import Invalid
from reconciler.domain.keys import Body
from reconciler.domain.names import application_name, host_name, image_repository
from reconciler.domain.outside.applications import Application, ApplicationShape, ImageSetting, ImageStrategy
from reconciler.domain.outside.builds import JobPath
from reconciler.domain.ownership import Marker
from reconciler.domain.resources import (
    ArgoSettings,
    Component,
    ContainerRegistry,
    DevOpsProject,
    DNSZone,
    Environment,
    InventoryItem,
    JenkinsSettings,
    Resource,
)
from reconciler.domain.resources.settings import RegistryProvider
from reconciler.domain.things import Where

TEMPLATE_WORDS = ("project", "environment", "component", "revision")
BUILD_PARAMETERS = (
    "OPERATION_ID",
    "COMPONENT",
    "COMPONENT_PATH",
    "DOCKERFILE",
    "REVISION",
    "IMAGE",
    "IMAGE_TAG",
    "TRACEPARENT",
)
"""What every build gets; the user's parameters come on top."""
FOR_ANOTHER_REMEDY = "let the project name settings of its own, or none; or correct their projectRef"
"""What to do where a project names settings that are for another one."""
_WORD = re.compile(r"\{([^{}]*)\}")


def filled(template: str, **words: str) -> str:
    """Fill the template words of `source.path` and values. Raises Invalid, naming a word that does not exist."""
    unknown = [word for word in _WORD.findall(template) if word not in TEMPLATE_WORDS]
    if unknown:
        known = " ".join(f"{{{word}}}" for word in TEMPLATE_WORDS)
        raise Invalid(f"{{{unknown[0]}}} is not a template word; use {known}", field="spec.source.path")
    return _WORD.sub(lambda found: words.get(found.group(1), found.group(0)), template)


def meant_for_another(body: Body, project: str) -> str:
    """Return the project that settings are for where it is not this one: they set up nothing for it."""
    theirs = str((body.get("spec") or {}).get("projectRef") or "")
    return "" if theirs == project else theirs


def words_of(project: DevOpsProject, environment: Environment, component: str, revision: str) -> dict[str, str]:
    """Return what the template words stand for."""
    return {
        "project": project.name,
        "environment": environment.spec.name,
        "component": component,
        "revision": revision,
    }


def job_path(project: str, jenkins: JenkinsSettings) -> JobPath:
    """Return where the project's job is."""
    return JobPath(jenkins.spec.folder, jenkins.spec.job or project)


def job_parameters(jenkins: JenkinsSettings) -> tuple[str, ...]:
    """Return the parameters that the project's job must take: those of every build, and the user's."""
    return (*BUILD_PARAMETERS, *sorted(set(jenkins.spec.parameters) - set(BUILD_PARAMETERS)))


def argo_project(project: str, argo: ArgoSettings) -> str:
    """Return the name of the project's AppProject."""
    return argo.spec.project or project


def repository_of(project: DevOpsProject, component: str, registry: ContainerRegistry) -> str:
    """Return the image repository of a component, without the registry's host."""
    namespace = project.spec.registry.repository or registry.spec.namespace or ""
    return image_repository(namespace, project.name, component)


def image_name(repository: str, registry: ContainerRegistry, own_endpoint: str = "") -> str:
    """Return the image's full name, with the host of the registry, or of the operator's own where it names none."""
    if registry.spec.provider is RegistryProvider.DOCKER_HUB:
        return f"docker.io/{repository}"
    return f"{urlsplit(registry.spec.endpoint or own_endpoint).netloc}/{repository}"


def application_shape(
    project: DevOpsProject, environment: Environment, component: str, argo: ArgoSettings, revision: str
) -> ApplicationShape:
    """Return the shape that an environment wants for a component's application.

    Raises:
        Invalid: a template word that does not exist, or a strategy that the source does not allow.
    """
    source, policy, spec = argo.spec.source, argo.spec.sync_policy, environment.spec
    words = words_of(project, environment, component, revision)
    repo_url = source.repo_url or project.spec.git.url
    follows_revision = argo.spec.image_strategy.type is ImageStrategy.REVISION
    if follows_revision and repo_url != project.spec.git.url:
        raise Invalid(
            "imageStrategy Revision needs source.repoURL to be the project's git.url", field="spec.imageStrategy"
        )
    return ApplicationShape(
        name=application_name(project.name, spec.name, component),
        project=argo_project(project.name, argo),
        repo_url=repo_url,
        target_revision=revision if follows_revision else filled(source.target_revision, **words),
        path="" if source.chart else filled(source.path, **words),
        chart=filled(source.chart, **words) if source.chart else "",
        cluster=spec.cluster,
        namespace=environment.target_namespace,
        auto_sync=policy.automated,
        prune=policy.prune,
        self_heal=policy.self_heal,
        sync_options=tuple(policy.sync_options),
    )


def image_setting(argo: ArgoSettings, words: Mapping[str, str], *, image: str, tag: str, digest: str) -> ImageSetting:
    """Return how a component's image is written on its application. Raises Invalid, as `filled` does."""
    strategy = argo.spec.image_strategy
    match strategy.type:
        case ImageStrategy.HELM:
            helm = strategy.helm
            repository = filled(helm.repository_parameter, **words)
            if helm.digest_parameter:
                return ImageSetting(parameters={repository: image, filled(helm.digest_parameter, **words): digest})
            return ImageSetting(parameters={repository: image, filled(helm.tag_parameter, **words): f"{tag}@{digest}"})
        case ImageStrategy.KUSTOMIZE:
            return ImageSetting(kustomize_images=(f"{filled(strategy.kustomize.name, **words)}={image}@{digest}",))
        case ImageStrategy.REVISION:
            return ImageSetting(target_revision=words["revision"])


def parts_of(image: str) -> tuple[str, str, str]:
    """Split `image:tag@digest`; a registry's host may have a port."""
    named, _, digest = image.partition("@")
    name, _, tag = named.rpartition(":")
    return name, tag, digest


def is_image_set(application: Application, wanted: ImageSetting) -> bool:
    """Tell whether the application's spec says what is wanted, whatever else it says."""
    have = application.image
    return (
        wanted.parameters.items() <= have.parameters.items()
        and set(wanted.kustomize_images) <= set(have.kustomize_images)
        and wanted.target_revision in (None, application.shape.target_revision)
    )


def host_of(environment: Environment, component: Component) -> str | None:
    """Return the public host of a component, None where it has no port or the environment no domain."""
    if component.port is None or environment.spec.domain is None:
        return None
    return host_name(component.host or component.name, environment.spec.domain)


def address_of(environment: Environment, component: Component) -> str:
    """Return the public address of a component, empty where it has none."""
    host = host_of(environment, component)
    return f"https://{host}" if host else ""


def dns_target(project: DevOpsProject, environment: Environment) -> str | None:
    """Return what the environment's records point to, None where nobody said."""
    return environment.spec.dns_target or project.spec.dns.target


def inventory_of(
    project: DevOpsProject,
    environment: Environment,
    components: Iterable[Component],
    argo: ArgoSettings,
    zone: DNSZone | None,
    marker: Marker,
) -> list[InventoryItem]:
    """Return what a deployment of these components may make outside, as intended."""
    place, items = argo_project(project.name, argo), list[InventoryItem]()
    for component in components:
        name = application_name(project.name, environment.spec.name, component.name)
        items.append(intended(argo, marker, "argocd", "Application", name, place))
        host = host_of(environment, component)
        if host and zone and dns_target(project, environment):
            items.append(intended(zone, marker, "dns", "Record", host, zone.spec.domain))
    return items


def intended(
    settings: JenkinsSettings | ArgoSettings | DNSZone,
    marker: Marker,
    system: str,
    kind: str,
    name: str,
    place: str = "",
) -> InventoryItem:
    """Return what is to be made outside by way of these settings, with what its removal will need."""
    where = where_of(settings)
    return InventoryItem(
        system=system,
        kind=kind,
        name=name[:320],
        place=place,
        endpoint=where.endpoint,
        credentials=where.secret,
        provider=where.provider,
        marker=marker.text(),
    )


def where_of(settings: JenkinsSettings | ArgoSettings | ContainerRegistry | DNSZone) -> Where:
    """Return the endpoint and the credentials that settings name."""
    secret, endpoint = settings.spec.credentials_ref, settings.spec.endpoint or ""
    provider = settings.spec.provider.value if isinstance(settings, DNSZone) else ""
    return Where(endpoint, settings.namespace if secret else "", secret.name if secret else "", provider)


def owner_reference(project: DevOpsProject) -> Body:
    """Return the owner reference of what a project makes in Kubernetes."""
    return {
        "apiVersion": project.body["apiVersion"],
        "kind": project.kind,
        "name": project.name,
        "uid": project.metadata.uid,
        "controller": True,
    }


def marker_of(resource: Resource, owner: str) -> Marker:
    """Return the marker of what a resource makes outside."""
    return Marker(owner, resource.kind, resource.namespace, resource.name, resource.metadata.uid)
