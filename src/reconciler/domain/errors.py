"""What can go wrong, named by what the caller should do next.

    ReconcilerError
    ├── Unavailable            ask later; nothing is known to have changed
    │   ├── RateLimited        ask later, not before `retry_after`
    │   ├── CircuitOpen        not asked at all; the breaker probes again after `retry_after`
    │   ├── NotSent            not asked at all: we may change nothing any more, and have to look again
    │   └── OutcomeUnknown     a change was sent and no answer came: look before anything else
    ├── Busy                   another operation is in the way: look again when it ended
    ├── Refused                a person must act: credentials or rights (401, 403)
    ├── NotFound               it is not there
    ├── AlreadyExists          it is there already
    ├── Conflict               somebody else wrote first: read again, look again
    ├── Invalid                it will never be accepted as it is (other 4xx)
    └── Missing                something named in a resource is not there yet (a Secret, a key of it, a resource)

What systems distinguish beyond that changes nothing for the caller, and stays with the clients: a token that is renewed
once after a 401 before it is Refused; an Argo CD 403 that means NotFound, told apart by asking with the project; an
existing object that is equal, which is success, and one that differs, which is AlreadyExists. HTTP status alone decides
neither at Argo CD nor at Jenkins: `clients/argocd/errors.py`, `clients/http_errors.py`.

No message carries a body, a query string, a header or a secret; providers' words are masked and cut to 256 characters.
"""

from datetime import timedelta


class ReconcilerError(Exception):
    """Anything that this program expects to go wrong."""

    def __init__(self, message: str, *, system: str = "", status: int | None = None) -> None:
        """Tell in one sentence what happened.

        Args:
            message: for a person; safe to show anywhere.
            system: which outside system said so (`jenkins`, `argocd`, ...), empty if none.
            status: the HTTP status behind it, if any.
        """
        super().__init__(message)
        self.message = message
        self.system = system
        self.status = status


class Unavailable(ReconcilerError):
    """The system did not do what it was asked because it cannot at the moment: timeout, refused, 5xx."""

    def __init__(
        self, message: str, *, retry_after: timedelta | None = None, system: str = "", status: int | None = None
    ) -> None:
        """Say also when to ask again, where the system said so."""
        super().__init__(message, system=system, status=status)
        self.retry_after = retry_after


class RateLimited(Unavailable):
    """A limit is reached, the provider's (429) or our own window."""


class CircuitOpen(Unavailable):
    """The breaker is open: the system was not asked."""


class NotSent(Unavailable):
    """A change was not sent: what allowed it (the lead, a young claim) is over."""


class OutcomeUnknown(Unavailable):
    """A change was sent and the connection was lost before an answer: it may or may not have been applied."""


class Busy(ReconcilerError):
    """Another operation is in the way."""


class Refused(ReconcilerError):
    """Credentials or rights do not suffice; only a person can change that."""


class NotFound(ReconcilerError):
    """What was asked for does not exist."""


class AlreadyExists(ReconcilerError):
    """What was to be created exists."""


class Conflict(ReconcilerError):
    """A guarded write met a newer version: nothing was written."""


class Invalid(ReconcilerError):
    """The request will never be accepted as it is."""

    def __init__(self, message: str, *, field: str = "", system: str = "", status: int | None = None) -> None:
        """Name also the field at fault, where it is known."""
        super().__init__(message, system=system, status=status)
        self.field = field


class Missing(ReconcilerError):
    """Something that a resource names is not there (yet); work goes on by itself when it appears."""
