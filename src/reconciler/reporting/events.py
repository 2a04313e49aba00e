"""Kubernetes Events: posted on change only, never waited for, and dropped with a count while the API is away.

The shell hands in what was stored before and after; what is worth telling is decided in `happenings`. A name is made
of what is told, so that a second posting of the same (after a lost answer) is refused by the API server.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Any, Protocol

from reconciler.domain.clock import Clock, rfc3339
from reconciler.domain.errors import AlreadyExists, ReconcilerError
from reconciler.domain.keys import Body
from reconciler.domain.words import cut
from reconciler.reporting.happenings import Happening, happenings

COMPONENT = "devops-reconciler"
_LONGEST_MESSAGE = 1024
_LONGEST_NAME = 220
_log = logging.getLogger(__name__)


class PostsEvents(Protocol):
    """Creates Events."""

    async def create_event(self, namespace: str, body: Body) -> Body:
        """Post a core/v1 Event. Raises ReconcilerError."""
        ...


class EventPoster:
    """Posts Events one after the other, from a bounded queue."""

    def __init__(
        self,
        posts: PostsEvents,
        *,
        clock: Clock,
        replica: str,
        mask: Callable[[str], str] = str,
        capacity: int = 1000,
    ) -> None:
        """Make a poster; `run` does the work.

        Args:
            posts: the API.
            clock: for the time that stands in the Event.
            replica: who reports.
            mask: hides secrets in messages.
            capacity: so many Events wait at most; more are dropped and counted.
        """
        self.dropped = 0
        self.posted = 0
        self._posts = posts
        self._clock = clock
        self._replica = replica
        self._mask = mask
        self._queue: asyncio.Queue[Body] = asyncio.Queue(capacity)

    def changed(self, before: Body | None, after: Body) -> None:
        """Take a change of a resource."""
        for happening in happenings(before, after):
            self.post(after, happening)

    def post(self, about: Body, happening: Happening) -> None:
        """Take one thing to tell about a resource."""
        if self._queue.full():
            self.dropped += 1
        else:
            self._queue.put_nowait(self._event(about, happening))

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            event = await self._queue.get()
            try:
                await self._post(event)
            finally:
                self._queue.task_done()

    async def flush(self) -> None:
        """Wait until all that was taken is posted or dropped. `run` has to be running."""
        await self._queue.join()

    async def _post(self, event: Body) -> None:
        try:
            await self._posts.create_event(event["metadata"]["namespace"], event)
        except AlreadyExists:
            return
        except ReconcilerError as error:
            self.dropped += 1
            _log.debug("an Event was dropped: %s", error.message)
        except Exception:  # noqa: BLE001 - one Event's bug must not keep the others back
            self.dropped += 1
            _log.exception("an Event was dropped by a bug")
        else:
            self.posted += 1

    def _event(self, about: Body, happening: Happening) -> Body:
        metadata, message = about["metadata"], self._mask(happening.message)
        now = rfc3339(self._clock.now())
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": _name(metadata, happening), "namespace": metadata["namespace"]},
            "involvedObject": _reference(about),
            "type": "Warning" if happening.is_warning else "Normal",
            "reason": happening.reason,
            "message": cut(message, _LONGEST_MESSAGE),
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": COMPONENT, "host": self._replica},
            "reportingComponent": f"freeleaps.com/{COMPONENT}",
            "reportingInstance": self._replica,
        }


def _reference(body: Body) -> dict[str, Any]:
    metadata = body["metadata"]
    reference = {"apiVersion": body["apiVersion"], "kind": body["kind"]}
    return reference | {
        field: metadata[field] for field in ("namespace", "name", "uid", "resourceVersion") if field in metadata
    }


def _name(metadata: dict[str, Any], happening: Happening) -> str:
    told = "\n".join(
        (metadata.get("uid", ""), metadata.get("resourceVersion", ""), happening.reason, happening.message)
    )
    return f"{metadata['name'][:_LONGEST_NAME].rstrip('-.')}.{hashlib.sha256(told.encode()).hexdigest()[:16]}"
