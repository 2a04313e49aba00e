"""What the intake needs from the world: somewhere to store, and a broker."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from reconciler.domain.keys import Body


class Resources(Protocol):
    """Where resources are stored: the Kubernetes API, read without a cache."""

    async def find(self, kind: str, namespace: str, name: str) -> Body | None:
        """Return the resource, if it is there. Raises `Unavailable`, `Refused`."""
        ...

    async def create(self, kind: str, namespace: str, body: Body) -> Body:
        """Store a new one. Raises `AlreadyExists`, `Invalid` (field named), `NotFound`, `Unavailable`, `Refused`."""
        ...

    async def replace(self, kind: str, namespace: str, name: str, body: Body) -> Body:
        """Store it guarded by the resource version in `body`. Raises `Conflict` too."""
        ...


class Letter(Protocol):
    """A message as it can be read."""

    @property
    def body(self) -> bytes:
        """The bytes that were sent."""
        ...

    @property
    def headers(self) -> Mapping[str, Any]:
        """The header table."""
        ...

    @property
    def content_type(self) -> str:
        """The content type, empty where there is none."""
        ...

    @property
    def message_id(self) -> str:
        """The sender's id of the message, empty where there is none."""
        ...

    @property
    def timestamp(self) -> datetime | None:
        """The broker property, not what stands in the body."""
        ...


class Delivery(Letter, Protocol):
    """A message as handed over by the broker, to be settled."""

    @property
    def exchange(self) -> str:
        """Where it was published to."""
        ...

    @property
    def routing_key(self) -> str:
        """With which routing key."""
        ...

    async def ack(self) -> None:
        """Say that it is done."""
        ...


class Subscription(Protocol):
    """A consumer that can be held."""

    async def pause(self) -> None:
        """Take no more; what is not settled goes back once."""
        ...

    async def resume(self) -> None:
        """Take messages again."""
        ...

    async def stop(self, grace: timedelta) -> None:
        """Take no more and let what runs end within `grace`; the rest goes back."""
        ...


class Messenger(Protocol):
    """The broker. `publish` returns when the broker has the message; raises `Unavailable` or `OutcomeUnknown`."""

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        headers: Mapping[str, Any] | None = None,
        message_id: str = "",
        content_type: str = "application/json",
        timestamp: datetime | None = None,
        mandatory: bool = True,
    ) -> None:
        """Publish, and wait for the confirm."""
        ...

    async def consume(self, queue: str, handler: Callable[[Any], Awaitable[None]], *, prefetch: int) -> Subscription:
        """Hand each message of a queue to `handler`, at most `prefetch` at a time."""
        ...
