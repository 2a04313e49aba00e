"""Whether an API server does its work, watches included, asked through connections of its own."""

import aiohttp
import orjson

from reconciler.clients.kubernetes.client import Kubernetes
from reconciler.clients.kubernetes.credentials import Credentials
from reconciler.clients.kubernetes.refusals import SYSTEM
from reconciler.domain.errors import Unavailable
from reconciler.domain.keys import Body, Kind


async def change_and_hear(credentials: Credentials, kind: Kind, namespace: str, name: str, patch: Body) -> None:
    """Change a resource and hear of that change through a watch.

    Raises:
        Unavailable: no watch tells of it; also Refused, NotFound. It ends by itself only when the watch does.
    """
    client = Kubernetes(credentials, connections=2)
    try:
        before = await client.get(kind, namespace, name)
        changed = await client.patch(kind, namespace, name, patch)
        wanted = int(changed["metadata"]["resourceVersion"])
        if wanted != int(before["metadata"]["resourceVersion"]):
            await _hear(credentials, kind, namespace, before["metadata"]["resourceVersion"], wanted)
    finally:
        await client.close()


async def _hear(credentials: Credentials, kind: Kind, namespace: str, since: str, wanted: int) -> None:
    parameters = {"watch": "true", "resourceVersion": since, "timeoutSeconds": "60"}
    async with credentials.open_session(connections=1) as session:
        try:
            url = f"{credentials.server}{kind.path(namespace)}"
            async with session.get(url, params=parameters) as answer:
                async for line in answer.content:
                    event = orjson.loads(line)
                    if int(event["object"].get("metadata", {}).get("resourceVersion", 0)) >= wanted:
                        return
        except (TimeoutError, aiohttp.ClientError, OSError, orjson.JSONDecodeError) as error:
            raise Unavailable(f"a fresh watch: {type(error).__name__}", system=SYSTEM) from error
    raise Unavailable("a fresh watch ended without telling of a change", system=SYSTEM)
