"""Other things in some places of the program for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def instead(*changes: tuple[Any, str, Any]) -> Iterator[None]:
    """Put things in places: each change is a place, the name in it, and what is to be there."""
    before = [(place, name, getattr(place, name)) for place, name, _ in changes]
    for place, name, thing in changes:
        setattr(place, name, thing)
    try:
        yield
    finally:
        for place, name, thing in before:
            setattr(place, name, thing)
