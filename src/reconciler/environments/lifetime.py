"""How long an environment lives: when it ends, and when that is looked at. Pure."""

from datetime import datetime, timedelta

from reconciler.domain.resources import Environment

_SHORTEST = timedelta(seconds=1)


def expiry_of(environment: Environment) -> datetime | None:
    """Return when the environment ends; None while it does not."""
    return None if environment.spec.pinned or environment.is_paused else environment.status.expires_at


def due(moment: datetime | None, now: datetime, server_now: datetime) -> datetime | None:
    """Return by our own clock what is due at a moment of the API server's: the two may differ."""
    return None if moment is None else now + max(moment - server_now, _SHORTEST)
