"""What the clients need of an endpoint, in words that know no HTTP library."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from reconciler.domain.errors import ReconcilerError, Unavailable

Headers = Mapping[str, str]
Authorization = Callable[[], Awaitable[Headers]]
"""Returns the headers that authorize a request; asked at each request, so a rotated secret is used at once."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a system answered, whatever the status. Header names are lower case."""

    status: int
    headers: Headers
    body: bytes
    system: str = ""

    def json(self) -> Any:
        """Read the body as JSON. Raises Unavailable when it is not: some proxy answered."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            message = f"{self.system or 'the system'} answered {self.status} with something that is not JSON"
            raise Unavailable(message, system=self.system, status=self.status) from error

    def text(self) -> str:
        """Read the body as text."""
        return self.body.decode("utf-8", "replace")


class Asks(Protocol):
    """What the clients need of an endpoint."""

    async def ask(
        self,
        method: str,
        path: str,
        *,
        expect: tuple[int, ...] = (200,),
        params: Mapping[str, str] | None = None,
        headers: Headers | None = None,
        json: Any = None,
        body: bytes | str | None = None,
        form: Mapping[str, str] | None = None,
        is_change: bool | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a part of the request, not a scope
        operation: str = "",
    ) -> Reply:
        """Send one request and return the answer if its status is in `expect`, else raise an error of `domain.errors`.

        Args:
            method: HTTP method.
            path: below the base URL, already percent-encoded; an absolute URL only when its origin is allowed.
            expect: statuses that are answers; anything else becomes an error.
            params: query parameters, encoded.
            headers: added to the authorization's.
            json: body as JSON, `Content-Type: application/json` without charset.
            body: raw body; give its Content-Type in `headers`.
            form: body as a form.
            is_change: whether a lost answer leaves the outcome unknown; default: not GET or HEAD.
            timeout: seconds for the whole request; default the endpoint's (30 s).
            operation: a stable short name for metrics (`start_build`); default the method.

        Raises:
            Unavailable, RateLimited, CircuitOpen, OutcomeUnknown, Refused, NotFound, Conflict, Invalid.
        """
        ...

    def stream(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Headers | None = None,
        read_timeout: float = 45.0,
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open a long answer line by line; it takes no place in the concurrency bound and ends with Unavailable."""
        ...


Translate = Callable[[Reply, str], ReconcilerError | None]
"""A vendor's own reading of an unexpected answer, given the reply and the operation; None: by status."""

Observe = Callable[[str, str, float], None]
"""Told after each request: operation, outcome (`ok` or the error's name), seconds."""
