"""Says in the status which annotations are known that every look handles, whatever the kind: `paused`, `reconcile-at`.

The others have an effect of their own, and whoever has it echoes them in the same guarded write.
"""

from reconciler.domain.annotations import PAUSED, RECONCILE_AT, with_request, with_state
from reconciler.domain.keys import Key
from reconciler.engine.store import Store


async def echo(store: Store, key: Key) -> None:
    """Write what was handled by the look that ends here, if that is news. Raises Conflict."""
    body = store.read(key)
    if body is None:
        return
    status, annotations = body.get("status") or {}, body["metadata"].get("annotations") or {}
    known = status.get("handled") or {}
    handled = with_state(with_request(known, annotations, RECONCILE_AT), annotations, PAUSED)
    if handled != known:
        await store.write_status(body, {**status, "handled": handled})
