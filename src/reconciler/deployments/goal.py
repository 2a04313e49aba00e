"""What an application is to run: what a deployment brings, or what was current before it. Pure."""

from dataclasses import dataclass

from reconciler.deployments.scene import Scene
from reconciler.domain.resources import Component, StageName, StageStatus
from reconciler.domain.wanted import parts_of


@dataclass(frozen=True, slots=True)
class Goal:
    """One component's image and revision, and the names under which they are brought.

    Attributes:
        image, tag, digest: the image's full name, its tag and its digest.
        epoch: stands on the application; another goal of the same holder has another, so that a late write of the
            one is refused after a write of the other.
        identity: of all that is done for it; the word for what is done follows.
    """

    image: str
    tag: str
    digest: str
    revision: str
    epoch: str
    identity: str


def goal_of(scene: Scene, component: Component, step: StageStatus) -> Goal:
    """Return what the deployment brings."""
    record = scene.record
    image, tag, digest = (scene.fact(StageName.IMAGE, component.name, name) for name in ("image", "tag", "digest"))
    identity = f"{record.operation_id}/{component.name}/{step.attempt}"
    return Goal(image, tag, digest, record.spec.revision, _epoch(scene), identity)


def goal_back(scene: Scene, component: Component, step: StageStatus) -> Goal:
    """Return what was current before the deployment, as its stage keeps it."""
    image, tag, digest = parts_of(step.facts["image"])
    identity = f"{scene.record.operation_id}/{component.name}/rollback"
    return Goal(image, tag, digest, step.facts["revision"], f"{_epoch(scene)}/rollback", identity)


def _epoch(scene: Scene) -> str:
    return f"{scene.environment.metadata.uid}/{scene.fact(StageName.QUEUE, '', 'epoch')}"
