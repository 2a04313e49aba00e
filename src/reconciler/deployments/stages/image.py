"""Image: what the build pushed. Looks for our tag; nudges nothing. From here on the digest counts."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from reconciler.deployments.scene import Scene
from reconciler.domain.answers import Answer, Done, Waiting
from reconciler.domain.names import image_tag
from reconciler.domain.outside.images import Image
from reconciler.domain.resources import Component, ContainerRegistry, StageName, StageStatus
from reconciler.domain.wanted import image_name, repository_of

_LOOK_AGAIN = timedelta(seconds=10)


class Images(Protocol):
    """The images of one registry."""

    async def find_image(self, repository: str, tag: str) -> Image | None:
        """Return the image with that tag, if it is there."""
        ...


class Registries(Protocol):
    """All registries."""

    async def images(self, settings: ContainerRegistry) -> Images:
        """Return the images of the registry that the settings name. Raises Missing when its Secret is not there."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStage:
    """Finds the image of one component."""

    registries: Registries
    own_registry: str = ""

    async def look(self, scene: Scene, component: Component, _: StageStatus) -> Answer:
        """Answer with the digest once the attempt's tag is there: only that attempt can have written it."""
        repository = repository_of(scene.project, component.name, scene.registry)
        build = scene.steps[StageName.BUILD, component.name]
        tag = image_tag(scene.record.spec.revision, scene.record.operation_id, build.attempt)
        image = await (await self.registries.images(scene.registry)).find_image(repository, tag)
        if image is None:
            what = f"{repository}:{tag} in the registry"
            return Waiting(what, scene.now + _LOOK_AGAIN, reason="ImageNotFound", system="registry")
        return Done(
            {"image": image_name(repository, scene.registry, self.own_registry), "tag": tag, "digest": image.digest}
        )
