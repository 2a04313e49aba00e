"""The refusals that both kinds of requests share."""

from datetime import datetime, timedelta

from reconciler.domain.errors import Invalid
from reconciler.domain.messages import Request
from reconciler.domain.words import cut
from reconciler.intake.decoder import subject_of
from reconciler.intake.outcomes import Rejected


def is_too_old(request: Request, now: datetime, window: timedelta) -> bool:
    """Tell whether it was sent before the dedupe window: nobody can know any more whether it was done."""
    return request.sent_at is not None and request.sent_at < now - window


def too_old(request: Request, window: timedelta) -> Rejected:
    """Refuse what is older than the dedupe window."""
    rule = f"is more than {window.days} days ago"
    return Rejected("TooOld", "timestamp", rule, "send a new request with a new operation_id", subject_of(request))


def reused(request: Request, field: str) -> Rejected:
    """Refuse other content under an id that is taken."""
    rule = "differs from what this operation_id was first sent with"
    return Rejected("OperationIdReused", f"payload.{field}", rule, "send a new operation_id", subject_of(request))


def invalid(request: Request, error: Invalid) -> Rejected:
    """Refuse what the API server refuses."""
    remedy = "correct the value and send the message again"
    return Rejected("InvalidResource", error.field, cut(error.message, 192), remedy, subject_of(request))
