"""Secrets as an API server keeps them, for who reads them."""

import base64

from reconciler.domain.errors import NotFound
from reconciler.domain.keys import Body, Kind


class Cluster:
    """One Secret `ci` in the namespace `space`, and how often it was asked for."""

    def __init__(self) -> None:
        self.body: Body | None = None
        self.asked = 0
        self._version = 0

    def write(self, uid: str = "u1", **values: str) -> Body:
        self._version += 1
        data = {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}
        metadata = {"name": "ci", "namespace": "space", "uid": uid, "resourceVersion": str(self._version)}
        self.body = {"kind": "Secret", "apiVersion": "v1", "metadata": metadata, "data": data}
        return self.body

    async def get(self, kind: Kind, namespace: str, name: str) -> Body:
        self.asked += 1
        if self.body is None:
            raise NotFound("no such Secret")
        return self.body
