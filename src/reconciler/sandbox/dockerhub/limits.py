"""Docker Hub's limits and the three forms of its 429."""

from dataclasses import dataclass
from enum import StrEnum

from aiohttp import web

from reconciler.domain.clock import Clock

PULL_WINDOW = 21600


class LimitForm(StrEnum):
    """How a 429 tells, or does not tell, when to come back."""

    SECONDS = "Retry-After in seconds"
    UNIX_TIME = "X-Retry-After as unix time"
    PLAIN = "plain text HAP429 without headers"


@dataclass
class Limits:
    """What the Hub allows.

    Attributes:
        form: how a 429 is worded.
        retry_after: the seconds that a 429 asks for.
        per_minute: Hub API requests a minute; shown in `X-RateLimit-*`.
        pulls: manifests that may be got in six hours; None: unlimited, and no header.
    """

    clock: Clock
    form: LimitForm = LimitForm.SECONDS
    retry_after: int = 30
    per_minute: int = 600
    pulls: int | None = 200
    pulled: int = 0
    _minute: int = 0
    _asked: int = 0

    def too_many(self) -> web.Response:
        """Word a 429 in the present form."""
        if self.form is LimitForm.PLAIN:
            return web.Response(status=429, text="Too Many Requests (HAP429)")
        seconds = self.retry_after
        if self.form is LimitForm.UNIX_TIME:
            headers = {"X-Retry-After": str(int(self.clock.now().timestamp()) + seconds)}
        else:
            headers = {"Retry-After": str(seconds)}
        return web.json_response({"message": "Too many requests", "errinfo": {}}, status=429, headers=headers)

    def count_request(self) -> bool:
        """Count one Hub API request; tell whether it is within the limit."""
        minute = int(self.clock.now().timestamp()) // 60
        if minute != self._minute:
            self._minute, self._asked = minute, 0
        self._asked += 1
        return self._asked <= self.per_minute

    def api_headers(self) -> dict[str, str]:
        """Return the Hub API's limit headers."""
        return {
            "X-RateLimit-Limit": str(self.per_minute),
            "X-RateLimit-Remaining": str(max(0, self.per_minute - self._asked)),
            "X-RateLimit-Reset": str((self._minute + 1) * 60),
        }

    def count_pull(self) -> bool:
        """Count one manifest got (a HEAD is none); tell whether it is within the limit."""
        self.pulled += 1
        return self.pulls is None or self.pulled <= self.pulls

    def pull_headers(self) -> dict[str, str]:
        """Return the pull limit's headers; absent means unlimited."""
        if self.pulls is None:
            return {}
        return {
            "ratelimit-limit": f"{self.pulls};w={PULL_WINDOW}",
            "ratelimit-remaining": f"{max(0, self.pulls - self.pulled)};w={PULL_WINDOW}",
            "docker-ratelimit-source": "127.0.0.1",
        }
