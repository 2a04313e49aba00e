"""Places: the job in which a build is, which stays where it was asked for when the settings name another by then.

Folder, job, endpoint or the very settings of a project may change while something is built. What was asked for is
followed where that was, until it has ended or is proved absent there; what is asked for next goes where they say now.
"""

from reconciler.deployments.scene import Scene
from reconciler.domain.outside.builds import JobPath
from reconciler.domain.resources import Place, Step
from reconciler.domain.things import Where
from reconciler.domain.wanted import job_path, where_of


def place_now(scene: Scene) -> Place:
    """Return the job that the settings name."""
    where, path = where_of(scene.jenkins), job_path(scene.project.name, scene.jenkins)
    return Place(endpoint=where.endpoint, credentials=where.secret, name=f"{path.folder}/{path.name}")


def places_of(scene: Scene, step: Step) -> list[Place]:
    """Return where the build that a step claimed may be: where it was asked for first, then where the settings say.

    There too, for who renames a job in the build server itself, and then in the settings, takes its builds along.
    """
    now, claimed = place_now(scene), step.claim.place if step.claim else None
    if claimed is None or (claimed.endpoint, claimed.name) == (now.endpoint, now.name):
        return [now]
    # The Secret of a server that is still in use may have been replaced by another.
    is_same_server = claimed.endpoint == now.endpoint
    return [claimed.model_copy(update={"credentials": now.credentials}) if is_same_server else claimed, now]


def path_of(place: Place) -> JobPath:
    """Return the path of the job."""
    folder, _, name = place.name.rpartition("/")
    return JobPath(folder, name)


def where_in(place: Place, namespace: str) -> Where:
    """Return how the job's server is reached with a Secret of a namespace."""
    return Where(place.endpoint, namespace if place.credentials else "", place.credentials)
