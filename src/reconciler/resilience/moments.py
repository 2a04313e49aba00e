"""The moments around which a kill could lose or double something, each told by the one place where it happens.

    with passing(Moment.ACT, nudge.what):
        facts = await nudge.act()

An operator at work has no listener, and a moment costs it a comparison. The kill matrix (`tests/kills`) listens in the
process that it ends at each of these moments in turn.
"""

from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from types import TracebackType
from typing import Protocol


class Moment(StrEnum):
    """What happens: the closed set, each of which is passed by at least one place."""

    CLAIM = "claim"
    """Claims are stored, in one guarded write."""
    ACT = "act"
    """Something is changed outside."""
    OUTCOME = "outcome"
    """What came back from an act is stored."""
    STATUS = "status"
    """A status is written, whatever for."""
    CREATE = "create"
    """A resource is created."""
    CHANGE = "change"
    """What is wanted of a resource is changed."""
    DELETE = "delete"
    """A resource is deleted, or asked to go."""
    FINALIZER_ON = "finalizer on"
    """Our finalizer is put on a resource that was made without it."""
    FINALIZER_OFF = "finalizer off"
    """Our finalizer is taken off."""
    PUBLISH = "publish"
    """A message is published; after it, the broker's confirm is there."""
    ACK = "ack"
    """A message is acknowledged."""


class Side(StrEnum):
    """On which side of a moment."""

    BEFORE = "before"
    AFTER = "after"


class Listener(Protocol):
    """Hears of moments, in the middle of everything: it must not wait, and it does not fail."""

    def __call__(self, moment: Moment, side: Side, about: str, /) -> None:
        """Hear of one."""
        ...


_NOBODY = nullcontext()
_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Let one listener hear of all moments of this process, or nobody any more."""
    global _listener  # noqa: PLW0603 - one process, one listener: handed through, every writer would carry it
    _listener = listener


def passing(moment: Moment, *about: str) -> AbstractContextManager[None]:
    """Tell of a moment before the block, and after it unless it raised; once for each word on what it is about."""
    return _NOBODY if _listener is None else _Passing(_listener, moment, about)


class _Passing:
    def __init__(self, listener: Listener, moment: Moment, about: tuple[str, ...]) -> None:
        self._listener = listener
        self._moment = moment
        self._about = about

    def __enter__(self) -> None:
        self._tell(Side.BEFORE)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None:
            self._tell(Side.AFTER)

    def _tell(self, side: Side) -> None:
        for about in self._about:
            self._listener(self._moment, side, about)
