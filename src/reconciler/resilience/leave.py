"""Leave to change something outside, asked right before each request that does.

An act may be several requests with waits between them: a read, a login, a permit, a place in a limiter's window. What
allowed the act when it began (that we lead, that its claim is young) may be over when the last of them goes out: the
process may have been frozen meanwhile. So the engine hands the question down the chain of calls,
and whoever sends a change asks it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Question = Callable[[], None]
"""Returns while changes may be sent, else raises NotSent."""

_question: ContextVar[Question | None] = ContextVar("reconciler_leave", default=None)


@contextmanager
def under(question: Question) -> Iterator[None]:
    """Have every change that is sent inside ask `question` first."""
    token = _question.set(question)
    try:
        yield
    finally:
        _question.reset(token)


def ask_leave() -> None:
    """Ask whether a change may be sent now. Raises NotSent; outside of an act nobody minds."""
    if (question := _question.get()) is not None:
        question()
