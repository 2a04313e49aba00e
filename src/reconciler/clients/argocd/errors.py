"""Argo CD's refusals in our words: neither 400 nor 500 says by number what to do next (FACTS 1.1).

400 with code 9 is mostly a matter of the moment, 500 sometimes a permanent one. Known messages decide; what is left
goes by its status.
"""

from collections.abc import Callable
from typing import Any

from reconciler.clients.asks import Reply, Translate
from reconciler.clients.http_errors import words
from reconciler.domain.errors import (
    AlreadyExists,
    Busy,
    Conflict,
    Invalid,
    Missing,
    NotFound,
    ReconcilerError,
    Refused,
    Unavailable,
)
from reconciler.domain.words import cut

SYSTEM = "argocd"

Made = Callable[..., ReconcilerError]

_KNOWN: tuple[tuple[int, str, Made], ...] = (
    (400, "another operation is already in progress", Busy),
    (400, "application is deleting", Busy),
    (400, "project is referenced by", Busy),
    (400, "as a result of project update", Busy),
    (400, "No operation is in progress", NotFound),
    (400, "use upsert flag to force update", AlreadyExists),
    (400, "or the project does not exist", Missing),
    (400, "auto-sync currently set to", Invalid),
    (400, "sync with replace was disabled", Invalid),
    (400, "rollback cannot be initiated", Invalid),
    (400, "reserved and cannot be deleted", Invalid),
    (409, "already exists", AlreadyExists),
    (500, "error applying patch", Conflict),
    (500, "Too many conflicts", Conflict),
    (500, "account already has token", AlreadyExists),
    (500, "does not have apiKey capability", Invalid),
)
"""(status, words, our error): the first that fits."""

_PASSING = ("rpc error: code = Unavailable", "rpc error: code = DeadlineExceeded", "connection refused", "i/o timeout")
_NOT_THE_MOMENT = 9
_LOCKED_OUT = (
    "authentication required",
    "authorization failed",
    "repository not found",
    "permission denied",
    "unable to authenticate",
    "access denied",
    "invalid username",
)


def translator(mask: Callable[[str], str] = str) -> Translate:
    """Return what an endpoint to Argo CD must be made with; `mask` takes secrets out of the server's words."""

    def translate(reply: Reply, operation: str) -> ReconcilerError | None:
        said = words(reply.headers, reply.body, mask)
        kind = _kind(reply, said)
        if kind is None:
            return None
        message = f"argocd answered {operation} with {reply.status}: {cut(said)}"
        return kind(message, system=SYSTEM, status=reply.status)

    return translate


def repository_error(reply: Reply, url: str) -> ReconcilerError:
    """Return why a repository cannot be used: the git host's fault (`system="git"`), not Argo CD's.

    A connection that fails arrives as 500 or, for a repository that git does not show, as 404 (FACTS 1.4). The body is
    never quoted whole: one branch of this call answers with the password.
    """
    said = cut(words(reply.headers, reply.body))
    message = f"argocd cannot use the repository {url}: {said}"
    if any(sign in said.lower() for sign in _LOCKED_OUT):
        return Refused(message, system="git", status=reply.status)
    return Unavailable(message, system="git", status=reply.status)


def _kind(reply: Reply, said: str) -> Made | None:
    for status, sign, kind in _KNOWN:
        if reply.status == status and sign in said:
            return kind
    is_passing = _code(reply) == _NOT_THE_MOMENT or any(sign in said for sign in _PASSING)
    return Unavailable if reply.status == 400 and is_passing else None  # noqa: PLR2004 - HTTP


def _code(reply: Reply) -> Any:
    try:
        body = reply.json()
    except Unavailable:
        return None
    return body.get("code") if isinstance(body, dict) else None
