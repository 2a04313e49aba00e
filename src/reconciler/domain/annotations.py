"""The annotations by which people steer a resource: one shape for all, in one place. Pure.

Two sorts. A *request* has any token as its value; it is handled once, echoed in `status.handled`, and made again by
another token. A *state* lasts as long as the annotation says `true`; its echo says that it is known, and goes with it.
"""

from collections.abc import Mapping

from reconciler.domain.names import GROUP

PAUSED = f"{GROUP}/paused"
"""State: nothing is changed outside, clocks, expiry and drift stop; deletion and cancel still work."""
PINNED = f"{GROUP}/pinned"
"""State: the environment does not expire."""
RECONCILE_AT = f"{GROUP}/reconcile-at"
"""Request: look now."""
RELEASE = f"{GROUP}/release"
"""Request: lift the hold of an environment."""
ADOPT = f"{GROUP}/adopt"
"""Request: take over foreign objects: `Job/freeleaps/shop`, several by commas; a word without `/` is a token."""
CONFIRM_REMOVAL = f"{GROUP}/confirm-removal"
"""Request: remove as many environments at once as the spec says."""
EXTEND = f"{GROUP}/extend"
"""Request: the environment lives so much longer, `24h` or `24h/any-token`."""
EXPIRE = f"{GROUP}/expire"
"""Request: the environment ends now."""
TRACEPARENT = f"{GROUP}/traceparent"
"""Written by us: the W3C trace context of the message that asked for a project's newest operation."""

_LONGEST = 256
_TRUE = "true"
Words = Mapping[str, str]
"""Annotations, or the tokens that were handled, by annotation."""


def is_set(annotations: Words, state: str) -> bool:
    """Tell whether a state lasts."""
    return annotations.get(state) == _TRUE


def asked(annotations: Words, handled: Words, request: str) -> str | None:
    """Return the token of a request that was not handled yet."""
    token = _token(annotations, request)
    return token if token is not None and token != handled.get(request) else None


def adopted(annotations: Words, handled: Words) -> frozenset[str]:
    """Return the foreign objects that a person tells us to take over, as `<kind>/<name>`; none once it was done."""
    request = asked(annotations, handled, ADOPT) or ""
    return frozenset(word.strip() for word in request.split(",") if "/" in word)


def with_request(handled: Words, annotations: Words, request: str) -> dict[str, str]:
    """Return what is handled with a request echoed; one whose annotation is gone stays, so that it is not made twice.

    The annotation may be taken off and put on again by whatever applies manifests; that asks for nothing new.
    """
    token = _token(annotations, request)
    return dict(handled) if token is None else {**handled, request: token}


def with_state(handled: Words, annotations: Words, state: str) -> dict[str, str]:
    """Return what is handled with a state echoed while it lasts."""
    others = {name: token for name, token in handled.items() if name != state}
    return {**others, state: _TRUE} if is_set(annotations, state) else others


def _token(annotations: Words, name: str) -> str | None:
    token = annotations.get(name)
    return None if token is None else token[:_LONGEST]
