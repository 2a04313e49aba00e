"""Refusals as grpc-gateway words them: a gRPC code inside, an HTTP status outside (FACTS 1.1)."""

from enum import IntEnum

import orjson
from aiohttp import web


class Code(IntEnum):
    """The gRPC codes that the API server answers."""

    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


_HTTP = {
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.NOT_FOUND: 404,
    Code.PERMISSION_DENIED: 403,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}


class ApiError(Exception):
    """A call ended with a gRPC status."""

    def __init__(self, code: Code, message: str) -> None:
        """Say which code and the server's own words."""
        super().__init__(message)
        self.code = code
        self.message = message

    def response(self) -> web.Response:
        """Word it as the gateway does."""
        body = {"error": self.message, "code": int(self.code), "message": self.message}
        return web.Response(status=_HTTP[self.code], body=orjson.dumps(body), content_type="application/json")


def denied() -> ApiError:
    """Return the one answer for "you may not" and for "it is not there"."""
    return ApiError(Code.PERMISSION_DENIED, "permission denied")


def not_found(kind: str, name: str) -> ApiError:
    """Return what Kubernetes says of a missing object."""
    return ApiError(Code.NOT_FOUND, f'{kind}.argoproj.io "{name}" not found')


def invalid(message: str) -> ApiError:
    """Return a refusal of an argument."""
    return ApiError(Code.INVALID_ARGUMENT, message)


def precondition(message: str) -> ApiError:
    """Return a refusal of the moment: 400 with code 9, not 412."""
    return ApiError(Code.FAILED_PRECONDITION, message)


def unknown(message: str) -> ApiError:
    """Return a plain Go error: 500, whether it is permanent or not."""
    return ApiError(Code.UNKNOWN, message)
