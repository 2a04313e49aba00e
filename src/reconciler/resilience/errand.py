"""On whose errand a request goes, and whether somebody waits for it.

It travels as a context, from the look that begins an errand to the limiter and the permits that every request of it
passes: nothing in between has to hand it on. Tasks that are begun inside go on the same errand.
"""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Errand:
    """Why something is asked.

    Attributes:
        name: whose errand it is, the same at each look: the agenda's key. Who is turned away keeps its turn under it,
            and is called back by it. None: nobody's.
        is_sweep: nobody waits for it: a poll for drift, a sweep for leftovers. It makes way for all others.
    """

    name: Hashable | None = None
    is_sweep: bool = False


_NOBODYS = Errand()
_errand: ContextVar[Errand] = ContextVar("reconciler_errand", default=_NOBODYS)


def errand() -> Errand:
    """Return the errand we are on."""
    return _errand.get()


@contextmanager
def on_errand(name: Hashable) -> Iterator[None]:
    """Do everything inside for `name`, as something that somebody waits for."""
    token = _errand.set(Errand(name))
    try:
        yield
    finally:
        _errand.reset(token)


@contextmanager
def sweeping() -> Iterator[None]:
    """Let everything inside make way for what somebody waits for."""
    token = _errand.set(replace(_errand.get(), is_sweep=True))
    try:
        yield
    finally:
        _errand.reset(token)
