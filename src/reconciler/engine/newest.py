"""What goes, or is changed, because a resource does not want it: judged by the resource as it is now.

Resources of different kinds come by different watches. Whoever takes the lead may know what a former lead made before
the spec that wanted it.
"""

from reconciler.domain.errors import Conflict
from reconciler.domain.keys import Key
from reconciler.domain.resources import Resource
from reconciler.engine.store import Store


async def ensure_newest(store: Store, resource: Resource) -> None:
    """Raise Conflict when a resource wants something else by now than is known here, NotFound when it is gone."""
    metadata = (await store.fetch(Key(resource.kind, resource.namespace, resource.name)))["metadata"]
    if (metadata["uid"], metadata["generation"]) != (resource.metadata.uid, resource.metadata.generation):
        raise Conflict(f"{resource} was changed meanwhile", system="kubernetes")
