"""What we send ourselves to know that we still hear: a message through the broker, a change through the API server."""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from reconciler.clients.kubernetes import Kubernetes
from reconciler.clients.rabbitmq import Delivery, RabbitMQ
from reconciler.clients.rabbitmq.subscription import Subscription
from reconciler.domain.clock import Clock, rfc3339
from reconciler.domain.errors import AlreadyExists, NotFound, ReconcilerError, Unavailable
from reconciler.domain.keys import CONFIG_MAP, Body, Key

LABEL = "freeleaps.com/canary"
_TOKEN = "freeleaps.com/canary-token"  # noqa: S105 - nothing secret
_SENT_AT = "freeleaps.com/canary-sent-at"
_STALE = timedelta(hours=1)
_LONGEST_NAME = 200


class MessageCanary:
    """A message through a queue of this replica's own, on the connection by which it takes all messages."""

    def __init__(self, rabbitmq: RabbitMQ) -> None:
        self._rabbitmq = rabbitmq
        self._subscription: Subscription | None = None
        self.heard: Callable[[], None] = lambda: None

    async def send(self) -> None:
        """Send one. Raises Unavailable."""
        if self._subscription is None:
            await self._rabbitmq.connected()
            self._subscription = await self._rabbitmq.consume_own(self._take)
        if not self._subscription.queue:
            raise Unavailable("there is no queue of our own: no connection", system="rabbitmq")
        await self._rabbitmq.publish("", self._subscription.queue, b"canary", persistent=False)

    async def works_afresh(self) -> None:
        """Send one through a fresh connection and get it back. Raises Unavailable."""
        await self._rabbitmq.works_afresh()

    def restart(self, why: str) -> None:
        """Make the connection anew."""
        self._rabbitmq.restart(why)

    async def _take(self, delivery: Delivery) -> None:
        await delivery.ack()
        self.heard()


class ResourceCanary:
    """A ConfigMap of this replica's own, changed here and heard of as everything else: by Kopf, cache and agenda.

    It goes with the replica; what a killed one left is removed an hour later by one that starts.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        key: Key,
        clock: Clock,
        *,
        change_and_hear: Callable[[Body], Awaitable[None]],
        restart: Callable[[str], None],
    ) -> None:
        """Prepare.

        Args:
            kubernetes: changes the ConfigMap.
            key: of it; see `canary_key`.
            clock: for the moments by which stale ones are known.
            change_and_hear: makes a change and hears of it, all through fresh connections.
            restart: begins the watches anew.
        """
        self._kubernetes = kubernetes
        self._key = key
        self._clock = clock
        self._change_and_hear = change_and_hear
        self._restart = restart
        self._life = secrets.token_hex(4)
        self._sent = 0
        self._has_tidied = False

    async def send(self) -> None:
        """Change the ConfigMap, and make it first where it is not there. Raises Unavailable, Refused."""
        self._sent += 1
        patch = self._patch(f"{self._life}-{self._sent}")
        try:
            await self._kubernetes.patch(CONFIG_MAP, self._key.namespace, self._key.name, patch)
        except NotFound:
            await self._make(patch)
        if not self._has_tidied:
            await self._remove_stale()
            self._has_tidied = True

    async def works_afresh(self) -> None:
        """Change the ConfigMap and hear of it through fresh connections. Raises ReconcilerError."""
        await self._change_and_hear(self._patch(f"{self._life}-{self._sent}-afresh"))

    def restart(self, why: str) -> None:
        """Begin the watches anew."""
        self._restart(why)

    def is_ours(self, body: Body) -> bool:
        """Tell whether a body is the canary as this life changed it, not what was there before."""
        annotations = body["metadata"].get("annotations") or {}
        return str(annotations.get(_TOKEN, "")).startswith(self._life)

    async def remove(self) -> None:
        """Take the ConfigMap away at the end. Raises ReconcilerError."""
        await self._kubernetes.delete(CONFIG_MAP, self._key.namespace, self._key.name)

    def _patch(self, token: str) -> Body:
        return {"metadata": {"annotations": {_TOKEN: token, _SENT_AT: rfc3339(self._clock.now())}}}

    async def _make(self, patch: Body) -> None:
        metadata = {"name": self._key.name, "namespace": self._key.namespace, "labels": {LABEL: "true"}}
        body = {"metadata": {**metadata, **patch["metadata"]}}
        try:
            await self._kubernetes.create(CONFIG_MAP, self._key.namespace, body)
        except AlreadyExists as error:
            raise Unavailable("the canary was made meanwhile", system="kubernetes") from error

    async def _remove_stale(self) -> None:
        bodies, _ = await self._kubernetes.list_(CONFIG_MAP, self._key.namespace, label_selector=LABEL)
        for body in bodies:
            metadata = body["metadata"]
            if metadata["name"] != self._key.name and self._is_stale(metadata.get("annotations") or {}):
                try:
                    await self._kubernetes.delete(CONFIG_MAP, metadata["namespace"], metadata["name"])
                except NotFound:
                    continue

    def _is_stale(self, annotations: Body) -> bool:
        try:
            sent_at = datetime.fromisoformat(annotations.get(_SENT_AT, ""))
        except ValueError:
            return True
        return self._clock.now() - sent_at > _STALE


def canary_key(replica: str, own_namespace: str, namespaces: tuple[str, ...]) -> Key:
    """Return the canary of a replica, in a namespace that is watched; none named is all."""
    namespace = own_namespace if not namespaces or own_namespace in namespaces else namespaces[0]
    name = re.sub(r"[^a-z0-9-]+", "-", f"devops-reconciler-canary-{replica.lower()}")
    return Key(CONFIG_MAP.kind, namespace, name[:_LONGEST_NAME].rstrip("-"))


async def remove_quietly(canary: ResourceCanary, within: timedelta) -> None:
    """Take the ConfigMap away if that can be done soon; else a later replica does."""
    try:
        async with asyncio.timeout(within.total_seconds()):
            await canary.remove()
    except (ReconcilerError, TimeoutError):
        return
