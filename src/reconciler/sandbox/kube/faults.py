"""What can be made to go wrong with the API on demand."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from reconciler.sandbox.kube.errors import ApiError

_REASONS: Final = {
    429: ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
    500: ("InternalError", "an error on the server has prevented the request from succeeding"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "the server was unable to return a response in the time allotted"),
}


@dataclass
class Faults:
    """Faults that are switched on and off, and one-shot faults that are used up."""

    latency: float = 0.0
    """Seconds every request waits before it is looked at."""
    _down: bool = False
    _failures: deque[int] = field(default_factory=deque)
    _conflicts: int = 0
    _cut_line: bool = False
    _cut: Callable[[], None] = lambda: None
    _expire: Callable[[], None] = lambda: None
    _freeze: Callable[[], None] = lambda: None

    def connect(self, cut: Callable[[], None], expire: Callable[[], None], freeze: Callable[[], None]) -> None:
        """Tell how the API's open watches are cut, expired and frozen."""
        self._cut = cut
        self._expire = expire
        self._freeze = freeze

    @property
    def down(self) -> bool:
        """Every connection is aborted, the open watches as well, until it is set back."""
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        self._down = down
        if down:
            self.cut_watches()

    def fail_next(self, count: int, status: int = 500) -> None:
        """Answer the next `count` requests with an HTTP status; calls add up."""
        self._failures.extend([status] * count)

    def conflict_next(self, count: int) -> None:
        """Answer the next `count` writes that name a resourceVersion with 409 Conflict."""
        self._conflicts = count

    def cut_watches(self) -> None:
        """Abort the connections of all open watches, in the middle of the stream."""
        self._cut()

    def cut_line(self) -> None:
        """Send half of the next watch event, then abort that connection."""
        self._cut_line = True

    def expire_watches(self) -> None:
        """End all open watches with an ERROR event 410."""
        self._expire()

    def freeze_watches(self) -> None:
        """Say nothing more on all open watches, not even a bookmark, without ending them; new ones work."""
        self._freeze()

    def take_failure(self) -> ApiError | None:
        """Return the failure for the request at hand, used up."""
        if not self._failures:
            return None
        status = self._failures.popleft()
        reason, message = _REASONS.get(status, (None, "an injected fault"))
        return ApiError(status, reason, message, retry_after=1 if status in {429, 503} else None)

    def take_conflict(self) -> bool:
        """Tell whether the guarded write at hand loses, used up."""
        if not self._conflicts:
            return False
        self._conflicts -= 1
        return True

    def take_cut_line(self) -> bool:
        """Tell whether the watch line at hand is cut, used up."""
        cut, self._cut_line = self._cut_line, False
        return cut
