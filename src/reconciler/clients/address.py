"""Public addresses, asked once each time somebody wants to know whether they answer."""

from collections.abc import Callable
from urllib.parse import urlsplit

from reconciler.clients.asks import Asks

_ANY_STATUS = tuple(range(100, 600))


class AddressProbe:
    """Asks addresses without redirects, without credentials, each host under a breaker of its own."""

    def __init__(self, make: Callable[[str], Asks]) -> None:
        """Take what makes an endpoint for an origin such as `https://api.shop.example`."""
        self._make = make
        self._endpoints: dict[str, Asks] = {}

    async def status_of(self, url: str) -> int:
        """Return the HTTP status of a GET. Raises Unavailable."""
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        if (endpoint := self._endpoints.get(origin)) is None:
            endpoint = self._endpoints[origin] = self._make(origin)
        reply = await endpoint.ask("GET", parts.path or "/", expect=_ANY_STATUS, operation="verify")
        return reply.status
