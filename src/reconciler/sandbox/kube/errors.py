"""What the API answers when it refuses: one exception that becomes a `Status` body."""

from dataclasses import dataclass
from typing import Any, TypeAlias

JSON: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Cause:
    """One violation, as `details.causes` lists it."""

    field: str
    reason: str
    message: str

    def json(self) -> JSON:
        """Return the cause as it stands in a `Status`."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


class ApiError(Exception):
    """A refusal: HTTP code, reason and details of the `Status` (`text` answers carry `plain` instead)."""

    def __init__(
        self,
        code: int,
        reason: str | None,
        message: str,
        details: JSON | None = None,
        *,
        retry_after: int | None = None,
        continue_token: str | None = None,
        plain: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after
        self.continue_token = continue_token
        self.plain = plain

    def body(self) -> JSON:
        """Return the `Status` object."""
        metadata: JSON = {} if self.continue_token is None else {"continue": self.continue_token}
        status: JSON = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason is not None:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        status["code"] = self.code
        return status


def qualified(plural: str, group: str) -> str:
    """Return `widgets.probe.example.com`, or the bare plural for the core group."""
    return f"{plural}.{group}" if group else plural


def details_of(name: str, group: str, kind: str) -> JSON:
    """Return the usual details; the empty group and an empty name are left out."""
    details: JSON = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    details["kind"] = kind
    return details


def bad_request(message: str) -> ApiError:
    """Return 400: the request cannot be read."""
    return ApiError(400, "BadRequest", message)


def internal(message: str) -> ApiError:
    """Return the 500 without reason that the real server gives for some client errors."""
    return ApiError(500, None, message)


def page_not_found() -> ApiError:
    """Return the plain-text 404 of an unknown custom path."""
    return ApiError(404, None, "404 page not found\n", plain=True)


def unknown_resource() -> ApiError:
    """Return the 404 of an unknown resource in a built-in group."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def not_found(plural: str, group: str, name: str) -> ApiError:
    """Return the 404 of an object."""
    message = f'{qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, details_of(name, group, plural))


def already_exists(plural: str, group: str, name: str, *, deleting: bool) -> ApiError:
    """Return the 409 of a create whose name is taken."""
    message = f'{qualified(plural, group)} "{name}" already exists'
    if deleting:
        message = f"object is being deleted: {message}"
    return ApiError(409, "AlreadyExists", message, details_of(name, group, plural))


MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


def conflict(plural: str, group: str, name: str, why: str = MODIFIED) -> ApiError:
    """Return the 409 of a precondition that does not hold."""
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, details_of(name, group, plural))


def invalid(kind: str, group: str, name: str, causes: list[Cause]) -> ApiError:
    """Return the 422 that lists every violation."""
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    joined = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details = details_of(name, group, kind)
    details["causes"] = [cause.json() for cause in causes]
    return ApiError(422, "Invalid", f'{qualified(kind, group)} "{name}" is invalid: {joined}', details)


def invalid_options(kind: str, field: str, reason: str, message: str) -> ApiError:
    """Return the 422 of bad request options (`CreateOptions`, `ListOptions` and so on)."""
    return invalid(kind, "meta.k8s.io", "", [Cause(field, reason, message)])


def forbidden(plural: str, group: str, name: str, why: str, causes: list[Cause] | None = None) -> ApiError:
    """Return the 403 of an admission rule."""
    details = details_of(name, group, plural)
    if causes:
        details["causes"] = [cause.json() for cause in causes]
    return ApiError(403, "Forbidden", f'{qualified(plural, group)} "{name}" is forbidden: {why}', details)


def method_not_allowed() -> ApiError:
    """Return the 405 of a built-in resource."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def unsupported_verb(verb: str, plural: str, group: str) -> ApiError:
    """Return the 405 of a custom resource."""
    message = f'{verb} is not supported on resources of kind "{qualified(plural, group)}"'
    return ApiError(405, "MethodNotAllowed", message, details_of("", group, plural))


def not_acceptable(*, watch: bool = False) -> ApiError:
    """Return the 406 that lists the media types the server has."""
    suffix = ";stream=watch" if watch else ""
    types = ", ".join(f"application/{name}{suffix}" for name in ("json", "yaml", "vnd.kubernetes.protobuf"))
    return ApiError(406, "NotAcceptable", f"only the following media types are accepted: {types}")


def expired(message: str, continue_token: str | None = None) -> ApiError:
    """Return the 410 of a revision that history no longer holds."""
    return ApiError(410, "Expired", message, continue_token=continue_token)
