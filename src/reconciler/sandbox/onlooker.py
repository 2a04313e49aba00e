"""What is stored, known without asking the operator: for when it runs in another process, or not at all."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from reconciler.agenda.resync import Resync
from reconciler.clients.kubernetes import Credentials, Kubernetes
from reconciler.domain.keys import DEPLOYMENT_RECORD, ENVIRONMENT, PROJECT
from reconciler.operator.cache import Cache, Change

_EVERY = timedelta(milliseconds=200)


class Onlooker:
    """Lists projects, environments and records again and again.

    Attributes:
        cache: what it saw last.
    """

    def __init__(self, credentials: Credentials, changed: Callable[[Change], None]) -> None:
        """Prepare; `changed` is told what is new."""
        self.cache = Cache()
        self.cache.subscribe(changed)
        self._kubernetes = Kubernetes(credentials)
        self._lists = Resync(self._kubernetes, self.cache, (PROJECT, ENVIRONMENT, DEPLOYMENT_RECORD), interval=_EVERY)
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        self._looking = asyncio.create_task(self._lists.run(), name="onlooker")

    async def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait([self._looking])
        await self._kubernetes.close()
