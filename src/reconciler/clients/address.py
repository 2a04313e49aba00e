"""Public addresses, asked once each time somebody wants to know whether they answer."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from reconciler.clients.asks import Asks

_ANY_STATUS = tuple(range(100, 600))
A = TypeVar("A", bound=Asks)


class AddressProbe(Generic[A]):
    """Asks addresses without redirects, without credentials, each host under a breaker of its own."""

    def __init__(self, make: Callable[[str], A], end: Callable[[A], Awaitable[None]], *, most: int = 100) -> None:
        """Know no address yet.

        Args:
            make: makes an endpoint for an origin such as `https://api.shop.example`.
            end: ends one for good.
            most: so many are kept, those that were asked last: previews come and go, each with hosts of its own.
        """
        self._make = make
        self._end = end
        self._most = most
        self._endpoints: OrderedDict[str, A] = OrderedDict()

    async def status_of(self, url: str) -> int:
        """Return the HTTP status of a GET. Raises Unavailable."""
        parts = urlsplit(url)
        endpoint = await self._at(f"{parts.scheme}://{parts.netloc}")
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        reply = await endpoint.ask("GET", path, expect=_ANY_STATUS, operation="verify")
        return reply.status

    async def _at(self, origin: str) -> A:
        if (endpoint := self._endpoints.get(origin)) is None:
            endpoint = self._endpoints[origin] = self._make(origin)
        self._endpoints.move_to_end(origin)
        while len(self._endpoints) > self._most:
            _, longest_unasked = self._endpoints.popitem(last=False)
            await self._end(longest_unasked)
        return endpoint
