"""How long things may take before we conclude anything from their absence, and who we are while we wait."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2s


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One life of one replica."""

    replica: str
    id: str


@dataclass(frozen=True, slots=True)
class Patience:
    """The times by which claims are kept.

    Attributes:
        send: a claim older than this when its act would be sent is claimed again.
        request: after this long a request has ended, one way or the other.
        between_searches: time between the two complete searches that prove an absence.
        person: how often we look whether a person has acted.
        longest: longest wait between two looks at a system that is away.
        at_latest: the same where its breaker tells when it is back; like all waits a fifth longer at most.
    """

    send: timedelta = timedelta(seconds=5)
    request: timedelta = timedelta(seconds=30)
    between_searches: timedelta = timedelta(seconds=30)
    person: timedelta = timedelta(minutes=5)
    shortest: timedelta = timedelta(seconds=2)
    longest: timedelta = timedelta(seconds=60)
    at_latest: timedelta = timedelta(minutes=5)

    def next_look(self, waiting_since: datetime | None, now: datetime, salt: str) -> datetime:
        """Return when to look again at what is away: half as long again as it has been away, within bounds.

        The waits grow with the outage without any counter that a restart could lose; `salt` spreads the looks by a
        fifth so that many that wait for one system do not come back at once.
        """
        away = now - waiting_since if waiting_since else timedelta()
        return now + _spread(min(max(away / 2, self.shortest), self.longest), salt)

    def latest_look(self, now: datetime, salt: str) -> datetime:
        """Return when to look again, at the latest, at what tells when it is back."""
        return now + _spread(self.at_latest, salt)


def _spread(wait: timedelta, salt: str) -> timedelta:
    return wait * (1 + blake2s(salt.encode(), digest_size=1).digest()[0] / 255 / 5)
